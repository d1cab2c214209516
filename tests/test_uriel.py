"""lowres/uriel.py: families without the package, distances as the package itself gives them."""

import json
import math
import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import pytest

from lowres import uriel
from lowres.errors import MissingPackageError
from lowres.languages import XLMR_SEEN, flores

needs_package = pytest.mark.skipif(
    not uriel.present(), reason=f"{uriel.PACKAGE} is not installed: {uriel.INSTALL}"
)

# One process that imports the package, from a copy: it writes files beside its own.
ORACLE = """
import json, logging, sys
logging.disable(logging.CRITICAL)
from urielplus.urielplus import URIELPlus
table, answers = URIELPlus(), {}
for pair in sys.argv[1].split():
    for kind in sys.argv[2].split():
        try:
            answers[f"{pair} {kind}"] = float(table.new_distance(kind, *pair.split("-")))
        except ValueError:
            answers[f"{pair} {kind}"] = None
print(json.dumps(answers))
"""
PAIRS = ("ind-min", "eng-ind", "yor-ibo", "hau-amh", "nij-bbc", "eus-jpn")


@pytest.fixture
def without_package(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    def distribution(name: str) -> metadata.Distribution:
        raise metadata.PackageNotFoundError(name)

    def forget() -> None:
        for cached in (uriel.present, uriel.distances):
            cached.cache_clear()

    forget()
    monkeypatch.setattr(metadata, "distribution", distribution)
    yield
    monkeypatch.undo()
    forget()


@pytest.mark.usefixtures("without_package")
def test_families_need_no_package() -> None:
    assert not uriel.present()
    assert uriel.family("yor_Latn") == "Atlantic-Congo"
    assert uriel.family("amh_Ethi") == "Afro-Asiatic"
    assert uriel.family("swa_Latn") == uriel.family("swh_Latn"), "a macrolanguage is its member"
    assert uriel.family("eus_Latn") == "Basque", "a language that stands alone is its own family"
    assert uriel.family("tel_Telu") == "Dravidian"
    assert uriel.family("nhx_Latn") is None
    assert [code for code in sorted({*flores(), *XLMR_SEEN}) if uriel.family(code) is None] == []


@pytest.mark.usefixtures("without_package")
def test_what_needs_the_package_says_how_to_get_it() -> None:
    for asked in (
        lambda: uriel.distances("yor_Latn", "ibo_Latn"),
        lambda: uriel.lineage("yor_Latn"),
    ):
        with pytest.raises(MissingPackageError, match=r"pip install 'lowres\[advisor\]'"):
            asked()


@needs_package
def test_family_of_a_language_that_flores_lacks() -> None:
    assert uriel.family("nij_Latn") == "Austronesian"
    assert uriel.family("bbc_Latn") == "Austronesian"


@needs_package
def test_family_table_is_the_package_s() -> None:
    said = Path(uriel.__file__).with_name("families.tsv").read_text(encoding="utf-8")
    rows = [line.split("\t") for line in said.splitlines() if not line.startswith("#")]
    assert [(code, uriel.lineage(f"{code}_Latn")[0]) for code, _ in rows] == [
        (code, family) for code, family in rows
    ]


@needs_package
@pytest.mark.slow
def test_distances_are_those_of_the_package(tmp_path: Path) -> None:
    package = Path(str(metadata.distribution(uriel.PACKAGE).locate_file(uriel.PACKAGE)))
    shutil.copytree(package, tmp_path / uriel.PACKAGE)
    kinds = [kind for kind in uriel.KINDS if kind != "genetic"]
    answer = subprocess.run(
        [sys.executable, "-c", ORACLE, " ".join(PAIRS), " ".join(kinds)],
        capture_output=True,
        text=True,
        check=True,
        cwd=tmp_path,
    )
    for asked, wanted in json.loads(answer.stdout).items():
        pair, kind = asked.split()
        a, b = (f"{language}_Latn" for language in pair.split("-"))
        got = getattr(uriel.distances(a, b), kind)
        assert got == pytest.approx(wanted, abs=1e-4), asked  # the package rounds to four places


@needs_package
def test_distance_in_the_tree_counts_shared_groups() -> None:
    ind, zsm = set(uriel.lineage("ind_Latn")), set(uriel.lineage("min_Latn"))
    cosine = len(ind & zsm) / math.sqrt(len(ind) * len(zsm))
    wanted = 2 / math.pi * math.acos(cosine)
    assert uriel.distances("ind_Latn", "min_Latn").genetic == pytest.approx(wanted)
    assert uriel.distances("eus_Latn", "spa_Latn").genetic == pytest.approx(1.0)


@needs_package
def test_distances_are_symmetric_and_blind_to_scripts() -> None:
    there, back = uriel.distances("yor_Latn", "hau_Latn"), uriel.distances("hau_Latn", "yor_Latn")
    assert there.typological == pytest.approx(back.typological)
    assert there.genetic == pytest.approx(back.genetic)
    assert uriel.distances("arb_Arab", "arb_Latn") == uriel.Distances(0.0, 0.0, 0.0, 0.0, 0.0)


@needs_package
def test_what_the_tables_do_not_know_is_none() -> None:
    """Of Ngaju no source knows the grammar; where it is spoken and its family are known."""
    found = uriel.distances("nij_Latn", "bbc_Latn")
    assert found.syntactic is None
    assert found.typological is None
    assert found.geographic is not None
    assert found.geographic < 0.2
    assert uriel.distances("qqq_Latn", "eng_Latn") == uriel.UNKNOWN


def test_angle() -> None:
    assert uriel.angle([1, 0], [0, 1]) == pytest.approx(1.0)
    assert uriel.angle([1, 1], [1, 0]) == pytest.approx(0.5)
    assert uriel.angle([0, 0], [1, 0]) == 1.0
    assert uriel.angle([0, 0], [0, 0]) == 0.0
