from __future__ import annotations

import random as draws

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from lowres import alignment, registry
from lowres.embedding_inits import (
    Pair,
    Start,
    align,
    focus,
    lexicon,
    matched_moments,
    mean,
    mixed,
    random,
)
from lowres.embedding_inits import _static as static

NAMES = registry.names("embedding_inits")
FIRST, OLD_PIECES, NEW_PIECES, WIDTH = 50, 40, 12, 16
UNKNOWN, SPECIAL = 3, frozenset({0, 1, 2, 3})
PADDING = 1


def start(**changes: object) -> Start:
    """40 old pieces from id 4 on, spare rows behind them, 12 new ones; new piece i says old 10 + i.

    The text is made so that new piece i stands where old piece 10 + i may stand too.
    """
    generator = np.random.default_rng(0)
    table = generator.normal(0, 1, (FIRST + 5, WIDTH)).astype(np.float32)
    table[PADDING] = 0
    draw = draws.Random(0)
    lines, pairs, entries = [], [], []
    for number in range(400):
        words = draw.sample(range(NEW_PIECES), 4)
        target = [FIRST + w if draw.random() < 0.5 else 10 + w for w in words]
        # every word has company of its own, so that its neighbours tell it from others
        company = zip(words, target, strict=True)
        lines.append(np.array([x for w, t in company for x in (24 + w, t, 36 + w % 3)]))
        pairs.append((np.array([FIRST + w for w in words]), np.array([10 + w for w in words])))
        if number < NEW_PIECES:
            entries.append((np.array([FIRST + number]), np.array([10 + number])))
    return Start(
        **{
            "table": table,
            "pieces": tuple(f"piece{i}" for i in range(NEW_PIECES)),
            "first_id": FIRST,
            "old": tuple((4 + i, 5 + i, UNKNOWN) for i in range(NEW_PIECES)),
            "unknown_id": UNKNOWN,
            "special_ids": SPECIAL,
            "lines": lines,
            "pairs": [pairs],
            "lexicon": [entries],
            **changes,
        }
    )


def norm_range(table: np.ndarray) -> tuple[float, float]:
    norms = np.linalg.norm(table[:FIRST], axis=1)
    return norms[norms > 0].min(), norms.max()


def test_what_the_folder_holds():
    assert NAMES == ("align", "focus", "lexicon", "mean", "random")
    needs = {name: registry.module("embedding_inits", name).NEEDS for name in NAMES}
    assert needs == {
        "align": ("pairs",),
        "focus": ("lines",),
        "lexicon": ("lexicon",),
        "mean": (),
        "random": (),
    }


@pytest.mark.parametrize("name", NAMES)
def test_every_way_gives_finite_rows_of_usual_length_and_says_where_from(name):
    asked = start()
    started = registry.module("embedding_inits", name).rows(asked)
    assert started.values.shape == (NEW_PIECES, WIDTH)
    assert started.values.dtype == np.float32
    assert np.isfinite(started.values).all()
    low, high = norm_range(asked.table)
    norms = np.linalg.norm(started.values, axis=1)
    assert (norms > 0.5 * low).all()
    assert (norms < 1.5 * high).all()
    assert len(started.provenance) == NEW_PIECES
    expected = name if name != "lexicon" else "align"
    assert all(line.startswith(expected) and "\n" not in line for line in started.provenance)


@pytest.mark.parametrize("name", NAMES)
def test_every_way_is_deterministic_and_leaves_the_table_alone(name):
    plugin = registry.module("embedding_inits", name)
    asked = start()
    before = asked.table.copy()
    once, again = plugin.rows(asked), plugin.rows(start())
    np.testing.assert_array_equal(once.values, again.values)
    assert once.provenance == again.provenance
    np.testing.assert_array_equal(asked.table, before)


@pytest.mark.parametrize("name", NAMES)
def test_every_way_copes_with_nothing_to_go_by(name):
    bare = start(old=((),) * NEW_PIECES, lines=(), pairs=(), lexicon=(), unknown_id=None)
    started = registry.module("embedding_inits", name).rows(bare)
    assert np.isfinite(started.values).all()
    assert set(started.provenance) == {"random"}


@pytest.mark.parametrize("name", ["align", "lexicon", "focus"])
def test_rows_are_those_of_what_the_piece_stands_for(name):
    asked = start()
    started = registry.module("embedding_inits", name).rows(asked)
    old = asked.table / np.maximum(np.linalg.norm(asked.table, axis=1, keepdims=True), 1e-9)
    nearest = (started.values @ old.T).argmax(axis=1)
    assert nearest.tolist() == [10 + i for i in range(NEW_PIECES)]


