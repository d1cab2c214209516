"""The peer: a plain Trainer + peft script, as the official examples of both have it.

    python benchmarks/plain_script.py --model MODEL --data ../shared/data/sib200
    python benchmarks/plain_script.py --model MODEL --data ../shared/data/sib200 --best

After `run_glue.py` of transformers and the sequence classification examples of peft. Without
`--best` it keeps Trainer's defaults and run_glue's padding: batches of 8, every text padded to 128
tokens, float32. `--best` takes what Trainer offers for speed: bf16 autocast, batches of 16 of about
one length, padded to the longest, fused AdamW. Imports nothing of lowres; prints JSON.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import transformers
from datasets import Dataset
from peft import LoraConfig, TaskType, get_peft_model, prepare_model_for_kbit_training
from sklearn.metrics import f1_score
from transformers import DataCollatorWithPadding, PrinterCallback, Trainer, TrainingArguments

LORA = ["query", "key", "value", "attention.output.dense", "intermediate.dense", "output.dense"]
RATE, RANK, MAX_TOKENS = 5e-4, 16, 128


def read(data: Path, language: str, split: str, share: int = 1) -> tuple[list[str], list[str]]:
    """Texts and topics of a language, one sentence in `share`."""
    with (data / language / f"{split}.tsv").open(encoding="utf-8", newline="") as lines:
        rows = list(csv.DictReader(lines, delimiter="\t"))[::share]
    return [row["text"] for row in rows], [row["category"] for row in rows]


class Script:
    """Model, tokenizer and options; `best` as above."""

    def __init__(
        self,
        model: str,
        labels: Sequence[str],
        best: bool,
        seed: int,
        half: str = "bf16",
        eight_bit: bool = False,
        checkpointing: bool = False,
    ) -> None:
        transformers.set_seed(seed)
        self.best, self.seed, self.labels = best, seed, list(labels)
        self.half, self.checkpointing = half, checkpointing
        self.tokenizer: Any = transformers.AutoTokenizer.from_pretrained(model)
        network: Any = transformers.AutoModelForSequenceClassification.from_pretrained(
            model, num_labels=len(labels), dtype=torch.float32, **_quantized(eight_bit)
        )
        if eight_bit:
            network = prepare_model_for_kbit_training(
                network, use_gradient_checkpointing=checkpointing
            )
        config = LoraConfig(
            task_type=TaskType.SEQ_CLS, r=RANK, lora_alpha=2 * RANK, lora_dropout=0.05,
            target_modules=LORA, modules_to_save=["classifier", "pooler"],
        )  # fmt: skip
        self.network: Any = get_peft_model(network, config)

    def rows(self, texts: list[str], topics: list[str]) -> Dataset:
        """Texts as the model reads them."""
        padding = False if self.best else "max_length"
        encoded = self.tokenizer(texts, truncation=True, max_length=MAX_TOKENS, padding=padding)
        numbers = [self.labels.index(topic) for topic in topics]
        return Dataset.from_dict({**encoded, "labels": numbers})

    def trainer(
        self, train: Dataset, epochs: float, callbacks: Sequence[Any] = (), batch: int = 16
    ) -> Trainer:
        """A Trainer with the options of the script; `batch` is of the best ones."""
        options: dict[str, Any] = {}
        if self.best:
            options = {
                self.half: True,
                "train_sampling_strategy": "group_by_length",
                "optim": "adamw_torch_fused",
                "per_device_train_batch_size": batch,
                "per_device_eval_batch_size": 32,
            }
        if self.checkpointing:
            options["gradient_checkpointing"] = True
        arguments = TrainingArguments(
            output_dir=str(Path(tempfile.gettempdir()) / f"plain-script-{os.getpid()}"),
            num_train_epochs=epochs, learning_rate=RATE, warmup_steps=0.1, save_strategy="no",
            report_to="none", use_cpu=not torch.cuda.is_available(), seed=self.seed,
            disable_tqdm=True, logging_strategy="no", **options,
        )  # fmt: skip
        collator = DataCollatorWithPadding(self.tokenizer) if self.best else None
        trainer = Trainer(
            model=self.network, args=arguments, train_dataset=train, data_collator=collator,
            processing_class=self.tokenizer, callbacks=list(callbacks),
        )  # fmt: skip
        trainer.remove_callback(PrinterCallback)  # standard output is for the scores
        return trainer


def _quantized(eight_bit: bool) -> dict[str, Any]:
    """As the documentation of transformers has it; the head must be left out by name."""
    if not eight_bit:
        return {}
    config = transformers.BitsAndBytesConfig(
        load_in_8bit=True, llm_int8_skip_modules=["classifier", "bert.pooler"]
    )
    device = 0 if torch.cuda.is_available() else "cpu"
    return {"quantization_config": config, "device_map": {"": device}}


def main() -> None:
    """Train on the source, score every target."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", required=True)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--source", default="eng_Latn")
    parser.add_argument("--targets", nargs="*", default=["swh_Latn", "yor_Latn"])
    parser.add_argument("--epochs", type=float, default=3.0)
    parser.add_argument("--share", type=int, default=1, help="train on one sentence in so many")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--best", action="store_true")
    asked = parser.parse_args()
    transformers.logging.set_verbosity_error()
    texts, topics = read(asked.data, asked.source, "train", asked.share)
    script = Script(asked.model, sorted(set(topics)), asked.best, asked.seed)
    trainer = script.trainer(script.rows(texts, topics), asked.epochs)
    trainer.train()
    scores = {}
    for language in (asked.source, *asked.targets):
        answers = trainer.predict(script.rows(*read(asked.data, language, "test")))
        # the gold labels of the same answer: grouping by length has put both into another order
        found = f1_score(answers.label_ids, answers.predictions.argmax(-1), average="macro")
        scores[language] = round(float(found), 4)
    print(json.dumps({"sentences": len(texts), "macro_f1": scores}))


if __name__ == "__main__":
    main()
