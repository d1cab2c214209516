"""Byte-pair encoding over pieces (Sennrich et al. 2016), leaving out pairs that may not be joined.

The trainer of the tokenizers library starts from characters and joins any pair; here words are
given as the pieces that an old model cuts them into, and a pair may be refused.
"""

from __future__ import annotations

import heapq
import itertools
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence

Pair = tuple[str, str]
AT_LEAST = 3
"""A pair that the text has less often is not joined."""
MOST_WORDS = 200_000
"""Different words that are looked at, the most frequent: half a minute, whatever the text."""
LONGEST_WORD = 500
"""Pieces of a word that are looked at. Each join passes over a whole word, so that one of a million
pieces (a text that has lost its spaces) would take hours."""


def learn(
    words: Sequence[Sequence[str]],
    counts: Sequence[int],
    size: int,
    allowed: Callable[[Pair], bool],
) -> list[Pair]:
    """Up to `size` pairs in the order in which they are joined, the most frequent first.

    Ties go to the pair that sorts first, so that the same text gives the same pairs. Of very many
    words and of very long ones a part is looked at, see `MOST_WORDS` and `LONGEST_WORD`.
    """
    if len(words) > MOST_WORDS:
        # sorting keeps the order of equal counts
        frequent = sorted(range(len(words)), key=lambda i: -counts[i])[:MOST_WORDS]
        words, counts = [words[i] for i in frequent], [counts[i] for i in frequent]
    pieces = [list(word[:LONGEST_WORD]) for word in words]
    frequency: Counter[Pair] = Counter()
    where: defaultdict[Pair, set[int]] = defaultdict(set)
    for index, word in enumerate(pieces):
        for pair in itertools.pairwise(word):
            frequency[pair] += counts[index]
            where[pair].add(index)
    queue = [(-n, pair) for pair, n in frequency.items() if n >= AT_LEAST and allowed(pair)]
    heapq.heapify(queue)
    joined: list[Pair] = []
    while queue and len(joined) < size:
        negative, pair = heapq.heappop(queue)
        now = frequency[pair]
        if now != -negative:  # words with it have changed since it was queued
            if now >= AT_LEAST:
                heapq.heappush(queue, (-now, pair))
            continue
        joined.append(pair)
        changed: set[Pair] = set()
        for index in where.pop(pair):
            before = pieces[index]
            after = pieces[index] = join(before, pair)
            for old in itertools.pairwise(before):
                frequency[old] -= counts[index]
            for new in itertools.pairwise(after):
                frequency[new] += counts[index]
                where[new].add(index)
                changed.add(new)
        del frequency[pair]
        for new in changed:
            if frequency[new] >= AT_LEAST and allowed(new):
                heapq.heappush(queue, (-frequency[new], new))
    return joined


def join(word: Sequence[str], pair: Pair) -> list[str]:
    """The word with every such pair made one piece, from the left."""
    out: list[str] = []
    at = 0
    while at < len(word):
        if at + 1 < len(word) and (word[at], word[at + 1]) == pair:
            out.append(pair[0] + pair[1])
            at += 2
        else:
            out.append(word[at])
            at += 1
    return out
