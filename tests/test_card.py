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


@pytest.mark.parametrize(
    ("strategy", "starts", "lora"),
    [
        ("gradual", "A LoRA adapter of [", True),
        ("full", "The fine-tuned weights of [", False),
        ("probe", "A task head on the frozen weights of [", False),
        ("someday", "An adapter of [", False),
    ],
)
def test_what_was_trained_is_said(strategy, starts, lora):
    recipe = make_results().recipe | {"train": {"strategy": {"name": strategy}}}
    text = drawn(make_results(recipe=recipe))
    assert f"\n{starts}" in text
    assert ("lora" in metadata(text)["tags"]) == lora


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
    assert card.bibtex("Ada\u202e \x07Lovelace") == "Ada Lovelace"
    text = drawn(authors=("Ada and Sons", "Müller", "Doe, Jane"))
    assert "author = {{Ada and Sons} and Müller and Doe, Jane}," in text


def badly(text):
    """The bullets of those it should not be relied on for."""
    begun = text.partition("**Do not rely on it without a check of your own in:**")[2]
    body = begun.partition("Of all languages:")[0]
    return [line for line in body.splitlines() if line.startswith("- ")]


def test_who_is_served_badly_is_said():
    text = drawn()
    lines = badly(text)
    assert [line.partition(" (")[0] for line in lines] == ["- Central Atlas Tamazight", "- N’Ko"]
    assert "(`tzm_Tfng`), 0.113 (0.070 to 0.156): no better than TF-IDF" in lines[0]
    assert "less than half of the source's 0.894" in lines[0]
    assert "negative transfer; below the frozen base (0.091)" in lines[1]
    (taught,) = [line for line in text.splitlines() if "labels of the language itself" in line]
    assert "Yoruba (0.634 against 0.620)" in taught
    assert "Hausa" not in taught


def changed(code, role="target", **systems):
    """The usual results, but for the scores of one language; seed 1 is the one published."""
    results = make_results()
    scores = []
    for score in results.scores:
        value = systems.get(score.system) if score.language == code else None
        if value is not None and score.seed in (None, 1):
            low, high = value - 0.05, value + 0.05
            score = score.model_copy(update={"value": value, "low": low, "high": high})
        scores.append(score)
    return results.model_copy(update={"scores": scores})


@pytest.mark.parametrize(
    ("code", "systems", "says"),
    [
        # transfers, says the verdict, and yet the frozen base does better
        ("hau_Latn", {"adapter": 0.53, "probe": 0.534}, "below the frozen base (0.534)."),
        ("hau_Latn", {"adapter": 0.47, "probe": 0.534}, "(0.534), and so is the upper end."),
        ("hau_Latn", {"adapter": 0.53, "tfidf": 0.6}, "below TF-IDF (0.600), and so"),
        ("hau_Latn", {"adapter": 0.44, "probe": 0.1}, "less than half of the source's 0.894."),
        ("eng_Latn", {"adapter": 0.86}, "below the frozen base (0.871)."),
    ],
)
def test_a_language_below_a_baseline_or_half_of_the_source(code, systems, says):
    (line,) = [x for x in badly(drawn(changed(code, **systems))) if code in x]
    assert says in f"{line}."
    figure = f"{systems['adapter']:.3f} ({systems['adapter'] - 0.05:.3f} to "
    assert figure in line


def test_a_language_that_is_not_judged_is_named():
    results = make_results()
    verdicts = [
        v.model_copy(update={"verdict": "not judged", "reason": "accuracy 0.8 (n 9): no baseline"})
        for v in results.verdicts
        if v.language == "hin_Deva"
    ]
    lines = badly(drawn(results.model_copy(update={"verdicts": verdicts})))
    assert len(lines) == 10, "nine targets without a verdict are not judged either"
    (hindi,) = [line for line in lines if "Hindi" in line]
    assert hindi.endswith("): not judged: no baseline")


def test_nobody_is_served_badly():
    results = make_results()
    bad = ("tzm_Tfng", "nqo_Nkoo")
    fields = {"languages": "code", "scores": "language", "verdicts": "language"}
    kept = {
        name: [row for row in getattr(results, name) if getattr(row, key) not in bad]
        for name, key in fields.items()
    }
    text = drawn(results.model_copy(update=kept))
    assert badly(text) == []
    assert "- No language of the table is below a baseline or below half" in text


def test_the_base_is_pinned_to_what_was_probed():
    """A run over a rebuilt copy knows of no commit; the one that publishes it does."""
    assert "revision=" not in drawn()
    text = drawn(base_revision="c0ffee")
    assert text.count('revision="c0ffee"') == 2
    assert "intfloat/multilingual-e5-small at `c0ffee`" in text


LOCAL = "sib200/{lang}/{split}.tsv"


def reading(**sections):
    results = make_results()
    return results.model_copy(update={"recipe": results.recipe | sections})


