"""The extend stage: which pieces a base lacks for these languages, and a row for each."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from tokenizers import Tokenizer

from lowres import corpus, extension, model, prebuilt, registry, tokenizer_families, vocabulary
from lowres.embedding_inits import Pair, Start
from lowres.errors import DataError
from lowres.extension import Changed, Extension, LanguageFigures
from lowres.material import LanguageText
from lowres.recipe_text import Extend
from lowres.registry import PACKAGE_DIR
from lowres.tokenizer_families import State
from lowres.vocabulary import Kept

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from lowres.bases import LocatedBase

DEMO = PACKAGE_DIR / "demo"
NEEDED = {
    "pairs": "parallel text (text.translations)",
    "lexicon": "a word list (text.lexicon)",
    "lines": "raw text (text.files)",
}
KEPT_LINES = 5_000
"""Lines of a file of `keep` that are looked at."""


def extend(
    options: Extend, located: LocatedBase, texts: Sequence[LanguageText], folder: Path
) -> Extension:
    """Learn pieces (or take prebuilt ones), write the tokenizer, and start the rows.

    Args:
        options: the recipe's `tokenizer.extend`.
        located: the base.
        texts: what to learn from; held-out lines are measured before and after.
        folder: of the stage; `AutoTokenizer` loads it afterwards.

    Raises:
        DataError: when the text cannot give what is asked.
        BaseModelError: when the tokenizer cannot be extended.
    """
    old = model.load_tokenizer(located.plain())
    found = learn(options, located, texts, old)
    new = extension.write(folder, old, found, located.name)
    return start_rows(options.init, located, texts, folder, old, new)


def kept(options: Extend, texts: Sequence[LanguageText]) -> Kept:
    """Text whose segmentation must stay: one half to choose by, the other to say what changes."""
    files = kept_text(options.keep, [text.language for text in texts])
    return vocabulary.halved({**files, **_translations(texts)})


def learn(
    options: Extend,
    located: LocatedBase,
    texts: Sequence[LanguageText],
    old: PreTrainedTokenizerBase,
    keep: Kept | None = None,
) -> Extension:
    """The pieces, what they were learnt from and what they change; nothing is written.

    `old` is the base's tokenizer, which takes seconds to load; `keep` is what `kept` gives, or
    text of the caller's.
    """
    state = extension.state_of(old)
    keep = keep or kept(options, texts)
    if options.prebuilt:
        found = prebuilt.merged(options.prebuilt, state, located.name)
    else:
        sampled = {text.language: text.sample() for text in texts}
        learned = vocabulary.learn(state, sampled, keep.choosing, options.pieces, located.name)
        found = Extension(
            family=tokenizer_families.of(state, located.name).LABEL,
            vocabulary_sha256=extension.fingerprint(state),
            first_id=tokenizer_families.next_id(state),
            pieces=learned.pieces,
            learned_from=tuple(text.record() for text in texts),
            chosen=str(options.pieces),
            curve=tuple(vars(point) for point in learned.curve),
            offered=learned.offered,
            left_out=learned.left_out,
            changed_unseen=True,
        )
    before = vocabulary.build(state)
    after = vocabulary.build(extension.extended_state(state, found.pieces, located.name))
    return replace(
        found,
        languages=tuple(
            figures(before, after, text.language, text.held(), state) for text in texts
        ),
        changed=tuple(
            Changed(name, len(lines), vocabulary.changed_share(before, after, lines))
            for name, lines in keep.judging.items()
            if lines
        ),
    )


def kept_text(files: Sequence[str], targets: Sequence[str]) -> dict[str, list[str]]:
    """Lines of languages whose segmentation must stay: the package's own, and the user's files."""
    keep = {
        folder.name: [
            json.loads(line)["text"]
            for file in sorted(folder.glob("*.jsonl"))
            for line in file.read_text(encoding="utf-8").splitlines()
        ]
        for folder in sorted(DEMO.glob("*_*"))
        if folder.name not in targets
    }
    for name in files:
        path = Path(name).expanduser()
        every = corpus.texts(path, "tokenizer.extend.keep")
        # beside the package's own of the same language, not in its place
        label = path.stem if path.stem not in keep else name
        keep[label] = [corpus.begun(line) for line in islice(every, KEPT_LINES)]
    return keep


def _translations(texts: Sequence[LanguageText]) -> dict[str, list[str]]:
    """What the lines are translated into, mostly the language that the task is learnt in."""
    lines = dict.fromkeys(pivot for text in texts for _, pivot in text.learning_pairs)
    return {"translations": list(lines)[:KEPT_LINES]} if lines else {}


def figures(
    before: Tokenizer, after: Tokenizer, language: str, lines: Sequence[str], state: State
) -> LanguageFigures:
    """Held-out lines before and after."""
    if not lines:
        raise DataError(f"text.files: the held-out lines of {language} are blank; give real text")
    unknown = tokenizer_families.of(state, language).unknown_id(state)
    words = max(1, sum(len(line.split()) for line in lines))

    def count(tokenizer: Tokenizer) -> tuple[int, float]:
        encoded = tokenizer.encode_batch_fast(list(lines), add_special_tokens=False)
        ids = [i for e in encoded for i in e.ids]
        return len(ids), ids.count(unknown) / max(1, len(ids)) if unknown is not None else 0.0

    (pieces_before, unknown_before), (pieces_after, unknown_after) = count(before), count(after)
    return LanguageFigures(
        language=language,
        n=len(lines),
        fertility_before=pieces_before / words,
        fertility_after=pieces_after / words,
        pieces_before=pieces_before,
        pieces_after=pieces_after,
        unknown_before=unknown_before,
        unknown_after=unknown_after,
        round_trip_before=vocabulary.round_trips(before, lines),
        round_trip_after=vocabulary.round_trips(after, lines),
        characters=sum(len("".join(line.split())) for line in lines),
    )


def start_rows(
    init: str,
    located: LocatedBase,
    texts: Sequence[LanguageText],
    folder: Path,
    old: PreTrainedTokenizerBase,
    new: PreTrainedTokenizerBase,
) -> Extension:
    """Start the rows of an extension that is written; returns it with their provenance.

    Raises `DataError` when the way of starting them needs text that is not there.
    """
    found = extension.read(folder)
    lexicon = [text.lexicon for text in texts if text.lexicon]
    # a language that has no translation says the same by its word list, entry for entry
    aligned = [text.learning_pairs or text.lexicon for text in texts]
    pairs = [each for each in aligned if each] if any(t.learning_pairs for t in texts) else []
    chosen = init if init != "auto" else choose_init(bool(pairs), bool(lexicon), bool(texts))
    plugin = registry.module("embedding_inits", chosen)
    have = {"pairs": pairs, "lexicon": lexicon, "lines": texts}
    for need in plugin.NEEDS:
        if not have[need]:
            raise DataError(
                f"tokenizer.extend.init {chosen}: needs {NEEDED[need]}; add it, or set "
                "tokenizer.extend.init: auto"
            )
    started = plugin.rows(_start(found, located, texts, pairs, lexicon, old, new))
    if not np.isfinite(started.values).all():
        raise DataError(f"tokenizer.extend.init {chosen}: gave rows that are not finite")
    extension.write_rows(folder, started.values)
    done = replace(found, init=chosen, provenance=started.provenance)
    extension.write_meta(folder, done)
    return done


def choose_init(pairs: bool, lexicon: bool, lines: bool) -> str:
    """The way that was measured best for the text at hand (docs/results.md)."""
    if pairs:
        return "align"
    if lexicon:
        return "lexicon"
    return "mean"


def _start(
    found: Extension,
    located: LocatedBase,
    texts: Sequence[LanguageText],
    pairs: Sequence[Sequence[tuple[str, str]]],
    lexicon: Sequence[Sequence[tuple[str, str]]],
    old: PreTrainedTokenizerBase,
    new: PreTrainedTokenizerBase,
) -> Start:
    state = extension.state_of(old)
    family = tokenizer_families.of(state, located.name)
    lines = [line for text in texts for line in text.sample()]
    return Start(
        table=model.embedding_table(located),
        pieces=found.pieces,
        first_id=found.first_id,
        old=tuple(family.segment(state, found.pieces)),
        unknown_id=family.unknown_id(state),
        special_ids=frozenset(old.all_special_ids),
        lines=_ids(new, lines),
        pairs=[_both(new, old, of_one) for of_one in pairs],
        lexicon=[_both(new, old, of_one) for of_one in lexicon],
    )


def _ids(tokenizer: PreTrainedTokenizerBase, lines: Sequence[str]) -> list[np.ndarray]:
    backend: Any = tokenizer.backend_tokenizer
    return vocabulary.encoded(backend, lines)


def _both(
    new: PreTrainedTokenizerBase, old: PreTrainedTokenizerBase, pairs: Sequence[tuple[str, str]]
) -> list[Pair]:
    lines, translations = [a for a, _ in pairs], [b for _, b in pairs]
    return list(zip(_ids(new, lines), _ids(old, translations), strict=True))


def summary(found: Extension) -> Mapping[str, Any]:
    """What results.json keeps of an extension."""
    return {
        "pieces": len(found.pieces),
        "chosen": found.chosen,
        "offered": found.offered,
        "left_out": found.left_out,
        "init": found.init,
        "curve": [dict(point) for point in found.curve],
        "languages": [vars(row) for row in found.languages],
        "changed": [vars(row) for row in found.changed],
        "changed_unseen": found.changed_unseen,
    }
