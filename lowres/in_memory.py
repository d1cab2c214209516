"""Training from Python lists: no files, no languages, one seed; what comes out is an adapter."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from lowres import recipe_loading
from lowres.adapter_bytes import AdapterBytes, own_chance
from lowres.errors import InputError
from lowres.job import Outcome
from lowres.progress import Progress, Silent
from lowres.recipe import Recipe

if TYPE_CHECKING:
    from lowres.data import LabelledData

SECTIONS: Final = ("base", "lora", "train", "evaluate")
"""Of a recipe, that training from lists looks at."""
# a recipe names languages and files; nothing of these two is read, or kept in the adapter
NOWHERE: Final[Mapping[str, Any]] = {
    "languages": {"source": "eng_Latn", "targets": "swh_Latn"},
    "data": {"files": "memory/{lang}/{split}.jsonl"},
}


@dataclass(frozen=True)
class Trained:
    """An adapter, and how its training ended."""

    adapter: AdapterBytes
    outcome: Outcome
    metric: str
    """That the checkpoint was chosen by, on the dev examples."""


@dataclass(frozen=True)
class Examples:
    """What a task learns from or is judged by, in the columns of a data set."""

    inputs: Sequence[Any]
    """Texts; for tagging sentences as lists of words."""
    gold: Sequence[Any]
    """Label names; for tagging lists of them, one a word."""


def recipe_of(task: str, keys: Mapping[str, Any], whose: str) -> Recipe:
    """A recipe for a task, with these keys (`train.epochs`) over its defaults.

    Args:
        task: its name.
        keys: dotted; those that are None are left at the recipe's default.
        whose: what errors call the recipe.

    Raises:
        InputError: for a section that says where data or text is, which there is none of here.
        RecipeError: with every fault of the values.
    """
    tree: dict[str, Any] = {"name": "in-memory", **NOWHERE, "task": {"name": task}}
    for key, value in keys.items():
        *above, last = key.split(".")
        if not above or above[0] not in SECTIONS or key.startswith("train.augment"):
            raise InputError(
                f"{whose}: {key}: expected a key of {', '.join(SECTIONS)}, such as lora.dropout; "
                "for text, languages and files write a recipe and use lowres.run"
            )
        section = tree
        for part in above:
            section = section.setdefault(part, {})
            if not isinstance(section, dict):
                raise InputError(f"{whose}: {key}: {part} is a value, not a section")
        if value is not None:
            # numpy's numbers, as a grid search gives them, are Python's here
            section[last] = value.item() if hasattr(value, "item") else value
    return recipe_loading.from_mapping(tree, whose)


def train(
    recipe: Recipe,
    labels: Sequence[str],
    shown: Examples,
    dev: Examples,
    seed: int,
    progress: Progress | None = None,
) -> Trained:
    """Train one seed as a run does: LoRA and head, the checkpoint that is best on `dev`.

    Files are written below the system's folder for temporary ones, and removed.

    Args:
        recipe: of `recipe_of`.
        labels: all label names, in the order of the model's outputs; for tagging O first.
        shown: what is learnt from.
        dev: what the checkpoint is chosen by.
        seed: of everything that is drawn; the caller's generators stay as they were.
        progress: where to tell how it goes.

    Raises:
        LowresError: a base that cannot be had, or is too large for the memory; a quantisation that
            the machine lacks; too little memory; Ctrl-C.
    """
    from lowres import bases, fitting, hardware, quiet
    from lowres.source_dev import chosen_metric
    from lowres.train import train as train_seed

    data = _labelled(recipe, labels, shown, dev)
    located = bases.locate(recipe.base.name, recipe.base.revision, recipe.base.allow_pickle)
    machine = hardware.detect(recipe.train.precision)
    progress = progress or Silent()
    fitting.check(recipe, located, machine, progress)
    with (
        tempfile.TemporaryDirectory(prefix="lowres-") as folder,
        quiet.loading(),
        own_chance(),
        hardware.enough_memory(recipe, "train"),
    ):
        outcome = train_seed(recipe, seed, data, located, machine, Path(folder), progress)
        adapter = AdapterBytes.read(Path(folder) / "adapter", recipe.train.precision)
    return Trained(adapter, outcome, chosen_metric(recipe, data.labels))


def _labelled(
    recipe: Recipe, labels: Sequence[str], shown: Examples, dev: Examples
) -> LabelledData:
    from lowres.data import LabelledData

    return LabelledData(
        labels=tuple(labels),
        train=_dataset(recipe, shown),
        dev=_dataset(recipe, dev),
        tests={},
        target_train={},
        records=(),
        splits={},
        warnings=(),
    )


def _dataset(recipe: Recipe, examples: Examples) -> Any:
    from datasets import Dataset, Features, List, Value

    inputs, gold = recipe.task.fields
    string = Value("string")
    kind = List(string) if recipe.task.gold_field == "tags" else string
    count = len(examples.inputs)
    columns = {
        "id": [str(number) for number in range(count)],
        "language": list(recipe.languages.source) * count,
        inputs: list(examples.inputs),
        gold: list(examples.gold),
    }
    features = {"id": string, "language": string, inputs: kind, gold: kind}
    return Dataset.from_dict(columns, features=Features(features))
