"""Files of translations, aligned with labelled examples by id: read, and refused in words where
they do not fit."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from lowres import columns, corpus, pairing, readers
from lowres.errors import DataError, reworded
from lowres.projection import split
from lowres.readers import Table
from lowres.recipe_translated import Translated, Use
from lowres.wordlists import Profile, profile, shared

SHOWN: Final = 3
"""Ids that an error names."""
COPIED: Final = 0.5
"""Share of translations that are the originals themselves, from which on none were made."""
NEARER: Final = 1.5
"""How many times more words another language must share with a text for it to be taken for that
language's; the closest pairs of NusaX and SIB-200 are at 2 the right way round."""
LEAST_SHARED: Final = 0.1
"""Share of words that two texts of one language have in common at least."""
FEWEST: Final = 20
"""Texts; of fewer it is not said which language they are in."""
ENOUGH: Final = 500
"""Characters of a language that are needed to know it again."""
GOLD: Final = ("label", "tags")


def read(
    section: Translated,
    use: Use,
    language: str,
    wanted: Mapping[str, list[Any]],
    written_in: str,
) -> list[dict[str, Any]]:
    """The fields of the translation of every example, in the order of the examples.

    A translation that stands in the file as text, where the task has words, is split into them.

    Args:
        section: of the recipe.
        use: what the file is for.
        language: the target that it is of.
        wanted: columns of the originals: id and the task's fields.
        written_in: the language that the translations are in.

    Raises:
        DataError: for a file that cannot be read, without ids, with an id twice; for an example
            without a translation, or with an empty one; for translations in another script, or
            that are the originals themselves.
    """
    path, key = file_of(section, use, language), f"translated.{use}"
    with reworded(lambda said: f"{key}: {_of_section(said, use)}"):
        table = readers.read(path, section.format, section.quoting)
    rows_of = _by_id(table, section, key)
    fields = [field for field in wanted if field not in ("id", "language", *GOLD)]
    given = ["text"] if "tokens" in fields and not _has_words(table, section) else fields
    if given != fields and written_in.split("_")[1] in corpus.SPACELESS:
        raise DataError(
            f"{key}: {path}: {written_in} sets no spaces between words, and tags are of words; "
            "give the translations in words (a column of lists, called tokens)"
        )
    part = columns.examples(table, given, section.columns, "translated", language, use)
    missing = [name for name in wanted["id"] if name not in rows_of]
    if missing:
        whose = "the source's training set" if use == "train" else f"the test set of {language}"
        raise DataError(
            f"{key}: {path}: no translation has the id {_shown(missing)}: it has "
            f"{len(rows_of):,} translations, and {whose} {len(wanted['id']):,} examples; give each "
            "example's id to its translation (translated.columns.id names the column)"
        )
    found = []
    for at, name in enumerate(wanted["id"]):
        row = {field: part.columns[field][rows_of[name]] for field in given}
        if given != fields:
            row = {"tokens": split(row["text"])}
        for field, value in row.items():
            if _plain(wanted[field][at]).strip() and not _plain(value).strip():
                raise DataError(
                    f"{key}: {part.where(rows_of[name])}: the translation of {name} is empty; "
                    "expected text (leave no example out: the systems would not compare)"
                )
        found.append(row)
    _check_written(path, key, found, wanted, written_in)
    return found


def _of_section(said: str, use: Use) -> str:
    """What is said of keys of `data`, of those that stand for them here."""
    return said.replace("data.files", f"translated.{use}").replace("data.", "translated.")


def file_of(section: Translated, use: Use, language: str) -> Path:
    """Where the translations of a target are. Raises `DataError` where there is no such file."""
    path = Path(section.path(use, language) or "").expanduser()
    if not path.is_file():
        raise DataError(
            f"translated.{use}: {language}: no file {path}; check the path from this folder and "
            "translated.names, or let `lowres translate` write it"
        )
    return path


def _by_id(table: Table, section: Translated, key: str) -> dict[str, int]:
    """Row of every id. Unlike those of labelled data they are never made up, or made unique."""
    (position,) = columns.located(table, "id", (), section.columns, "translated")
    found: dict[str, int] = {}
    for row, cells in enumerate(table.rows):
        cell = cells[position]
        name = cell.strip() if isinstance(cell, str) else ""
        if not name:
            raise DataError(
                f"{key}: {table.where(row)}: no id; expected the id of the example that it is a "
                "translation of"
            )
        if found.setdefault(name, row) != row:
            raise DataError(
                f"{key}: {table.where(row)}: the id {name} stands there before "
                f"({table.where(found[name])}); give each example one translation"
            )
    return found


