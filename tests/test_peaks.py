"""What each stage is counted to hold; `benchmarks/plan_accuracy.py` measures it."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lowres import cards, footprint, lengths, peaks, shapes
from lowres.doctor import Ability
from lowres.recipe import Recipe
from lowres.recipe_loading import load

ADAPTED = ["text.files={lang}.txt", "adapt.objective=mlm"]


def test_strategies_take_what_they_train() -> None:
    found = {}
    for name in ("lora", "head", "probe", "gradual", "full"):
        recipe = load("quickstart", ["base.quantization=none", f"train.strategy={name}"])
        stage = peaks.train_stage(case(recipe, 32, "none", "cpu"), 16)
        found[name] = stage
    trained = {name: stage.parts[peaks.TRAINED] for name, stage in found.items()}
    assert trained["head"] == trained["probe"] < trained["lora"] == trained["gradual"]
    shape = shapes.KNOWN["e5-small"]
    # gradients and two moments of every weight, in float32
    whole = 12 * shape.parameters / 2**20
    assert trained["full"] - trained["head"] == pytest.approx(whole, rel=0.01)
    assert found["head"].parts[peaks.ACTIVATIONS] == 0 < found["full"].parts[peaks.ACTIVATIONS]
    less = ["base.quantization=none", "train.strategy=full", "train.freeze={embeddings: true}"]
    frozen = peaks.train_stage(case(load("quickstart", less), 32, "none", "cpu"), 16)
    table = 12 * shape.vocabulary * shape.hidden / 2**20
    saved = trained["full"] - frozen.parts[peaks.TRAINED]
    assert saved == pytest.approx(table, rel=0.01)
    lower = peaks.train_stage(
        case(load("quickstart", [*less[:2], "train.freeze={layers: 6}"]), 32, "none", "cpu"), 16
    )
    assert lower.parts[peaks.TRAINED] < 0.6 * frozen.parts[peaks.TRAINED]


YES = Ability(True, "")


def case(recipe: Recipe, tokens: int, quantization: str, device: str) -> peaks.Case:
    found = shapes.Found("b", shapes.KNOWN[recipe.base.name], None, "")
    place = cards.Place("here", device, 1e9, 1e9, "bf16", YES, YES)
    base = recipe.base.model_copy(update={"quantization": quantization})
    found_lengths = lengths.assumed(tokens, "")
    return peaks.Case(recipe.model_copy(update={"base": base}), found, place, found_lengths)


@given(
    name=st.sampled_from(sorted(shapes.KNOWN)),
    batch=st.integers(1, 256),
    more=st.integers(1, 256),
    tokens=st.integers(8, 512),
    quantization=st.sampled_from(["none", "8bit", "4bit"]),
    device=st.sampled_from(["cpu", "cuda"]),
    checkpointing=st.booleans(),
)
def test_more_never_takes_less(
    name: str,
    batch: int,
    more: int,
    tokens: int,
    quantization: str,
    device: str,
    checkpointing: bool,
) -> None:
    recipe = load(
        "quickstart", [f"base.name={name}", f"train.gradient_checkpointing={checkpointing}"]
    )
    own = case(recipe, tokens, quantization, device)
    longer = case(recipe, tokens + more, quantization, device)
    now = peaks.train_stage(own, batch).total_mb
    assert now <= peaks.train_stage(own, batch + more).total_mb
    assert now <= peaks.train_stage(longer, batch).total_mb
    assert all(size >= 0 for size in peaks.train_stage(own, batch).parts.values())


@pytest.mark.parametrize("device", ["cpu", "cuda"])
@pytest.mark.parametrize("quantization", ["none", "8bit"])
def test_fewer_adapted_layers_take_less(device: str, quantization: str) -> None:
    found = []
    for layers in ("top:1", "top:4", "all"):
        recipe = load("quickstart", ["base.name=xlm-roberta-base", f"lora.layers={layers}"])
        planned = case(recipe, 128, quantization, device)
        stage = peaks.train_stage(planned, 16)
        # of a step alone: where it is small the pass over source dev is what takes most
        kept = footprint.activations(planned.setting(), 16, 128)
        found.append([kept, stage.parts[peaks.TRAINED]])
        assert stage.parts[peaks.WEIGHTS] > 0
    for one, four, every in zip(*found, strict=True):
        assert one < four < every
    assert found[1][0] / found[2][0] == pytest.approx(4 / 12, rel=0.15)


def test_a_masked_lm_head_is_counted() -> None:
    """Beside the encoder: what it keeps a position, the blocks of its logits, the table's rows."""
    of = {}
    for objective in ("align", "mlm"):
        for quantization in ("none", "8bit"):
            words = ["text.files=x", f"adapt.objective={objective}", "base.name=xlm-roberta-base"]
            words += ["text.translations=y"] if objective == "align" else []
            asked = case(load("quickstart", words), 32, quantization, "cpu")
            seen = lengths.Lengths(64, 128, 9, 0, 0, 500, 0, "")
            of[objective, quantization] = peaks.adapt_stage(replace(asked, text=seen))
    for quantization in ("none", "8bit"):
        plain, masked = of["align", quantization].parts, of["mlm", quantization].parts
        # 32 lines of 128 tokens, 15% hidden, 14 bytes of 768 numbers at each
        kept = (32 * 20 * 14 * 768 + 2 * 768 * 768) / 2**20
        assert masked[peaks.ACTIVATIONS] - plain[peaks.ACTIVATIONS] == pytest.approx(kept)
        assert masked[peaks.WORKSPACE] > plain[peaks.WORKSPACE]
    # a float table is read whole, whatever few rows the labelled texts look up
    words = ["text.files=x", "adapt.objective=mlm", "base.name=xlm-roberta-base"]
    planned = case(load("quickstart", words), 32, "none", "cpu")
    planned = replace(planned, lengths=replace(planned.lengths, seen=500))
    task = peaks.train_stage(planned, 1).parts[peaks.WEIGHTS]
    saved = peaks.adapt_stage(planned).parts[peaks.WEIGHTS] - task
    assert saved == pytest.approx((4 * 250_002 * 768 - 500 * 65_536) / 2**20)


def test_an_adaptation_reads_as_much_as_planned() -> None:
    from lowres.objectives import Job

    assert Job.batch_tokens == peaks.READ_ADAPTING
