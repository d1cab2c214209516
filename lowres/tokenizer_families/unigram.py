"""Unigram (Kudo 2018, arXiv:1804.10959), as in XLM-R, multilingual-e5, mDeBERTa and Glot500.

A piece has a log probability; the segmentation with the highest sum wins. A new piece is worth a
little more than the old pieces that it replaces, and never less than the worst old piece: the
score of unknown characters hangs on the lowest score, and would move.
"""

from __future__ import annotations

import io
import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from tokenizers import Tokenizer, models

from lowres.errors import BaseModelError
from lowres.tokenizer_families import State, next_id

LABEL = "Unigram"
GAIN = 0.1
"""Nats by which a new piece beats the old pieces that it stands for."""
SAFE_BELOW = -24.0
"""A string whose old pieces together are less probable than e^-24 hardly occurs in the text of
other languages: with 2,000 such Kinyarwanda pieces under 1% of the sentences of SIB-200 in each of
16 other languages change, with all pieces up to 11% (docs/results.md)."""
LONGEST = 16
"""Characters of a learnt piece at most, as in XLM-R's own vocabulary."""
BYTE: Final = re.compile(r"<0x[0-9A-F]{2}>")
WORD_AT_LEAST = 3
STEM_AT_LEAST = 8
CHARACTER_AT_LEAST = 2


def matches(state: State) -> bool:
    """Whether the tokenizer's model is Unigram."""
    return bool(state["model"].get("type") == "Unigram")


def unknown_id(state: State) -> int | None:
    """The id of the unknown piece."""
    found = state["model"].get("unk_id")
    return None if found is None else int(found)


def unknown_characters(state: State, words: Mapping[str, int]) -> list[str]:
    """Characters of the text that there is no piece for, the frequent ones first."""
    counts: Counter[str] = Counter()
    for word, count in words.items():
        for character in word:
            counts[character] += count
    old = {piece for piece, _ in state["model"]["vocab"]}
    return [c for c, n in counts.most_common() if c not in old and n >= CHARACTER_AT_LEAST]


def candidates(
    state: State, words: Mapping[str, int], keep: Mapping[str, int], size: int
) -> list[str]:
    """About `size` pieces by sentencepiece's trainer, frequent words and beginnings of words.

    On one thread, for the same bytes.
    """
    import sentencepiece

    # the metaspace at the front is sentencepiece's own mark of a word's beginning
    needed = len({character for word in words for character in word}) + 64
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(_repeated(words)),
        model_writer=model,
        model_type="unigram",
        vocab_size=max(size, needed),
        hard_vocab_limit=False,
        normalization_rule_name="identity",
        add_dummy_prefix=False,
        remove_extra_whitespaces=False,
        character_coverage=1.0,
        max_sentencepiece_length=LONGEST,
        max_sentence_length=1_000_000,
        num_threads=1,
        bos_id=-1,
        eos_id=-1,
        minloglevel=2,
    )
    learnt = sentencepiece.SentencePieceProcessor(model_proto=model.getvalue())
    found = [
        learnt.id_to_piece(index)
        for index in range(learnt.get_piece_size())
        if not learnt.is_unknown(index)
    ]
    return [*found, *_words_and_stems(words)]


def _words_and_stems(words: Mapping[str, int]) -> list[str]:
    """Frequent whole words, and frequent beginnings of at least four characters."""
    stems: Counter[str] = Counter()
    for word, count in words.items():
        for end in range(4, min(len(word), LONGEST + 1)):
            stems[word[:end]] += count
    whole = [w for w, n in words.items() if n >= WORD_AT_LEAST and 1 < len(w) <= LONGEST]
    return sorted({*whole, *(s for s, n in stems.items() if n >= STEM_AT_LEAST)})


def reachable(state: State, pieces: Sequence[str], spare: Sequence[str]) -> list[str]:
    """The pieces as they are: none needs another."""
    return list(pieces)


def _repeated(words: Mapping[str, int]) -> list[str]:
    """Each word as often as it stands in the text, up to the square root of a million."""
    most = max(words.values(), default=1)
    scale = max(1.0, most / 1000)
    return [
        word.replace("▁", " ")
        for word, count in sorted(words.items())
        for _ in range(max(1, round(count / scale)))
    ]


