"""The tiny bases' tokenizers, one of each family, with the same pieces in every process.

Two trainers of `tokenizers` (WordPiece's and Unigram's) break ties by chance: what a test learns
over their pieces would be another thing in each process. The trainer of BPE does not.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Any

from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers
from transformers import BertTokenizer, RobertaTokenizer, XLMRobertaTokenizer

MOST = 128
"""Tokens of a text, at most."""


def wordpiece(sentences: Sequence[str]) -> BertTokenizer:
    """Cased, as mBERT's: what BPE joins, with `##` where it is found inside of a word."""
    # Chinese characters become words of their own
    sentences = [
        normalizers.BertNormalizer(lowercase=False, strip_accents=False).normalize_str(s)
        for s in sentences
    ]
    split = pre_tokenizers.BertPreTokenizer().pre_tokenize_str
    words = sorted({word for line in sentences for word, _ in split(line)})
    characters = sorted({character for word in words for character in word})
    within = sorted({character for word in words for character in word[1:]})
    learnt = _trained(sentences, [], pre_tokenizers.BertPreTokenizer(), size=500)
    joined = ["".join(merge) for merge in learnt["merges"]]
    specials = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    first = [piece for piece in joined if any(word.startswith(piece) for word in words)]
    inside = [f"##{piece}" for piece in joined if any(piece in word[1:] for word in words)]
    pieces = [*specials, *characters, *(f"##{c}" for c in within), *first, *inside]
    return BertTokenizer(
        vocab={piece: number for number, piece in enumerate(dict.fromkeys(pieces))},
        do_lower_case=False,
        strip_accents=False,
        model_max_length=MOST,
    )


def unigram(sentences: Sequence[str]) -> XLMRobertaTokenizer:
    """Special ids as in the real XLM-R; what BPE joins, by how often the sentences hold it."""
    text = "".join(f"▁{line.replace(' ', '▁')}" for line in sentences)
    learnt = _trained(sentences, [], pre_tokenizers.Metaspace(), size=400)["vocab"]
    counts = {piece: text.count(piece) for piece in sorted(learnt)}
    total = sum(counts.values())
    specials = [(piece, 0.0) for piece in ("<s>", "<pad>", "</s>", "<unk>")]
    pieces = [(piece, math.log(count / total)) for piece, count in counts.items()]
    return XLMRobertaTokenizer(vocab=[*specials, *pieces, ("<mask>", 0.0)], model_max_length=MOST)


def bpe(sentences: Sequence[str]) -> RobertaTokenizer:
    """Byte-level, as RoBERTa's."""
    specials = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    by_byte = pre_tokenizers.ByteLevel(add_prefix_space=False)
    state = _trained(sentences, specials, by_byte, by_byte.alphabet(), size=600)
    merges: Any = [tuple(merge) for merge in state["merges"]]
    return RobertaTokenizer(
        vocab=state["vocab"],
        merges=merges,
        add_prefix_space=True,  # words given one by one must read as words inside a sentence
        model_max_length=MOST,
    )


def _trained(
    sentences: Sequence[str], specials: list[str], words: Any, alphabet: Any = (), *, size: int
) -> dict[str, Any]:
    """The state of a BPE model: its `vocab` and `merges`."""
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = words
    made.train_from_iterator(
        sentences,
        trainers.BpeTrainer(
            vocab_size=size,
            special_tokens=specials,
            initial_alphabet=list(alphabet),
            show_progress=False,
        ),
    )
    state: dict[str, Any] = json.loads(made.to_str())["model"]
    return state
