"""How far data sets are from each other in how they are written, and why words do not tell.

    python benchmarks/domain.py            # SIB-200, NusaX, AfriSenti, MasakhaNER, UNER, news
    python benchmarks/domain.py --words    # the same classifier on words: languages, not domains

Needs $LOWRES_DATA. Three kinds of pairs: translations of the same texts; one kind of text, each
language with texts (and a clean-up) of its own; other kinds of text.
"""

from __future__ import annotations

import argparse
import csv
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from lowres import style

DATA = Path(os.environ.get("LOWRES_DATA", "../shared/data"))
FOLDS = 5


def column(path: Path, name: str, delimiter: str = "\t", quoted: bool = True) -> list[str]:
    """One column of a file with a header."""
    csv.field_size_limit(10**9)
    quoting = csv.QUOTE_MINIMAL if quoted else csv.QUOTE_NONE
    with path.open(encoding="utf-8", newline="") as file:
        rows = csv.DictReader(file, delimiter=delimiter, quoting=quoting)
        return [row[name] or "" for row in rows]


def sentences(path: Path, tabbed: bool) -> list[str]:
    """CoNLL and IOB2: the words of each sentence with spaces between."""
    found: list[list[str]] = [[]]
    for line in path.read_text(encoding="utf-8").split("\n"):
        if line.startswith("# "):
            continue
        if not line.strip():
            found.append([])
        else:
            found[-1].append(line.split("\t")[1] if tabbed else line.rsplit(" ", 1)[0])
    return [" ".join(words) for words in found if words]


def sib(language: str, split: str) -> list[str]:
    """Sentences of Wikinews and Wikivoyage, translated."""
    return column(DATA / "sib200" / language / f"{split}.tsv", "text")


def nusax(language: str, split: str) -> list[str]:
    """Reviews and comments, translated."""
    return column(DATA / "nusax" / language / f"{split}.csv", "text", ",")


def tweets(language: str, split: str) -> list[str]:
    """AfriSenti."""
    return column(DATA / "afrisenti" / language / f"{split}.tsv", "tweet", quoted=False)


def news_sentences(language: str, split: str) -> list[str]:
    """MasakhaNER: words of news."""
    return sentences(DATA / "masakhaner" / language / f"{split}.txt", tabbed=False)


def articles(language: str, split: str) -> list[str]:
    """MasakhaNEWS: headline and text."""
    path = DATA / "masakhanews" / language / f"{split}.tsv"
    both = zip(column(path, "headline"), column(path, "text"), strict=True)
    return ["\n".join(parts) for parts in both]


def web(split: str) -> list[str]:
    """English-EWT of UNER: blogs, mail, reviews, answers."""
    path = DATA / "uner" / "UNER_English-EWT" / f"en_ewt-ud-{split}.iob2"
    return sentences(path, tabbed=True)


Pair = tuple[str, str, list[str], list[str], str]


def pairs() -> Iterator[Pair]:
    """(kind, name, source's train, target's test, script of the target)."""
    english, reviews = sib("eng_Latn", "train"), nusax("english", "train")
    for code in sorted(p.name for p in (DATA / "sib200").iterdir() if p.is_dir()):
        yield "translations", f"SIB eng, {code}", english, sib(code, "test"), code[-4:]
    for name in sorted(p.name for p in (DATA / "nusax").iterdir() if p.is_dir()):
        yield "translations", f"NusaX english, {name}", reviews, nusax(name, "test"), "Latn"
    for code in ("amh", "bam", "hau", "kin", "pcm", "wol", "yor"):
        script = "Ethi" if code == "amh" else "Latn"
        swahili, other = news_sentences("swa", "train"), news_sentences(code, "test")
        yield "one kind of text", f"MasakhaNER swa, {code}", swahili, other, script
    for code in ("kin", "swa", "twi"):
        hausa, other = tweets("hau", "train"), tweets(code, "test")
        yield "one kind of text", f"AfriSenti hau, {code}", hausa, other, "Latn"
    for code in ("ibo", "yor"):
        stories, other = articles("eng", "train"), articles(code, "test")
        yield "one kind of text", f"MasakhaNEWS eng, {code}", stories, other, "Latn"
        yield "other kinds", f"SIB eng, MasakhaNEWS {code}", english, other, "Latn"
    for code in ("hau", "kin", "orm", "swa", "twi"):
        other = tweets(code, "test")
        yield "other kinds", f"NusaX english, AfriSenti {code}", reviews, other, "Latn"
        yield "other kinds", f"SIB eng, AfriSenti {code}", english, other, "Latn"
    for name in ("acehnese", "indonesian", "javanese"):
        yield "other kinds", f"SIB eng, NusaX {name}", english, nusax(name, "test"), "Latn"
    for code in ("amh", "bam", "hau", "kin", "swa", "yor"):
        script = "Ethi" if code == "amh" else "Latn"
        other = news_sentences(code, "test")
        yield "other kinds", f"UNER eng, MasakhaNER {code}", web("train"), other, script


def by_words(first: list[str], second: list[str]) -> float:
    """The same distance from character n-grams: what tells languages apart."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import cross_val_score
    from sklearn.pipeline import make_pipeline

    texts = [*first[: style.MOST], *second[: style.MOST]]
    side = np.repeat([0, 1], [min(len(first), style.MOST), min(len(second), style.MOST)])
    classifier = make_pipeline(
        TfidfVectorizer(analyzer="char_wb", ngram_range=(1, 3)),
        LogisticRegression(class_weight="balanced", max_iter=1000),
    )
    scores = cross_val_score(classifier, texts, side, cv=FOLDS, scoring="balanced_accuracy")
    return max(0.0, 2 * (2 * float(scores.mean()) - 1))


def main() -> None:
    """A line a pair, and the range of each kind."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--words", action="store_true", help="by character n-grams")
    words = parser.parse_args().words
    ranges: dict[str, list[float]] = {}
    for kind, name, first, second, script in pairs():
        if words:
            value, told = by_words(first, second), ""
        else:
            source = style.read(first, ["eng_Latn"] * len(first))
            target = style.read(second, [f"und_{script}"] * len(second))
            assert source is not None
            assert target is not None
            found = style.distance(source, target)
            value = found.value
            told = f"({found.low:.2f} to {found.high:.2f}) {', '.join(found.apart)}"
        ranges.setdefault(kind, []).append(value)
        print(f"{kind:17} {name:32} {value:.2f} {told}", flush=True)
    for kind, values in ranges.items():
        print(f"{kind}: {min(values):.2f} to {max(values):.2f}, {len(values)} pairs")


if __name__ == "__main__":
    main()
