"""Fine-tuning against what a user would write: sentences a second, memory, and scores.

    python benchmarks/finetune.py            # a table; seven minutes on one core
    python benchmarks/finetune.py --scores   # the same trainings scored too; nine minutes
    python benchmarks/finetune.py --scores --whole --sides lowres defaults  # half an hour
    python benchmarks/finetune.py --quick    # 32 sentences, one epoch, one round
    python benchmarks/finetune.py --json

Topics of English SIB-200 (every second of its 701 sentences, in their own lengths) over e5-small
with LoRA of rank 16 on every linear layer, three epochs. The peers are `plain_script.py`:

- "best": its best options, the same sentences and epochs;
- "defaults": float32, batches of 8, every text padded to 128 tokens. A step of it costs the same
  whatever the sentences are, so it is given an eighth of them, for one epoch; with `--whole` it
  trains as the others do, and is scored, and lowres takes batches of 8 too: half as large they are
  twice as many updates, which so few sentences gain much from.

Every side trains in a process of its own, in turns, three rounds with seeds of their own; figures
are medians (lowest to highest). The clock is processor time of whole epochs, their first steps and
longest batches with them: Trainer's grouping begins with those, and every side compiles kernels in
its first steps. What is done between epochs counts for none, lowres' pass over source dev neither.
Memory is the most that the process has held, libraries included; on a GPU, what torch reserved.

Scores: macro-F1 of English dev (99) and test (204), means over the seeds, the last weights of the
plain script and what lowres chose by dev after the same number of epochs; the notes say how far the
seeds lie apart. The test set is chosen on by neither. Data: $LOWRES_DATA, else ../shared/data.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import alone
import tables

SIDES = ("lowres", "best", "defaults")
EPOCHS, BATCH, BATCH_OF_DEFAULTS = 3, 16, 8
SHARE, SHARE_OF_DEFAULTS, SHARE_QUICK = 2, 8, 22
SPLITS = ("dev", "test")
NO_SCORES = (
    "against the defaults only the time of a step is compared, no scores: they had an eighth of "
    "the sentences, for one epoch"
)


@dataclass(frozen=True)
class Training:
    """One side once; it takes one sentence in `share`."""

    side: str
    seed: int
    epochs: int
    share: int
    scored: bool
    batch: int = BATCH
    """Of lowres; the plain script has its own."""


def train(given: Training) -> dict[str, float]:
    """Sentences a second, the peak and the scores of a training."""
    run = lowres if given.side == "lowres" else plain
    with tempfile.TemporaryDirectory() as folder:
        return run(given, Path(folder))


def plain(given: Training, folder: Path) -> dict[str, float]:
    """The plain script, with a clock."""
    from plain_script import Script, read
    from steps import Clock

    from lowres import bases  # the base lies where lowres rebuilt it

    data = tables.data("sib200") / "sib200"
    texts, topics = read(data, "eng_Latn", "train", given.share)
    labels = sorted(set(read(data, "eng_Latn", "train")[1]))
    script = Script(bases.locate("e5-small").path, labels, given.side == "best", given.seed)
    clock = Clock()
    script.trainer(script.rows(texts, topics), given.epochs, [clock]).train()
    found = {"rate": given.epochs * len(texts) / clock.seconds, "peak": alone.most_held()}
    return found | (scores(script.network, script.tokenizer, labels) if given.scored else {})


def lowres(given: Training, folder: Path) -> dict[str, float]:
    """The training of a recipe, as `lowres run` does it."""
    from plain_script import MAX_TOKENS, RANK, RATE
    from steps import lowres_clock

    from lowres import bases, data, hardware
    from lowres.progress import Silent
    from lowres.recipe_loading import from_mapping
    from lowres.train import train

    recipe = from_mapping(
        {
            "name": "finetune",
            "base": {"name": "e5-small", "quantization": "none"},
            "languages": {"source": "eng_Latn", "targets": ["fra_Latn"]},
            "data": {"files": str(tables.data("sib200") / "sib200/{lang}/{split}.tsv")},
            "task": {"name": "classification"},
            "train": {"epochs": given.epochs, "batch": given.batch, "learning_rate": RATE,
                      "checkpoint": "best", "head_learning_rate": RATE, "max_tokens": MAX_TOKENS},
            "lora": {"rank": RANK, "alpha": 2 * RANK, "dropout": 0.05},
        }
    )  # fmt: skip
    located, machine, labelled = bases.locate("e5-small"), hardware.detect(), data.load(recipe)
    rows = range(0, len(labelled.train), given.share)
    labelled = replace(labelled, train=labelled.train.select(rows))
    with lowres_clock() as clock:
        train(recipe, given.seed, labelled, located, machine, folder / "seed", Silent())
    trained = sentences_trained(given, len(rows), clock.steps)
    found = {"rate": trained / clock.seconds, "peak": alone.most_held()}
    if not given.scored:
        return found
    import transformers
    from peft import PeftModel

    network = transformers.AutoModelForSequenceClassification.from_pretrained(
        located.path, num_labels=len(labelled.labels)
    )
    tokenizer: Any = transformers.AutoTokenizer.from_pretrained(located.path)
    made = PeftModel.from_pretrained(network, str(folder / "seed" / "adapter")).to(machine.device)
    return found | scores(made, tokenizer, labelled.labels)


def sentences_trained(given: Training, sentences: int, steps: int) -> float:
    """In all steps that were taken: lowres trains a second time where the first attempt gave one
    answer to all, and the clock runs through both."""
    return sentences * steps / -(-sentences // given.batch)


def scores(network: Any, tokenizer: Any, labels: Sequence[str]) -> dict[str, float]:
    """Macro-F1 of English, both sides' networks by the same few lines."""
    import torch
    from plain_script import MAX_TOKENS, read
    from sklearn.metrics import f1_score

    from lowres import hardware

    network.eval()
    found = {}
    for split in SPLITS:
        texts, topics = read(tables.DATA / "sib200", "eng_Latn", split)
        answers: list[str] = []
        for start in range(0, len(texts), 16):
            batch = tokenizer(
                texts[start : start + 16],
                truncation=True,
                max_length=MAX_TOKENS,
                padding=True,
                return_tensors="pt",
            )
            with torch.inference_mode(), hardware.detect().autocast():
                logits = network(**batch.to(network.device)).logits
            answers += [labels[i] for i in logits.argmax(-1).tolist()]
        found[split] = float(f1_score(topics, answers, average="macro"))
    return found


