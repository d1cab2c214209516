from __future__ import annotations

from collections.abc import Sequence

import pytest

from lowres import labels
from lowres.columns import Part
from lowres.errors import DataError
from lowres.labels import LabelMap
from lowres.readers import Table


def part(gold: Sequence[object], language: str = "swh_Latn", split: str = "test") -> Part:
    field = "tags" if isinstance(gold[0], list) else "label"
    ids = [str(i) for i in range(len(gold))]
    table = Table((field,), [(None,)] * len(gold), range(1, len(gold) + 1), (), "x.tsv")
    columns = {"id": ids, field: list(gold)}
    return Part(language, split, columns, table, range(len(gold)), ())


@pytest.mark.parametrize(
    ("renames", "expected"),
    [
        ({"DATE": None}, ["O", "O", "B-PER"]),
        ({"B-DATE": None}, ["O", "I-DATE", "B-PER"]),
        ({"DATE": "TIME", "PER": "O"}, ["B-TIME", "I-TIME", "O"]),
        ({"I-DATE": "B-DATE"}, ["B-DATE", "B-DATE", "B-PER"]),
    ],
)
def test_tags_are_renamed_whole_or_by_family(
    renames: dict[str, str | None], expected: list[str]
) -> None:
    mapped = LabelMap(renames).apply(part([["B-DATE", "I-DATE", "B-PER"]]))
    assert mapped.columns["tags"] == [expected]
    outside = expected.count("O")
    assert mapped.notes == ((f"{outside} tags made O by data.labels",) if outside else ())


def test_labels_are_renamed_or_their_examples_dropped() -> None:
    renames = LabelMap({"1": "good", "x-y": None, "typo": "good"})
    mapped = renames.apply(part(["1", "x-y", "bad", "1"]))
    assert mapped.columns == {"id": ["0", "2", "3"], "label": ["good", "bad", "good"]}
    assert mapped.notes == ("1 examples dropped by data.labels",)
    assert mapped.where(1) == "x.tsv:3"
    assert renames.unmet() == ["typo"]


@pytest.mark.parametrize(
    ("gold", "expected"),
    [
        (["b", "a", "b"], ("a", "b")),
        ([["NOUN", "ADJ"]], ("ADJ", "NOUN")),
        ([["B-PER", "O"], ["I-LOC"]], ("O", "B-LOC", "B-PER", "I-LOC", "I-PER")),
        ([["O", "X"]], ("O", "X")),
        ([["B-PER"]], ("B-PER",)),  # without O these are no BIO tags
    ],
)
def test_label_set(gold: Sequence[object], expected: tuple[str, ...]) -> None:
    assert labels.label_set([part(gold)]) == expected


def test_an_error_lists_every_label_language_and_place() -> None:
    parts = [part(["a", "c", "c"]), part(["a"]), part(["d"], "yor_Latn")]
    with pytest.raises(DataError) as caught:
        labels.align(parts, ("a", "b"), "error")
    assert str(caught.value) == (
        "labels that the source's training data (a, b) never shows: "
        "swh_Latn test: 'c' (2), first at x.tsv:2; yor_Latn test: 'd' (1), first at x.tsv:1; "
        "rename them in data.labels, or set data.unseen_labels to drop (leave those examples "
        "out) or wrong (keep them, counted as wrong); it is error now"
    )


@pytest.mark.parametrize(
    ("policy", "split", "kept", "done"),
    [
        ("drop", "test", ["a", "b"], "dropped"),
        ("wrong", "test", ["a", "c", "b"], "can only be wrong"),
        ("wrong", "train", ["a", "b"], "dropped"),
    ],
)
def test_unseen_labels(policy: str, split: str, kept: list[str], done: str) -> None:
    said = f"1 examples {done}: the source never shows c"
    (settled,), warnings = labels.align([part(["a", "c", "b"], split=split)], ("a", "b"), policy)
    assert settled.columns["label"] == kept
    assert settled.notes == (said,)
    assert warnings == [f"swh_Latn {split}: {said} (data.unseen_labels {policy})"]


def test_an_unseen_tag_drops_its_sentence() -> None:
    (settled,), _ = labels.align([part([["O", "B-X"], ["O"]])], ("O", "B-Y", "I-Y"), "drop")
    assert settled.columns["tags"] == [["O"]]


def test_nothing_is_said_where_all_is_known() -> None:
    before = part(["a"])
    assert labels.align([before], ("a", "b"), "error") == ([before], [])


def test_sources_with_different_labels_are_named() -> None:
    english = part(["sports", "technology"], "eng_Latn", "train")
    igbo = part(["sports", "religion"], "ibo_Latn", "train")
    said = (
        r"languages.source: .* eng_Latn never shows religion; ibo_Latn never shows technology; "
        r"rename labels in data.labels"
    )
    with pytest.raises(DataError, match=said):
        labels.check_alike([english, igbo], "error")
    labels.check_alike([english, igbo], "wrong")
    labels.check_alike([english, english], "error")


def test_of_tags_the_entities_count_and_parts_of_speech_do_not() -> None:
    one = part([["B-PER", "I-PER", "O"]], "eng_Latn", "train")
    two = part([["B-PER", "O"]], "ibo_Latn", "train")
    labels.check_alike([one, two], "error")
    with pytest.raises(DataError, match="ibo_Latn never shows DATE"):
        labels.check_alike([part([["B-DATE", "B-PER", "O"]], "eng_Latn", "train"), two], "error")
    nouns = part([["NOUN", "SYM"]], "eng_Latn", "train")
    labels.check_alike([nouns, part([["NOUN", "VERB"]], "wol_Latn", "train")], "error")
