"""Licences of data sets that recipes name, and what they allow of an adapter trained on them.

Whether weights are a work derived from the text that they were trained on is an open question of
law. lowres takes the careful side where a licence says "non-commercial" or "no derivatives", and
says so for share-alike.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

_SIB = ("cc-by-sa-4.0", "SIB-200: sentences of FLORES-200")
_NER = ("cc-by-nc-4.0", "MasakhaNER 2.0: by its repository; its card says AFL-3.0")
_NEWS = ("afl-3.0", "MasakhaNEWS: by its card; the articles belong to their publishers")
_SENTI = ("cc-by-4.0", "AfriSenti")
_UD = ("cc-by-sa-4.0", "Universal Dependencies: most treebanks; some are not for commercial use")
_UNER = ("cc-by-sa-4.0", "Universal NER: most of its treebanks")
KNOWN: Final[Mapping[str, tuple[str, str]]] = {
    "mteb/sib200": _SIB,
    "Davlan/sib200": _SIB,
    "masakhane/masakhaner2": _NER,
    "mteb/masakhanews": _NEWS,
    "masakhane/masakhanews": _NEWS,
    "masakhane/masakhapos": ("afl-3.0", "MasakhaPOS: by its card"),
    "masakhane/mafand": ("cc-by-nc-4.0", "MAFAND-MT"),
    "mteb/NusaX-senti": ("cc-by-sa-4.0", "NusaX"),
    "mteb/AfriSentiClassification": _SENTI,
    "masakhane/afrisenti": _SENTI,
    "shmuhammad/AfriSenti-twitter-sentiment": _SENTI,
    "nala-cub/americas_nli": ("cc-by-sa-4.0", "AmericasNLI: by its card"),
    "facebook/xnli": ("cc-by-nc-4.0", "XNLI"),
    "masakhane/afrixnli": ("cc-by-nc-4.0", "AfriXNLI: translated from XNLI, so on its terms"),
    "universalner/universal_ner": _UNER,
    "commul/universal_dependencies": _UD,
    "universal-dependencies/universal_dependencies": _UD,
}
"""Hub id -> (licence, where that is known from)."""
PARTS: Final[Mapping[tuple[str, str], tuple[str, str]]] = {
    (_UD[1], "ta_ttb"): ("cc-by-nc-sa-3.0", "UD Tamil-TTB"),
    (_UNER[1], "tl_ugnayan"): ("cc-by-nc-sa-4.0", "UNER Tagalog-Ugnayan"),
}
"""(a set's note, one configuration of it) -> that one's own licence, where it is another."""
DEMO: Final = "lowres:demo"
_BY_ID: Final = {name.casefold(): found for name, found in KNOWN.items()}
_ALIKE: Final = ("gpl", "agpl", "lgpl", "odbl", "eupl", "gfdl")
"""Licences that want the same of what is derived, and say so in no `sa`."""


@dataclass(frozen=True)
class DataLicence:
    """A data set and its licence; `licence` None: nobody said. `hub`: `name` is an id there."""

    name: str
    licence: str | None
    note: str = ""
    hub: bool = field(default=False, compare=False)


def of(name: str, given: Mapping[str, str]) -> DataLicence:
    """The licence of a data set: what the recipe says, else what is known here."""
    said = {key.casefold(): licence for key, licence in given.items()}
    if name.casefold() in said:
        return DataLicence(name, said[name.casefold()], "as the recipe says")
    if name.startswith(DEMO):
        return DataLicence("lowres' demonstration sentences", "apache-2.0")
    licence, note = _BY_ID.get(name.casefold(), (None, ""))
    return DataLicence(name, licence, note)


def of_recipe(
    recipe: Mapping[str, Any], given: Mapping[str, str], shown: Callable[[str], str]
) -> tuple[DataLicence, ...]:
    """Every data set that a recipe reads, once.

    Args:
        recipe: as `results.json` has it.
        given: `publish.data_licenses`: a Hub id, or a path as the recipe writes it -> licence.
        shown: a path as it may be told.
    """
    data = recipe["data"]
    text = recipe.get("text") or {}
    found: list[DataLicence] = []
    for part in (data, data.get("source") or {}):
        found += _labelled(part, given, shown)
    for kind in ("files", "translations", "lexicon"):
        found += (_of_file(path, given, shown) for path in _paths(text.get(kind)))
    for way in (recipe.get("train") or {}).get("augment") or ():
        for key in ("lexicon", "entities"):
            found += (_of_file(path, given, shown) for path in _paths(way.get(key)))
    return tuple(dict.fromkeys(found))


def _labelled(
    part: Mapping[str, Any], given: Mapping[str, str], shown: Callable[[str], str]
) -> Iterator[DataLicence]:
    files, hub = _paths(part.get("files")), part.get("hub")
    if not hub:
        yield from (_of_file(path, given, shown) for path in files)
        return
    # a local copy of a set of the Hub has the set's licence, unless the recipe says otherwise
    own = [one for one in (_of_file(path, given, shown) for path in files) if one.licence]
    if own and len(own) == len(files):
        yield from own
        return
    known = of(hub, given)
    copied = f"read from a copy at {', '.join(map(shown, files))}" if files else ""
    note = "; ".join(filter(None, (known.note, copied)))
    yield DataLicence(hub, known.licence, note, hub=True)
    read = " ".join([*files, str(part.get("config")), *(part.get("names") or {}).values()])
    read = read.casefold().replace("-", "_")
    for (whole, config), (licence, named) in PARTS.items():
        if known.note == whole and re.search(rf"(?<![a-z]){config}(?![a-z])", read):
            yield DataLicence(named, licence, f"in {hub}")


def _of_file(path: str, given: Mapping[str, str], shown: Callable[[str], str]) -> DataLicence:
    for name in (path, shown(path)):
        found = of(name, given)
        if found.licence is not None:
            return replace(found, name=shown(path) if found.name == path else found.name)
    return DataLicence(shown(path), None)


def _paths(value: str | Mapping[str, str] | None) -> tuple[str, ...]:
    if value is None:
        return ()
    return (value,) if isinstance(value, str) else tuple(value.values())


def forbids(data: DataLicence, licence: str) -> str | None:
    """Why an adapter trained on this data should not be given away under a licence, or None."""
    terms = set((data.licence or "").split("-"))
    ours = set(licence.split("-"))
    if "nc" in terms and "nc" not in ours:
        return f"{data.name} is {data.licence}: not for commercial use, which {licence} allows"
    if "nd" in terms:
        return f"{data.name} is {data.licence}: nothing derived from it may be shared"
    return None


def remarks(data: Iterable[DataLicence], licence: str) -> Iterator[str]:
    """What whoever publishes should know: licences that nobody knows, and share-alike."""
    for one in data:
        if one.licence is None:
            yield (
                f"the licence of {one.name} is not known; the card says so "
                "(publish.data_licenses names it)"
            )
        remark = alike(one, licence)
        if remark is not None:
            yield remark


def alike(data: DataLicence, licence: str) -> str | None:
    """What share-alike data ask of an adapter under another licence, or None."""
    if data.licence is None or _family(data.licence) == _family(licence):
        return None
    if "sa" not in data.licence.split("-") and not data.licence.startswith(_ALIKE):
        return None
    return (
        f"{data.name} is {data.licence}, share-alike: what is derived from it must be under the "
        f"same licence. Whether an adapter is, is an open question of law: {licence} says that it "
        "is not"
    )


def _family(licence: str) -> str:
    """Without its version: a later one may be taken."""
    return re.sub(r"-[\d.]+(-or-later|-only|\+)?$", "", licence)
