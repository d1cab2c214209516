"""What words of the source are in a target: by its word list, and by lines aligned with theirs;
names of a target by its list of them."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from lowres import artifacts, corpus, material, mentions
from lowres.alignment import align
from lowres.augmentations import Known, Lexicon
from lowres.errors import DataError
from lowres.material import LanguageText
from lowres.words import form, parted

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
COVERED: Final = 0.1
"""Share of the source's words that a lexicon must hold; below it is of another language."""
REVERSED: Final = 1.5
"""So many times the share on its other side: the lexicon is the wrong way round. Of 27 GATITOS
lists read that way, the English words of topics are 0.00 to 0.11 on one side, 0.43 and more on the
other."""


def of_recipe(recipe: Recipe, number: int, located: LocatedBase) -> tuple[Known, ...]:
    """What the n-th way of `train.augment` looks into: its own lists, else `text`.

    Raises `DataError` for a list or a text that cannot be read.
    """
    if _listed_alone(recipe, number):
        return of_lists(recipe, number)
    texts = _texts(recipe, number)
    if not texts:
        return ()
    # torch comes with it, and `lowres validate` looks at files without
    from lowres import model

    tokenizer = model.load_tokenizer(located)
    return tuple(of_text(text, tokenizer) for text in texts)


def digests(recipe: Recipe, number: int) -> list[str]:
    """Of all that `of_recipe` reads; it takes seconds a language to align, and this none."""
    if _listed_alone(recipe, number):
        return [artifacts.file_hash(file) for file in files(recipe, number).values()]
    return [text.digest() for text in _texts(recipe, number)]


def files(recipe: Recipe, number: int) -> dict[str, Path]:
    """The lists that the n-th way of `train.augment` itself names, by language.

    Raises `DataError` for one that is missing, empty, no UTF-8, or of no target.
    """
    key, targets = _key(recipe, number), recipe.languages.targets
    named = recipe.train.augment[number].word_lists() or {}
    each = dict.fromkeys(targets, named) if isinstance(named, str) else named
    others = [code for code in each if code not in targets]
    if others:
        raise DataError(
            f"{key}: names {', '.join(others)}; expected targets ({', '.join(targets)})"
        )
    found = {code: Path(path.replace("{lang}", code)).expanduser() for code, path in each.items()}
    for file in found.values():
        corpus.check_start(file, key, "one entry a line: `translation TAB word`")
    return found


def of_lists(recipe: Recipe, number: int) -> tuple[Known, ...]:
    """By these lists alone; none where the way names none. Raises what `files` does, and
    `DataError` for a file that is no such list, or whose words are in another script than their
    language's."""
    key = _key(recipe, number)
    found = files(recipe, number)
    if recipe.train.augment[number].spans:
        return tuple(mentions.read(file, key) for file in found.values())
    return tuple(_of_list(code, file, key) for code, file in found.items())


def _of_list(language: str, file: Path, key: str) -> Lexicon:
    listed = material.read_lexicon(file, key)
    return _together(language, listed, {}, f"{key} {file}")


def of_text(text: LanguageText, tokenizer: PreTrainedTokenizerBase) -> Lexicon:
    """By a language's word list and the words that its lines align, held-out ones left out.

    `tokenizer` is a fast one; its pieces are the words of a language that sets no spaces.
    """
    parts = _words if _spaced(text.language) else partial(_pieces, tokenizer)
    aligned = _aligned(text.learning_pairs, parts)
    origin = f"text of {text.language} (translations, lexicon)"
    return _together(text.language, text.lexicon, aligned, origin)


def _listed_alone(recipe: Recipe, number: int) -> bool:
    return recipe.train.augment[number].word_lists() is not None


def _texts(recipe: Recipe, number: int) -> tuple[LanguageText, ...]:
    if not recipe.train.augment[number].bilingual:
        return ()
    assert recipe.text is not None, "the recipe's own check"
    return material.load(recipe.text, recipe.languages.targets)


def _key(recipe: Recipe, number: int) -> str:
    return f"train.augment[{number}].{recipe.train.augment[number].list_key}"


def _spaced(language: str) -> bool:
    return language.split("_")[1] not in corpus.SPACELESS


def _together(
    language: str,
    listing: Sequence[tuple[str, str]],
    aligned: Mapping[str, list[tuple[str, float]]],
    origin: str,
) -> Lexicon:
    """Both as one, read from the source's side."""
    listed: defaultdict[str, list[str]] = defaultdict(list)
    for word, translation in listing:
        listed[form(translation)].append(word)
    entries = {}
    for word in sorted({*aligned, *listed}):
        own = [(each, 1 / len(listed[word])) for each in listed.get(word, ())]
        found = aligned.get(word, [])
        if own and found:
            own = [(each, LISTED * share) for each, share in own]
            found = [(each, (1 - LISTED) * share) for each, share in found]
        entries[word] = tuple(sorted([*own, *found], key=lambda pair: (-pair[1], pair[0])))
    return Lexicon(language, entries, _spaced(language), origin)


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
            written[form(word)][word] += 1
        lines.append((_numbered(names, words), _numbered(pivots, _words(translation))))
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


def _numbered(numbers: dict[str, int], words: Sequence[str]) -> np.ndarray:
    """Words as numbers; new ones get the next."""
    return np.array([numbers.setdefault(form(word), len(numbers)) for word in words], np.int64)


def _pieces(tokenizer: PreTrainedTokenizerBase, line: str) -> list[str]:
    """A line as it is parted, in its own letters."""
    encoding = tokenizer.backend_tokenizer.encode(line, add_special_tokens=False)
    # bytes of one letter have the span of it, all of them
    found = dict.fromkeys(encoding.offsets)
    return [piece for start, end in found if (piece := parted(line[start:end])[1])]


def _words(line: str) -> list[str]:
    """What stands between spaces, without the punctuation at its ends."""
    return [core for _, core, _ in map(parted, line.split()) if core]


def covered(train: Mapping[str, Sequence[Any]], lexicon: Lexicon, source: str) -> str:
    """How much of the source the lexicon holds, in a sentence.

    Args:
        train: columns of the source's training examples.
        lexicon: into one language.
        source: what messages call the source.

    Raises:
        DataError: for too little, for words of another script, and for a lexicon that translates
            into the source.
    """
    values = [value for name in ("text", "text_pair", "tokens") for value in train.get(name, ())]
    words = [
        found
        for value in values
        for word in (value.split() if isinstance(value, str) else value)
        if (found := form(word))
    ]
    share = sum(word in lexicon.entries for word in words) / max(1, len(words))
    own = {form(word) for found in lexicon.entries.values() for word, _ in found}
    other = sum(word in own for word in words) / max(1, len(words))
    if other >= COVERED and other > REVERSED * share:
        raise DataError(
            f"{lexicon.origin}: is the wrong way round: {other:.0%} of the words of {source}'s "
            f"training examples stand among its words of {lexicon.language}, {share:.0%} among "
            f"what it translates; expected `{source} TAB {lexicon.language}`, in this order: swap "
            "its columns"
        )
    if share < COVERED:
        raise DataError(
            f"{lexicon.origin}: holds {share:.0%} of the words of {source}'s training examples, at "
            f"least {COVERED:.0%} are needed; expected words of {source} with theirs of "
            f"{lexicon.language} (a list: `{source} TAB {lexicon.language}`, in this order)"
        )
    corpus.check_script(Path(lexicon.origin), lexicon.language, " ".join(own))
    return (
        f"train.augment: code_switch: {share:.0%} of the words of {source}'s training examples "
        f"have one of {lexicon.language}"
    )
