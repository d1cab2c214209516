from __future__ import annotations

import json
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pytest
import tiny_text
import torch
from safetensors.torch import load_file
from tiny_study import CPU
from transformers import AutoModel, AutoTokenizer

from lowres import adapt, inference, model, quiet, stacking
from lowres import rows as new_rows
from lowres.bases import LocatedBase
from lowres.errors import BaseModelError, DataError, Interrupted
from lowres.progress import Silent
from lowres.recipe import Base
from lowres.recipe_text import Adapt

FLOAT = Base(name="x", quantization="none")


def options(**given):
    plain = {"objective": "mlm", "batch": 16, "rank": 4, "alpha": 8, "learning_rate": 5e-3,
             "rows_learning_rate": 1e-2, "max_tokens": 32, "steps": 12}  # fmt: skip
    return Adapt(**{**plain, **given})


class Pressing(Silent):
    """Presses Ctrl-C once so many steps are done."""

    def __init__(self, at: int) -> None:
        self.at = at

    @contextmanager
    def bar(self, description, total):
        import signal

        done = 0

        def advance(n):
            nonlocal done
            done += n
            if n and done == self.at:
                signal.raise_signal(signal.SIGINT)

        yield advance


class Heard(Silent):
    """Keeps what is said."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, line: str) -> None:
        self.lines.append(line)


@pytest.fixture(scope="module")
def texts(tmp_path_factory):
    return tiny_text.texts(tmp_path_factory.mktemp("text"))


@pytest.fixture(scope="module")
def plain(tmp_path_factory, tiny_unigram_base) -> LocatedBase:
    return tiny_text.masked_lm(tiny_unigram_base, tmp_path_factory.mktemp("base"), spare=3)


@pytest.fixture(scope="module")
def located(plain, texts, tmp_path_factory) -> LocatedBase:
    return tiny_text.extended(plain, texts, tmp_path_factory.mktemp("extension"))


def weights(folder):
    return load_file(folder / adapt.ADAPTER / stacking.WEIGHTS)


@pytest.mark.parametrize("objective", ["mlm", "align", "both"])
def test_what_comes_out_is_an_adapter_that_learnt(located, texts, tmp_path, objective):
    given = options(objective=objective, steps=40)
    made = adapt.adapt(given, FLOAT, located, texts, CPU, tmp_path, Silent())
    losses = [loss for _, loss in made.loss]
    assert losses[-1] < losses[0] or objective == "both"
    assert [step for step, _ in made.loss] == [0, 20, 39]
    assert made.steps == 40
    assert made.languages == ("nus_Latn",)
    assert made.items == (200 if objective == "both" else 100)
    assert [f.name for f in made.before] == [f.name for f in made.after]
    before = {f.name: f.value for f in made.before}
    after = {f.name: f.value for f in made.after}
    if objective == "mlm":
        assert after["bits a character"] < before["bits a character"]
    assert sorted(path.name for path in tmp_path.iterdir()) == [adapt.ADAPTER]
    tensors = weights(tmp_path)
    kinds = {key.split(".")[-2] if "lora" in key else "rows" for key in tensors}
    assert kinds == {"lora_A", "lora_B", "rows"}
    assert (
        AutoTokenizer.from_pretrained(tmp_path / adapt.ADAPTER)("raan")["input_ids"]
        == (AutoTokenizer.from_pretrained(located.extension)("raan")["input_ids"])
    )


def test_adapter_loads_with_plain_peft_and_gives_the_trained_network(
    located, texts, tmp_path, monkeypatch
):
    from peft import PeftModel

    kept = []
    save = adapt._save
    monkeypatch.setattr(
        adapt, "_save", lambda network, *rest: (kept.append(network), save(network, *rest))
    )
    adapt.adapt(options(), FLOAT, located, texts, CPU, tmp_path, Silent())
    (network,) = kept
    network.eval()
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / adapt.ADAPTER)
    rows = [{"input_ids": tokenizer(line)["input_ids"]} for line in texts[0].held()]
    assert max(i for row in rows for i in row["input_ids"]) >= new_rows.find(network).first_id
    inputs = inference.model_inputs(rows, tokenizer.pad_token_id)
    base = AutoModel.from_pretrained(located.path)
    base.resize_token_embeddings(len(tokenizer), mean_resizing=False)
    with quiet.peft():
        plain = PeftModel.from_pretrained(base, tmp_path / adapt.ADAPTER).eval()
    with torch.no_grad():
        found = plain(**inputs).last_hidden_state
        torch.testing.assert_close(found, network(**inputs).last_hidden_state)


@pytest.mark.parametrize("objective", ["mlm", "align", "both"])
def test_resumed_weights_are_those_of_an_undisturbed_run(located, texts, tmp_path, objective):
    """Dropout is on, the interruption lies inside the second epoch."""
    given = options(objective=objective)
    whole = adapt.adapt(given, FLOAT, located, texts, CPU, tmp_path / "whole", Silent())
    halves = tmp_path / "halves"
    with pytest.raises(Interrupted, match="after step 8 of 12"):
        adapt.adapt(given, FLOAT, located, texts, CPU, halves, Pressing(8))
    assert (halves / adapt.CHECKPOINT).is_file()
    torch.manual_seed(99)
    resumed = adapt.adapt(given, FLOAT, located, texts, CPU, halves, Silent())
    assert replace(resumed, seconds=0) == replace(whole, seconds=0)
    expected, found = weights(tmp_path / "whole"), weights(halves)
    assert expected.keys() == found.keys()
    assert all(torch.equal(found[key], expected[key]) for key in expected)


@pytest.mark.parametrize("step", [7, 12])
def test_resume_at_the_end_of_an_epoch_and_of_training(located, texts, tmp_path, step):
    whole = adapt.adapt(options(), FLOAT, located, texts, CPU, tmp_path / "whole", Silent())
    with pytest.raises(Interrupted):
        adapt.adapt(options(), FLOAT, located, texts, CPU, tmp_path / "halves", Pressing(step))
    resumed = adapt.adapt(options(), FLOAT, located, texts, CPU, tmp_path / "halves", Silent())
    assert replace(resumed, seconds=0) == replace(whole, seconds=0)
    expected, found = weights(tmp_path / "whole"), weights(tmp_path / "halves")
    assert all(torch.equal(found[key], expected[key]) for key in expected)


@pytest.mark.parametrize("damage", ["cut", "other", "no JSON", "shape"])
def test_a_damaged_checkpoint_is_said_and_left(located, texts, tmp_path, damage):
    adapt.adapt(options(), FLOAT, located, texts, CPU, tmp_path / "whole", Silent())
    with pytest.raises(Interrupted):
        adapt.adapt(options(), FLOAT, located, texts, CPU, tmp_path / "halves", Pressing(5))
    file = tmp_path / "halves" / adapt.CHECKPOINT
    if damage == "cut":
        file.write_bytes(file.read_bytes()[:-2000])
    elif damage == "other":
        file.write_bytes(b"not a checkpoint")
    else:
        kept = torch.load(file, weights_only=True)
        if damage == "shape":
            kept["tensors"]["weights"][-1] = torch.ones(3, 3)
        else:
            kept["state"] = "{"
        torch.save(kept, file)
    heard = Heard()
    adapt.adapt(options(), FLOAT, located, texts, CPU, tmp_path / "halves", heard)
    (said,) = [line for line in heard.lines if "checkpoint.pt" in line]
    assert said.startswith("adapt: checkpoint.pt is damaged (")
    assert said.endswith("so this begins anew")
    one, other = weights(tmp_path / "whole"), weights(tmp_path / "halves")
    assert all(torch.equal(one[key], other[key]) for key in one)


def test_going_on_is_said(located, texts, tmp_path):
    with pytest.raises(Interrupted):
        adapt.adapt(options(), FLOAT, located, texts, CPU, tmp_path, Pressing(5))
    heard = Heard()
    adapt.adapt(options(), FLOAT, located, texts, CPU, tmp_path, heard)
    assert "adapt: goes on after step 5 of 12" in heard.lines


def test_checkpoints_come_with_the_time_and_change_nothing(located, texts, tmp_path):
    ways = [
        adapt.adapt(
            options(), FLOAT, located, texts, CPU, tmp_path / str(often), Silent(), 1, often
        )
        for often in (0.0, 1e9)
    ]
    assert replace(ways[0], seconds=0) == replace(ways[1], seconds=0)


def test_only_lora_and_new_rows_train(located, texts, tmp_path):
    learner = adapt._learner(options(), FLOAT, located, texts, CPU, tmp_path, 1, Silent())
    full = learner.objective._job.full
    trains = {name for name, p in full.named_parameters() if p.requires_grad}
    assert all(".lora_" in name or name.endswith(".rows") for name in trains)
    assert sum(name.endswith(".rows") for name in trains) == 1
    assert len(learner.parameters) == len(trains)
    frozen = {n: p.detach().clone() for n, p in full.named_parameters() if not p.requires_grad}
    state = adapt._State(0, ())
    adapt._train(learner, options(), state, tmp_path, Silent(), 1, 1e9)
    after = dict(full.named_parameters())
    assert all(torch.equal(after[name], value) for name, value in frozen.items())


def test_old_vocabulary_adapts_by_lora_alone(plain, texts, tmp_path):
    made = adapt.adapt(options(steps=3), FLOAT, plain, texts, CPU, tmp_path, Silent())
    assert made.steps == 3
    assert all("lora" in key for key in weights(tmp_path))
    config = json.loads((tmp_path / adapt.ADAPTER / stacking.CONFIG).read_text())
    assert not config.get("trainable_token_indices")
    assert not (tmp_path / adapt.ADAPTER / "tokenizer.json").exists()


@pytest.mark.parametrize("quantization", ["8bit", "4bit"])
@pytest.mark.parametrize("objective", ["mlm", "align"])
def test_quantised_base(located, texts, tmp_path, objective, quantization):
    base = Base(name="x", quantization=quantization)
    given = options(objective=objective, steps=41)
    made = adapt.adapt(given, base, located, texts, CPU, tmp_path, Silent())
    assert made.loss[-1][1] < made.loss[0][1]
    assert all(value.isfinite().all() for value in weights(tmp_path).values())


def test_epochs_make_steps(located, texts, tmp_path):
    learner = adapt._learner(
        options(steps=None, epochs=2.5), FLOAT, located, texts, CPU, tmp_path, 1, Silent()
    )
    assert learner.steps == 18  # 100 lines in batches of 16 are 7 steps
    seen = [i for batch in adapt._batches(learner.order, 0, 7) for i in batch]
    assert set(seen) == set(range(100))
    later = list(adapt._batches(learner.order, 5, 18))
    assert later == list(adapt._batches(learner.order, 0, 18))[5:]


def test_rate_rises_then_falls():
    shares = [adapt._share(step, 20, 0.2) for step in range(20)]
    assert shares[:4] == [0.25, 0.5, 0.75, 1.0]
    assert shares[4] == 1.0
    assert np.all(np.diff(shares[4:]) < 0)
    assert shares[-1] == pytest.approx(1 / 16)
    assert adapt._share(0, 1, 0.1) == 1.0


@pytest.mark.parametrize("objective", ["mlm", "both"])
def test_a_base_without_the_head_is_told_so_and_offered_align(
    tiny_unigram_base, texts, tmp_path, objective
):
    bare = LocatedBase("tiny", str(tiny_unigram_base), None, None, "folder")
    message = rf"objective {objective}: tiny has no masked-LM head .*set adapt\.objective: align"
    with pytest.raises(BaseModelError, match=message):
        adapt.adapt(options(objective=objective), FLOAT, bare, texts, CPU, tmp_path, Silent())
    adapt.check_base("align", bare)


@pytest.mark.parametrize("objective", ["align", "both"])
def test_text_without_translations_is_refused(located, texts, tmp_path, objective):
    alone = (replace(texts[0], learning_pairs=(), held_pairs=()),)
    with pytest.raises(DataError, match=r"nus_Latn has no parallel text.*objective: mlm"):
        adapt.adapt(options(objective=objective), FLOAT, located, alone, CPU, tmp_path, Silent())


def test_fewer_lines_than_a_batch(located, texts, tmp_path):
    with pytest.raises(DataError, match=r"100 lines to learn from, fewer than adapt\.batch 128"):
        adapt.adapt(options(batch=128), FLOAT, located, texts, CPU, tmp_path, Silent())


def test_a_loss_that_is_no_number_stops(located, texts, tmp_path, monkeypatch):
    learner = adapt._learner(options(), FLOAT, located, texts, CPU, tmp_path, 1, Silent())
    nothing = torch.tensor(torch.nan, requires_grad=True)
    monkeypatch.setattr(learner.objective, "loss", lambda chosen, step: nothing)
    with pytest.raises(DataError, match=r"the loss is nan at step 0; set a lower"):
        adapt._train(learner, options(), adapt._State(0, ()), tmp_path, Silent(), 1, 1e9)


@pytest.mark.parametrize("save_every_s", [1e9, 0.0])
def test_the_first_bad_loss_is_named_and_no_checkpoint_is_made_of_it(
    located, texts, tmp_path, monkeypatch, save_every_s
):
    learner = adapt._learner(options(), FLOAT, located, texts, CPU, tmp_path, 1, Silent())
    real = learner.objective.loss

    def losing(chosen, step):
        return real(chosen, step) * (torch.inf if step == 3 else 1.0)

    monkeypatch.setattr(learner.objective, "loss", losing)
    state = adapt._State(0, ())
    with pytest.raises(DataError, match=r"the loss is inf at step 3; set a lower"):
        adapt._train(learner, options(), state, tmp_path, Silent(), 1, save_every_s)
    kept = adapt._State.read(tmp_path / adapt.CHECKPOINT)
    assert (None if kept is None else kept.step) == (3 if save_every_s == 0 else None)


def test_what_is_cut_is_counted(located, texts, tmp_path):
    made = adapt.adapt(
        options(max_tokens=8, steps=1), FLOAT, located, texts, CPU, tmp_path, Silent()
    )
    tokenizer = model.load_tokenizer(located)
    long = [len(ids) >= 8 for ids in tokenizer(list(texts[0].lines()))["input_ids"]]
    assert made.cut == sum(long)


@pytest.mark.parametrize("base", ["tiny_base", "tiny_bpe_base"])
def test_other_families(request, base, texts, tmp_path):
    plain = tiny_text.masked_lm(request.getfixturevalue(base), tmp_path / "base")
    located = tiny_text.extended(plain, texts, tmp_path / "extension")
    made = adapt.adapt(
        options(steps=40, whole_words=True), FLOAT, located, texts, CPU, tmp_path / "out", Silent()
    )
    assert made.after[0].value < made.before[0].value
