from __future__ import annotations

import numpy as np
import pytest

from lowres import token_store
from lowres.token_store import TokenStore


def letters(lines: list[str]) -> list[list[int]]:
    return [[ord(letter) for letter in line] for line in lines]


def test_any_line_at_once(tmp_path):
    lines = ["raan", "", "ŋuɔt", "\U0001e900"]
    store = TokenStore.make(tmp_path / "store", lines, letters)
    assert len(store) == 4
    assert [store[i].tolist() for i in (3, 0, 2, 1)] == [letters(lines)[i] for i in (3, 0, 2, 1)]
    assert store[0].dtype == np.int64
    assert store.lengths.tolist() == [4, 0, 4, 1]


def test_what_is_there_is_not_encoded_again(tmp_path):
    first = TokenStore.make(tmp_path, ["raan"], letters)

    def refuse(lines: list[str]) -> list[list[int]]:
        raise AssertionError("encoded again")

    again = TokenStore.make(tmp_path, ["something else"], refuse)
    assert again[0].tolist() == first[0].tolist()


def test_half_a_store_is_made_anew(tmp_path):
    """As a kill in the middle leaves it."""

    def broken(lines: list[str]) -> list[list[int]]:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        TokenStore.make(tmp_path, ["raan"], broken)
    (tmp_path / "ids.bin").write_bytes(b"\x01\x00\x00\x00" * 7)
    assert TokenStore.make(tmp_path, ["gat"], letters)[0].tolist() == letters(["gat"])[0]


@pytest.mark.parametrize("harm", ["cut", "bit", "ends", "seal", "gone"])
def test_a_damaged_store_is_made_anew_and_says_so(tmp_path, harm):
    lines, said = ["raan", "gat"], []
    TokenStore.make(tmp_path / "store", lines, letters, said.append)
    ids, ends, seal = (tmp_path / "store" / name for name in ("ids.bin", "ends.npy", "ids.json"))
    if harm == "cut":
        ids.write_bytes(ids.read_bytes()[:-4])
    elif harm == "bit":
        ids.write_bytes(b"\xff" + ids.read_bytes()[1:])
    elif harm == "ends":
        ends.write_bytes(ends.read_bytes()[:-1] + b"\x01")
    elif harm == "seal":
        seal.write_text("{")
    else:
        ids.unlink()
    again = TokenStore.make(tmp_path / "store", lines, letters, said.append)
    assert [again[i].tolist() for i in range(2)] == letters(lines)
    assert said == [f"{tmp_path / 'store' / 'ids'}: damaged; the token ids are computed again"]


@pytest.mark.parametrize("lines", [[], ["", ""]])
def test_nothing_in_it(tmp_path, lines):
    store = TokenStore.make(tmp_path, lines, letters)
    assert len(store) == len(lines)
    assert store.lengths.tolist() == [0] * len(lines)
    assert [store[i].tolist() for i in range(len(lines))] == [[]] * len(lines)


def test_lines_are_encoded_in_chunks_and_may_be_dropped(tmp_path, monkeypatch):
    monkeypatch.setattr(token_store, "CHUNK", 3)
    seen = []

    def without_b(lines: list[str]) -> list[list[int]]:
        seen.append(len(lines))
        return letters([line for line in lines if line != "b"])

    store = TokenStore.make(tmp_path, iter(["a", "b", "c", "d", "e", "b", "g"]), without_b)
    assert seen == [3, 3, 1]
    assert [chr(store[i][0]) for i in range(len(store))] == list("acdeg")