def test_mean_is_that_of_the_known_pieces_at_their_length():
    asked = start(old=((4, 5, UNKNOWN), *[(UNKNOWN,)] * (NEW_PIECES - 1)))
    started = mean.rows(asked)
    both = asked.table[[4, 5]]
    direction = both.mean(axis=0)
    expected = direction / np.linalg.norm(direction) * np.linalg.norm(both, axis=1).mean()
    np.testing.assert_allclose(started.values[0], expected, rtol=1e-5)
    assert started.provenance[:2] == ("mean of 2: 4 5", "random")
    np.testing.assert_array_equal(started.values[1:], random.rows(asked).values[1:])


def test_random_rows_have_the_moments_of_the_used_ones():
    generator = np.random.default_rng(1)
    table = generator.normal(3, 0.5, (500, 8)).astype(np.float32)
    table[:100] = 0
    table[400:] = 99  # spare rows behind the vocabulary
    many = matched_moments(start(table=table, first_id=400), 20_000)
    np.testing.assert_allclose(many.mean(axis=0), table[100:400].mean(axis=0), atol=0.02)
    np.testing.assert_allclose(many.std(axis=0), table[100:400].std(axis=0), atol=0.02)


def test_the_seed_changes_random_rows():
    assert not np.array_equal(random.rows(start()).values, random.rows(start(seed=1)).values)


def test_specials_and_pieces_without_a_row_are_no_source():
    pairs = [(np.array([FIRST]), np.array([0, 2, FIRST + 500]))] * 20
    assert align.rows(start(pairs=[pairs])).provenance[0].startswith("mean of 2")
    assert lexicon.rows(start(lexicon=[pairs])).provenance[0].startswith("mean of 2")


def test_ibm_1_recovers_an_alignment_that_is_known():
    """Words of a toy language, each said by one English word, in shuffled order and with articles
    that nothing says."""
    draw = draws.Random(3)
    articles, frequencies = (1, 2), [1 / (rank + 1) for rank in range(60)]
    pairs: list[Pair] = []
    for _ in range(600):
        words = draw.choices(range(60), frequencies, k=draw.randint(2, 9))
        english = [x for w in words for x in (draw.choice(articles), 100 + w)]
        pairs.append(
            (np.array([500 + w for w in draw.sample(words, len(words))]), np.array(english))
        )
    found = alignment.align(pairs)
    firsts = np.flatnonzero(np.diff(found.target, prepend=-1))
    best = dict(zip(found.target[firsts].tolist(), found.pivot[firsts].tolist(), strict=True))
    seen = {int(w) for target, _ in pairs for w in target}
    right = sum(best[w] == w - 400 for w in seen)
    assert right >= 0.97 * len(seen)
    frequent = [500 + w for w in range(30)]
    assert all(best[w] == w - 400 for w in frequent)


def test_languages_are_aligned_each_by_itself():
    """Two languages that say the same English: together they would share its probability."""
    draw = draws.Random(5)
    texts: list[list[Pair]] = [[], []]
    for number in range(400):
        words = draw.sample(range(30), 4)
        shift = 500 + 100 * (number % 2)
        texts[number % 2].append(
            (np.array([shift + w for w in words]), np.array([100 + w for w in words]))
        )
    each = alignment.align_each(texts)
    alone = [alignment.align(pairs) for pairs in texts]
    np.testing.assert_array_equal(each.target, np.concatenate([a.target for a in alone]))
    np.testing.assert_allclose(each.weight, np.concatenate([a.weight for a in alone]))
    together = alignment.align([*texts[0], *texts[1]])
    assert together.weight.max() < 0.75 < each.weight.max()
    # a type of both is the mean of its alignments, by tokens
    both = alignment.align_each([texts[0], texts[0][:100]])
    ids, first = np.unique(both.target, return_index=True)
    assert ids.tolist() == np.unique(alone[0].target).tolist()
    assert (both.pivot[first] == ids - 400).mean() > 0.95
    assert not len(alignment.align_each([]).weight)


def test_ibm_1_leaves_out_empty_and_overlong_lines():
    fine = (np.array([7]), np.array([8]))
    empty = np.array([], dtype=np.int64)
    endless = np.zeros(alignment.LONGEST + 1, dtype=np.int64)
    for bad in [(empty, fine[1]), (fine[0], empty), (endless, fine[1]), (fine[0], endless)]:
        found = alignment.align([bad, fine, fine])
        assert (found.target.tolist(), found.pivot.tolist()) == ([7], [8])
    assert not len(alignment.align([]).weight)


