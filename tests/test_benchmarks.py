"""The benchmarks' common format, and the driver on scripts that only print."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from pathlib import Path

import pytest

from lowres import registry

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "benchmarks"
GOOD = """
import json, sys
assert "--json" in sys.argv
row = {"name": "a step", "unit": "s", "lowres": 1.0, "peer": 2.0, "ratio": 0.5}
print(json.dumps({"machine": {"processor": "an abacus"}, "columns": ["ours", "theirs"],
                  "notes": ["by hand"], "rows": [row]}))
"""


@pytest.fixture
def tables(monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER))
    return importlib.import_module("tables")


@pytest.fixture
def driver(tables):
    return importlib.import_module("all")


@pytest.fixture
def scripts(tmp_path):
    """A folder in place of benchmarks/, where two scripts do well."""
    folder = tmp_path / "scripts"
    folder.mkdir()
    for name in ("start_up", "packing"):
        (folder / f"{name}.py").write_text(GOOD, encoding="utf-8")
    return folder


def run(driver, scripts, out, *more):
    words = ["--quick", "--only", "start_up", "packing", "--out", str(out), *more]
    return driver.main(words, scripts)


def test_a_row_has_a_ratio_only_where_both_sides_have_a_figure(tables):
    assert tables.row("a", "s", 1.0, 2.0) == {
        "name": "a", "unit": "s", "lowres": 1.0, "peer": 2.0, "ratio": 0.5,
    }  # fmt: skip
    assert tables.row("a", "s", 1.0, None)["ratio"] is None
    assert tables.row("a", "s", 1.0, 0.0)["ratio"] is None


def test_several_measurements_have_their_median_and_range(tables):
    found = tables.measured("a", "s", [3.0, 1.0, 2.0], [4.0])
    assert (found["lowres"], found["peer"]) == (2.0, 4.0)
    assert found["lowres_range"] == [1.0, 3.0]
    assert "peer_range" not in found
    assert tables.markdown([found], ("l", "p"))[2].split(" | ")[1] == "2.000 (1.000 to 3.000)"


def test_what_is_printed_for_machines_is_read_back(tables, capsys):
    rows = [tables.row("größe", "MB", 1.0, None)]
    tables.show(rows, True, ("l", "p"), ["a note"])
    found = tables.checked(capsys.readouterr().out)
    assert found["rows"] == rows
    assert {"machine", "columns", "notes"} <= found.keys()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("Traceback", "printed no JSON"),
        ("[]", "printed no {"),
        ('{"rows": []}', "printed no {"),
        ('{"machine": {}, "rows": [{"name": "a"}]}', "a row without unit, lowres, peer, ratio"),
        (
            '{"machine": {}, "rows": [{"name": "a", "unit": "", "lowres": "1", "peer": null, '
            '"ratio": null}]}',
            "lowres is no number",
        ),
    ],
)
def test_another_format_is_refused_in_words(tables, text, said):
    with pytest.raises(ValueError, match=said):
        tables.checked(text)


def test_the_driver_keeps_what_scripts_print(driver, scripts, tmp_path, capsys):
    assert run(driver, scripts, tmp_path / "out") == 0
    kept = json.loads((tmp_path / "out" / "packing.json").read_text(encoding="utf-8"))
    assert kept["command"] == "python benchmarks/packing.py --quick"
    assert kept["rows"][0]["ratio"] == 0.5
    assert "failed" not in kept
    page = (tmp_path / "out" / "README.md").read_text(encoding="utf-8")
    printed = capsys.readouterr().out
    for text in ("## start_up", "| a step, s | 1.000 | 2.000 | 0.500 |", "- by hand", "an abacus"):
        assert text in page
        assert text in printed


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("raise SystemExit(3)", "exit status 3"),
        ("print('a table')", "printed no JSON"),
        ("import time; time.sleep(60)", "took longer than 5 s"),
    ],
)
def test_a_failed_script_stops_no_other(driver, scripts, tmp_path, capsys, script, said):
    (scripts / "start_up.py").write_text(script, encoding="utf-8")
    limit = ["--limit-s", "5"] if "sleep" in script else []
    assert run(driver, scripts, tmp_path / "out", *limit) == 1
    shown = capsys.readouterr()
    assert "failed: start_up" in shown.err
    assert said in shown.err
    assert (tmp_path / "out" / "packing.json").is_file()
    page = (tmp_path / "out" / "README.md").read_text(encoding="utf-8")
    assert f"`python benchmarks/start_up.py --quick`): {said}" in page


def test_figures_of_an_earlier_run_stay_where_a_script_fails(driver, scripts, tmp_path):
    out = tmp_path / "out"
    assert run(driver, scripts, out) == 0
    (scripts / "packing.py").write_text("raise SystemExit(1)", encoding="utf-8")
    assert run(driver, scripts, out) == 1
    kept = json.loads((out / "packing.json").read_text(encoding="utf-8"))
    assert kept["rows"][0]["lowres"] == 1.0
    assert kept["failed"]["because"] == "exit status 1"
    (scripts / "packing.py").write_text(GOOD, encoding="utf-8")
    assert run(driver, scripts, out) == 0
    assert "failed" not in json.loads((out / "packing.json").read_text(encoding="utf-8"))


def test_tables_go_into_the_marked_blocks_of_a_page(driver, scripts, tmp_path):
    run(driver, scripts, tmp_path / "out")
    blocks = [f"<!-- bench: {name} -->\nold\n<!-- /bench -->" for name in ("packing", "growth")]
    page = "before\n" + "\nbetween\n".join(blocks) + "\nafter\n"
    found = driver.page_with_tables(page, tmp_path / "out")
    assert "| a step, s | 1.000 | 2.000 | 0.500 |" in found
    assert "Not measured yet." in found
    assert "old" not in found
    places = [found.index(word) for word in ("before", "between", "after")]
    assert places == sorted(places)
    assert driver.page_with_tables(found, tmp_path / "out") == found


def test_pages_show_the_results_that_are_committed(driver):
    pages = driver.pages(driver.RESULTS)
    named = {str(page.relative_to(ROOT)) for page in pages}
    assert named >= {"benchmarks/results/README.md", "docs/performance.md"}
    assert "docs/explanation/eight-bit.md" in named
    for page, text in pages.items():
        assert page.read_text(encoding="utf-8") == text, "python benchmarks/all.py --write-docs"


def test_write_docs_writes_every_page_with_a_block(driver, scripts, tmp_path, monkeypatch):
    out, docs = tmp_path / "out", tmp_path / "docs"
    run(driver, scripts, out)
    (out / "README.md").unlink()
    (docs / "deep").mkdir(parents=True)
    block = "<!-- bench: packing -->\nold\n<!-- /bench -->\n"
    marked = [docs / "one.md", docs / "deep" / "two.md"]
    for page in marked:
        page.write_text(block, encoding="utf-8")
    (docs / "plain.md").write_text("old\n", encoding="utf-8")
    monkeypatch.setattr(driver, "DOCS", docs)
    assert driver.main(["--write-docs", "--out", str(out)]) == 0
    for page in (*marked, out / "README.md"):
        assert "| a step, s | 1.000 | 2.000 | 0.500 |" in page.read_text(encoding="utf-8")
    assert (docs / "plain.md").read_text(encoding="utf-8") == "old\n"


@pytest.mark.parametrize(
    ("words", "among"),
    [([], False), (["--long"], True), (["--quick"], True), (["--only", "overhead"], True)],
)
def test_what_half_an_hour_has_no_room_for_is_asked_for(
    driver, scripts, tmp_path, monkeypatch, words, among
):
    asked = []
    (tmp_path / "out").mkdir()
    monkeypatch.setattr(driver, "keep", lambda folder, bench, *_: asked.append(bench.name) or True)
    assert driver.main([*words, "--out", str(tmp_path / "out")], scripts) == 0
    assert ("overhead" in asked, "packing" in asked) == (among, "--only" not in words)
    assert ("adapters_side" in asked) == (words in (["--long"], ["--quick"]))


def test_make_bench_trains_less_than_what_is_committed(driver):
    (bench,) = (bench for bench in driver.BENCHES if bench.name == "finetune")
    assert driver.command(bench, quick=False, long=False)[-2:] == ["--rounds", "2"]
    assert driver.command(bench, quick=False, long=True)[2:] == ["--scores"]


def test_every_script_of_the_driver_has_the_common_format(driver):
    for bench in driver.BENCHES:
        text = (FOLDER / f"{bench.name}.py").read_text(encoding="utf-8")
        assert "tables.show(" in text, bench.name
        assert '"--json"' in text or "tables.arguments(__doc__)" in text, bench.name


def leave():
    """Dies as a process does whose memory the kernel takes."""
    import os

    os._exit(9)


@pytest.mark.slow
def test_a_side_that_dies_is_an_error(tables):
    alone = importlib.import_module("alone")
    with pytest.raises(RuntimeError, match="leave: its process ended with 9"):
        alone.call(leave)


def test_what_a_process_keeps_is_less_than_what_is_resident(tables, tmp_path):
    """A file of 64 MB that is mapped and read whole; of its two tensors one is still there."""
    import numpy as np
    import torch

    alone = importlib.import_module("alone")
    file = tmp_path / "weights"
    np.ones(16 * 2**20, dtype=np.float32).tofile(file)
    kept, resident = alone.kept_mb(), alone.held_from_here()
    mapped = torch.from_numpy(np.memmap(file, dtype=np.float32, mode="c"))
    made = torch.ones(4 * 2**20)
    assert float(mapped.amax()) == float(made.amax())
    left = mapped[: 8 * 2**20]
    assert alone.mapped_mb([left, made]) == 32
    assert alone.kept_mb([left, made]) - kept == pytest.approx(48, abs=4)
    assert alone.held_from_here() - resident == pytest.approx(80, abs=4)
    more = torch.ones(8 * 2**20)
    del more
    assert alone.most_held() - resident == pytest.approx(112, abs=4)


@pytest.mark.parametrize(
    ("capability", "lacks"), [((7, 0), ["bf16", "8bit"]), ((7, 5), ["bf16"]), ((8, 0), [])]
)
def test_a_format_that_a_card_lacks_is_no_lack_of_memory(tables, capability, lacks):
    gpu = importlib.import_module("gpu")
    assert [form for form in gpu.FORMATS if gpu.missing(form, capability)] == lacks


def test_a_side_without_scores_is_said_to_have_none(tables):
    finetune = importlib.import_module("finetune")
    scored = {"rate": 1.0, "peak": 1.0, "dev": 0.5, "test": 0.5}
    found = {"lowres": [scored] * 3, "best": [scored] * 3}
    assert not [note for note in finetune.notes(found) if "no scores" in note]
    found["defaults"] = [{"rate": 1.0, "peak": 1.0}] * 3
    assert [note for note in finetune.notes(found) if "no scores" in note]


def test_a_second_attempt_counts_as_steps_that_were_taken(tables):
    finetune = importlib.import_module("finetune")
    given = finetune.Training("lowres", 1, 3, 2, False)
    assert finetune.sentences_trained(given, 176, 11) == 176
    assert finetune.sentences_trained(given, 176, 22) == 2 * 176
    assert finetune.sentences_trained(given, 351, 66) == 3 * 351


@pytest.mark.data
def test_growth_takes_sentences_of_the_same_lengths(tables, shared_data):
    """The ratio is of times: a sixteenth must not be one language's."""
    growth = importlib.import_module("growth")
    assert growth.SHARES == (16, 1)
    lengths = [len(text) for text, _ in growth.sentences(4096)]
    assert sum(lengths) / sum(lengths[::16]) == pytest.approx(16, rel=0.02)


