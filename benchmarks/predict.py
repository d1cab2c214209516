"""Sentences a second of `lowres predict` beside a bare loop and a pipeline, and its memory.

    python benchmarks/predict.py                             # speed; float base, e5-small
    python benchmarks/predict.py speed --quantization 8bit
    python benchmarks/predict.py --quick                     # 64 sentences, one round
    python benchmarks/predict.py --json
    python benchmarks/predict.py memory --lines 1000000      # a tiny base, e5-small's tokenizer

All in one process, in turns; figures are medians (lowest to highest) over the rounds. Sentences are
those of SIB-200 in $LOWRES_DATA (default ../shared/data). The adapter is fresh: its head is random,
its work the same. Memory is the process', with a GPU too.
"""

from __future__ import annotations

import argparse
import csv
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import alone
import tables

LANGUAGES = ("eng_Latn", "swh_Latn", "yor_Latn", "hin_Deva", "amh_Ethi")
LABELS = tuple("abcdefg")
WARM_LINES = 10_000
"""After which memory should not grow."""


def sentences(count: int) -> list[str]:
    """The same number of each language, mixed."""
    texts = []
    folder = tables.data("sib200") / "sib200"
    for language in LANGUAGES:
        own = []
        for split in ("test", "train"):
            file = folder / language / f"{split}.tsv"
            with file.open(encoding="utf-8", newline="") as rows:
                read = csv.DictReader(rows, delimiter="\t", quoting=csv.QUOTE_NONE)
                own += [row["text"] for row in read]
        texts.append(own)
    mixed = [text for group in zip(*texts, strict=False) for text in group]
    return mixed[:count]


def fresh_adapter(folder: Path, base: str, quantization: str, max_tokens: int) -> Path:
    import torch

    from lowres import adapter_files, bases, lora, model
    from lowres.hardware import detect
    from lowres.recipe import Base, Lora
    from lowres.tasks.classification import Options

    task, located = Options(name="classification"), bases.locate(base)
    options = Base(name=base, quantization=quantization)  # type: ignore[arg-type]
    torch.manual_seed(1)
    network = model.load_base(located, options, task, LABELS, detect("fp32"))
    made = lora.attach(network, Lora(), task, base)
    with torch.no_grad():
        for name, parameter in made.named_parameters():
            if "lora_B" in name:
                parameter.normal_(std=0.02)
    adapter_files.save_adapter(made, folder, located, task, LABELS, max_tokens, quantization)
    return folder


def plain(folder: Path, base: str, device: str) -> tuple[Any, Any]:
    """As docs/how-to/use-an-adapter.md says for transformers and peft alone."""
    from peft import PeftModel
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    from lowres import bases

    path = bases.locate(base).path
    network = AutoModelForSequenceClassification.from_pretrained(path, num_labels=len(LABELS))
    tokenizer = AutoTokenizer.from_pretrained(path)
    return PeftModel.from_pretrained(network, str(folder)).eval().to(device), tokenizer


def bare_loop(
    network: Any, tokenizer: Any, hardware: Any, max_tokens: int, batch: int
) -> Callable[..., Any]:
    """All sorted by length in tokens, batched, in the same number format."""
    import torch

    def answer(texts: list[str]) -> list[tuple[int, float]]:
        ids = tokenizer(texts, truncation=True, max_length=max_tokens)["input_ids"]
        order = sorted(range(len(texts)), key=lambda i: -len(ids[i]))
        answers: list[Any] = [None] * len(texts)
        for start in range(0, len(order), batch):
            chosen = order[start : start + batch]
            inputs = tokenizer.pad({"input_ids": [ids[i] for i in chosen]}, return_tensors="pt")
            with torch.inference_mode(), hardware.autocast():
                logits = network(**inputs.to(hardware.device)).logits
            shares = logits.float().softmax(-1).max(-1)
            for i, label, share in zip(chosen, shares.indices, shares.values, strict=True):
                answers[i] = (int(label), float(share))
        return answers

    return answer


