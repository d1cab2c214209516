"""Fine-tuning against what a user would write: sentences a second, memory, and scores.

    python benchmarks/finetune.py            # a table; twelve minutes on one core
    python benchmarks/finetune.py --quick    # 96 sentences, one round, no scores
    python benchmarks/finetune.py --json

Topics of English SIB-200 (701 sentences, their own lengths) over e5-small with LoRA of rank 16 on
every linear layer. The peers are plain scripts of transformers and peft, after the example scripts
of both:

- "defaults": `Trainer` with batches of 8, every text padded to 128 tokens, as run_glue.py does;
- "best": batches of 16 of about one length, padded to the longest, bf16, fused AdamW.

Every side trains in a process of its own, in turns, three rounds; figures are medians (lowest to
highest) of sentences a second of processor time within the training loop, the first steps left out.
Scores: macro-F1 of English dev after six epochs at one rate, three seeds.
Data: $LOWRES_DATA, else ../shared/data.
"""

from __future__ import annotations

import argparse
import csv
import multiprocessing
import os
import statistics
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import tables

ROOT = Path(__file__).resolve().parent.parent
DATA = Path(os.environ.get("LOWRES_DATA", ROOT.parent / "shared" / "data")).resolve()
LORA = ["query", "key", "value", "attention.output.dense", "intermediate.dense", "output.dense"]
SIDES = ("lowres", "best", "defaults")
EPOCHS, RATE = 6, 5e-4
WARM = 6
"""Steps before the clock starts."""


class Clock:
    """Processor time of the steps behind the first ones."""

    def __init__(self) -> None:
        self.steps, self.start, self.end = 0, 0.0, 0.0

    def step(self) -> None:
        self.steps += 1
        now = time.process_time()
        if self.steps == WARM:
            self.start = now
        self.end = now

    @property
    def seconds(self) -> float:
        return (self.end - self.start) / (self.steps - WARM)


def read(split: str) -> tuple[list[str], list[str]]:
    """Texts and topics of English."""
    file = DATA / "sib200" / "eng_Latn" / f"{split}.tsv"
    with file.open(encoding="utf-8", newline="") as lines:
        rows = list(csv.DictReader(lines, delimiter="\t"))
    return [row["text"] for row in rows], [row["category"] for row in rows]


def plain(best: bool, sentences: int | None, epochs: float, seed: int) -> dict[str, float]:
    """A script as its user would write it."""
    import torch
    import transformers
    from datasets import Dataset
    from peft import LoraConfig, TaskType, get_peft_model
    from transformers import DataCollatorWithPadding, Trainer, TrainingArguments

    from lowres import bases  # the base lies where lowres rebuilt it

    transformers.set_seed(seed)
    path = bases.locate("e5-small").path
    tokenizer: Any = transformers.AutoTokenizer.from_pretrained(path)
    texts, gold = read("train")
    labels = sorted(set(gold))

    def rows(texts: list[str], gold: list[str]) -> Dataset:
        padding = False if best else "max_length"
        encoded = tokenizer(texts, truncation=True, max_length=128, padding=padding)
        return Dataset.from_dict({**encoded, "labels": [labels.index(g) for g in gold]})

    network: Any = transformers.AutoModelForSequenceClassification.from_pretrained(
        path, num_labels=len(labels), dtype=torch.float32
    )
    config = LoraConfig(
        task_type=TaskType.SEQ_CLS, r=16, lora_alpha=32, lora_dropout=0.05, target_modules=LORA,
        modules_to_save=["classifier", "pooler"],
    )  # fmt: skip
    network = get_peft_model(network, config)
    clock = Clock()

    class Timed(transformers.TrainerCallback):
        def on_step_end(self, *_: Any, **__: Any) -> None:
            clock.step()

    options: dict[str, Any] = {}
    batch = 8
    if best:
        batch = 16
        options = {
            "bf16": True,
            "train_sampling_strategy": "group_by_length",
            "optim": "adamw_torch_fused",
        }
    arguments = TrainingArguments(
        output_dir=os.environ.get("TMPDIR", "/tmp") + "/lowres-finetune",
        num_train_epochs=epochs, per_device_train_batch_size=batch, learning_rate=RATE,
        warmup_steps=0.1, save_strategy="no", report_to="none", use_cpu=True, seed=seed,
        disable_tqdm=True, logging_strategy="no", **options,
    )  # fmt: skip
    train = rows(texts[:sentences], gold[:sentences])
    trainer = Trainer(
        model=network, args=arguments, train_dataset=train, processing_class=tokenizer,
        data_collator=DataCollatorWithPadding(tokenizer) if best else None, callbacks=[Timed()],
    )  # fmt: skip
    trainer.train()
    found = {"rate": batch / clock.seconds, "peak": peak_mb()}
    if sentences is None:
        found["score"] = dev_score(network, tokenizer, labels, best)
    return found


