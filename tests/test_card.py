"""The card of a published adapter, whole as a golden, and with hostile words in it."""

from __future__ import annotations

import dataclasses
import re

import pytest
from hub_cards import check
from huggingface_hub import ModelCard
from results_factory import make_results

from lowres import card, licences
from lowres.card import Facts

FACTS = Facts(
    repo_id="ada/topics",
    seed=1,
    license="cc-by-sa-4.0",
    base_id="intfloat/multilingual-e5-small",
    authors=("Ada Lovelace",),
    intended_use="",
    data=(licences.of("Davlan/sib200", {}), licences.of("mydata/{lang}.tsv", {})),
    datasets=("Davlan/sib200",),
    extended=0,
    megabytes=6.25,
    per_language=(),
    rebuilt_tolerance=None,
    command="lowres run recipe.yaml seeds=1",
    year=2026,
)
EVIL = "<script>alert(1)</script> | # *x* `y` [z](javascript:a) ![i](//e) $m$ {{ 1 }} &amp;\n---\n"


def drawn(results=None, **changes):
    return card.render(results or make_results(), dataclasses.replace(FACTS, **changes))


def metadata(text):
    """As the Hub's own client reads it."""
    return ModelCard(text).data.to_dict()


def test_a_whole_card(golden):
    golden("card.md", drawn())


def test_a_card_with_everything(golden):
    everything = {
        "extended": 3000,
        "authors": ("Ada Lovelace", "Anders & Band, Inc."),
        "intended_use": "Sorting news of the radio.",
        "per_language": ("tzm_Tfng", "yor_Latn"),
        "rebuilt_tolerance": 0.5,
    }
    recipe = make_results().recipe | {"task": {"name": "tagging"}}
    base = make_results().base.model_copy(update={"revision": "fd1525a9" * 5})
    golden("card_full.md", drawn(make_results(recipe=recipe, base=base), **everything))


def test_the_hub_takes_the_metadata():
    text = drawn()
    verdict = check(text)
    assert (verdict.errors, verdict.warnings) == ([], [])
    found = metadata(text)
    assert found["library_name"] == "peft"
    assert found["base_model"] == "intfloat/multilingual-e5-small"
    assert found["license"] == "cc-by-sa-4.0"
    assert found["datasets"] == ["Davlan/sib200"]
    assert "yo" in found["language"]
    (model,) = found["model-index"]
    languages = {r["dataset"]["config"] for r in model["results"]}
    assert languages == {record.code for record in make_results().languages}


@pytest.mark.parametrize("task", ["classification", "pairs", "tagging"])
def test_the_python_in_it_is_python(task):
    recipe = make_results().recipe | {"task": {"name": task}}
    text = drawn(make_results(recipe=recipe), extended=5)
    (block,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    compile(block, "card", "exec")


def prose(text):
    """The card without its metadata and its blocks of code."""
    body = ModelCard(text).text
    return re.sub(r"```\w+\n.*?```", "", body, flags=re.DOTALL)


def test_hostile_words_stay_words():
    results = make_results(labels=[EVIL, "good"], warnings=[EVIL])
    results = results.model_copy(
        update={"recipe": results.recipe | {"name": EVIL, "question": EVIL}}
    )
    data = (licences.DataLicence(EVIL, None, EVIL),)
    text = drawn(results, data=data, intended_use=EVIL, datasets=(), authors=(EVIL,))
    assert check(text).errors == []
    assert metadata(text)["model-index"][0]["results"][0]["dataset"]["type"] == " ".join(
        EVIL.split()
    )
    body = prose(text)
    assert "<script" not in body
    assert "<" not in re.sub(r"\\<", "", body)
    for markup in ("*x*", "`y`", "[z]", "![i]", "$m$", "{{"):
        assert not re.search(rf"(?<!\\){re.escape(markup)}", body), markup
    assert "\\{\\{ 1 \\}\\} &amp;amp; ---" in body
    rows = [line for line in body.splitlines() if line.startswith("| English")]
    # nothing of it starts a line
    assert len(rows) == 1
    assert not re.search(r"^---$", body, re.MULTILINE)


@pytest.mark.parametrize("label", ["no", "null", "a: b", "- x", "'", "1e3", "ᏣᎳᎩ", "\u202eabc"])
def test_odd_labels_are_shown(label):
    text = drawn(make_results(labels=[label, "b"]))
    assert check(text).errors == []
    assert f"Labels: {card.markdown(label)}, b." in text


def test_bibtex():
    assert card.bibtex("a_b & {c} 50% \\x ~ ^\n#$") == (
        r"a\_b \& \{c\} 50\% \textbackslash{}x \textasciitilde{} \textasciicircum{} \#\$"
    )
    text = drawn(authors=("Ada and Sons", "Müller", "Doe, Jane"))
    assert "author = {{Ada and Sons} and Müller and Doe, Jane}," in text


def test_who_is_served_badly_is_said():
    text = drawn()
    (line,) = [x for x in text.splitlines() if x.startswith("- **Do not rely on it for**")]
    assert "N’Ko (negative transfer)" in line
    assert "Tamazight (no better than TF-IDF)" in line


def test_scores_that_are_no_numbers_are_left_out_of_the_metadata():
    results = make_results()
    scores = [s.model_copy(update={"value": float("nan")}) for s in results.scores]
    text = drawn(results.model_copy(update={"scores": scores}))
    assert check(text).errors == []
    assert ".nan" not in text