LINE = arrays.arrays(np.int64, st.integers(0, 6), elements=st.integers(0, 9))


@given(st.lists(st.tuples(LINE, LINE), max_size=12))
def test_alignment_weights_are_probabilities_sorted_by_target(pairs):
    found = alignment.align(pairs)
    assert np.isfinite(found.weight).all()
    assert ((found.weight >= 0) & (found.weight <= 1 + 1e-9)).all()
    assert (np.diff(found.target) >= 0).all()
    meet = {(int(a), int(b)) for t, p in pairs for a in t for b in p}
    assert set(zip(found.target.tolist(), found.pivot.tolist(), strict=True)) == meet
    for one in np.unique(found.target):
        assert (np.diff(found.weight[found.target == one]) <= 0).all()


@given(
    arrays.arrays(np.float32, (6, 4), elements=st.floats(-5, 5, width=32)),
    arrays.arrays(np.float64, 6, elements=st.floats(0.01, 1)),
)
def test_a_mix_is_as_long_as_its_parts(table, weights):
    row = mixed(table, np.arange(6), weights)
    assert np.isfinite(row).all()
    norms = np.linalg.norm(table, axis=1)
    assert np.linalg.norm(row) <= norms.max() * (1 + 1e-4) + 1e-6


@given(arrays.arrays(np.float64, st.integers(1, 30), elements=st.floats(-1, 1)))
def test_sparsemax_is_the_nearest_point_of_the_simplex(scores):
    weights = focus.sparsemax(scores)
    assert weights.sum() == pytest.approx(1)
    assert (weights >= 0).all()
    # what it must fulfil to be nearest: one threshold for all that are inside
    inside = weights > 0
    threshold = (scores - weights)[inside]
    np.testing.assert_allclose(threshold, threshold[0], atol=1e-9)
    assert (scores[~inside] <= threshold[0] + 1e-9).all()


def test_focus_mixes_few_pieces_of_the_text_and_no_special():
    asked = start()
    started = focus.rows(asked)
    used = {int(i) for line in asked.lines for i in line}
    for line in started.provenance:
        head, _, made = line.partition(": ")
        count = int(head.removeprefix("focus of "))
        ids = [int(part.split(":")[0]) for part in made.split(" and ")[0].split()]
        assert 0 < count < len(used)
        assert set(ids) <= {i for i in used if i < FIRST} - SPECIAL
    assert "mean" not in " ".join(started.provenance)


def test_focus_falls_back_to_the_mean_where_a_piece_is_too_rare():
    asked = start()
    lines = [line[line != FIRST] for line in asked.lines]
    started = focus.rows(start(lines=[*lines, np.array([24, FIRST])]))
    assert started.provenance[0] == "mean of 2: 4 5"
    assert started.provenance[1].startswith("focus of ")
    np.testing.assert_array_equal(started.values[0], mean.rows(asked).values[0])


@given(st.lists(LINE, max_size=20))
def test_static_vectors_are_of_unit_length_and_of_frequent_tokens(lines):
    vectors = static.train(lines, seed=0)
    tokens = np.concatenate([*lines, np.zeros(0, dtype=np.int64)])
    types, counts = np.unique(tokens, return_counts=True)
    assert set(vectors.ids.tolist()) <= set(types[counts >= static.LEAST_COUNT].tolist())
    assert vectors.unit.shape[0] == len(vectors.ids)
    np.testing.assert_allclose(np.linalg.norm(vectors.unit, axis=1), 1, atol=1e-6)


def test_static_vectors_tell_company():
    """Tokens 0 and 1 stand among the same others, 2 among others still."""
    draw = draws.Random(0)
    lines = []
    for _ in range(300):
        one, others = draw.choice([(0, range(10, 20)), (1, range(10, 20)), (2, range(20, 30))])
        lines.append(np.array([*draw.sample(others, 2), one, *draw.sample(others, 2)]))
    vectors = static.train(lines, seed=0)
    alike = vectors.unit @ vectors.unit.T
    assert alike[0, 1] > 0.7
    assert alike[0, 2] < 0.3


def test_alignment_uses_no_more_lines_than_memory_allows(monkeypatch):
    from lowres import alignment

    draw = np.random.default_rng(0)
    pairs = [(draw.integers(0, 9, 5), draw.integers(0, 9, 4)) for _ in range(30)]
    expected = alignment.align(pairs[:10])
    monkeypatch.setattr(alignment, "MOST_MEETINGS", 10 * 5 * 4)
    found = alignment.align(pairs)
    np.testing.assert_array_equal(found.target, expected.target)
    np.testing.assert_array_equal(found.weight, expected.weight)