def speed(given: argparse.Namespace) -> None:
    import torch
    from transformers import pipeline
    from transformers.utils import logging

    from lowres import predict
    from lowres.hardware import detect

    torch.set_num_threads(given.threads)
    logging.set_verbosity_error()
    texts = sentences(given.sentences)
    with tempfile.TemporaryDirectory() as work:
        folder = fresh_adapter(Path(work) / "a", given.base, given.quantization, given.max_tokens)
        adapter = predict.load(folder)
        if given.precision != "auto":
            adapter = replace(adapter, hardware=detect(given.precision))
        device = adapter.hardware.device
        network, tokenizer = plain(folder, given.base, device)
        same = network
        if given.quantization != "none":
            same = predict.load(folder).network
        pipe = pipeline("text-classification", model=same, tokenizer=tokenizer, device=same.device)
        loop = bare_loop(same, tokenizer, adapter.hardware, given.max_tokens, given.batch)
        systems: dict[str, Callable[[list[str]], Any]] = {
            "lowres": lambda lines: adapter.predict(lines),
            "bare loop": loop,
            "pipeline": pipe,
        }
        seconds: dict[str, list[float]] = {name: [] for name in systems}
        answered = {}
        for system in systems.values():
            system(texts[:50])
        for _ in range(given.rounds):
            for name, system in systems.items():
                start = time.perf_counter()
                answered[name] = system(texts)
                seconds[name].append(time.perf_counter() - start)
    rates = {name: [len(texts) / one for one in spent] for name, spent in seconds.items()}
    ours = rates.pop("lowres")
    rows = [
        tables.measured(f"against a {name}", "sentences a second", ours, theirs)
        for name, theirs in rates.items()
    ]
    how = (
        f"{given.base}, {given.quantization}, {adapter.hardware.precision}, {len(texts)} sentences "
        f"in {predict.CHUNK}s, {given.threads} thread(s), bare loop in batches of {given.batch}"
    )
    tables.show(rows, given.json, ("lowres", "peer"), [how, *check(answered)])


def check(answered: dict[str, Any]) -> Iterator[str]:
    """All three answer the same, but for what rounding does."""
    ours = [LABELS.index(answer.answer) for answer in answered["lowres"]]
    theirs = [label for label, _ in answered["bare loop"]]
    named = {f"LABEL_{index}": index for index in range(len(LABELS))}
    named |= {label: index for index, label in enumerate(LABELS)}
    piped = [named[answer["label"]] for answer in answered["pipeline"]]
    for name, others in (("bare loop", theirs), ("pipeline", piped)):
        agree = sum(a == b for a, b in zip(ours, others, strict=True))
        yield f"the same label as the {name}: {agree} of {len(ours)}"


def memory(given: argparse.Namespace) -> None:
    from lowres import predict

    texts = sentences(1000)

    def lines() -> Iterator[str]:
        for number in range(given.lines):
            yield f"{texts[number % len(texts)]} {number}"

    with tempfile.TemporaryDirectory() as work:
        base = tiny_base(Path(work) / "base", given.base)
        folder = fresh_adapter(Path(work) / "adapter", str(base), "none", given.max_tokens)
        answers = predict.load(folder).stream(lines())
        start = time.perf_counter()
        assert sum(1 for _ in islice(answers, WARM_LINES)) == WARM_LINES
        before = highest = alone.status_mb("VmRSS")
        count = WARM_LINES
        for count, _ in enumerate(answers, start=WARM_LINES + 1):
            if count % 1000 == 0:
                highest = max(highest, alone.status_mb("VmRSS"))
            if count % 100_000 == 0:
                print(f"{count}: {(alone.status_mb('VmRSS') - before):+.1f} MB", file=sys.stderr)
        after = alone.status_mb("VmRSS")
    spent = time.perf_counter() - start
    rows = [
        tables.row(f"held at the end of {count:,} lines", "MB", after, before),
        tables.row("held at most", "MB", highest, before),
        tables.row("answers", "lines a second", count / spent, None),
    ]
    tables.show(rows, given.json, ("lowres", f"after {WARM_LINES:,} lines"))


def tiny_base(folder: Path, like: str) -> Path:
    """2 layers of 32 with the whole vocabulary of a real base."""
    from transformers import AutoModel, AutoTokenizer, BertConfig

    from lowres import bases

    tokenizer = AutoTokenizer.from_pretrained(bases.locate(like).path)
    config = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        pad_token_id=tokenizer.pad_token_id,
    )
    AutoModel.from_config(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def main() -> None:
    parser = tables.arguments(__doc__)
    parser.add_argument("what", choices=("speed", "memory"), nargs="?", default="speed")
    parser.add_argument("--base", default="e5-small")
    parser.add_argument("--quantization", default="none")
    parser.add_argument("--precision", default="auto", help="auto: bf16 where the CPU has it")
    parser.add_argument("--max-tokens", type=int, default=128)
    parser.add_argument("--sentences", type=int, default=2048)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--batch", type=int, default=32, help="of the bare loop")
    parser.add_argument("--lines", type=int, default=1_000_000)
    given = parser.parse_args()
    if given.quick:
        given.sentences, given.rounds, given.lines = 64, 1, 20_000
    {"speed": speed, "memory": memory}[given.what](given)


if __name__ == "__main__":
    main()
