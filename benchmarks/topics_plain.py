"""Topics of SIB-200 from English by a plain script of transformers and peft; lowres trains nothing.

    python benchmarks/topics_plain.py                              # as the recipe, on dev
    python benchmarks/topics_plain.py --label-smoothing 0.1
    python benchmarks/topics_plain.py --head mean --head-rate 3e-3 --split test

What the recipe is to be read beside, and how its settings were sought: mean macro-F1 over the 15
targets that XLM-R was pretrained on, of the last epoch and of the mean of all epochs but the first.
Float weights, bf16 autocast, texts cut at 128 sub-words. The base is lowres' own copy of e5-small
(`lowres run` makes it). Four minutes on one core.
"""

from __future__ import annotations

import argparse
import csv
import os
import random
import sys
from pathlib import Path
from statistics import fmean
from typing import Any

import torch
from real_data import SEEN
from torch.nn import functional

ROOT = Path(__file__).resolve().parent.parent
DATA = Path(os.environ.get("LOWRES_DATA", ROOT.parent / "shared" / "data")) / "sib200"
TARGETS = sorted(SEEN)
LORA = ["query", "key", "value", "attention.output.dense", "intermediate.dense", "output.dense"]


def read(language: str, split: str) -> tuple[list[str], list[str]]:
    """Texts and their topics."""
    with (DATA / language / f"{split}.tsv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    return [row["text"] for row in rows], [row["category"] for row in rows]


class Plain:
    """The base with LoRA and a head; texts in, logits out."""

    def __init__(self, asked: argparse.Namespace, labels: list[str]) -> None:
        import transformers
        from peft import LoraConfig, get_peft_model

        from lowres import bases

        path = bases.locate("e5-small").path
        self.labels, self.mean = labels, asked.head == "mean"
        self.tokenizer: Any = transformers.AutoTokenizer.from_pretrained(path)
        kind = "TokenClassification" if self.mean else "SequenceClassification"
        auto = getattr(transformers, f"AutoModelFor{kind}")
        network = auto.from_pretrained(path, num_labels=len(labels), dtype=torch.float32)
        saved = ["classifier"] if self.mean else ["classifier", "pooler"]
        adapters = LoraConfig(
            r=asked.rank, lora_alpha=2 * asked.rank, lora_dropout=0.05, target_modules=LORA,
            modules_to_save=saved,
        )  # fmt: skip
        self.network: Any = get_peft_model(network, adapters)

    def trained(self) -> tuple[list[Any], list[Any]]:
        """Parameters of LoRA and of the head."""
        pairs = [(n, p) for n, p in self.network.named_parameters() if p.requires_grad]
        head = [p for n, p in pairs if "modules_to_save" in n]
        return [p for n, p in pairs if "modules_to_save" not in n], head

    def __call__(self, texts: list[str]) -> torch.Tensor:
        """Texts to logits [texts, labels]."""
        batch = self.tokenizer(
            texts, truncation=True, max_length=128, padding=True, return_tensors="pt"
        )
        with torch.autocast("cpu", torch.bfloat16):
            logits: torch.Tensor = self.network(**batch).logits
        if not self.mean:
            return logits.float()
        mask: torch.Tensor = batch["attention_mask"][..., None]
        return (logits.float() * mask).sum(1) / mask.sum(1)

    def macro_f1(self, language: str, split: str) -> float:
        """Macro-F1 of one set."""
        from sklearn.metrics import f1_score

        texts, gold = read(language, split)
        order = sorted(range(len(texts)), key=lambda i: -len(texts[i]))
        answers = [""] * len(texts)
        self.network.eval()
        with torch.inference_mode():
            for start in range(0, len(order), 32):
                part = order[start : start + 32]
                for i, best in zip(part, self([texts[i] for i in part]).argmax(-1), strict=True):
                    answers[i] = self.labels[int(best)]
        self.network.train()
        return float(f1_score(gold, answers, average="macro", labels=self.labels))


def batches(texts: list[str]) -> list[list[int]]:
    """One epoch in batches of 16 of about one length."""
    order = random.sample(range(len(texts)), len(texts))
    pools = [
        sorted(order[k : k + 320], key=lambda i: -len(texts[i])) for k in range(0, len(order), 320)
    ]
    found = [pool[k : k + 16] for pool in pools for k in range(0, len(pool), 16)]
    random.shuffle(found)
    return found


def train(plain: Plain, asked: argparse.Namespace) -> list[list[torch.Tensor]]:
    """Train on English; the weights after every epoch."""
    import transformers

    texts, gold = read("eng_Latn", "train")
    answers = torch.tensor([plain.labels.index(label) for label in gold])
    body, head = plain.trained()
    groups = [{"params": body, "lr": asked.rate}, {"params": head, "lr": asked.head_rate}]
    optimizer = torch.optim.AdamW(groups, weight_decay=0.01)
    steps = asked.epochs * len(batches(texts))
    schedule = "constant_with_warmup" if asked.constant else "linear"
    scheduler = transformers.get_scheduler(schedule, optimizer, steps // 10, steps)
    kept = []
    plain.network.train()
    for epoch in range(asked.epochs):
        for batch in batches(texts):
            logits = plain([texts[i] for i in batch])
            loss = functional.cross_entropy(
                logits, answers[batch], label_smoothing=asked.label_smoothing
            )
            loss.backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_([*body, *head], 1.0)
            optimizer.step()
            scheduler.step()
            optimizer.zero_grad()
        kept.append([p.detach().clone() for p in (*body, *head)])
        print(f"epoch {epoch + 1}: loss {loss.item():.3f}", file=sys.stderr, flush=True)
    return kept


def main() -> None:
    """Train once, score two choices of weights."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--head", choices=["pooler", "mean"], default="pooler")
    parser.add_argument("--rate", type=float, default=3e-4)
    parser.add_argument("--head-rate", type=float, default=1e-3)
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--rank", type=int, default=16)
    parser.add_argument("--label-smoothing", type=float, default=0.0)
    parser.add_argument("--constant", action="store_true", help="no decay of the rate")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--split", choices=["dev", "test"], default="dev")
    asked = parser.parse_args()
    if not DATA.is_dir():
        sys.exit(f"no data at {DATA}: set LOWRES_DATA to the folder of the data sets")
    torch.manual_seed(asked.seed)
    random.seed(asked.seed)
    plain = Plain(asked, sorted(set(read("eng_Latn", "train")[1])))
    epochs = train(plain, asked)
    body, head = plain.trained()
    for name, chosen in (("last epoch", epochs[-1:]), ("mean of epochs", epochs[1:] or epochs)):
        with torch.no_grad():
            for parameter, *values in zip((*body, *head), *chosen, strict=True):
                parameter.copy_(torch.stack(values).mean(0))
        english = plain.macro_f1("eng_Latn", asked.split)
        mean = fmean(plain.macro_f1(language, asked.split) for language in TARGETS)
        print(f"{name}: 15 targets' {asked.split} {mean:.4f}, English {english:.4f}", flush=True)


if __name__ == "__main__":
    main()
