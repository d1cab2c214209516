"""Fine-tuning against the `adapters` library, which lives in an environment of its own.

    python -m venv /tmp/adapters-env
    /tmp/adapters-env/bin/pip install adapters==1.3.0 torch==2.13.0 accelerate==1.15.0
    LOWRES_ADAPTERS_PYTHON=/tmp/adapters-env/bin/python python benchmarks/adapters_side.py
    python benchmarks/adapters_side.py --quick    # 32 sentences
    python benchmarks/adapters_side.py --json

adapters 1.3.0 wants transformers 4.57, which lowres' own environment does not have. Without
LOWRES_ADAPTERS_PYTHON there are no rows, and it says so. Topics of English SIB-200 (every fourth
sentence, one epoch) over e5-small, LoRA of rank 16 on all linear layers of both; the peer is
`AdapterTrainer` with the best options of `plain_script.py`. Processor time of whole epochs, three
rounds in turns; each side in a process of its own. Where a training collapses (here with seed 2),
lowres trains once more, and all its steps count. Data: $LOWRES_DATA, else ../shared/data.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import alone
import tables

VARIABLE = "LOWRES_ADAPTERS_PYTHON"
SHARE, SHARE_QUICK = 4, 22


def adapters_side(model: str, share: int, seed: int) -> float:
    """Sentences a second; runs in the other environment, where there is no lowres."""
    import csv

    import torch
    import transformers
    from adapters import AdapterTrainer, AutoAdapterModel, LoRAConfig
    from steps import Clock

    torch.set_num_threads(1)
    transformers.set_seed(seed)
    file = tables.DATA / "sib200" / "eng_Latn" / "train.tsv"
    with file.open(encoding="utf-8", newline="") as lines:
        examples = list(csv.DictReader(lines, delimiter="\t"))
    labels = sorted({row["category"] for row in examples})
    examples = examples[::share]
    tokenizer: Any = transformers.AutoTokenizer.from_pretrained(model)
    encoded = tokenizer([row["text"] for row in examples], truncation=True, max_length=128)
    rows = [
        {"input_ids": ids, "attention_mask": [1] * len(ids),
         "labels": labels.index(row["category"])}
        for ids, row in zip(encoded["input_ids"], examples, strict=True)
    ]  # fmt: skip
    network: Any = AutoAdapterModel.from_pretrained(model)
    config = LoRAConfig(
        r=16, alpha=32, dropout=0.05, attn_matrices=["q", "k", "v"], selfattn_lora=True,
        intermediate_lora=True, output_lora=True,
    )  # fmt: skip
    network.add_adapter("topics", config=config)
    network.add_classification_head("topics", num_labels=len(labels))
    network.train_adapter("topics")
    with tempfile.TemporaryDirectory() as folder:
        arguments = transformers.TrainingArguments(
            output_dir=folder, num_train_epochs=1, learning_rate=5e-4,
            per_device_train_batch_size=16, bf16=True, group_by_length=True,
            use_cpu=not torch.cuda.is_available(), optim="adamw_torch_fused", save_strategy="no",
            report_to="none", seed=seed, disable_tqdm=True, logging_strategy="no",
        )  # fmt: skip
        clock = Clock()
        trainer = AdapterTrainer(
            model=network, args=arguments, train_dataset=rows, callbacks=[clock],
            data_collator=transformers.DataCollatorWithPadding(tokenizer),
        )  # fmt: skip
        trainer.remove_callback(transformers.PrinterCallback)
        trainer.train()
    return len(rows) / clock.seconds


def main() -> None:
    parser = tables.arguments(__doc__)
    parser.add_argument("--side", help="internal: the model, in the other environment")
    parser.add_argument("--share", type=int, default=SHARE)
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    if asked.side:
        print(json.dumps(adapters_side(asked.side, asked.share, asked.seed)))
        return
    sides = ("lowres", "adapters")
    python = os.environ.get(VARIABLE)
    if not python:
        note = f"no rows: set {VARIABLE} to the Python of an environment that has adapters"
        tables.show([], asked.json, sides, [note])
        return
    tables.data("sib200")
    from finetune import Training, train

    from lowres import bases

    model = bases.locate("e5-small").path
    share = SHARE_QUICK if asked.quick else asked.share
    words = [python, str(Path(__file__)), "--side", model, "--share", str(share)]
    found: dict[str, list[float]] = {side: [] for side in sides}
    for seed in (1,) if asked.quick else (1, 2, 3):
        for side in sides if seed % 2 else sides[::-1]:
            if side == "lowres":
                rate = alone.call(train, Training("lowres", seed, 1, share, False))["rate"]
            else:
                done = alone.command([*words, "--seed", str(seed)])
                rate = float(json.loads(done.stdout.splitlines()[-1]))
            found[side].append(rate)
            print(f"{side}, seed {seed}: {rate:.1f}", file=sys.stderr, flush=True)
    rows = [tables.measured("training", "sentences a second", *found.values())]
    tables.show(rows, asked.json, sides)


if __name__ == "__main__":
    main()
