"""`lowres adapt`: a language adapter outside any recipe, on a tiny base."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from filelock import FileLock
from test_preparation import Heard, options, study
from typer.testing import CliRunner

from lowres import adapt_alone, artifacts, bases, finished, material
from lowres.cli import app
from lowres.errors import DeviceError, Interrupted, RunError
from lowres.extend import extend
from lowres.objectives.align import Objective
from lowres.progress import Silent
from lowres.recipe import Base
from lowres.recipe_text import Extend


def arguments(folder: Path, base: Path, pieces: Path | None = None, seed: int = 1) -> Any:
    adapt, described = options(folder)
    given = Base(name=str(base), quantization="none")
    return adapt, given, described, pieces, folder / "language", seed


def extension(folder: Path, base: Path, held_out: int = 30) -> Path:
    _, described = options(folder)
    texts = material.load(described.model_copy(update={"held_out": held_out}), ())
    with artifacts.new_folder(folder / "pieces", "--out") as made:
        extend(Extend(pieces=5), bases.locate(str(base)), texts, made)
    return folder / "pieces"


class Pressed(Silent):
    def bar(self, description: str, total: int) -> Any:
        raise Interrupted("interrupted")


def test_it_goes_on_and_is_done_once(tmp_path, tiny_unigram_base):
    study(tmp_path, tiny_unigram_base)
    given = arguments(tmp_path, tiny_unigram_base)
    out = tmp_path / "language"
    with pytest.raises(Interrupted):
        adapt_alone.make(*given, Pressed())
    assert not out.exists()
    done = adapt_alone.make(*given, Silent())
    assert (out / "adapter/adapter_config.json").is_file()
    heard = Heard()
    assert adapt_alone.make(*given, heard) == done
    assert heard.lines == [f"{out}: done before"]
    with pytest.raises(RunError, match=r"--out .*: exists already"):
        adapt_alone.make(*arguments(tmp_path, tiny_unigram_base, seed=2), Silent())


def test_the_folder_says_what_made_it(tmp_path, tiny_unigram_base):
    study(tmp_path, tiny_unigram_base)
    pieces = extension(tmp_path, tiny_unigram_base)
    adapt_alone.make(*arguments(tmp_path, tiny_unigram_base, pieces), Silent())
    folder = tmp_path / "language"
    said = json.loads((folder / "adapter" / adapt_alone.MADE).read_text(encoding="utf-8"))
    assert said["base"] == {
        "name": str(tiny_unigram_base),
        "hub_id": None,
        "revision": None,
        "obtained": said["base"]["obtained"],
        "quantization": "none",
    }
    (text,) = said["texts"]
    for row, name in ((text, "tzm_Tfng.txt"), (text["translations"], "eng.txt")):
        assert row["file"] == name
        assert row["sha256"] == hashlib.sha256((tmp_path / name).read_bytes()).hexdigest()
    assert (text["held_out"], text["lexicon"]) == (30, None)
    assert said["adapt"]["batch"] == 16
    assert not said["adapt"].keys() & adapt_alone.OF_STUDIES
    assert (said["extension"]["pieces"], said["seed"]) == (5, 1)
    assert said["versions"]["torch"]
    # nothing of this machine but the base's name, which here is a path
    plain = json.dumps({key: value for key, value in said.items() if key != "base"})
    assert str(tmp_path) not in plain
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    assert f"adapter/{adapt_alone.MADE}" in manifest["outputs"]
    # and a study may stand on it
    recipe = study(
        tmp_path, tiny_unigram_base, text=None, tokenizer=None, adapt={"adapter": str(folder)}
    )
    finished.check(recipe, bases.locate(str(tiny_unigram_base)))


def test_two_at_once_into_one_folder(tmp_path, tiny_unigram_base):
    study(tmp_path, tiny_unigram_base)
    given = arguments(tmp_path, tiny_unigram_base)
    lock = tmp_path / ".language.lock"
    with (
        FileLock(lock, timeout=0),
        pytest.raises(RunError, match=r"--out .*language: another `lowres adapt` writes there"),
    ):
        adapt_alone.make(*given, Silent())
    adapt_alone.make(*given, Silent())
    assert not lock.exists()


def test_a_refusal_leaves_nothing_behind(tmp_path, tiny_unigram_base, tiny_base):
    study(tmp_path, tiny_unigram_base)
    pieces = extension(tmp_path, tiny_unigram_base)
    adapt, _, described, *_ = arguments(tmp_path, tiny_base)
    other = Base(name=str(tiny_base), quantization="none")
    with pytest.raises(RunError, match=r"--extension .*: extends another vocabulary"):
        adapt_alone.make(adapt, other, described, pieces, tmp_path / "new/out", 1, Silent())
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    ("held_out", "says"),
    [
        (20, "was learnt from 10 of the lines that are held out here"),
        (30, None),
        (35, None),
    ],
)
def test_an_extension_that_learnt_from_held_out_lines(tmp_path, tiny_unigram_base, held_out, says):
    study(tmp_path, tiny_unigram_base)
    pieces = extension(tmp_path, tiny_unigram_base, held_out)
    heard = Heard()
    adapt_alone.make(*arguments(tmp_path, tiny_unigram_base, pieces), heard)
    found = [line for line in heard.lines if "learnt from" in line]
    assert len(found) == (says is not None)
    if says:
        assert says in found[0]
        notes = json.loads((tmp_path / "language/manifest.json").read_text("utf-8"))["notes"]
        assert found[0] in notes["notes"]


def test_an_extension_of_another_text_of_the_language(tmp_path, tiny_unigram_base):
    study(tmp_path, tiny_unigram_base)
    pieces = extension(tmp_path, tiny_unigram_base)
    file = tmp_path / "tzm_Tfng.txt"
    lines = file.read_text(encoding="utf-8").splitlines()
    file.write_text("\n".join([lines[-1], *lines[1:]]) + "\n", encoding="utf-8")
    heard = Heard()
    adapt_alone.make(*arguments(tmp_path, tiny_unigram_base, pieces), heard)
    assert any("was learnt from another text of this language than tzm_T" in s for s in heard.lines)


def test_full_memory_names_the_options(tmp_path, tiny_unigram_base, monkeypatch):
    study(tmp_path, tiny_unigram_base)

    def full(*_: Any) -> None:
        raise RuntimeError("CUDA out of memory. Tried to allocate 20.00 GiB")

    # the edge that this machine lacks: a device that is full
    monkeypatch.setattr(Objective, "loss", full)
    words = ["--base", tiny_unigram_base, "--text", tmp_path / "tzm_Tfng.txt"]
    words += ["--translation", tmp_path / "eng.txt", "--out", tmp_path / "out"]
    words += ["--held-out", "30", "--quantization", "none", "--batch", "20"]
    done = CliRunner().invoke(app, ["adapt", *map(str, words)])
    assert done.exit_code == 2, done.output
    assert done.stderr.splitlines()[-1] == (
        "adapt: out of memory (CUDA out of memory. Tried to allocate 20.00 GiB); set --batch=10, "
        "or --quantization=8bit, or --max-tokens=64, or --base to a smaller base "
        "(`lowres ls bases`)"
    )
    assert not (tmp_path / "out").exists()


def test_a_base_larger_than_the_memory(tmp_path, tiny_unigram_base, monkeypatch):
    study(tmp_path, tiny_unigram_base)
    memory = SimpleNamespace(total=2**20, available=2**20)
    monkeypatch.setattr("psutil.virtual_memory", lambda: memory)
    with pytest.raises(DeviceError, match=r"^base\.name .*: its weights take "):
        adapt_alone.make(*arguments(tmp_path, tiny_unigram_base), Silent())
    memory.total, heard = 2**40, Heard()
    adapt_alone.make(*arguments(tmp_path, tiny_unigram_base), heard)
    assert heard.lines[0].startswith("adapt: takes ")
    assert "1 of 1,048,576 MB of memory are free" in heard.lines[0]
