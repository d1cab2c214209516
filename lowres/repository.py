"""The folder that is published: an adapter, what it was made of, its card, and nothing private.

Built and checked here before anything is sent.
"""

from __future__ import annotations

import json
import re
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path, PurePath
from typing import Any, Final

import yaml

from lowres import adapter_files, bases, card, extension, licences, predict, probe, transfer_plot
from lowres import gate as reloading
from lowres.artifacts import RunFolder
from lowres.errors import BaseModelError, RunError
from lowres.hardware import Hardware
from lowres.recipe_publish import Publish
from lowres.results import Results

ADAPTERS: Final = "adapters"
ON_CPU: Final = Hardware("cpu", "fp32")
"""Where the gate answers too: a GPU's float32 is not the same to 1e-5."""
README: Final = "README.md"
RECIPE: Final = "recipe.yaml"
RESULTS: Final = "results.json"
PICKLES: Final = (".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt", ".msgpack", ".h5", ".joblib")
_TOKEN: Final = re.compile(rb"hf_[A-Za-z0-9]{20,}")
_KEPT_PARTS: Final = 3
"""Parts of a path outside the current folder that are told."""
WEIGHTS: Final = ".safetensors"


@dataclass(frozen=True)
class Built:
    """A checked folder, and what the gate needs. `notes`: what the user should know."""

    folder: Path
    repo_id: str
    seed: int
    base: bases.LocatedBase
    notes: tuple[str, ...]


def build(run: Path, repo_id: str, wanted: str, options: Publish, out: Path) -> Built:
    """Make the repository of one seed of a run in `out`, whole or not at all.

    Args:
        run: a finished run's folder.
        repo_id: `namespace/name`.
        wanted: `median` or `best-dev` of the seeds that can be trusted, by source dev, or a number.
        options: the recipe's section `publish`.
        out: the folder to make; replaced where it is there.

    Raises:
        RunError: no finished run, a changed adapter, a missing licence or one that the data forbid,
            something private in a file.
    """
    results = read_results(run)
    seed = choose_seed(results, wanted)
    adapter = _whole_adapter(run, seed)
    meta = json.loads((adapter / adapter_files.LABELS_FILE).read_text(encoding="utf-8"))
    base_id = _base_id(results)
    data = _data(results, options)
    license_ = _licence(options, data)
    located = predict.locate(meta["base"], adapter)
    task = predict.task_of(meta)
    with tempfile.TemporaryDirectory(dir=_parent(out), prefix=".building-") as work:
        folder = Path(work) / "repository"
        _copy(adapter, folder)
        rebuilt = located.obtained.startswith("rebuilt")
        over = {
            "id": base_id,
            "revision": located.revision,
            "obtained": located.obtained,
            "tolerance": reloading.REBUILT_TOLERANCE if rebuilt else reloading.TOLERANCE,
        }
        for its in (folder, *sorted(folder.glob(f"{ADAPTERS}/*"))):
            answered = probe.make(its, located, task, meta["labels"], ON_CPU)
            probe.write(its / probe.FILE, answered, over)
        shown = _shown(results)
        _write_records(folder, run, shown, options)
        facts = card.Facts(
            repo_id=repo_id,
            seed=seed,
            license=license_,
            base_id=base_id,
            authors=options.authors,
            intended_use=options.intended_use,
            data=data,
            datasets=tuple(one.name for one in data if one.hub),
            extended=_new_pieces(folder),
            megabytes=sum(f.stat().st_size for f in folder.rglob("*") if f.is_file()) / 1e6,
            per_language=tuple(sorted(p.name for p in folder.glob(f"{ADAPTERS}/*"))),
            rebuilt_tolerance=reloading.REBUILT_TOLERANCE if rebuilt else None,
            command=f"lowres run recipe.yaml seeds={seed}",
            year=datetime.now(UTC).year,
        )
        (folder / README).write_text(card.render(shown, facts), encoding="utf-8")
        check(folder, results)
        shutil.rmtree(out, ignore_errors=True)
        folder.rename(out)
    return Built(out, repo_id, seed, located, tuple(licences.remarks(data, license_)))


def _new_pieces(folder: Path) -> int:
    own = (folder / extension.META).is_file()
    return len(extension.read(folder).pieces) if own else 0


