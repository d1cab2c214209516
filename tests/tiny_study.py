"""A study that takes a second: a recipe, labelled data and a base, for the tests of training."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

from lowres.data import LabelledData
from lowres.hardware import Hardware
from lowres.recipe import Recipe

CPU = Hardware("cpu", "fp32")
TOPICS = {"market": "trade", "doctor": "health", "river": "nature"}
WORDS = ("The", "teacher", "opened", "the", "window", "because", "room", "was", "hot", "they")
DROPOUTS = (
    "hidden_dropout_prob",
    "attention_probs_dropout_prob",
    "dropout",
    "attention_dropout",
    "seq_classif_dropout",
)
# mDeBERTa's way of attending, without which its blocks have other layers
EXTRAS: dict[str, dict[str, Any]] = {
    "roberta": {"type_vocab_size": 1},
    "xlm-roberta": {"type_vocab_size": 1},
    "deberta-v2": {
        "relative_attention": True,
        "position_buckets": 8,
        "pos_att_type": ["p2c", "c2p"],
        "share_att_key": True,
        "norm_rel_ebd": "layer_norm",
        "position_biased_input": False,
    },
}
TAGS = ("O", "B-LOC", "I-LOC")


def recipe(folder: Path, task: str = "classification", **sections: Any) -> Recipe:
    """Three epochs of six steps; `sections` are laid over, key by key."""
    train = {"epochs": 3, "batch": 8, "max_tokens": 24, "learning_rate": 1e-2}
    plain: dict[str, Any] = {
        "name": "tiny",
        "base": {"name": str(folder), "quantization": "none"},
        "languages": {"source": "eng_Latn", "targets": ["swh_Latn"]},
        "data": {"files": "{lang}/{split}.jsonl"},
        "task": {"name": task},
        "lora": {"rank": 4},
        "train": {**train, "head_learning_rate": 3e-2, "precision": "fp32"},
    }
    for name, section in sections.items():
        plain[name] = {**plain.get(name, {}), **section}
    return Recipe.model_validate(plain)


def examples(task: str, count: int, seed: int) -> list[dict[str, Any]]:
    """Sentences of 4 to 9 words of which the last three decide the label."""
    draw = random.Random(seed)
    rows = []
    for number in range(count):
        key = list(TOPICS)[number % len(TOPICS)]
        words = draw.choices(WORDS, k=draw.randint(1, 6))
        tags = ["O"] * len(words)
        words += [key] * 3
        tags += [TAGS[number % len(TOPICS)]] * 3
        # a fifth is of another source; only `languages.source_temperature` looks at it
        code = "hin_Deva" if number % 5 == 4 else "eng_Latn"
        row: dict[str, Any] = {"id": str(number), "language": code}
        if task == "tagging":
            row |= {"tokens": words, "tags": tags}
        else:
            row |= {"text": " ".join(words), "label": TOPICS[key]}
        if task == "pairs":
            row["text_pair"] = " ".join(reversed(words))
        rows.append(row)
    return rows


def data(task: str = "classification", train: int = 44, dev: int = 18) -> LabelledData:
    """Source data alone: training looks at nothing else."""
    from datasets import Dataset

    labels = TAGS if task == "tagging" else tuple(sorted(TOPICS.values()))
    return LabelledData(
        labels=labels,
        train=Dataset.from_list(examples(task, train, seed=1)),
        dev=Dataset.from_list(examples(task, dev, seed=2)),
        tests={"eng_Latn": Dataset.from_list(examples(task, dev, seed=3))},
        target_train={},
        records=(),
        splits={"eng_Latn": "test"},
        warnings=(),
    )


def base(model_type: str, tokenizer: Any, folder: Path, dropout: float = 0.0) -> Path:
    """A tiny random encoder of an architecture, without a pooler, with a tokenizer beside it.

    64 wide: bitsandbytes' NF4 has blocks of that size.
    """
    import torch
    from transformers import AutoConfig, AutoModel

    # each config class reads the sizes that it knows and keeps the rest as plain attributes
    config = AutoConfig.for_model(
        model_type,
        vocab_size=len(tokenizer),
        hidden_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=4,
        intermediate_size=64,
        embedding_size=64,
        dim=64,
        hidden_dim=64,
        n_layers=2,
        n_heads=4,
        max_position_embeddings=66,
        initializer_range=0.1,  # at 0.02 all sentences look alike to a net this small
        pad_token_id=tokenizer.pad_token_id,
        **dict.fromkeys(DROPOUTS, dropout),
        **EXTRAS.get(model_type, {}),
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        pooler = {"add_pooling_layer": False} if model_type == "bert" else {}
        AutoModel.from_config(config, **pooler).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def train(study: Recipe, folder: Path, save_every_s: float = 60.0) -> Any:
    """Train seed 1 into `folder`, on one process of this machine's CPU."""
    from lowres import bases
    from lowres.progress import Silent
    from lowres.train import train as train_seed

    folder.mkdir(parents=True, exist_ok=True)
    return train_seed(
        study,
        1,
        data(study.task.name),
        bases.locate(study.base.name),
        CPU,
        folder,
        Silent(),
        save_every_s,
    )


def answers(study: Recipe, folder: Path, examples: Any = None) -> list[Any]:
    """What the adapter in `folder` says to these examples, by default the test sentences."""
    from lowres import adapter_files, bases, inference, model

    located, labelled = bases.locate(study.base.name), data(study.task.name)
    options = (study.task, labelled.labels)
    network = adapter_files.load_adapter(
        model.load_base(located, study.base, *options, CPU), folder
    )
    tokenizer = model.load_tokenizer(located)
    asked = labelled.tests["eng_Latn"] if examples is None else examples
    return inference.predict(network, tokenizer, *options, asked, CPU, 24, 256)
