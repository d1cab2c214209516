"""One step of `adapt.objective: mlm` against transformers + peft, on a model of XLM-R-base's size.

    python benchmarks/adapt_step.py            # a table; ten minutes and 13 GB on one core
    python benchmarks/adapt_step.py --json     # the same for machines
    python benchmarks/adapt_step.py --quick    # a small batch through two layers, within a minute

The model has random weights and 250,002 rows, to which 2,000 new ones come. The peer is
`AutoModelForMaskedLM` with a resized table, `trainable_token_indices` for the new rows, logits and
loss as transformers makes them. The head's biases are zero: peft 0.21 leaves them out beside
`trainable_token_indices` (huggingface/peft#3649), and its loss would be another. LoRA, weights,
lines, masks and optimizer are the same, dropout is off. Each side is a process of its own; they
take turns, step by step, the first of which is not timed. "Extra memory" is the highest resident
size of the process less that of the loaded model, on a GPU what torch reserves of it. Losses are
those of every step, so that the updates are compared too.
"""

from __future__ import annotations

import argparse
import multiprocessing
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import alone
import numpy as np
import tables
import torch

PIECES, NEW = 250_002, 2_000
RANK, ALPHA = 16, 32
RATE, ROWS_RATE = 5e-4, 5e-3
SIDES = ("lowres", "peer")
SPECIALS = ("<s>", "<pad>", "</s>", "<unk>", "<mask>")


def word(number: int) -> str:
    """The piece of an id behind the special ones."""
    return f"w{number}"


def tokenizer(pieces: int) -> Any:
    """A word is a piece: which pieces there are makes no difference to a step."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    names = [*SPECIALS, *(word(i) for i in range(len(SPECIALS), pieces))]
    model = models.WordLevel({name: i for i, name in enumerate(names)}, unk_token="<unk>")
    backend = Tokenizer(model)
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    backend.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    bos, pad, eos, unk, mask = SPECIALS
    return PreTrainedTokenizerFast(
        tokenizer_object=backend, bos_token=bos, pad_token=pad, eos_token=eos, unk_token=unk,
        mask_token=mask,
    )  # fmt: skip


def prepare(asked: argparse.Namespace, folder: Path) -> None:
    """The base, the rows and the lines that both sides read."""
    from transformers import AutoModelForMaskedLM, XLMRobertaConfig

    config = XLMRobertaConfig(
        vocab_size=asked.pieces, hidden_size=768, num_hidden_layers=asked.layers,
        num_attention_heads=12, intermediate_size=3072, max_position_embeddings=514,
        type_vocab_size=1, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0,
        pad_token_id=1, bos_token_id=0, eos_token_id=2,
    )  # fmt: skip
    torch.manual_seed(0)
    base: Any = AutoModelForMaskedLM.from_config(config)
    base.save_pretrained(folder)
    np.save(folder / "rows.npy", 0.02 * torch.randn(NEW, 768).numpy())
    draw = random.Random(0)
    ends = asked.pieces, asked.pieces + NEW
    lines = []
    for _ in range(asked.batch):
        # one in five of an extended text's pieces is a new one, or so
        kinds = [draw.random() < 0.2 for _ in range(asked.length - 2)]
        words = [
            word(draw.randrange(*ends) if new else draw.randrange(5, ends[0])) for new in kinds
        ]
        lines.append(" ".join(words) + "\n")
    (folder / "lines.txt").write_text("".join(lines), encoding="utf-8")


def fill_lora(network: Any) -> list[Any]:
    """LoRA's weights, the same on both sides and not zero; returns the parameters."""
    found = sorted(
        (name[name.index("encoder.layer") :], p)
        for name, p in network.named_parameters()
        if ".lora_" in name
    )
    generator = torch.Generator().manual_seed(1)
    for _, parameter in found:
        drawn = 0.02 * torch.randn(parameter.shape, generator=generator)
        parameter.data = drawn.to(parameter.device)
    return [parameter for _, parameter in found]


