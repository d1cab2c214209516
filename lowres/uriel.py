"""How far languages are from each other: families, places and grammars, from URIEL+.

URIEL+ (Khan et al. 2025, arXiv:2409.18472) gathers WALS, PHOIBLE, Glottolog and others as one
table a kind. The package `urielplus` (`pip install 'lowres[advisor]'`) carries them as data, and
only those files are read, with its own measure: imported, it would copy files into itself and set
up logging for the whole process. Without it, families of the FLORES languages are still known, from
a table of our own (`families.tsv`).
"""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any, Final

import numpy as np

from lowres.errors import MissingPackageError

PACKAGE: Final = "urielplus"
INSTALL: Final = "pip install 'lowres[advisor]'"
KINDS: Final = ("genetic", "geographic", "syntactic", "phonological", "inventory")
"""The distances there are; `syntactic`, `phonological` and `inventory` are the typological ones."""

_FAMILIES: Final = Path(__file__).with_name("families.tsv")
_PLACES: Final = "geocoord_features.npz"
_FEATURES: Final = "features.npz"
_PREFIXES: Final = {"syntactic": "S_", "phonological": "P_", "inventory": "INV_"}

# Where FLORES, a benchmark or XLM-R's list name a macrolanguage: the member that is meant.
_MEMBERS: Final = {
    "aka": "twi",
    "ara": "arb",
    "aze": "azj",
    "est": "ekk",
    "fas": "pes",
    "grn": "gug",
    "kon": "kng",
    "kur": "kmr",
    "lav": "lvs",
    "mlg": "plt",
    "mon": "khk",
    "msa": "zsm",
    "nah": "nhn",
    "nep": "npi",
    "nor": "nob",
    "ori": "ory",
    "orm": "gaz",
    "pus": "pbt",
    "sqi": "als",
    "srd": "src",
    "swa": "swh",
    "uzb": "uzn",
    "yid": "ydd",
    "zho": "cmn",
}


@dataclass(frozen=True)
class Distances:
    """Two languages; each from 0 (the same) to 1, None where the tables do not say."""

    genetic: float | None
    """Groups of the family tree (Glottolog) that the two do not share."""
    geographic: float | None
    """Where they are spoken, on the globe; 1 is its other side."""
    syntactic: float | None
    phonological: float | None
    inventory: float | None
    """Which sounds there are."""

    @property
    def typological(self) -> float | None:
        """Mean of the three typological ones that are known."""
        known = [d for d in (self.syntactic, self.phonological, self.inventory) if d is not None]
        return sum(known) / len(known) if known else None

    @property
    def apart(self) -> float | None:
        """Mean of family and place, which are known of nearly every language; None unless both.

        Grammar is left out: it is known of few, and means over other kinds each cannot be compared.
        """
        if self.genetic is None or self.geographic is None:
            return None
        return (self.genetic + self.geographic) / 2


UNKNOWN: Final = Distances(None, None, None, None, None)


def family(code: str) -> str | None:
    """A language's family by Glottolog's name (`yor_Latn` -> `Atlantic-Congo`), or None.

    Needs no package for FLORES languages; any other is looked up where the package is there.
    """
    language = member(code)
    if language in _families():
        return _families()[language]
    groups = _lineages().get(language) if present() else None
    return groups[0] if groups else None


def lineage(code: str) -> tuple[str, ...]:
    """A language's groups in the family tree, widest first; empty where it has none or unknown.

    Raises `MissingPackageError` without the package.
    """
    _need()
    return _lineages().get(member(code), ())


@cache
def present() -> bool:
    """Whether the package with the tables is installed."""
    try:
        metadata.distribution(PACKAGE)
    except metadata.PackageNotFoundError:
        return False
    return True