@pytest.fixture
def augment(tables):
    return importlib.import_module("augment")


def answered(way, seed, said, data="topics"):
    gold = ["a", "b"] * 20
    answers = {code: {"gold": gold, "said": said} for code in ("lug_Latn", "wol_Latn")}
    more = {"metric": "macro_f1", "labels": ["a", "b"], "dev": 0.5, "status": "ok", "steps": 3}
    more |= {"examples": [4, 4], "cpu_seconds": [1, 1]}
    return {"data": data, "way": way, "seed": seed, "answers": answers, **more}


def test_every_way_to_augment_is_compared(augment):
    named = {each["name"] for ways in augment.WAYS.values() for each in ways}
    assert named == set(registry.names("augmentations"))
    kinds = [recipe for recipe, _ in augment.SETS.values()]
    assert len(kinds) == 4
    assert sum(augment.fits(name, "entity_swap") for name in augment.SETS) == 2


def test_a_way_is_set_against_none_of_the_same_seeds(augment, tmp_path):
    right, half = ["a", "b"] * 20, ["a", "b"] * 10 + ["b", "a"] * 10
    cells = [
        answered("none", 1, half),
        answered("none", 2, right),
        answered("word_dropout", 1, right),
    ]
    for cell in cells:
        file = augment.file_of(tmp_path, cell["data"], cell["way"], cell["seed"])
        file.write_text(json.dumps(cell), encoding="utf-8")
    (tmp_path / "rows.json").write_text('{"rows": []}', encoding="utf-8")
    before = [{"data": "other", "way": "none"}, {"data": "topics", "way": "code_switch"}]
    none, dropout, other = sorted(
        augment.rows_of(augment.cells_of(tmp_path), before), key=lambda row: row["data"] == "other"
    )
    assert (none["way"], none["seeds"], none["mean"]) == ("none", [1, 2], 0.75)
    assert "against_none" not in none
    assert dropout["scores"] == {"lug_Latn": 1.0, "wol_Latn": 1.0}
    # seed 2 of none has no partner
    delta, low, high, p = dropout["against_none"]
    assert delta == 0.5
    assert 0.2 < low < 0.5 < high < 0.8
    assert p < 0.01
    assert other == before[0]