def read_results(run: Path) -> Results:
    """`results.json` of a run. Raises `RunError` where it is not finished."""
    file = run / RESULTS
    try:
        return Results.model_validate_json(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise RunError(
            f"{run}: no finished run ({RESULTS}: {type(error).__name__}); finish it with "
            "`lowres run`, or name another (see `lowres ls runs`)"
        ) from error


def choose_seed(results: Results, wanted: str) -> int:
    """The seed to publish. Raises `RunError` for one that is not there or cannot be trusted."""
    trusted = sorted((s.dev, s.seed) for s in results.seeds if s.status == "ok")
    if wanted.isdecimal():
        record = next((s for s in results.seeds if s.seed == int(wanted)), None)
        if record is None:
            known = ", ".join(str(s.seed) for s in results.seeds)
            raise RunError(f"--seed {wanted}: the run has the seeds {known}")
        if record.status != "ok":
            raise RunError(f"--seed {wanted}: cannot be trusted ({record.status}); take another")
        return record.seed
    if wanted not in ("median", "best-dev"):
        raise RunError(f"--seed {wanted}: expected median, best-dev or a seed's number")
    if not trusted:
        raise RunError("no seed of this run can be trusted, so that nothing is published")
    at = len(trusted) - 1 if wanted == "best-dev" else (len(trusted) - 1) // 2
    return trusted[at][1]


def _whole_adapter(run: Path, seed: int) -> Path:
    name = f"train/{seed}"
    folder = RunFolder(run)
    manifest = folder.manifest(name)
    if manifest is None or folder.finished(name, manifest.inputs) is None:
        raise RunError(
            f"{run / name}: incomplete, or changed after training (its manifest has other hashes); "
            "run the recipe again"
        )
    return run / name / "adapter"


def _base_id(results: Results) -> str:
    if results.base.hub_id is None:
        raise BaseModelError(
            f"base.name {results.base.name}: a folder of this machine, which nobody else can load; "
            "publish the base first and name its Hub id in the recipe"
        )
    return results.base.hub_id


def _data(results: Results, options: Publish) -> tuple[licences.DataLicence, ...]:
    return licences.of_recipe(results.recipe, options.data_licenses, public)


def _licence(options: Publish, data: Sequence[licences.DataLicence]) -> str:
    if options.license is None:
        raise RunError(
            "publish.license is missing: under which licence is the adapter given away? Add it to "
            "the recipe (publish: {license: cc-by-4.0}), or give --license"
        )
    reasons = [why for one in data if (why := licences.forbids(one, options.license))]
    if reasons:
        raise RunError(
            f"publish.license {options.license}: {'; '.join(reasons)}. Take a licence that says "
            "the same, such as cc-by-nc-4.0; where your copy has other terms, say so in "
            "publish.data_licenses"
        )
    return options.license


def _parent(out: Path) -> Path:
    out.parent.mkdir(parents=True, exist_ok=True)
    return out.parent


def _copy(adapter: Path, folder: Path) -> None:
    """The adapter, and those of single languages under `adapters/`."""
    shutil.copytree(adapter, folder)
    beside = adapter_files.of_language(adapter, "x").parent
    if beside.is_dir():
        shutil.copytree(beside, folder / ADAPTERS)


def _write_records(folder: Path, run: Path, shown: Results, options: Publish) -> None:
    """`recipe.yaml`, `results.json` and the picture of it."""
    recipe = yaml.safe_load((run / RECIPE).read_text(encoding="utf-8"))
    recipe["publish"] = options.model_dump(mode="json")
    text = yaml.safe_dump(_public(recipe), sort_keys=False, allow_unicode=True, width=100)
    (folder / RECIPE).write_text(text, encoding="utf-8")
    plain = shown.model_dump(mode="json", by_alias=True)
    written = json.dumps(plain, ensure_ascii=False, indent=1)
    (folder / RESULTS).write_text(written + "\n", encoding="utf-8")
    (folder / card.PLOT).write_text(transfer_plot.draw(shown), encoding="utf-8")


def public(text: str) -> str:
    """A path that leads out of the current folder, to its last parts; in other text no path of
    this machine."""
    path = PurePath(text)
    outside = path.is_absolute() or text.startswith("~") or ".." in path.parts
    if outside and ": " not in text and "\n" not in text:
        named = [part for part in path.parts if part not in (path.anchor, "..", "~")]
        return "/".join(named[-_KEPT_PARTS:])
    for private in _private_paths():
        text = text.replace(private.decode(), "")
    return text


def _public(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _public(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_public(inner) for inner in value]
    return public(value) if isinstance(value, str) else value


def _shown(results: Results) -> Results:
    """The results without paths of this machine and sentences of the data."""
    plain = results.model_dump(mode="json", by_alias=True) | {"mistakes": []}
    return Results(**_public(plain))


def check(folder: Path, results: Results) -> None:
    """Raise `RunError` for a file that must not be published; names the file and the reason."""
    from huggingface_hub import get_token

    private, own = _private_paths(), (get_token() or "").encode()
    sentences = [m.text.encode() for m in results.mistakes if len(m.text.split()) >= 5]
    for file in sorted(f for f in folder.rglob("*") if f.is_file()):
        name = file.relative_to(folder).as_posix()
        if file.suffix in PICKLES or (file.suffix == WEIGHTS and not _is_safetensors(file)):
            raise RunError(f"{name}: a pickle can run code when loaded; only safetensors go out")
        content = file.read_bytes() if file.suffix != WEIGHTS else b""
        if _TOKEN.search(content) or (own and own in content):
            raise RunError(f"{name}: holds what looks like a Hub token; remove it")
        leak = next((path for path in private if path in content), None)
        if leak is not None:
            raise RunError(f"{name}: names a path of this machine ({leak.decode()}); remove it")
        if any(sentence in content for sentence in sentences):
            raise RunError(f"{name}: holds a sentence of the data, which is not ours to publish")


def _is_safetensors(file: Path) -> bool:
    """By its header, whatever it is called."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(file, "np"):
            return True
    except (SafetensorError, OSError):
        return False


def _private_paths() -> list[bytes]:
    paths = {str(Path.home()), str(Path.cwd()), tempfile.gettempdir()}
    return [f"{path}/".encode() for path in sorted(paths) if len(PurePath(path).parts) > 1]