def _has_words(table: Table, section: Translated) -> bool:
    usual = {name.lower() for name in table.columns} & {*columns.USUAL["tokens"]}
    return section.columns.tokens is not None or bool(usual)


def _shown(names: Sequence[str]) -> str:
    more = f" and {len(names) - SHOWN:,} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more


def _plain(value: str | Sequence[str]) -> str:
    return value if isinstance(value, str) else " ".join(value)


def texts(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """All text of each example as one."""
    leave = ("id", "language", *GOLD)
    return ["\n".join(_plain(v) for k, v in row.items() if k not in leave) for row in rows]


def of_columns(wanted: Mapping[str, list[Any]]) -> list[str]:
    """As `texts`, of columns."""
    fields = [name for name in wanted if name not in ("id", "language", *GOLD)]
    return ["\n".join(map(_plain, row)) for row in zip(*(wanted[f] for f in fields), strict=True)]


def _check_written(
    path: Path,
    key: str,
    found: Sequence[Mapping[str, Any]],
    wanted: Mapping[str, list[Any]],
    written_in: str,
) -> None:
    """In the right script, and not the originals themselves."""
    made, originals = texts(found), of_columns(wanted)
    try:
        corpus.check_script(path, written_in, "\n".join(made))
    except DataError as error:
        raise DataError(f"{key}: {error}") from None
    same = sum(a.split() == b.split() for a, b in zip(made, originals, strict=True))
    if len(made) >= FEWEST and same >= COPIED * len(made):
        raise DataError(
            f"{key}: {path}: {same:,} of {len(made):,} translations are the originals themselves; "
            f"expected text in {written_in}"
        )


def check_language(
    where: str,
    rows: Sequence[Mapping[str, Any]],
    written_in: str,
    known: Mapping[str, Sequence[str]],
) -> None:
    """Raise `DataError` where the translations read like another language of the study.

    Args:
        where: key and file, for the message.
        rows: the translations.
        written_in: the language that they should be in.
        known: texts of the study's languages, `written_in` among them.
    """
    # equally much of each: a longer text has more words in common with any other
    size = min(sum(map(len, lines)) for lines in known.values())
    spaced = written_in.split("_")[1] not in corpus.SPACELESS
    if len(rows) < FEWEST or size < ENOUGH or not spaced:
        return
    mine = profile(texts(rows))
    like = {code: shared(mine, _first(lines, size)) for code, lines in known.items()}
    own = like[written_in]
    code, most = max(like.items(), key=lambda item: item[1].words)
    if most.words > max(LEAST_SHARED, NEARER * own.words) and most.letters > own.letters:
        raise DataError(
            f"{where}: reads like {code} ({most.words:.0%} of its words are in the texts of "
            f"{code}, {own.words:.0%} in those of {written_in}); expected text in {written_in}"
        )


def check_pairs(
    where: str,
    rows: Sequence[Mapping[str, Any]],
    wanted: Mapping[str, list[Any]],
    written_in: str,
    original: str,
) -> None:
    """Raise `DataError` where the translations fit the examples of their ids no better than others.

    Args:
        where: key and file, for the message.
        rows: the translations, in the order of the examples.
        wanted: columns of the examples.
        written_in: the language of the translations.
        original: that of the examples.
    """
    made, originals = texts(rows), of_columns(wanted)
    if not pairing.above_chance(_parts(originals, original), _parts(made, written_in)):
        raise DataError(
            f"{where}: its {len(made):,} translations fit the texts of their ids no better than "
            "shuffled ones, by their lengths and by their words; give each translation the id of "
            "the example that it is of"
        )


def _parts(lines: Sequence[str], language: str) -> list[list[str]]:
    """Words, or characters where a language sets no spaces."""
    spaced = language.split("_")[1] not in corpus.SPACELESS
    return [line.split() if spaced else [c for c in line if not c.isspace()] for line in lines]


def _first(lines: Sequence[str], characters: int) -> Profile:
    kept, size = [], 0
    for line in lines:
        if size >= characters:
            break
        kept.append(line)
        size += len(line)
    return profile(kept)


def overlap(rows: Sequence[Mapping[str, Any]], tests: Sequence[str]) -> int:
    """How many test texts stand among the translations, word for word."""
    made = Counter(" ".join(text.split()) for text in texts(rows))
    return sum(" ".join(text.split()) in made for text in tests)
