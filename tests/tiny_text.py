"""Raw text in an invented language with its translation, and tiny bases with a masked-LM head."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForMaskedLM, AutoTokenizer

from lowres import material
from lowres.bases import LocatedBase
from lowres.extend import extend
from lowres.material import LanguageText
from lowres.recipe_text import Extend, Text

HELD = 20
# word for word: a language that a tiny model can learn in a few steps
WORDS = {
    "raan": "teacher", "ŋuɔt": "opened", "dhäl": "window", "wec": "market", "cäŋ": "river",
    "kuäär": "doctor", "nyal": "medicine", "gat": "room", "lɛy": "hot", "tuŋ": "sunday",
}  # fmt: skip


def sentences(count: int, seed: int = 1) -> list[tuple[str, str]]:
    """Pairs of (line, translation), all different."""
    draw = random.Random(seed)
    found: dict[str, str] = {}
    while len(found) < count:
        words = draw.choices(list(WORDS), k=draw.randint(3, 7))
        found[" ".join(words)] = " ".join(WORDS[word] for word in words)
    return list(found.items())


def write(folder: Path, pairs: list[tuple[str, str]], **more: Any) -> Text:
    """Files of them and the section of a recipe that names those."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, column in (("nus.txt", 0), ("eng.txt", 1)):
        lines = "".join(f"{pair[column]}\n" for pair in pairs)
        (folder / name).write_text(lines, encoding="utf-8")
    given = {"translations": str(folder / "eng.txt"), "held_out": HELD, **more}
    return Text(files=str(folder / "nus.txt"), languages=("nus_Latn",), **given)


def texts(folder: Path, count: int = 120, **more: Any) -> tuple[LanguageText, ...]:
    """The text of one language as the stages get it."""
    return material.load(write(folder, sentences(count), **more), ())


def masked_lm(base: Path, folder: Path, spare: int = 0) -> LocatedBase:
    """A masked-LM model with the tokenizer of a tiny base, and `spare` rows more than pieces."""
    tokenizer = AutoTokenizer.from_pretrained(base)
    config = AutoConfig.from_pretrained(base)
    config.vocab_size = len(tokenizer) + spare
    config.hidden_dropout_prob = config.attention_probs_dropout_prob = 0.1
    with torch.random.fork_rng():
        torch.manual_seed(3)
        model = AutoModelForMaskedLM.from_config(config)
        for name, parameter in model.named_parameters():
            # a head starts with biases of zero, which would hide that they are added
            if name.startswith(("cls", "lm_head")) and name.endswith("bias"):
                torch.nn.init.normal_(parameter, std=0.5)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return LocatedBase("tiny", str(folder), None, None, "folder")


def extended(
    located: LocatedBase, texts: tuple[LanguageText, ...], folder: Path, pieces: int = 6
) -> LocatedBase:
    """The base with new pieces learnt from the text."""
    extend(Extend(pieces=pieces, init="mean"), located, texts, folder)
    return replace(located, extension=str(folder))
