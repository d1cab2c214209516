"""A language adapter over a tiny base, with new pieces, without any training."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import tiny_study
import torch
from tiny_study import CPU

from lowres import bases, extension, lora, model, registry, stacking, tokenizer_families
from lowres import rows as new_rows
from lowres.bases import LocatedBase
from lowres.extension import Extension
from lowres.recipe import Base, Lora

LABELS = ("a", "b", "c")
# Nuer: words that no tiny tokenizer was trained on
SENTENCES = ("Mi wä rɔ̱ mal kɛ yɔ̱ŋ", "kɛ min wä nhial", "The teacher opened the window.")
WORDS = {
    "Unigram": ("▁wä", "▁nhial", "▁mal", "ɔ̱ŋ"),
    "WordPiece": ("wä", "nhial", "mal", "##ɛ", "kɛ", "##hial"),
    "byte-level BPE": ("Ġwä", "ĠwÃ", "ĠwÃ¤", "Ġma", "Ġmal"),
}
FLOAT = Base(name="x", quantization="none")


def task_options(name: str) -> Any:
    return registry.module("tasks", name).Options(name=name)


def extend(located: LocatedBase, folder: Path) -> LocatedBase:
    """A handful of new pieces, their rows at random."""
    tokenizer = model.load_tokenizer(located)
    state = extension.state_of(tokenizer)
    family = tokenizer_families.of(state, located.name)
    old = state["model"]["vocab"]
    known = set(old) if isinstance(old, dict) else {piece for piece, _ in old}
    pieces = tuple(piece for piece in WORDS[family.LABEL] if piece not in known)
    made = Extension(
        family=family.LABEL,
        vocabulary_sha256=extension.fingerprint(state),
        first_id=tokenizer_families.next_id(state),
        pieces=pieces,
        learned_from=(),
        chosen=str(len(pieces)),
    )
    extension.write(folder, tokenizer, made, located.name)
    width = model.embedding_table(located).shape[1]
    values = torch.randn(len(pieces), width, generator=torch.Generator().manual_seed(5))
    extension.write_rows(folder, values.numpy())
    return replace(located, extension=str(folder))


def fill(network: Any, seed: int = 0) -> None:
    """LoRA starts as nothing: give its second factor some weight."""
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in network.named_parameters():
        if ".lora_B." in name:
            parameter.data = torch.randn(parameter.shape, generator=generator) * 0.1


def adapt(located: LocatedBase, folder: Path, rank: int = 3, seed: int = 1) -> LocatedBase:
    """A language adapter in `folder`, as the adapt stage saves it."""
    torch.manual_seed(seed)
    encoder, _ = model.load_encoder(located, FLOAT, CPU, masked_lm=False)
    network = lora.attach_language(encoder, rank, 2 * rank, located.name)
    fill(network, seed)
    rows = new_rows.find(network)
    if rows is not None:
        rows.rows.data += torch.randn(rows.rows.shape)
    network.save_pretrained(str(folder), save_embedding_layers=False)
    if rows is not None:
        path = model.embedding_path(network.get_base_model())
        stacking.combine(folder, None, (rows.rows.detach(), rows.first_id), "", path)
    return replace(located, language=str(folder))


def attached(located: LocatedBase, task: Any, quantization: str = "none", **given: Any) -> Any:
    """The base, what lies under the task, and a task LoRA with some weight."""
    torch.manual_seed(0)
    options = Base(name="x", quantization=quantization)
    base = model.load_base(located, options, task, LABELS, CPU)
    network = lora.attach(base, Lora(rank=4, alpha=6, dropout=0, **given), task, located.name)
    fill(network, 9)
    return network.eval()


def logits(network: Any, ids: torch.Tensor, pad: int) -> torch.Tensor:
    with torch.no_grad():
        found: torch.Tensor = network(input_ids=ids, attention_mask=ids.ne(pad).long()).logits
    return found


def locate(folder: Path) -> LocatedBase:
    return bases.locate(str(folder))


class Languages:
    """`Languages(...)(kind)`: a tiny base with new pieces and a language adapter, made once."""

    def __init__(self, folder: Path, ready: dict[str, Path], tokenizer: Any) -> None:
        self._folder = folder
        self._ready = ready
        self._tokenizer = tokenizer
        self._made: dict[str, LocatedBase] = {}

    def __call__(self, kind: str) -> LocatedBase:
        if kind not in self._made:
            folder = self._folder
            base = self._ready.get(kind) or tiny_study.base(kind, self._tokenizer, folder / kind)
            extended = extend(locate(base), folder / f"{kind}-pieces")
            self._made[kind] = adapt(extended, folder / f"{kind}-language")
        return self._made[kind]