def segment(state: State, pieces: Sequence[str]) -> list[tuple[int, ...]]:
    """The old ids of each piece's text, by the old model alone."""
    model = state["model"]
    bare = Tokenizer(
        models.Unigram(
            [(piece, score) for piece, score in model["vocab"]],
            unk_id=model.get("unk_id"),
            byte_fallback=bool(model.get("byte_fallback")),
        )
    )
    return [tuple(e.ids) for e in bare.encode_batch_fast(list(pieces), add_special_tokens=False)]


def reduced(state: State, words: Iterable[str]) -> State:
    """Without the pieces that stand in none of these words: they fall into the same pieces."""
    vocabulary = state["model"]["vocab"]
    beginnings = {piece[:end] for piece, _ in vocabulary for end in range(1, len(piece) + 1)}
    inside: set[str] = set()
    for word in words:
        for start in range(len(word)):
            end = start + 1
            while end <= len(word) and (part := word[start:end]) in beginnings:
                inside.add(part)
                end += 1
    # the score of unknown characters hangs on the lowest one
    lowest = min(range(len(vocabulary)), key=lambda index: vocabulary[index][1])
    added = state.get("added_tokens") or ()
    unknown = unknown_id(state)
    needed = {lowest, unknown, *(token["id"] for token in added)}
    stays = [
        index
        for index, (piece, _) in enumerate(vocabulary)
        if index in needed or piece in inside or BYTE.fullmatch(piece)
    ]
    ids = {old: new for new, old in enumerate(stays)}
    behind = len(stays) - len(vocabulary)
    tokens = [{**token, "id": ids.get(token["id"], token["id"] + behind)} for token in added]
    model = {**state["model"], "vocab": [vocabulary[index] for index in stays]}
    if unknown is not None:
        model["unk_id"] = ids[unknown]
    return {**state, "added_tokens": tokens, "model": model}


def _old_scores(state: State, old: Sequence[tuple[int, ...]]) -> list[float]:
    """Log probability of each segmentation under the old model; minus infinity where unknown."""
    scores = [score for _, score in state["model"]["vocab"]]
    unknown = unknown_id(state)
    return [-math.inf if unknown in ids else sum(scores[i] for i in ids) for ids in old]


def safe(state: State, pieces: Sequence[str], old: Sequence[tuple[int, ...]]) -> list[bool]:
    """Whether the old model finds a piece's text improbable, see `SAFE_BELOW`."""
    return [score <= SAFE_BELOW for score in _old_scores(state, old)]


def insert(state: State, pieces: Sequence[str], old: Sequence[tuple[int, ...]]) -> State:
    """The pieces behind the old ones, with scores placed so that segmentation uses them."""
    vocabulary = [*state["model"]["vocab"], *_gap(state)]
    lowest = min(score for _, score in vocabulary)
    count = max(1, len(pieces))
    new = [
        # of pieces for what was unknown the more useful ones win where lengths are equal
        [piece, max(score + GAIN, lowest + GAIN * (1 - rank / count))]
        for rank, (piece, score) in enumerate(zip(pieces, _old_scores(state, old), strict=True))
    ]
    return {**state, "model": {**state["model"], "vocab": [*vocabulary, *new]}}


def _gap(state: State) -> list[list[object]]:
    """Added tokens whose ids lie behind the list: a list has no holes, so they get entries."""
    vocabulary = state["model"]["vocab"]
    added = {token["id"]: token["content"] for token in state.get("added_tokens") or ()}
    missing = [i for i in range(len(vocabulary), next_id(state)) if i not in added]
    if missing:
        raise BaseModelError(
            f"its tokenizer has no piece of id {missing[0]} between the {len(vocabulary)} pieces "
            "of its model and its added tokens, so that new pieces cannot follow; leave "
            "tokenizer.extend out, or take another base"
        )
    return [[added[i], 0.0] for i in range(len(vocabulary), next_id(state))]
