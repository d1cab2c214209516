"""What `lowres plan` foretells of training, against what training takes.

    python benchmarks/plan_accuracy.py             # twelve configurations, a table
    python benchmarks/plan_accuracy.py --quick     # the two smallest, five steps each
    python benchmarks/plan_accuracy.py --only large
    python benchmarks/plan_accuracy.py --again     # measures nothing: plans beside results/
    python benchmarks/plan_accuracy.py --again --keep    # the same, into results/
    python benchmarks/plan_accuracy.py --json

Each is a recipe of a few steps, trained by `train.train` with its passes over source dev, in a
process of its own. e5-small is the real base; the others have random weights in the shapes of
XLM-R. Measured is the peak of resident memory (VmHWM, reset before) beyond what the process held
once all libraries were imported and a tiny model had been trained; on a GPU the most that torch
reserved of it (not run yet: no GPU was at hand). Planned is what `lowres plan` says without its
`libraries`, or CUDA's context. Half an hour on one core, 4 GB of disk in $TMPDIR, 8 GB of memory.
"""

from __future__ import annotations

import json
import random
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import alone
import tables
from base_memory import PIECES, SIZES

WORDS = (
    "the",
    "market",
    "of",
    "a",
    "town",
    "sells",
    "fruit",
    "when",
    "rain",
    "has",
    "come",
    "again",
)
KEPT = tables.ROOT / "benchmarks" / "results" / "plan_accuracy.json"


@dataclass(frozen=True)
class Case:
    """A configuration; `words` is how many the longest sentence has."""

    base: str
    quantization: str
    task: str
    words: int
    batch: int
    micro_batch: int | None = None
    checkpointing: bool = False
    steps: int = 10
    """Two epochs: the longest batch is among them, and the heap has met all lengths."""

    @property
    def name(self) -> str:
        micro = f" in {self.micro_batch}s" if self.micro_batch else ""
        ending = ", checkpointing" if self.checkpointing else ""
        return (
            f"{self.base}, {self.quantization}, {self.task}, "
            f"{self.batch}{micro} x {self.words} words{ending}"
        )


FITTED = (
    "the bf16 figures of HOLES (lowres/footprint.py) were chosen over these configurations among "
    "others: this is how well they fit, and no test of them"
)
CASES = (
    Case("e5-small", "none", "classification", 30, 16, steps=20),
    Case("e5-small", "8bit", "tagging", 30, 16, steps=20),
    Case("e5-small", "4bit", "classification", 110, 16, steps=20),
    Case("e5-small", "8bit", "classification", 110, 32, 8, steps=20),
    Case("base", "none", "classification", 40, 16),
    Case("base", "none", "tagging", 120, 8),
    Case("base", "8bit", "classification", 120, 8),
    Case("base", "4bit", "tagging", 40, 16),
    Case("base", "8bit", "classification", 120, 8, checkpointing=True),
    Case("large", "none", "classification", 60, 4, steps=5),
    Case("large", "8bit", "tagging", 60, 8, steps=5),
    Case("large", "4bit", "classification", 110, 2, steps=5),
)