def trainings(asked: Any, round_: int) -> list[Training]:
    """What is trained in one round, in its order."""
    found = []
    for side in asked.sides if round_ % 2 else asked.sides[::-1]:
        short = side == "defaults" and not asked.whole
        share = SHARE_OF_DEFAULTS if short else SHARE
        epochs = 1 if short or asked.quick else EPOCHS
        scored = asked.scores and not short
        share = SHARE_QUICK if asked.quick else share
        batch = BATCH_OF_DEFAULTS if asked.whole else BATCH
        found.append(Training(side, round_, epochs, share, scored, batch))
    return found


def rows(found: dict[str, list[dict[str, float]]]) -> list[dict[str, Any]]:
    """lowres against every peer."""
    made = []
    ours = found["lowres"]
    for peer, theirs in found.items():
        if peer == "lowres":
            continue
        of = f"against the plain script ({peer})"
        for key, name, unit in (
            ("rate", "training", "sentences a second"),
            ("peak", "the most held", "MB"),
        ):
            values = ([one[key] for one in side] for side in (ours, theirs))
            made.append(tables.measured(f"{name}, {of}", unit, *values))
        for split in SPLITS:
            pairs = [[one[split] for one in side if split in one] for side in (ours, theirs)]
            if all(pairs):
                name = f"English {split}, {of}"
                made.append(tables.measured(name, "macro-F1", *pairs, middle=statistics.fmean))
    return made


def notes(found: dict[str, list[dict[str, float]]]) -> list[str]:
    """How far the scores are apart, beside how far the seeds are; and what has none."""
    said = []
    for peer in SIDES[1:]:
        for split in SPLITS:
            both = (found.get(side, []) for side in (SIDES[0], peer))
            sides = [[one[split] for one in side if split in one] for side in both]
            if not all(len(side) > 1 for side in sides):
                continue
            ours, theirs = sides
            apart = 100 * (statistics.fmean(ours) - statistics.fmean(theirs))
            error = 100 * sum(statistics.variance(side) / len(side) for side in sides) ** 0.5
            said.append(
                f"English {split}: lowres {apart:+.1f} points from the plain script ({peer}), "
                f"standard error of that difference over {len(ours)} seeds {error:.1f}"
            )
    if any(SPLITS[0] not in one for one in found.get("defaults", [])):
        said.append(NO_SCORES)
    return said


def main() -> None:
    parser = tables.arguments(__doc__)
    parser.add_argument("--sides", nargs="+", choices=SIDES, default=list(SIDES))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--scores", action="store_true", help="score the trainings too")
    parser.add_argument("--whole", action="store_true", help="the defaults train as the others do")
    asked = parser.parse_args()
    tables.data("sib200")
    found: dict[str, list[dict[str, float]]] = {side: [] for side in asked.sides}
    for round_ in range(1, 2 if asked.quick else asked.rounds + 1):
        for training in trainings(asked, round_):
            one = alone.call(train, training)
            found[training.side].append(one)
            print(f"{training.side}, seed {round_}: {one}", file=sys.stderr, flush=True)
    tables.show(rows({"lowres": [], **found}), asked.json, ("lowres", "plain script"), notes(found))


if __name__ == "__main__":
    main()
