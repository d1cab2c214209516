"""The trim stage: which rows of the base's embeddings a study needs.

In a vocabulary for a hundred languages, those of a study use a tenth of the pieces, and in 8 bits
the table is most of the model.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lowres import augment, bilingual, corpus, model, trimmed
from lowres.trimmed import Kept

if TYPE_CHECKING:
    from datasets import Dataset

    from lowres.bases import LocatedBase
    from lowres.data import LabelledData
    from lowres.material import LanguageText
    from lowres.recipe import Recipe

LINES_AT_ONCE = 1_000


@dataclass(frozen=True)
class Trimmed:
    """What trimming came to."""

    rows_before: int
    rows_after: int
    mb_before: float
    mb_after: float
    """Of the table in float32."""


def trim(
    recipe: Recipe,
    data: LabelledData,
    located: LocatedBase,
    texts: Sequence[LanguageText],
    folder: Path,
    translations: Iterable[str] = (),
) -> Trimmed:
    """Choose the rows and write `folder/kept.json`, which `LocatedBase.kept` names.

    Kept is what the data of all splits and languages, its changed copies, its translations, the
    raw text with translations and word lists of it, and `tokenizer.trim.keep_text` fall into, by
    the base's tokenizer and by the extended one, and all special pieces.

    Args:
        recipe: with `tokenizer.trim`.
        data: all that is trained on and scored.
        located: the base, with its extension if it has one.
        texts: of the recipe's `text`; none without it.
        folder: of the stage.
        translations: of labelled examples, as text.

    Raises:
        DataError: for a file of `keep_text`, or a list of `train.augment`, that cannot be read.
    """
    assert recipe.tokenizer is not None
    assert recipe.tokenizer.trim is not None
    files = [Path(name).expanduser() for name in recipe.tokenizer.trim.keep_text]
    tokenizers = [model.load_tokenizer(located.plain())]
    if located.extension is not None:
        tokenizers.append(model.load_tokenizer(located))
    used = kept_ids(tokenizers, chain(_raw(files, texts), translations))
    examples = [data.train, data.dev, *data.tests.values(), *data.target_train.values()]
    examples += _copies(recipe, data, located)
    windows = [_windows(recipe, examples, tokenizer) for tokenizer in tokenizers]
    rows, width = model.table_shape(located)
    ids = np.unique(np.concatenate([used, *windows]))
    # new pieces bring rows of their own, even where the table has spare ones under their ids
    kept = Kept(ids[ids < min(rows, _size(tokenizers[0]))], rows, unknown_id(tokenizers[0]))
    folder.mkdir(parents=True, exist_ok=True)
    trimmed.write(folder / trimmed.FILE, kept)
    mb = width * 4 / 2**20
    return Trimmed(rows, len(kept.ids), round(rows * mb, 1), round(len(kept.ids) * mb, 1))


def kept_ids(tokenizers: Sequence[Any], texts: Iterable[str]) -> np.ndarray:
    """The ids, sorted, that these texts fall into by any of the tokenizers, and all special ones.

    Id 0 is always among them: it is what `rows.ExtendedEmbedding` looks up in place of a new id.
    Texts are read as they are needed.
    """
    used = np.zeros(max(map(_size, tokenizers)), dtype=bool)
    used[0] = True
    for tokenizer in tokenizers:
        used[tokenizer.all_special_ids] = True
        used[unknown_id(tokenizer)] = True
        # what an earlier call has set would cut these texts
        tokenizer.backend_tokenizer.no_truncation()
        tokenizer.backend_tokenizer.no_padding()
    lines = iter(texts)
    while batch := list(islice(lines, LINES_AT_ONCE)):
        for tokenizer in tokenizers:
            encode = tokenizer.backend_tokenizer.encode_batch_fast
            for encoded in encode(batch, add_special_tokens=False):
                used[encoded.ids] = True
    return np.flatnonzero(used)


def _size(tokenizer: Any) -> int:
    return 1 + int(max(tokenizer.get_vocab().values()))


def unknown_id(tokenizer: Any) -> int:
    """The piece that stands for what has none: unknown, padding, or whatever comes first."""
    known = (tokenizer.unk_token_id, tokenizer.pad_token_id, 0)
    return int(next(i for i in known if i is not None))


def _raw(files: Iterable[Path], texts: Iterable[LanguageText]) -> Iterator[str]:
    for file in files:
        yield from corpus.texts(file, "tokenizer.trim.keep_text")
    for text in texts:
        yield from text.lines()
        yield from text.held()
        for pairs in (text.learning_pairs, text.held_pairs, text.lexicon):
            for pair in pairs:
                yield from pair


def _copies(recipe: Recipe, data: LabelledData, located: LocatedBase) -> Iterator[Dataset]:
    """The training examples with their changed copies, of every seed: a slip of the pen or a name
    of a list has pieces that nothing else may have."""
    ways, source = recipe.train.augment, ", ".join(recipe.languages.source)
    own = [bilingual.of_recipe(recipe, number, located) for number in range(len(ways))]
    for seed in recipe.seeds if ways else ():
        yield augment.augment(data, ways, recipe.task, own, source, seed)[0].train


def _windows(recipe: Recipe, examples: Sequence[Dataset], tokenizer: Any) -> np.ndarray:
    """Ids as training and scoring see them: a task may give words one by one."""
    used = [np.zeros(0, dtype=np.int64)]
    for part in examples:
        windows = recipe.task.encode(part, tokenizer, (), recipe.train.max_tokens)
        ids = [np.asarray(row, dtype=np.int64) for row in windows["input_ids"]]
        used.append(np.unique(np.concatenate([*ids, used[0]])))
    return np.concatenate(used)