class Lowres:
    """The objective as `lowres adapt` makes it."""

    def __init__(self, folder: Path, asked: argparse.Namespace) -> None:
        from lowres import lora, model
        from lowres import rows as new_rows
        from lowres.bases import LocatedBase
        from lowres.hardware import detect
        from lowres.material import LanguageText
        from lowres.objectives import Job, mlm
        from lowres.recipe import Base
        from lowres.recipe_text import Adapt

        self.hardware = detect(asked.precision)
        located = LocatedBase("base", str(folder), None, None, "folder")
        base = Base(name="base", quantization="none")
        encoder, full = model.load_encoder(located, base, self.hardware, masked_lm=True)
        rows = torch.from_numpy(np.load(folder / "rows.npy"))
        extended = new_rows.extend(full, rows, asked.pieces)
        network = lora.attach_language(encoder, RANK, ALPHA, "base")
        extended.rows.requires_grad_(True)
        self.lora, self.rows = fill_lora(network), [extended.rows]
        lines = folder / "lines.txt"
        text = LanguageText("nus_Latn", lines, asked.batch, (), (), (), ())
        pieces = tokenizer(asked.pieces + NEW)
        options = Adapt(objective="mlm", batch=asked.batch, max_tokens=asked.length)
        work = folder / "lowres"
        self.objective = mlm.Objective(
            Job(options, (text,), network, full, pieces, pieces, self.hardware, work, 1)
        )
        self.network = full
        network.train()

    def loss(self, step: int) -> torch.Tensor:
        return self.objective.loss(range(len(self.objective.lengths)), step)


class Peer:
    """transformers and peft as their documentation has it; batches by lowres' masks."""

    def __init__(self, folder: Path, asked: argparse.Namespace) -> None:
        from peft import LoraConfig, get_peft_model
        from transformers import AutoModelForMaskedLM

        from lowres import bases, quiet
        from lowres.hardware import detect
        from lowres.objectives._masking import Masking

        self.hardware = detect(asked.precision)
        full: Any = AutoModelForMaskedLM.from_pretrained(folder, dtype=torch.float32)
        full.resize_token_embeddings(asked.pieces + NEW, mean_resizing=False)
        with torch.no_grad():
            table = full.get_input_embeddings().weight
            table[asked.pieces :] = torch.from_numpy(np.load(folder / "rows.npy"))
        config = LoraConfig(
            r=RANK, lora_alpha=ALPHA, target_modules=list(bases.lora_targets("xlm-roberta")),
            exclude_modules="lm_head.*",
            trainable_token_indices=list(range(asked.pieces, asked.pieces + NEW)),
        )  # fmt: skip
        with quiet.peft():
            self.network = get_peft_model(full, config)
        self.network.to(self.hardware.device)
        self.lora = fill_lora(self.network)
        named = self.network.named_parameters()
        self.rows = [p for n, p in named if p.requires_grad and "lora_" not in n]
        pieces = tokenizer(asked.pieces + NEW)
        lines = (folder / "lines.txt").read_text(encoding="utf-8").splitlines()
        self.lines = [np.asarray(ids) for ids in pieces(lines)["input_ids"]]
        self.masking = Masking(pieces, 0.15, whole_words=False)
        self.network.train()

    def loss(self, step: int) -> torch.Tensor:
        from lowres.objectives.mlm import MASKS

        generator = np.random.default_rng((1, MASKS, step))
        shown, hidden = self.masking.draw(self.lines, generator)
        ids = self.hardware.moved(torch.from_numpy(np.stack(shown)))
        labels = np.where(np.stack(hidden), np.stack(self.lines), -100)
        wanted = self.hardware.moved(torch.from_numpy(labels))
        with self.hardware.autocast():
            out = self.network(input_ids=ids, attention_mask=torch.ones_like(ids), labels=wanted)
        loss: torch.Tensor = out.loss
        return loss