def test_what_the_reader_must_put_where():
    data = {"hub": "Davlan/sib200", "files": LOCAL, "names": {"eng_Latn": "english"}}
    recipe = {
        "data": data,
        "languages": {"source": "eng_Latn", "targets": ["yor_Latn", "tzm_Tfng"]},
        "text": {"files": "text/{lang}.txt", "lexicon": {"tzm_Tfng": "ber.tsv"}},
        "tokenizer": {"extend": {"keep": ["old.txt"], "prebuilt": ["tzm_Tfng", "my/pieces"]}},
        "train": {
            "augment": [
                {"name": "code_switch", "lexicon": "words/{lang}.tsv"},
                {"name": "entity_swap", "entities": {"tzm_Tfng": "names.tsv"}},
            ]
        },
    }
    text = drawn(reading(**recipe))
    listed = text.partition("It reads files that are not here")[2].partition("```")[0]
    lines = [line for line in listed.splitlines() if line.startswith("- ")]
    assert lines == [
        "- `sib200/{lang}/{split}.tsv`: labelled data, train, dev, test of eng\\_Latn; test of "
        "yor\\_Latn, tzm\\_Tfng; \\{lang\\} is english for eng\\_Latn",
        "- `text/{lang}.txt`: raw text, one sentence a line: yor\\_Latn, tzm\\_Tfng",
        "- `ber.tsv`: word lists: tzm\\_Tfng",
        "- `old.txt`: text whose pieces stay as they are",
        "- `my/pieces`: an extension of the tokenizer",
        "- `words/{lang}.tsv`: word lists of code\\_switch: yor\\_Latn, tzm\\_Tfng",
        "- `names.tsv`: names for entity\\_swap: tzm\\_Tfng",
    ]
    wanted = (
        "For Davlan/sib200 of the Hub in place of labelled data in files, add `data.files=null`"
    )
    assert wanted in text


def test_what_is_in_lowres_or_on_the_hub_need_not_be_put_anywhere():
    for data in ({"hub": "Davlan/sib200"}, {"files": "lowres:demo/{lang}/{split}.tsv"}):
        text = drawn(reading(data=data))
        assert "Again, from the `recipe.yaml` in this repository:" in text
        assert "files=null" not in text


def test_licences_of_the_data_are_said_as_far_as_they_are_known():
    data = (
        licences.DataLicence("ada/set", None, "", hub=True),
        licences.DataLicence("x/{lang}.tsv", None),
        licences.of("Davlan/sib200", {}),
    )
    text = drawn(data=data, license="mit")
    assert (
        "- [ada/set](https://huggingface.co/datasets/ada/set): licence not known to lowres, "
        "see its page\n"
    ) in text
    assert "- x/\\{lang\\}.tsv: licence not stated\n" in text
    assert "Davlan/sib200 is cc-by-sa-4.0, share-alike" in text
    assert "share-alike" not in drawn(license="cc-by-sa-4.0")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("see https://evil.example/x now", "see `https://evil.example/x` now"),
        ("www.evil.example", "`www.evil.example`"),
        ("write to a.b@evil.example.", "write to `a.b@evil.example.`"),
        ("HTTP://x|y `z`", "`HTTP://x`\\|y \\`z\\`"),
        ("- - - x", "\\- - - x"),
        ("1. x", "1\\. x"),
        ("12) x", "12\\) x"),
        ("+ x", "\\+ x"),
        ("=== x", "\\=== x"),
        ("# x", "\\# x"),
        ("> x", "&gt; x"),
        ("    code", "code"),
        ("~~~ x", "\\~\\~\\~ x"),
        ("1.5 points - so", "1\\.5 points - so"),
        ("a\u202egnp.exe", "a\\\\u202egnp.exe"),
        ("a\u2066b\u200fc\x07", "a\\\\u2066b\\\\u200fc\\\\u0007"),
        ("نیوکلئس\u200cدو", "نیوکلئس\u200cدو"),
    ],
)
def test_free_text_makes_no_structure_and_no_link(text, shown):
    assert card.markdown(text) == shown
    from markdown_it import MarkdownIt

    html = MarkdownIt("gfm-like", {"linkify": False}).render(card.markdown(text))
    assert re.fullmatch(r"<p>[^\n]*</p>\n", html), html
    assert not re.search(r"<(?!/?p>|/?code>)", html)


def test_code_in_a_line():
    assert card.code("a|b") == "`a|b`"
    assert card.code("a`b``c\nd") == "``` a`b``c d ```"


def test_scores_that_are_no_numbers_are_left_out_of_the_metadata():
    results = make_results()
    scores = [s.model_copy(update={"value": float("nan")}) for s in results.scores]
    text = drawn(results.model_copy(update={"scores": scores}))
    assert check(text).errors == []
    assert ".nan" not in text
