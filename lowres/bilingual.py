"""What words of the source are in a target: by its word list, and by lines aligned with theirs."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from lowres import artifacts, corpus, material, model
from lowres.alignment import align
from lowres.augmentations import Lexicon
from lowres.errors import DataError
from lowres.material import LanguageText
from lowres.words import parted

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from lowres.bases import LocatedBase
    from lowres.recipe import Recipe

MOST: Final = 3
"""Translations of a word that are kept."""
LEAST: Final = 0.1
"""Share of a word's alignments that a translation needs."""
LISTED: Final = 0.5
"""Share of the word list where a word has both its entries and aligned words."""


def of_recipe(recipe: Recipe, number: int, located: LocatedBase) -> tuple[Lexicon, ...]:
    """What the n-th way of `train.augment` looks words up in: its own lists, else `text`.

    Raises `DataError` for a list or a text that cannot be read.
    """
    way, targets = recipe.train.augment[number], recipe.languages.targets
    if not way.bilingual:
        return ()
    if way.word_lists() is not None:
        key = f"train.augment[{number}].lexicon"
        return tuple(of_lists(way.word_lists(), targets, key))
    assert recipe.text is not None, "the recipe's own check"
    tokenizer = model.load_tokenizer(located)
    return tuple(of_text(text, tokenizer) for text in material.load(recipe.text, targets))


def digests(recipe: Recipe, number: int) -> list[str]:
    """Of all that `of_recipe` reads; it takes seconds a language to align, and this none."""
    way, targets = recipe.train.augment[number], recipe.languages.targets
    if not way.bilingual:
        return []
    if way.word_lists() is not None:
        files = _paths(way.word_lists(), targets, f"train.augment[{number}].lexicon")
        return [artifacts.file_hash(file) for file in files.values()]
    assert recipe.text is not None, "the recipe's own check"
    return [text.digest() for text in material.load(recipe.text, targets)]


def of_text(text: LanguageText, tokenizer: PreTrainedTokenizerBase) -> Lexicon:
    """By a language's word list and the words that its lines align, held-out ones left out.

    `tokenizer` is a fast one; its pieces are the words of a language that sets no spaces.
    """
    spaced = text.language.split("_")[1] not in corpus.SPACELESS
    parts = _words if spaced else partial(_pieces, tokenizer)
    return _together(text.language, text.lexicon, _aligned(text.learning_pairs, parts))


def of_lists(named: str | Mapping[str, str], targets: Sequence[str], key: str) -> list[Lexicon]:
    """By word lists alone, a file a language.

    Args:
        named: template with `{lang}` for all targets, or a path for some.
        targets: languages of the study.
        key: of the recipe, for errors.

    Raises:
        DataError: for a file that is missing or no word list.
    """
    files = _paths(named, targets, key)
    return [_together(code, material.read_lexicon(file, key), {}) for code, file in files.items()]


def _paths(named: str | Mapping[str, str], targets: Sequence[str], key: str) -> dict[str, Path]:
    each = named if not isinstance(named, str) else dict.fromkeys(targets, named)
    others = [code for code in each if code not in targets]
    if others:
        raise DataError(
            f"{key}: names {', '.join(others)}; expected targets ({', '.join(targets)})"
        )
    files = {code: Path(path.replace("{lang}", code)).expanduser() for code, path in each.items()}
    missing = [code for code, file in files.items() if not file.is_file()]
    if missing:
        raise DataError(
            f"{key}: no file {files[missing[0]]} ({', '.join(missing)}); add it, or name the files "
            "that are there one by one: {code: path}"
        )
    return files


def _together(
    language: str,
    listing: Sequence[tuple[str, str]],
    aligned: Mapping[str, list[tuple[str, float]]],
) -> Lexicon:
    """Both as one, read from the source's side."""
    spaced = language.split("_")[1] not in corpus.SPACELESS
    listed: defaultdict[str, list[str]] = defaultdict(list)
    for word, translation in listing:
        listed[translation.strip().casefold()].append(word.strip())
    entries = {}
    for word in sorted({*aligned, *listed}):
        own = [(each, 1 / len(listed[word])) for each in listed.get(word, ())]
        found = aligned.get(word, [])
        if own and found:
            own = [(each, LISTED * share) for each, share in own]
            found = [(each, (1 - LISTED) * share) for each, share in found]
        entries[word] = tuple(sorted([*own, *found], key=lambda pair: (-pair[1], pair[0])))
    return Lexicon(language, entries, spaced)


def _aligned(
    pairs: Sequence[tuple[str, str]], parts: Callable[[str], list[str]]
) -> dict[str, list[tuple[str, float]]]:
    """Words of the translations with what they are aligned with, by IBM model 1 both ways."""
    names: dict[str, int] = {}
    pivots: dict[str, int] = {}
    written: defaultdict[str, Counter[str]] = defaultdict(Counter)
    lines = []
    for line, translation in pairs:
        words = parts(line)
        for word in words:
            written[word.casefold()][word] += 1
        lines.append(
            (
                np.array([names.setdefault(w.casefold(), len(names)) for w in words], np.int64),
                np.array(
                    [pivots.setdefault(w.casefold(), len(pivots)) for w in _words(translation)],
                    np.int64,
                ),
            )
        )
    found = align(lines)
    word_of, pivot_of = list(names), list(pivots)
    total = np.bincount(found.pivot, weights=found.weight, minlength=len(pivots))
    entries: defaultdict[str, list[tuple[str, float]]] = defaultdict(list)
    order = np.lexsort((found.target, -found.weight, found.pivot))
    for at in order:
        pivot, weight = int(found.pivot[at]), float(found.weight[at])
        best = entries[pivot_of[pivot]]
        if weight < LEAST * total[pivot] or len(best) == MOST or not weight:
            continue
        # as it stands most often, which inside sentences is without a capital
        word = written[word_of[int(found.target[at])]].most_common(1)[0][0]
        best.append((word, weight))
    return {
        word: [(each, weight / sum(w for _, w in best)) for each, weight in best]
        for word, best in entries.items()
        if best
    }


def _pieces(tokenizer: PreTrainedTokenizerBase, line: str) -> list[str]:
    """A line as it is parted, in its own letters."""
    encoding = tokenizer.backend_tokenizer.encode(line, add_special_tokens=False)
    # bytes of one letter have the span of it, all of them
    found = dict.fromkeys(encoding.offsets)
    return [piece for start, end in found if (piece := parted(line[start:end])[1])]


def _words(line: str) -> list[str]:
    """What stands between spaces, without the punctuation at its ends."""
    return [core for _, core, _ in map(parted, line.split()) if core]
