"""A finished run over a tiny base that has a Hub id, without any training, for publishing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import tiny_language
import torch
import yaml
from results_factory import make_results
from tiny_study import CPU

from lowres import adapter_files, bases, hub_upload, lora, model, probe
from lowres.artifacts import RunFolder
from lowres.recipe import Lora
from lowres.repository import Built
from lowres.results import BaseRecord, Results

BASE_ID = "ada/tiny-base"
LABELS = ("a", "b", "c")


def finished(
    run: Path,
    encoder: Path,
    task: str = "classification",
    *,
    extended: bool = False,
    languages: Sequence[str] = (),
    labels: Sequence[str] = LABELS,
    **changes: Any,
) -> Path:
    """Seeds 1 and 2 with an adapter each, `results.json`, `recipe.yaml`.

    `languages` have adapters of their own beside it; `changes` are of `Results`.
    """
    plain = bases.locate(str(encoder))
    under = tiny_language.extend(plain, run.with_name("pieces")) if extended else plain
    if languages:
        its = tiny_language.adapt(under, run.with_name("language"))
        paired = tuple((code, str(its.language)) for code in languages)
        under = replace(under, per_language=paired)
    named = replace(under, name=BASE_ID, hub_id=BASE_ID)
    options = tiny_language.task_options(task)
    for seed in (1, 2):
        torch.manual_seed(seed)
        loaded = model.load_base(under, tiny_language.FLOAT, options, labels, CPU)
        network = lora.attach(loaded, Lora(rank=4), options, str(encoder))
        tiny_language.fill(network, seed)
        with RunFolder(run).stage(f"train/{seed}", "made up") as stage:
            adapter_files.save_adapter(
                network, stage.path / "adapter", named, options, labels, 24, "none"
            )
    results = results_of(task, labels, **changes)
    (run / "results.json").write_text(results.model_dump_json(by_alias=True), encoding="utf-8")
    (run / "recipe.yaml").write_text(yaml.safe_dump(results.recipe), encoding="utf-8")
    return run


def results_of(task: str, labels: Sequence[str], **changes: Any) -> Results:
    recipe = make_results().recipe | {"task": {"name": task}, "base": {"name": BASE_ID}}
    base = BaseRecord(
        name=BASE_ID,
        hub_id=BASE_ID,
        obtained="hub",
        quantization="none",
        parameters=50_000,
        trainable_parameters=5_000,
    )
    return make_results(**{"recipe": recipe, "base": base, "labels": list(labels), **changes})


def built(folder: Path, base: Path, repo_id: str) -> Built:
    """A folder to send that is no adapter, for tests of what is sent and how: weights, card, …

    10 KB of weights go by LFS, as all safetensors do, the rest is part of the commit itself.
    """
    from safetensors.numpy import save_file

    folder.mkdir(parents=True)
    (folder / "README.md").write_text(f"---\nlicense: mit\n---\n# {repo_id}\n", encoding="utf-8")
    (folder / "labels.json").write_text('{"labels": ["a", "b"]}', encoding="utf-8")
    (folder / probe.FILE).write_text('{"probes": []}', encoding="utf-8")
    rows = np.random.default_rng(0).standard_normal((50, 50), dtype=np.float32)
    save_file({"rows": rows}, folder / "adapter_model.safetensors")
    return Built(folder, repo_id, 1, bases.locate(str(base)), ())


def hashes(folder: Path) -> dict[str, str]:
    from lowres.artifacts import file_hash

    return {
        file.relative_to(folder).as_posix(): file_hash(file)
        for file in folder.rglob("*")
        if file.is_file()
    }


def without_git(files: dict[str, bytes]) -> dict[str, bytes]:
    return {name: content for name, content in files.items() if name not in hub_upload.GIT_FILES}