def dev_score(network: Any, tokenizer: Any, labels: list[str], half: bool) -> float:
    """Macro-F1 of English dev."""
    import torch
    from sklearn.metrics import f1_score

    texts, gold = read("dev")
    answers = []
    network.eval()
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=half):
        for start in range(0, len(texts), 16):
            some = tokenizer(
                texts[start : start + 16],
                truncation=True,
                max_length=128,
                padding=True,
                return_tensors="pt",
            )
            answers += network(**some).logits.argmax(-1).tolist()
    return float(f1_score(gold, [labels[i] for i in answers], average="macro"))


def lowres(sentences: int | None, epochs: float, seed: int, folder: Path) -> dict[str, float]:
    """The training of a recipe, as `lowres run` does it."""
    from lowres import bases, data, hardware, train, training_callbacks
    from lowres.progress import Silent
    from lowres.recipe_loading import from_mapping

    recipe = from_mapping(
        {
            "name": "finetune",
            "base": {"name": "e5-small", "quantization": "none"},
            "languages": {"source": "eng_Latn", "targets": ["fra_Latn"]},
            "data": {"files": str(DATA / "sib200/{lang}/{split}.tsv")},
            "task": {"name": "classification"},
            "train": {"epochs": epochs, "batch": 16, "learning_rate": RATE, "checkpoint": "best",
                      "head_learning_rate": RATE, "max_tokens": 128},
            "lora": {"rank": 16, "alpha": 32, "dropout": 0.05},
        }
    )  # fmt: skip
    labelled = data.load(recipe)
    if sentences is not None:
        labelled = replace(labelled, train=labelled.train.select(range(sentences)))
    clock = Clock()
    before = training_callbacks.Bar.on_step_end

    def stepped(self: Any, *known: Any, **named: Any) -> None:
        clock.step()
        before(self, *known, **named)

    training_callbacks.Bar.on_step_end = stepped  # type: ignore[method-assign]
    outcome = train.train(
        recipe, seed, labelled, bases.locate("e5-small"), hardware.detect(), folder, Silent(),
    )  # fmt: skip
    return {"rate": 16 / clock.seconds, "peak": peak_mb(), "score": outcome.dev}


def peak_mb() -> float:
    """The most that this process has held."""
    text = Path("/proc/self/status").read_text(encoding="utf-8")
    return int(next(row for row in text.splitlines() if row.startswith("VmHWM")).split()[1]) / 1024


def side(name: str, sentences: int | None, epochs: float, seed: int, pipe: Any) -> None:
    """One training, in a process of its own."""
    import tempfile

    import torch
    import transformers

    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        if name == "lowres":
            pipe.send(lowres(sentences, epochs, seed, Path(folder) / "seed"))
        else:
            pipe.send(plain(name == "best", sentences, epochs, seed))


def alone(name: str, sentences: int | None, epochs: float, seed: int) -> dict[str, float]:
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=side, args=(name, sentences, epochs, seed, theirs))
    process.start()
    theirs.close()
    found: dict[str, float] = ours.recv()
    process.join()
    print(f"{name}, seed {seed}: {found}", file=sys.stderr, flush=True)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--sides", nargs="+", choices=SIDES, default=SIDES)
    parser.add_argument("--scores", action="store_true", help="three seeds of six epochs, dev F1")
    asked = parser.parse_args()
    if not (DATA / "sib200").is_dir():
        sys.exit(f"no sib200 at {DATA}; set LOWRES_DATA to the folder of the data sets")
    rounds = 1 if asked.quick or os.environ.get("ONE") else 3
    sentences, epochs = (160, 1) if asked.quick else (None, EPOCHS if asked.scores else 1)
    sides = list(asked.sides)
    found: dict[str, list[dict[str, float]]] = {name: [] for name in sides}
    for number in range(rounds):
        for name in sides if number % 2 else sides[::-1]:
            found[name].append(alone(name, sentences, epochs, number + 1))

    def median(name: str, key: str) -> float:
        return round(statistics.median(each[key] for each in found[name]), 3)

    rows = []
    for peer in (name for name in sides if name != "lowres"):
        for key, what, unit in (
            ("rate", "training", "sentences a second"),
            ("peak", "the most held", "MB"),
            *((("score", "English dev", "macro-F1"),) if asked.scores else ()),
        ):
            name = f"{what}, against the plain script ({peer})"
            rows.append(tables.row(name, unit, median("lowres", key), median(peer, key)))
    tables.show(rows, asked.json, ("lowres", "plain"))


if __name__ == "__main__":
    main()