def describe_base(folder: Path, size: str, few_layers: int | None = None) -> Any:
    """What is planned from: a config, and a tokenizer that has a piece for each word."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast, XLMRobertaConfig

    width, layers, inner = SIZES.get(size, (64, 2, 64))
    config = XLMRobertaConfig(
        vocab_size=PIECES if size in SIZES else 100,
        hidden_size=width,
        num_hidden_layers=few_layers or layers,
        num_attention_heads=max(1, width // 64),
        intermediate_size=inner,
        max_position_embeddings=514,
        type_vocab_size=1,
        pad_token_id=1,
    )
    config.save_pretrained(folder)
    pieces = {p: i for i, p in enumerate(["<s>", "<pad>", "</s>", "<unk>", *WORDS])}
    words = Tokenizer(models.WordLevel(pieces, unk_token="<unk>"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    words.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    PreTrainedTokenizerFast(
        tokenizer_object=words, pad_token="<pad>", unk_token="<unk>", bos_token="<s>",
        eos_token="</s>",
    ).save_pretrained(folder)  # fmt: skip
    return config


def make_base(folder: Path, size: str, few_layers: int | None = None) -> None:
    """The same with a checkpoint of random weights."""
    import torch
    from transformers import AutoModelForMaskedLM

    config = describe_base(folder, size, few_layers)
    torch.manual_seed(0)
    model: Any = AutoModelForMaskedLM.from_config(config)
    model.save_pretrained(folder, max_shard_size="500MB")


def make_data(folder: Path, case: Case) -> None:
    """Sentences up to so many words, in two languages; a fifth of them as long as may be."""
    draw = random.Random(1)
    for language in ("eng_Latn", "swh_Latn"):
        for split, count in {"train": 5 * case.batch, "dev": 40, "test": 20}.items():
            rows = []
            for number in range(count):
                size = case.words if number % 5 == 0 else draw.randint(5, case.words)
                tokens = draw.choices(WORDS, k=size)
                tags = [draw.choice(("O", "B-X", "I-X")) for _ in tokens]
                row = {"text": " ".join(tokens), "label": "ab"[number % 2]}
                rows.append(row if case.task != "tagging" else {"tokens": tokens, "tags": tags})
            file = folder / language / f"{split}.jsonl"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")


def recipe_of(case: Case, base: str, data: Path) -> Any:
    from lowres.recipe_loading import from_mapping

    tree = {
        "name": "memory",
        "base": {"name": base, "quantization": case.quantization},
        "languages": {"source": "eng_Latn", "targets": ["swh_Latn"]},
        "data": {"files": f"{data}/{{lang}}/{{split}}.jsonl"},
        "task": {"name": case.task},
        "train": {
            "steps": case.steps,
            "batch": case.batch,
            "micro_batch": case.micro_batch,
            "gradient_checkpointing": case.checkpointing,
        },
    }
    return from_mapping(tree)


def ready(recipe: Any, folder: Path) -> Any:
    """What trains a recipe: its data is read, its base found (e5-small is hashed for that)."""
    from functools import partial

    from lowres import bases, data, hardware
    from lowres.progress import Silent
    from lowres.train import train

    located = bases.locate(recipe.base.name)
    machine = hardware.detect(recipe.train.precision)
    return partial(train, recipe, 1, data.load(recipe), located, machine, folder, Silent())


def stage_of(recipe: Any) -> Any:
    """What `lowres plan` says of training it."""
    from lowres import plan

    (stage,) = (s for s in plan.make(recipe).stages if s.name == "train")
    return stage


def planned(stage: Any) -> float:
    """MB beyond what the process held before."""
    return float(stage.total_mb - stage.parts["libraries"])


def side(case: Case, base: str, folder: str) -> dict[str, Any]:
    """The peak of training one case, in a process of its own."""
    top = Path(folder)
    warm = replace(case, batch=4, micro_batch=None, words=8, steps=2)
    make_base(top / "tiny", "tiny")
    make_data(top / "tiny-data", warm)
    ready(recipe_of(warm, str(top / "tiny"), top / "tiny-data"), top / "tiny-run")()
    make_data(top / "data", case)
    recipe = recipe_of(case, base, top / "data")
    stage = stage_of(recipe)
    train = ready(recipe, top / "run")
    before = alone.held_from_here()
    train()
    return {
        "measured": alone.most_held() - before,
        "planned": planned(stage),
        "before": before,
        "parts": stage.parts,
    }


def measured(case: Case, base: str) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        found: dict[str, Any] = alone.call(side, case, base, folder)
    parts = {name: round(size) for name, size in found["parts"].items()}
    print(
        f"{case.name}: planned {found['planned']:,.0f}, measured {found['measured']:,.0f}, "
        f"ratio {found['planned'] / found['measured']:.3f}; before {found['before']:,.0f}; {parts}",
        file=sys.stderr,
        flush=True,
    )
    return tables.row(case.name, "MB", found["planned"], found["measured"])


def as_recipes(cases: Sequence[Case], work: Path) -> Iterator[tuple[Case, Any]]:
    """Cases as recipes that can be planned and not trained: what is planned from lies in `work`."""
    for number, case in enumerate(cases):
        base = case.base
        if base in SIZES:
            base = str(work / base)
            describe_base(Path(base), case.base)
        data = work / f"data-{number}"
        make_data(data, case)
        yield case, recipe_of(case, base, data)


def measured_then(file: Path = KEPT) -> dict[str, float]:
    """What a file of results says of each case."""
    rows = json.loads(file.read_text(encoding="utf-8"))["rows"]
    return {row["name"]: row["peer"] for row in rows}


def again(cases: Sequence[Case], work: Path) -> list[dict[str, Any]]:
    """Cases as they are planned now, beside what benchmarks/results/ has measured of them."""
    then = measured_then()
    return [
        tables.row(case.name, "MB", planned(stage_of(recipe)), then[case.name])
        for case, recipe in as_recipes(cases, work)
    ]


def all_measured(cases: Sequence[Case]) -> list[dict[str, Any]]:
    """A row a case, with bases that are made as they are needed."""
    rows = []
    with tempfile.TemporaryDirectory() as name:
        for case in cases:
            folder = Path(name) / case.base
            if case.base in SIZES and not folder.exists():
                make_base(folder, case.base)
            rows.append(measured(case, str(folder) if case.base in SIZES else case.base))
    return rows


def main() -> None:
    parser = tables.arguments(__doc__)
    parser.add_argument("--again", action="store_true", help="plan only")
    parser.add_argument("--keep", action="store_true", help="with --again: into benchmarks/results")
    parser.add_argument("--only", default="", help="configurations whose name holds this")
    asked = parser.parse_args()
    if asked.keep and (asked.quick or not asked.again):
        parser.error("--keep goes with --again, and with all configurations")
    cases = [replace(case, steps=5) for case in CASES[:2] if asked.quick] or CASES
    if asked.again:
        with tempfile.TemporaryDirectory() as name:
            rows = again(cases, Path(name))
        if asked.keep:
            kept = json.loads(KEPT.read_text(encoding="utf-8"))
            words = "python benchmarks/plan_accuracy.py, then --again"
            tables.write(KEPT, {**kept, "command": words, "notes": [FITTED], "rows": rows})
    else:
        rows = all_measured([case for case in cases if asked.only in case.name])
    tables.show(rows, asked.json, ("planned", "measured"), [FITTED])


if __name__ == "__main__":
    main()