@cache
def distances(a: str, b: str) -> Distances:
    """How far two languages are from each other, by codes (`yor_Latn`); scripts play no part.

    Each is the angle between the two rows of a table over 90 degrees, over the features that are
    known of both, a feature counted as there where any source has it: the definition of URIEL+,
    and its figures but for `genetic`. That one is taken from the package's Glottolog lineages, in
    which a language's groups are complete; a language that stands alone is at 1 from all others.

    Raises `MissingPackageError` without the package.
    """
    _need()
    first, second = member(a), member(b)
    if first == second:
        return Distances(0.0, 0.0, 0.0, 0.0, 0.0)
    return Distances(
        _apart(first, second),
        _between(_row(_PLACES, first), _row(_PLACES, second)),
        *(
            _between(_row(_FEATURES, first, prefix), _row(_FEATURES, second, prefix))
            for prefix in _PREFIXES.values()
        ),
    )


def _need() -> None:
    if not present():
        raise MissingPackageError(
            f"distances between languages stand in the package {PACKAGE}, which is not installed; "
            f"{INSTALL}"
        )


def member(code: str) -> str:
    """ISO 639-3 code of a language, a macrolanguage by its member: `swa_Latn` -> `swh`."""
    language = code[:3].lower()
    return _MEMBERS.get(language, language)


def _apart(a: str, b: str) -> float | None:
    """Distance in the family tree: angle between the sets of groups that two languages are in."""
    known = _lineages()
    if a not in known or b not in known:
        return None
    first, second = set(known[a]), set(known[b])
    groups = sorted(first | second)
    return angle([float(g in first) for g in groups], [float(g in second) for g in groups])


def _between(a: Mapping[str, float], b: Mapping[str, float]) -> float | None:
    shared = sorted(a.keys() & b.keys())
    if not shared:
        return None
    return angle([a[name] for name in shared], [b[name] for name in shared])


def angle(a: Sequence[float], b: Sequence[float]) -> float:
    """Angle between two rows of numbers >= 0 over 90 degrees; a row of zeros is at 1 from others.

    Two rows of zeros are the same row: 0.
    """
    first, second = np.asarray(a, dtype=float), np.asarray(b, dtype=float)
    lengths = float(np.linalg.norm(first)), float(np.linalg.norm(second))
    if 0.0 in lengths:
        return float(lengths[0] != lengths[1])
    cosine = float(first @ second) / (lengths[0] * lengths[1])
    return float(2 / np.pi * np.arccos(np.clip(cosine, -1.0, 1.0)))


def _database(*parts: str) -> Path:
    found = metadata.distribution(PACKAGE).locate_file("/".join((PACKAGE, "database", *parts)))
    return Path(str(found))


@cache
def _lineages() -> dict[str, tuple[str, ...]]:
    """ISO 639-3 code -> groups, widest first; a language that stands alone is its own."""
    groups = {
        row["language_id"]: tuple(
            part.strip() for part in (row["lineage"] or row["language_name"]).split(",")
        )
        for row in _csv("lang_fam_geo.csv")
    }
    pairs = ((row["iso_code"], row["glottocode"]) for row in _csv("uriel_glottocode_map.csv"))
    return {iso: groups[glottocode] for iso, glottocode in pairs if glottocode in groups}


def _csv(name: str) -> list[dict[str, str]]:
    with _database("urielplus_csvs", name).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@cache
def _table(name: str) -> tuple[dict[str, int], list[str], Any]:
    """Rows by language, names of columns, values (languages, features); NaN where unknown."""
    with np.load(_database("original_uriel", name)) as file:
        values = file["data"].max(axis=2).astype(float)  # any source; unknown is -1
        languages = {str(code): row for row, code in enumerate(file["langs"])}
        names = [str(name) for name in file["feats"]]
    values[values == -1] = np.nan
    return languages, names, values


def _row(table: str, language: str, prefix: str = "") -> dict[str, float]:
    languages, names, values = _table(table)
    if language not in languages:
        return {}
    row = values[languages[language]]
    return {
        name: float(value)
        for name, value in zip(names, row, strict=True)
        if name.startswith(prefix) and not np.isnan(value)
    }


@cache
def _families() -> dict[str, str]:
    lines = _FAMILIES.read_text(encoding="utf-8").splitlines()
    return dict(line.split("\t") for line in lines if not line.startswith("#"))