def serve(side: str, folder: str, asked: argparse.Namespace, pipe: Any) -> None:
    """A process: load one side, then answer each step's number with what it took."""
    if asked.threads:
        torch.set_num_threads(asked.threads)
    made: Any = {"lowres": Lowres, "peer": Peer}[side](Path(folder), asked)
    groups = [{"params": made.lora, "lr": RATE}, {"params": made.rows, "lr": ROWS_RATE}]
    # a table that is mapped from its file takes memory once it is read
    for parameter in made.network.parameters():
        parameter.sum()
    optimizer = torch.optim.AdamW(groups, weight_decay=0.01, fused=True)
    loaded_mb = alone.held_from_here()
    pipe.send({"loaded_mb": loaded_mb, "trained": [sum(p.numel() for p in made.rows)]})
    while (step := pipe.recv()) is not None:
        wall, processor = time.perf_counter(), time.process_time()
        loss = made.loss(step)
        loss.backward()
        torch.nn.utils.clip_grad_norm_([*made.lora, *made.rows], 1.0)
        optimizer.step()
        optimizer.zero_grad()
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        pipe.send(
            {
                "seconds": time.perf_counter() - wall,
                "processor_s": time.process_time() - processor,
                "loss": float(loss.detach()),
                "extra_mb": alone.most_held() - loaded_mb,
            }
        )


def measured(asked: argparse.Namespace, folder: Path) -> dict[str, list[dict[str, Any]]]:
    """What each step took, side by side."""
    context = multiprocessing.get_context("spawn")
    pipes, processes = {}, []
    for side in SIDES:
        pipes[side], there = context.Pipe()
        process = context.Process(target=serve, args=(side, str(folder), asked, there))
        process.start()
        there.close()
        processes.append(process)
        found = pipes[side].recv()
        print(f"{side}: {found['loaded_mb']:.0f} MB loaded", file=sys.stderr)
    steps: dict[str, list[dict[str, Any]]] = {side: [] for side in SIDES}
    for step in range(asked.steps + 1):
        for side in SIDES if step % 2 else SIDES[::-1]:
            pipes[side].send(step)
            steps[side].append(pipes[side].recv())
            took = steps[side][-1]
            print(f"{side}, step {step}: {took['seconds']:.2f} s", file=sys.stderr)
    for pipe, process in zip(pipes.values(), processes, strict=True):
        pipe.send(None)
        process.join()
    return steps


def rows(steps: dict[str, list[dict[str, Any]]]) -> Iterator[dict[str, Any]]:
    """Medians over the timed steps; of memory the highest; of losses the widest apart."""
    for name, key, unit in (
        ("a step", "seconds", "s"),
        ("a step, processor", "processor_s", "s"),
        ("extra memory", "extra_mb", "MB"),
    ):
        values = [[took[key] for took in steps[side][1:]] for side in SIDES]
        middle = max if unit == "MB" else statistics.median
        made = tables.measured(name, unit, *values, middle=middle)
        if unit == "MB":
            made = {key: made[key] for key in tables.KEYS}
        yield made
    pairs = [tuple(took["loss"] for took in pair) for pair in zip(*steps.values(), strict=True)]
    ours, peer = max(pairs, key=lambda pair: abs(pair[0] - pair[1]))
    yield tables.row(f"loss, widest apart of {len(pairs)} steps", "nats", ours, peer)


def arguments() -> argparse.Namespace:
    parser = tables.arguments(__doc__)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--length", type=int, default=128, help="tokens a line, specials included")
    parser.add_argument("--layers", type=int, default=12)
    parser.add_argument("--pieces", type=int, default=PIECES, help="rows of the base")
    parser.add_argument("--steps", type=int, default=5, help="timed ones a side")
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--precision", choices=["fp32", "bf16"], default="fp32")
    asked = parser.parse_args()
    if asked.quick:
        asked.batch, asked.length, asked.layers, asked.steps = 4, 64, 2, 2
    return asked


def main() -> None:
    asked = arguments()
    with tempfile.TemporaryDirectory() as name:
        prepare(asked, Path(name))
        found = list(rows(measured(asked, Path(name))))
    tables.show(found, asked.json, ("lowres", "transformers + peft"))


if __name__ == "__main__":
    main()
