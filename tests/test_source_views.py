"""lowres/source_views.py: sources and bases in order, with the reasons."""

import re
from dataclasses import replace
from pathlib import Path

import pytest

from lowres import record, source_views, uriel
from lowres.diagnose import open_text
from lowres.errors import DataError, LanguageError
from lowres.record import Measured
from lowres.source_views import Source
from lowres.wordlists import Shared

needs_package = pytest.mark.skipif(not uriel.present(), reason=f"no {uriel.PACKAGE}")


MASAKHANER = (
    "bam bbj ewe fon hau ibo kin lug luo mos nya pcm sna swh tsn twi wol xho yor zul".split()  # noqa: SIM905
)


def source(code: str, standing: float | None = None, letters: float | None = None) -> Source:
    measured = None if standing is None else Measured(standing, 3, "fra_Latn", 0.4, ("made-up",))
    shared = None if letters is None else Shared(letters, letters)
    return Source(code, None, None, uriel.UNKNOWN, measured, shared, None, ())


def near(code: str, distance: float, standing: float | None = None) -> Source:
    known = replace(uriel.UNKNOWN, genetic=distance, geographic=distance)
    return replace(source(code, standing), distances=known)


def codes(found: list[Source]) -> list[str]:
    return [each.code for each in found]


def test_all_evidence_counts_alike() -> None:
    found = [source("a", 0.9, 0.1), source("b", 0.8, 0.9), source("c", 0.1, 0.2)]
    assert codes(source_views.ordered(found)) == ["b", "a", "c"]
    assert codes(source_views.ordered(found, ["measured"])) == ["a", "b", "c"]
    assert codes(source_views.ordered(found, ["letters"])) == ["b", "c", "a"]


def test_what_is_not_known_of_a_source_does_not_count_against_it() -> None:
    found = [source("a", 0.5, 0.2), source("b", None, 0.9), source("c", 0.4, 0.1)]
    assert codes(source_views.ordered(found))[0] == "b"
    nothing = source("z")
    assert codes(source_views.ordered([nothing, *found]))[-1] == "z"


def test_closeness_settles_little_where_transfer_was_measured_and_all_where_not() -> None:
    measured = [near("a", 0.9, 0.9), near("b", 0.1, 0.5), near("c", 0.5, 0.1)]
    assert codes(source_views.ordered(measured)) == ["a", "b", "c"]
    bare = [near("a", 0.9), near("b", 0.1), near("c", 0.5)]
    assert codes(source_views.ordered(bare)) == ["b", "c", "a"]


def test_equal_sources_stand_by_name() -> None:
    assert codes(source_views.ordered([source("b", 0.5), source("a", 0.5)])) == ["a", "b"]


def test_language_of_a_labelled_file_by_option_name_or_folder(tmp_path: Path) -> None:
    file = tmp_path / "zul_Latn" / "train.tsv"
    file.parent.mkdir()
    file.write_text("text\tlabel\nsawubona mhlaba\tgreeting\n", encoding="utf-8")
    assert source_views.labelled(str(file)).code == "zul_Latn"
    given = source_views.labelled(f"xho-Latn={file}")
    assert (given.code, given.lines) == ("xho_Latn", ("sawubona mhlaba",))
    words = tmp_path / "zul_Latn.txt"
    words.write_text("Sawubona O\nmhlaba O\n\nEThekwini B-LOC\n", encoding="utf-8")
    assert source_views.labelled(str(words)).lines == ("Sawubona mhlaba", "EThekwini")


def test_bad_labelled_files_are_named(tmp_path: Path) -> None:
    file = tmp_path / "train.tsv"
    file.write_text("name\tvalue\na\tb\n", encoding="utf-8")
    with pytest.raises(LanguageError, match="write --labelled zul_Latn=FILE"):
        source_views.labelled(str(file))
    with pytest.raises(LanguageError, match="--labelled: unknown language 'zzx'"):
        source_views.labelled(f"zzx_Latn={file}")
    with pytest.raises(DataError, match="no column of texts among name, value"):
        source_views.labelled(f"zul_Latn={file}")
    with pytest.raises(DataError, match="no such file"):
        source_views.labelled(f"zul_Latn={file}x")


@needs_package
def test_without_files_the_sources_of_the_record_are_ranked() -> None:
    found = source_views.sources("ssw_Latn", "tagging", None, (), {})
    assert {each.code for each in found} == set(record.chosen("ssw_Latn", "tagging")[0].sources)
    assert all(each.measured and each.shared is None for each in found)
    # Swati is spoken between Zulu and Tsonga
    assert "zul_Latn" in codes(list(found))[:5]
    assert found[0].reasons[0].startswith("measured: standing ")
    (apart,) = (said for said in found[0].reasons if said.startswith("distance, of 1: "))
    assert re.fullmatch(
        r".*: 0\.\d\d in the family tree, 0\.\d\d on the map, 0\.\d\d in grammar and .*", apart
    )
    target_left_out = source_views.sources("zul_Latn", "tagging", None, (), {})
    assert "zul_Latn" not in codes(list(target_left_out))


@needs_package
def test_text_is_compared_with_the_files_given(tmp_path: Path) -> None:
    for code, rows in {"zul_Latn": "umfana uyadlala", "fra_Latn": "le garçon joue"}.items():
        (tmp_path / f"{code}.tsv").write_text(f"text\tlabel\n{rows}\tx\n", encoding="utf-8")
    own = tmp_path / "xho.txt"
    own.write_text("umntwana uyadlala\n", encoding="utf-8")
    files = [
        source_views.labelled(str(tmp_path / f"{code}.tsv")) for code in ("fra_Latn", "zul_Latn")
    ]
    found = source_views.sources("xho_Latn", "tagging", open_text(own, "xho_Latn"), files, {})
    assert codes(list(found)) == ["zul_Latn", "fra_Latn"]
    assert found[0].examples == 1
    assert found[0].shared is not None
    assert found[0].shared.words == 0.5
    assert f"letters {found[0].shared.letters:.2f} alike, of 1" in found[0].reasons
    assert "50% of the words of the target's text are in its texts" in found[0].reasons
    assert "family: Indo-European, target Atlantic-Congo" in found[1].reasons


@needs_package
def test_what_could_not_be_said_is(monkeypatch: pytest.MonkeyPatch) -> None:
    said = " ".join(source_views.notes("xho_Latn", None, (), "pairs"))
    assert "no --text" in said
    assert "no --labelled" in said
    assert "of pairs the record has nothing: what is nearest is used" in said
    monkeypatch.setattr(uriel, "present", lambda: False)
    assert "pip install 'lowres[advisor]'" in " ".join(
        source_views.notes("xho_Latn", None, (), None)
    )


@needs_package
def test_order_agrees_with_the_published_table() -> None:
    """The bar of docs/advisor.md: Spearman 0.5 on the 20 targets of MasakhaNER 2.0."""
    from scipy.stats import spearmanr

    (table,) = (table for table in record.tables() if table.name == "masakhaner2")
    targets = [code for code in table.values if code[:3] in MASAKHANER]
    assert len(targets) == 20
    correlations = []
    for target in targets:
        found = source_views.sources(target, "tagging", None, (), {}, [table])
        places = [table.values[target][each.code] for each in found]
        correlations.append(float(spearmanr(range(len(places)), places).statistic))
    assert sum(correlations) / 20 >= 0.6
