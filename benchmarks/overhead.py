"""What lowres costs around the training loop that it runs: processor time of both.

    python benchmarks/overhead.py            # ten minutes on one core
    python benchmarks/overhead.py --quick    # 96 sentences, one round
    python benchmarks/overhead.py --json

Topics of English SIB-200 over e5-small with LoRA of rank 16. One side is `train.train` as a run
calls it: checkpoints, callbacks, the choice by source dev, the saved adapter. The other is a bare
loop: the same network, batches, loss and optimizer, the dev set once an epoch, and nothing else.
The base is loaded and the text is tokenised before the clock starts, for both. In turns, in one
process, three rounds; medians.
Data: $LOWRES_DATA, else ../shared/data.
"""

from __future__ import annotations

import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import tables

BATCH = 16


def study(epochs: int) -> Any:
    """The recipe of both sides."""
    from lowres.recipe_loading import from_mapping

    return from_mapping(
        {
            "name": "overhead",
            "base": {"name": "e5-small", "quantization": "none"},
            "languages": {"source": "eng_Latn", "targets": ["fra_Latn"]},
            "data": {"files": str(tables.DATA / "sib200/{lang}/{split}.tsv")},
            "task": {"name": "classification"},
            "train": {"epochs": epochs, "batch": BATCH, "checkpoint": "best"},
        }
    )


def whole(known: tuple[Any, ...], shared: Any) -> float:
    """Processor seconds of one seed as a run trains it."""
    from steps import now

    from lowres import train
    from lowres.progress import Silent
    from lowres.source_dev import SourceDev

    judged = SourceDev.collapsed
    # so few sentences may leave one answer to all; a second attempt would count twice
    SourceDev.collapsed = lambda *given: judged(*given) and False  # type: ignore[method-assign]
    recipe, labelled, located, machine = known
    with tempfile.TemporaryDirectory() as folder:
        start = now()
        train.train(
            recipe, 1, labelled, located, machine, Path(folder), Silent(), shared=shared
        )  # fmt: skip
        spent = now() - start
    SourceDev.collapsed = judged  # type: ignore[method-assign]
    return spent


def bare(known: tuple[Any, ...], shared: Any) -> float:
    """Processor seconds of the same steps in a loop of their own."""
    import torch
    from steps import now
    from transformers import get_linear_schedule_with_warmup, set_seed

    from lowres import lora
    from lowres.sampling import LengthGrouped
    from lowres.source_dev import SourceDev
    from lowres.trainer import Collate, Loss

    recipe, labelled, located, machine = known
    options = recipe.train
    start = now()
    set_seed(1)
    tokenizer = shared.tokenizer(located)
    base = shared.base(located, recipe.base, recipe.task, labelled.labels, machine)
    network = lora.attach(base, recipe.lora, recipe.task, located.name)
    lora.halve_frozen(network, machine)
    windows = shared.windows(
        recipe.task, labelled.train, tokenizer, labelled.labels, options.max_tokens
    )
    dev = SourceDev(recipe, labelled, tokenizer, machine, shared)
    rows = windows.to_list()
    order = LengthGrouped([len(row["input_ids"]) for row in rows], BATCH, 1)
    collate, loss_of = Collate(tokenizer.pad_token_id), Loss(0.0)
    trained = [p for p in network.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=options.learning_rate, fused=True)
    steps = int(options.epochs) * len(order) // BATCH
    schedule = get_linear_schedule_with_warmup(optimizer, round(options.warmup * steps), steps)
    for epoch in range(int(options.epochs)):
        order.set_epoch(epoch)
        indices = list(order)
        network.train()
        for first in range(0, len(indices), BATCH):
            batch = collate([rows[i] for i in indices[first : first + BATCH]])
            batch.pop("lengths")
            batch = {name: machine.moved(tensor) for name, tensor in batch.items()}
            labels = batch.pop("labels")
            with machine.autocast():
                loss = loss_of(network(**batch), labels, None)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(trained, 1.0)
            optimizer.step()
            schedule.step()
            optimizer.zero_grad()
        dev.score(network)
    return now() - start


def main() -> None:
    asked = tables.arguments(__doc__).parse_args()
    tables.data("sib200")
    import torch
    import transformers

    from lowres import bases, data, hardware
    from lowres.shared import Shared

    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    torch.set_num_threads(1)
    recipe = study(1 if asked.quick else 3)
    machine, labelled = hardware.detect(), data.load(recipe)
    if asked.quick:
        labelled = replace(labelled, train=labelled.train.select(range(96)))
    known = (recipe, labelled, bases.locate("e5-small"), machine)
    shared = Shared()
    # what is compiled, imported and loaded at the first steps is neither side's
    warm = replace(labelled, train=labelled.train.select(range(32)))
    bare((recipe, warm, *known[2:]), shared)
    whole((recipe, warm, *known[2:]), shared)
    found: dict[str, list[float]] = {"lowres": [], "bare": []}
    for number in range(1 if asked.quick else 3):
        sides = (("lowres", whole), ("bare", bare))
        for name, side in sides if number % 2 else sides[::-1]:
            found[name].append(side(known, shared))
            print(f"{name}: {found[name][-1]:.2f} s", file=sys.stderr, flush=True)
    count, epochs = len(labelled.train), int(recipe.train.epochs)
    name = f"processor time, {count} sentences, {epochs} epochs"
    row = tables.measured(name, "s", found["lowres"], found["bare"])
    tables.show([row], asked.json, ("lowres", "bare loop"))


if __name__ == "__main__":
    main()
