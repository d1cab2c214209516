"""Changed copies of the source's training examples, as `train.augment` asks for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from random import Random
from typing import TYPE_CHECKING, Any

import regex

from lowres import bilingual, corpus, mentions
from lowres.augmentations import AugmentationOptions, Known, Lexicon, Mentions
from lowres.errors import DataError
from lowres.labels import is_bio
from lowres.recipe import Recipe
from lowres.tasks import TaskOptions

if TYPE_CHECKING:
    from datasets import Dataset

    from lowres.data import LabelledData


def augment(
    data: LabelledData,
    ways: Sequence[AugmentationOptions],
    task: TaskOptions,
    lexicons: Sequence[Sequence[Known]],
    source: str,
    seed: int,
) -> tuple[LabelledData, tuple[str, ...]]:
    """The data with the copies of every way, whose ids say of what, and notes on them.

    `lexicons` are what each way looks into (`bilingual.of_recipe`). Where there are several, one a
    language, each copy of an example is put into one of them, in turn. An entity stays as it is,
    or gives way to a whole other one: tags would no longer fit its words.

    Raises:
        DataError: when hardly a word of the examples is in a lexicon, or it is of another script or
            the wrong way round; when entities are to be changed, and there is none or no other.
    """
    from datasets import Dataset, concatenate_datasets

    parts, notes = [data.train], []
    rows = data.train.to_list()
    for number, (way, own) in enumerate(zip(ways, lexicons, strict=True)):
        before = sum(other.name == way.name for other in ways[:number])
        notes += _notes(data.train, way, own, data.labels, source)
        # one way's draws do not depend on those of another
        draw = Random(f"{seed} {way.name} {before}")
        known = _known(rows, way, own)
        made = [
            {
                **_changed(row, way, _turn(known[row["language"]], at + copy), task, draw),
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
    """What of `train.augment` can be known before hours of work: that its lists are there, are
    lists, and translate from the source; that there are entities. Raises `DataError`."""
    source = ", ".join(recipe.languages.source)
    for number, way in enumerate(recipe.train.augment):
        _notes(data.train, way, bilingual.of_lists(recipe, number), data.labels, source)


def check_columns(
    recipe: Recipe, labels: Sequence[str], train: Mapping[str, Sequence[Any]]
) -> None:
    """As `check`, of the columns of the source's training examples, and without a look at their
    entities; imports no heavy library."""
    source = ", ".join(recipe.languages.source)
    for number, way in enumerate(recipe.train.augment):
        _listed(train, way, bilingual.of_lists(recipe, number), labels, source)


def _known(
    rows: Sequence[Mapping[str, Any]], way: AugmentationOptions, own: Sequence[Known]
) -> dict[str, Sequence[Known | None]]:
    """What the copies of each language's examples look into, in turn."""
    if not way.spans:
        return dict.fromkeys((row["language"] for row in rows), own or (None,))
    listed = [names for names in own if isinstance(names, Mentions)]
    return {
        language: [mentions.over(names, found) for names in listed] or [found]
        for language, found in mentions.of_examples(rows).items()
    }


def _turn(known: Sequence[Known | None], at: int) -> Known | None:
    return known[at % len(known)]


def _changed(
    row: Mapping[str, Any],
    way: AugmentationOptions,
    known: Known | None,
    task: TaskOptions,
    draw: Random,
) -> dict[str, Any]:
    made = dict(row)
    if "tokens" in task.fields:
        kept = list(_tagged(row, way, known, draw))
        # nothing is no example
        if kept:
            made["tokens"], made["tags"] = (list(side) for side in zip(*kept, strict=True))
        return made
    assert not isinstance(known, Mentions), "the recipe's own check"
    for name in ("text", "text_pair"):
        if name in task.fields:
            made[name] = _text(row[name], way, known, draw) or row[name]
    return made


def _tagged(
    row: Mapping[str, Any], way: AugmentationOptions, known: Known | None, draw: Random
) -> Iterator[tuple[str, str]]:
    """The words that stand for those of a sentence, each with its tag."""
    tokens, tags = row["tokens"], row["tags"]
    if isinstance(known, Mentions):
        at = 0
        for start, end, kind in mentions.spans_of(tags):
            yield from zip(tokens[at:start], tags[at:start], strict=True)
            other = way.entity(kind, tuple(tokens[start:end]), known, draw)
            if other is None:
                yield from zip(tokens[start:end], tags[start:end], strict=True)
            else:
                yield from ((w, f"{'I' if place else 'B'}-{kind}") for place, w in enumerate(other))
            at = end
        yield from zip(tokens[at:], tags[at:], strict=True)
        return
    for word, tag in zip(tokens, tags, strict=True):
        yield from ((token, tag) for token in _token(word, tag, way, known, draw))


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
    for whole in text.split():
        space = " " if parts else ""
        # a lexicon has words, and runs are none
        for word in [whole] if lexicon is not None else _runs(whole):
            changed = way.word(word, lexicon, draw)
            # two words of a language without spaces stand side by side in it
            joined = before and changed is not None and lexicon is not None and not lexicon.spaced
            if changed != "":
                parts += ["" if joined else space, word if changed is None else changed]
                space = ""
            before = changed is not None
    return "".join(parts)


def _runs(word: str) -> list[str]:
    """What stands between two spaces, in runs about as long as words where its script sets none:
    as one word a whole sentence would be lost, or have one slip."""
    found = len(corpus.spaceless().findall(word))
    if 2 * found <= sum(map(str.isalpha, word)):
        return [word]
    letters = regex.findall(r"\X", word)
    size = corpus.LETTERS_A_WORD
    return ["".join(letters[at : at + size]) for at in range(0, len(letters), size)]


def _notes(
    train: Dataset,
    way: AugmentationOptions,
    own: Sequence[Known],
    labels: Sequence[str],
    source: str,
) -> list[str]:
    """What a way finds in the examples, a sentence each; raises `DataError` for next to nothing."""
    notes = _listed(train.to_dict(), way, own, labels, source)
    if not way.spans:
        return notes
    listed = [one for one in own if isinstance(one, Mentions)]
    found = list(mentions.of_examples(train.to_list()).values())
    if not any(len(each) > 1 for one in (*found, *listed) for each in one.by_type.values()):
        raise DataError(
            f"train.augment: {way.name} puts another entity of the same type in the place of one, "
            f"and {source}'s training examples have no two of any type: leave it out"
        )
    for names in (*listed, *found):
        counts = [f"{len(each):,} {kind}" for kind, each in sorted(names.by_type.items())]
        notes.append(f"train.augment: {way.name}: {', '.join(counts)} in {names.origin}")
    return notes


def _listed(
    train: Mapping[str, Sequence[Any]],
    way: AugmentationOptions,
    own: Sequence[Known],
    labels: Sequence[str],
    source: str,
) -> list[str]:
    """Whether a way's lists fit the examples, a note on each lexicon; raises `DataError`."""
    notes = [bilingual.covered(train, one, source) for one in own if isinstance(one, Lexicon)]
    if not way.spans:
        return notes
    if not is_bio(labels):
        shown = ", ".join(labels[:5]) + (", ..." if len(labels) > 5 else "")
        raise DataError(
            f"train.augment: {way.name} changes entities, and the labels of {source} mark none "
            f"({shown}); expected O and tags such as B-PER, I-PER: leave it out"
        )
    kinds = {label[2:] for label in labels if label.startswith("B-")}
    for names in own:
        if isinstance(names, Mentions):
            mentions.check_types(names, kinds)
    return notes
