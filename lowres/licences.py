"""Licences of data sets that recipes name, and what they allow of an adapter trained on them.

Whether weights are a work derived from the text that they were trained on is an open question of
law. lowres takes the careful side where a licence says "non-commercial" or "no derivatives", and
says so for share-alike.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

_SIB = ("cc-by-sa-4.0", "SIB-200: sentences of FLORES-200")
_NER = ("cc-by-nc-4.0", "MasakhaNER 2.0: by its repository; its card says AFL-3.0")
_NEWS = ("afl-3.0", "MasakhaNEWS: by its card; the articles belong to their publishers")
KNOWN: Final[Mapping[str, tuple[str, str]]] = {
    "mteb/sib200": _SIB,
    "Davlan/sib200": _SIB,
    "masakhane/masakhaner2": _NER,
    "mteb/masakhanews": _NEWS,
    "masakhane/masakhanews": _NEWS,
    "mteb/NusaX-senti": ("cc-by-sa-4.0", "NusaX"),
    "mteb/AfriSentiClassification": ("cc-by-4.0", "AfriSenti"),
    "masakhane/afrisenti": ("cc-by-4.0", "AfriSenti"),
    "nala-cub/americas_nli": ("cc-by-sa-4.0", "AmericasNLI: by its card"),
    "facebook/xnli": ("cc-by-nc-4.0", "XNLI"),
    "universalner/universal_ner": ("cc-by-sa-4.0", "Universal NER: most of its treebanks"),
}
"""Hub id -> (licence, where that is known from)."""
DEMO: Final = "lowres:demo"


@dataclass(frozen=True)
class DataLicence:
    """A data set and its licence; `licence` None: nobody said."""

    name: str
    licence: str | None
    note: str = ""


def of(name: str, given: Mapping[str, str]) -> DataLicence:
    """The licence of a data set: what the recipe says, else what is known here."""
    if name in given:
        return DataLicence(name, given[name], "as the recipe says")
    if name.startswith(DEMO):
        return DataLicence("lowres' demonstration sentences", "apache-2.0")
    licence, note = KNOWN.get(name, (None, ""))
    return DataLicence(name, licence, note)


def forbids(data: DataLicence, licence: str) -> str | None:
    """Why an adapter trained on this data should not be given away under a licence, or None."""
    terms = set((data.licence or "").split("-"))
    ours = set(licence.split("-"))
    if "nc" in terms and "nc" not in ours:
        return f"{data.name} is {data.licence}: not for commercial use, which {licence} allows"
    if "nd" in terms:
        return f"{data.name} is {data.licence}: nothing derived from it may be shared"
    return None
