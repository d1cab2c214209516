"""Make `tokenizers/`: extensions of the XLM-R vocabulary for languages whose text is at hand.

    python benchmarks/prebuilt.py            # all, some twelve minutes on two cores
    python benchmarks/prebuilt.py tzm_Tfng   # one

No piece is chosen that stands in the training sentences of SIB-200 in any other language, and what
is said to change are its dev and test sentences, which take no part in the choice.

Reads $LOWRES_DATA (default ../shared/data); the same text gives the same bytes. What is written are
pieces of our own choosing and where they came from, never the base's vocabulary or the text.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from vocabulary_safety import sentences

from lowres import bases, material, model, prebuilt
from lowres.extend import kept, learn
from lowres.languages import describe
from lowres.recipe_text import Extend, Text
from lowres.vocabulary import Kept

SEED = "NLLB-Seed multitext (CC BY-SA 4.0)"
MAFAND = "MAFAND-MT (CC BY-NC 4.0)"


@dataclass(frozen=True)
class Source:
    """A language's text: a file of `text/`, or the words of a list of `lexicons/`."""

    name: str
    licence: str
    lexicon: bool = False


SOURCES = (
    *(
        Source(name, SEED)
        for name in (
            "bam_Latn", "dzo_Tibt", "grn_Latn", "kas_Arab", "knc_Latn", "lij_Latn", "mni_Beng",
            "nqo_Nkoo", "nus_Latn", "shn_Mymr", "tzm_Tfng",
        )
    ),
    Source("ber_Tfng", "GATITOS (CC BY 4.0)", lexicon=True),
    Source("ewe_Latn", f"{MAFAND}; New Testament of 1911 (public domain)"),
    *(Source(name, MAFAND) for name in ("kin_Latn", "wol_Latn", "yor_Latn")),
)  # fmt: skip


def _kept(language: str, data: Path, usual: Kept) -> Kept:
    """What a user's extension is chosen by, and SIB-200 in all languages but this one."""
    others = [f for f in sorted((data / "sib200").glob("*_*")) if f.name != language]
    train = {f"{f.name} (SIB-200, train)": sentences(f, ("train",)) for f in others}
    seen = {line for lines in train.values() for line in lines}
    judging = {
        f"{f.name} (SIB-200, dev and test)": [s for s in sentences(f) if s not in seen]
        for f in others
    }
    return Kept({**usual.choosing, **train}, judging)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", help="languages; all by default")
    parser.add_argument("--out", type=Path, default=Path("tokenizers"))
    given = parser.parse_args()
    data = Path(os.environ.get("LOWRES_DATA", "../shared/data"))
    if not (data / "text").is_dir():
        sys.exit(f"no texts at {data}/text; set LOWRES_DATA to the folder of the data sets")
    located = bases.locate("e5-small")
    for source in SOURCES:
        if not given.names or source.name in given.names:
            start = time.monotonic()
            build(source, data, located, given.out)
            print(f"{source.name}: {time.monotonic() - start:.0f} s", flush=True)


def build(source: Source, data: Path, located: bases.LocatedBase, out: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:
        file = data / "text" / f"{source.name}.txt"
        if source.lexicon:
            entries = material.read_lexicon(data / "lexicons" / f"{source.name}.tsv", "lexicon")
            file = Path(folder) / f"{source.name}.tsv"
            file.write_text("\n".join(word for word, _ in entries) + "\n", encoding="utf-8")
        aligned = source.licence == SEED
        given = Text(
            files={source.name: str(file)},
            translations=str(data / "text" / "eng_Latn.txt") if aligned else None,
            languages=(source.name,),
        )
        texts = material.load(given, ())
        keep = _kept(source.name, data, kept(Extend(), texts))
        found = learn(Extend(), located, texts, model.load_tokenizer(located), keep)
    more = {
        "name": f"xlmr-{source.name}",
        "language": describe(source.name).name,
        "vocabulary": "XLM-R (250,002 pieces)",
        "licence": source.licence,
        "made_by": f"python benchmarks/prebuilt.py {source.name}",
    }
    prebuilt.write(out / f"xlmr-{source.name}", found, more)


if __name__ == "__main__":
    main()
