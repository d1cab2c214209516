"""Changed copies of the source's training examples, as `train.augment` asks for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from random import Random
from typing import Any, Final

from datasets import Dataset, concatenate_datasets

from lowres import bilingual
from lowres.augmentations import AugmentationOptions, Lexicon
from lowres.data import LabelledData
from lowres.errors import DataError
from lowres.recipe import Recipe
from lowres.tasks import TaskOptions
from lowres.words import form

COVERED: Final = 0.1
"""Share of the source's words that a lexicon must hold; below it is of another language."""


def augment(
    data: LabelledData,
    ways: Sequence[AugmentationOptions],
    task: TaskOptions,
    lexicons: Sequence[Sequence[Lexicon]],
    source: str,
    seed: int,
) -> tuple[LabelledData, tuple[str, ...]]:
    """The data with the copies of every way, whose ids say of what, and notes on them.

    `lexicons` are of each way, none of one that is not bilingual. Where there are several
    languages, each copy of an example is put into one of them, in turn. Words inside entities stay
    as they are: their tags would no longer fit.

    Raises:
        DataError: when hardly a word of the examples is in a lexicon.
    """
    parts, notes = [data.train], []
    rows = data.train.to_list()
    for number, (way, own) in enumerate(zip(ways, lexicons, strict=True)):
        before = sum(other.name == way.name for other in ways[:number])
        notes += [_covered(rows, lexicon, task, source) for lexicon in own]
        # one way's draws do not depend on those of another
        draw = Random(f"{seed} {way.name} {before}")
        languages = own or (None,)
        made = [
            {
                **_changed(row, way, languages[(at + copy) % len(languages)], task, draw),
                "id": f"{row['id']}+{way.name}{'' if not before else before + 1}.{copy + 1}",
            }
            for copy in range(way.copies)
            for at, row in enumerate(rows)
        ]
        columns = {name: [row[name] for row in made] for name in data.train.column_names}
        parts.append(Dataset.from_dict(columns, features=data.train.features))
        notes.append(f"train.augment: {way.name}: {len(made):,} examples beside {len(rows):,}")
    joined: Dataset = concatenate_datasets(parts)
    return replace(data, train=joined), tuple(notes)


def check(data: LabelledData, recipe: Recipe) -> None:
    """What of `train.augment` can be known before hours of work: that its word lists are there,
    are lists, and translate from the source. Raises `DataError`."""
    rows = data.train.to_list()
    for number in range(len(recipe.train.augment)):
        for lexicon in bilingual.of_lists(recipe, number):
            _covered(rows, lexicon, recipe.task, ", ".join(recipe.languages.source))


def _changed(
    row: Mapping[str, Any],
    way: AugmentationOptions,
    lexicon: Lexicon | None,
    task: TaskOptions,
    draw: Random,
) -> dict[str, Any]:
    made = dict(row)
    if "tokens" in task.fields:
        kept = [
            (token, tag)
            for word, tag in zip(row["tokens"], row["tags"], strict=True)
            for token in _token(word, tag, way, lexicon, draw)
        ]
        # nothing is no example
        if kept:
            made["tokens"], made["tags"] = (list(side) for side in zip(*kept, strict=True))
        return made
    for name in ("text", "text_pair"):
        if name in task.fields:
            made[name] = _text(row[name], way, lexicon, draw) or row[name]
    return made


def _token(
    word: str, tag: str, way: AugmentationOptions, lexicon: Lexicon | None, draw: Random
) -> Iterator[str]:
    """One word to one word or none: several would need tags of their own."""
    changed = None if tag[:2] in ("B-", "I-") else way.word(word, lexicon, draw)
    if changed is None or len(changed.split()) > 1:
        yield word
    elif changed:
        yield changed


def _text(text: str, way: AugmentationOptions, lexicon: Lexicon | None, draw: Random) -> str:
    parts: list[str] = []
    before = False
    for word in text.split():
        changed = way.word(word, lexicon, draw)
        # two words of a language without spaces stand side by side in it
        joined = before and changed is not None and lexicon is not None and not lexicon.spaced
        if changed != "":
            parts += ["" if joined or not parts else " ", word if changed is None else changed]
        before = changed is not None
    return "".join(parts)


def _covered(
    rows: Sequence[Mapping[str, Any]], lexicon: Lexicon, task: TaskOptions, source: str
) -> str:
    """How much of the source the lexicon holds; raises `DataError` for too little."""
    fields = [name for name in ("text", "text_pair", "tokens") if name in task.fields]
    values = [row[name] for row in rows for name in fields]
    words = [
        found
        for value in values
        for word in (value.split() if isinstance(value, str) else value)
        if (found := form(word))
    ]
    share = sum(word in lexicon.entries for word in words) / max(1, len(words))
    if share < COVERED:
        raise DataError(
            f"{lexicon.origin}: holds {share:.0%} of the words of {source}'s training examples, at "
            f"least {COVERED:.0%} are needed; expected words of {source} with theirs of "
            f"{lexicon.language} (a list: `{source} TAB {lexicon.language}`, in this order)"
        )
    return (
        f"train.augment: code_switch: {share:.0%} of the words of {source}'s training examples "
        f"have one of {lexicon.language}"
    )
