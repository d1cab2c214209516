"""Static vectors of tokens, from the text they stand in.

Co-occurrence counts to positive pointwise mutual information, factored by SVD: on text as small as
this is for, it stands beside skip-grams (Levy and Goldberg 2014, "Neural Word Embedding as Implicit
Matrix Factorization"; Levy, Goldberg and Dagan 2015, aclanthology.org/Q15-1016), and comes out the
same each time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import sparse
from sklearn.decomposition import TruncatedSVD

from lowres.embedding_inits import Ids

WINDOW = 5
"""Tokens to each side; near ones count more, as in word2vec."""
SMOOTHING = 0.75
"""Of the context's frequency: rare contexts would get too much weight."""
DIMENSIONS = 128
EIGENVALUE_POWER = 0.5
MOST_LINES = 20_000
"""Lines used; more change little and take minutes."""
LEAST_COUNT = 2
"""A token seen less often has no vector."""


@dataclass(frozen=True)
class Vectors:
    """Unit vectors [types, at most `DIMENSIONS`] of the token ids `ids`, sorted."""

    ids: np.ndarray
    unit: np.ndarray


def train(lines: Sequence[Ids], seed: int) -> Vectors:
    """Vectors of all tokens that these lines hold often enough.

    Args:
        lines: token ids, a line each; no more than `MOST_LINES` are used, spread evenly.
        seed: of the randomised SVD.
    """
    step = max(1, -(-len(lines) // MOST_LINES))
    kept = [np.asarray(line, dtype=np.int64) for line in lines[::step] if len(line)]
    none = [np.zeros(0, dtype=np.int64)]
    tokens = np.concatenate(kept or none)
    line_of = np.repeat(np.arange(len(kept)), [len(line) for line in kept])
    types, counts = np.unique(tokens, return_counts=True)
    frequent = counts[np.searchsorted(types, tokens)] >= LEAST_COUNT
    tokens, line_of = tokens[frequent], line_of[frequent]
    types = types[counts >= LEAST_COUNT]
    information = _information(np.searchsorted(types, tokens), line_of, len(types))
    size = min(DIMENSIONS, len(types) - 1)
    if size < 1 or not information.nnz:
        return Vectors(np.zeros(0, dtype=np.int64), np.zeros((0, 1), dtype=np.float64))
    factored = TruncatedSVD(size, n_iter=4, random_state=seed)
    # what comes out is scaled by the singular values
    scale = np.maximum(factored.fit(information).singular_values_, 1e-12)
    values = factored.transform(information) * scale ** (EIGENVALUE_POWER - 1)
    norms = np.linalg.norm(values, axis=1, keepdims=True)
    fit = norms[:, 0] > 1e-9
    return Vectors(types[fit], values[fit] / norms[fit])


def _information(tokens: np.ndarray, line_of: np.ndarray, size: int) -> sparse.csr_matrix:
    """Positive pointwise mutual information [types, types] of tokens in each other's window."""
    together = sparse.csr_matrix((size, size), dtype=np.float64)
    for distance in range(1, WINDOW + 1):
        left, right = tokens[:-distance], tokens[distance:]
        same = line_of[:-distance] == line_of[distance:]
        weight = np.full(int(same.sum()), (WINDOW + 1 - distance) / WINDOW)
        one_way = sparse.coo_matrix((weight, (left[same], right[same])), shape=(size, size))
        together = together + one_way.tocsr() + one_way.T.tocsr()
    found = together.tocoo()
    of_token = np.asarray(together.sum(axis=1)).ravel()
    of_context = of_token**SMOOTHING
    ratio = (
        found.data
        * of_context.sum()
        / np.maximum(of_token[found.row] * of_context[found.col], 1e-12)
    )
    information = np.maximum(np.log(np.maximum(ratio, 1e-12)), 0)
    return sparse.csr_matrix((information, (found.row, found.col)), shape=(size, size))