@pytest.fixture
def translated(tables):
    return importlib.import_module("translated")


def test_a_cell_of_translations_is_a_recipe(translated, monkeypatch):
    from lowres.recipe_loading import load

    monkeypatch.chdir(ROOT)
    monkeypatch.setattr("real_data.DATA", ROOT / "tests")
    for recipe in translated.TARGETS:
        words = translated.command(recipe, "together", 2, Path("out"), quick=False)
        found = load(recipe, [word for word in words[3:] if "=" in word])
        assert found.seeds == (2,)
        assert found.translated.together
        assert found.languages.targets == translated.TARGETS[recipe]
        for use in ("train", "test"):
            path = found.translated.path(use, found.languages.targets[0])
            assert path.startswith("tests/"), path
            assert "{" not in path


def test_a_table_of_translations(translated):
    def cell(gain):
        scores = {
            "adapter": {"x": [0.5, 0.4, 0.6], "s": [0.9, 0.8, 1.0]},
            "translate-train": {"x": [0.5 + gain, 0.4, 0.7]},
        }
        gains = {"translate-train": {"x": [gain, gain - 0.1, gain + 0.1]}}
        return {"targets": ["x"], "source": ["s"], "scores": scores, "gains": gains}

    kept = {"topics-sib200/apart/1": cell(0.1), "topics-sib200/apart/2": cell(0.2)}
    lines = translated.table(kept)[2:]
    assert lines == [
        "| topics-sib200 | apart | adapter | 2 | 0.500 ± 0.000 | | |",
        "| topics-sib200 | apart | translate-train | 2 | 0.650 ± 0.071 | +15.0 (+10.0, +20.0; "
        "+0.0 to +20.0) | x +15.0, x +15.0 |",
    ]


def test_processes_that_share_a_file_of_cells_lose_none(tables, tmp_path):
    cells = importlib.import_module("cells")
    file = tmp_path / "results" / "quality.json"
    assert cells.read(file) == {}
    program = (
        f"import sys; sys.path.insert(0, {str(FOLDER)!r}); import cells; from pathlib import Path\n"
        "for number in range(40): "
        "cells.keep(Path(sys.argv[1]), {f'{sys.argv[2]}/{number}': {'score': number}})"
    )
    words = [sys.executable, "-c", program, str(file)]
    both = [subprocess.Popen([*words, name]) for name in ("a", "b")]
    assert [one.wait() for one in both] == [0, 0]
    assert len(cells.read(file)) == 80
    cells.keep(file, {"a/1": {"score": 0.5}})
    assert cells.read(file)["a/1"] == {"score": 0.5}
    assert {path.name for path in file.parent.iterdir()} == {"quality.json", "quality.lock"}
