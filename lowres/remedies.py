"""What to change where a recipe does not fit a place: numbers that do, found by trying the plan."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from lowres import bases, footprint, peaks, shapes
from lowres.footprint import Quantization
from lowres.lengths import Lengths
from lowres.peaks import Case, StagePlan

SAID: Final = {"8bit": "8 bits", "4bit": "4 bits", "none": "float32"}
SMALLER: Final[dict[str, tuple[Quantization, ...]]] = {
    "none": ("8bit", "4bit"),
    "8bit": ("4bit",),
    "4bit": (),
}
FEWEST_TOKENS: Final = 32
"""A limit of tokens below which no text is worth much is not proposed."""
A_SMALLER_BASE: Final = "base.name to a smaller base (`lowres ls bases`)"

Stage = Callable[[Case], StagePlan]


@dataclass(frozen=True)
class _Number:
    """A key whose value may be lowered."""

    section: str
    key: str
    least: int
    now: int


def faults(case: Case, stages: Sequence[StagePlan], largest: int) -> Iterator[str]:
    """A line for each stage that does not fit, or one for weights that alone do not.

    Args:
        case: what is planned.
        stages: of it.
        largest: micro-batch that fits the training; 0 where none does.
    """
    of_weights = too_heavy(case)
    if of_weights is not None:
        yield of_weights
        return
    for stage in stages:
        if stage.total_mb <= case.place.free_mb:
            continue
        if stage.name == "train":
            yield _of_training(case, stage, largest) if largest else too_large(case)
        else:
            yield _of_other(case, stage)


def too_heavy(case: Case) -> str | None:
    """That the weights alone are larger than the memory, and what would fit; None where they are
    not."""
    free_mb = case.place.free_mb - peaks.runtime(case)
    needed = footprint.weights(case.setting())
    if needed <= free_mb:
        return None
    changes = _other_weights(case, _one_window)
    return (
        f"base.name {case.recipe.base.name}: its weights take {needed:,.0f} MB in "
        f"{SAID[case.recipe.base.quantization]}, {case.place.name} has {max(0, free_mb):,.0f} MB "
        f"for them; {_set(changes) if changes else 'no known base fits'}"
    )


def too_large(case: Case) -> str:
    """That a case does not fit one window at a time, and what would help."""
    options, longest = case.recipe.train, case.lengths.longest
    changes = []
    if _fits(_changed(case, "train", gradient_checkpointing=True), _one_window):
        changes.append("train.gradient_checkpointing=true")
    tokens = _Number("train", "max_tokens", FEWEST_TOKENS, min(options.max_tokens, longest))
    at_once = _Number("evaluate", "batch_tokens", 64, case.recipe.evaluate.batch_tokens)
    changes += [*_lowered(case, _one_window, tokens), *_lowered(case, _one_window, at_once)]
    changes += _other_weights(case, _one_window)
    said = f"at train.micro_batch=1 (windows of {longest} tokens)"
    first = "" if case.micro_batch == 1 else "train.micro_batch=1 with "
    return _line(case, _one_window(case), said, changes, first)


def _of_training(case: Case, stage: StagePlan, largest: int) -> str:
    batch = case.recipe.train.batch
    micro = max(n for n in range(1, min(batch, largest) + 1) if batch % n == 0)
    said = f"at train.micro_batch={case.micro_batch}"
    return _line(case, stage, said, [f"train.micro_batch={micro} (the effective batch stays)"])


def _of_other(case: Case, stage: StagePlan) -> str:
    recipe = case.recipe
    if stage.name == "adapt":
        assert recipe.adapt is not None, "it is a stage"
        tokens = case.text.longest if case.text else recipe.adapt.max_tokens
        numbers = [
            _Number("adapt", "batch", 2, recipe.adapt.batch),
            _Number("adapt", "max_tokens", FEWEST_TOKENS, tokens),
        ]
        found, said = peaks.adapt_stage, f"at adapt.batch={recipe.adapt.batch} (lines of {tokens})"
    elif stage.name == "evaluate":
        numbers = [_Number("evaluate", "batch_tokens", 64, recipe.evaluate.batch_tokens)]
        found, said = peaks.evaluate_stage, f"at evaluate.batch_tokens={peaks.read_at_once(case)}"
    else:
        # the whole encoder is read in float32, whatever the recipe says of it
        return _line(case, stage, "for the whole base in float32", _other_base(case, _extending))
    changes = [change for number in numbers for change in _lowered(case, found, number)]
    return _line(case, stage, said, [*changes, *_other_weights(case, found)])


def _line(case: Case, stage: StagePlan, said: str, changes: Sequence[str], first: str = "") -> str:
    return (
        f"{stage.name}: needs {stage.total_mb:,.0f} MB {said}, {case.place.name} has "
        f"{case.place.free_mb:,.0f} MB free; {_set(changes or [A_SMALLER_BASE], first)}"
    )


def _set(changes: Sequence[str], first: str = "") -> str:
    return f"set {first}{', or '.join(changes)}"


def _one_window(case: Case) -> StagePlan:
    return peaks.train_stage(case, 1)


def _extending(case: Case) -> StagePlan:
    return peaks.extend_stage(case)


def _fits(case: Case, stage: Stage) -> bool:
    return stage(case).total_mb <= case.place.free_mb


def _lowered(case: Case, stage: Stage, number: _Number) -> Iterator[str]:
    """`section.key=value` with the largest value below the present one that fits, if there is."""
    values = range(number.least, number.now)
    fit = bisect_right(
        values,
        case.place.free_mb,
        key=lambda n: stage(_changed(case, number.section, **{number.key: n})).total_mb,
    )
    if fit:
        yield f"{number.section}.{number.key}={values[fit - 1]}"


def _other_weights(case: Case, stage: Stage) -> list[str]:
    """Weights that take less: the same base in fewer bits, which costs least, or another one."""
    able = {"8bit": case.place.int8.supported, "4bit": case.place.nf4.supported}
    fewer = (q for q in SMALLER[case.recipe.base.quantization] if able[q])
    first = next((q for q in fewer if _fits(_changed(case, "base", quantization=q), stage)), None)
    bits = [] if first is None else [f"base.quantization={first}"]
    return [*bits, *_other_base(case, stage)]


def _other_base(case: Case, stage: Stage) -> list[str]:
    """The largest known base that fits, of those that read many languages."""
    own = case.found.shape.parameters
    fitting = {
        name: shape.parameters
        for name, shape in shapes.KNOWN.items()
        if bases.ROWS[name].multilingual
        and shape.parameters < own
        and _fits(_with_base(case, name, shape), stage)
    }
    if not fitting:
        return []
    name = max(fitting, key=lambda each: fitting[each])
    return [f"base.name={name} (the largest known base that fits)"]


def _with_base(case: Case, name: str, shape: shapes.Shape) -> Case:
    found = replace(case.found, name=name, shape=shape)
    # its tokenizer is another one
    lengths = replace(case.lengths, pieces=0, seen=0)
    return replace(case, found=found, lengths=lengths, table_rows=None)


def _changed(case: Case, section: str, **keys: Any) -> Case:
    """A case with keys of one section of its recipe set; windows over a new limit are cut."""
    part = getattr(case.recipe, section).model_copy(update=keys)
    recipe = case.recipe.model_copy(update={section: part})
    case = replace(case, recipe=recipe)
    limit = keys.get("max_tokens")
    if limit is None:
        return case
    if section == "adapt":
        return replace(case, text=None if case.text is None else _cut(case.text, limit))
    return replace(case, lengths=_cut(case.lengths, limit))


def _cut(lengths: Lengths, limit: int) -> Lengths:
    return replace(lengths, longest=min(lengths.longest, limit))
