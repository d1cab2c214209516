"""What must not be published: paths of this machine, tokens, sentences of the data, pickles, files
that nobody knows, weights that are not whole."""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from fnmatch import fnmatch
from pathlib import Path, PurePath
from typing import Any, Final

import yaml

from lowres import data, hub_adapters, probe, recipe_loading, snapshots, stacking, trained
from lowres.errors import LowresError, RunError
from lowres.results import Results

BESIDE: Final = (
    "README.md", probe.FILE, "recipe.yaml", "results.json", "transfer.svg", "learning.svg",
)  # fmt: skip
PICKLES: Final = (
    *hub_adapters.PICKLES,
    *(".msgpack", ".h5", ".joblib", ".npy", ".npz", ".zip", ".py", ".onnx"),
)
WEIGHTS: Final = ".safetensors"
MOST_BYTES: Final = {WEIGHTS: 5 * 10**9, "": 50 * 10**6}
"""Of a file of weights, and of any other: an adapter is small, or it is none."""
LEAST_LETTERS: Final = 20
"""Of a sentence that is looked for, spaces not counted."""
_LEAST_WORDS: Final = 5
_TOKEN: Final = re.compile(rb"hf_[A-Za-z0-9]{20,}")
_KEPT_PARTS: Final = 3
"""Parts of a path outside the current folder that are told."""
_WINDOWS: Final = r"[A-Za-z]:[\\/]|\\\\"
_ROOTED: Final = re.compile(rf"(?:file://)?(?:/|~|{_WINDOWS})")
_PART: Final = r"[^\s\\/'\"<>|:,;()]+"
_INSIDE: Final = re.compile(
    rf"(?<![^\s'\"`(\[<=,;|])(?:(?:file://|~\w*)?/|\b[A-Za-z]:[\\/]|\\\\)(?:{_PART}[\\/]+)+(?:{_PART})?"
)
"""Absolute paths in a text; `/x/` in `{lang}/x/y` is none."""
_PLACEHOLDER: Final = re.compile(r"\{(lang|split)\}")


def public(text: str) -> str:
    """A path that leads out of the current folder, to its last parts; in other text no path of
    this machine."""
    outside = _ROOTED.match(text) is not None or ".." in PurePath(text).parts
    if outside and ": " not in text and "\n" not in text:
        return _shortened(text)
    for private in _private_paths():
        text = text.replace(private, "")
    return _INSIDE.sub(lambda found: _shortened(found[0]), text)


def _shortened(path: str) -> str:
    """Its last parts, none of which is somebody's home."""
    home = f"{Path.home()}/"
    if path.startswith(home):
        path = path.removeprefix(home)
    rooted = _ROOTED.match(path)
    parts = [part for part in re.split(r"[\\/]+", path.removeprefix("file:")) if part]
    if rooted and parts and re.fullmatch("[A-Za-z]:", parts[0]):
        parts = parts[1:]
    if rooted and parts and parts[0].lower() in ("home", "users"):
        parts = parts[2:]
    kept = [part for part in parts if part not in (".", "..") and not part.startswith("~")]
    # a template that loses its {lang} would be one file for all languages
    last = max(0, len(kept) - _KEPT_PARTS)
    first = min((at for at, part in enumerate(kept) if _PLACEHOLDER.search(part)), default=last)
    return "/".join(kept[min(first, last) :])


def without_paths(value: Any) -> Any:
    """The same for all text in plain data."""
    if isinstance(value, dict):
        return {without_paths(key): without_paths(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [without_paths(inner) for inner in value]
    return public(value) if isinstance(value, str) else value


def recorded_paths(*values: Any) -> set[str]:
    """The folders of all absolute paths in plain data, such as a recipe: `/mnt/corpora/`."""
    found = set()
    for text in _texts(values):
        whole = [text] if _ROOTED.match(text) and "\n" not in text and ": " not in text else []
        for path in (*whole, *(match[0] for match in _INSIDE.finditer(text))):
            folder = re.match(r"[^{]*[\\/]", path.removeprefix("file://"))
            if folder is not None and len(re.findall(r"[^\\/]+", folder[0])) > 1:
                found.add(folder[0])
    return found


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        yield from _texts(list(value.values()))
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _texts(inner)


def _private_paths() -> list[str]:
    paths = {str(Path.home()), str(Path.cwd()), tempfile.gettempdir()}
    return [f"{path}/" for path in sorted(paths, reverse=True) if len(PurePath(path).parts) > 1]


def sentences(run: Path, results: Results) -> tuple[list[str], str | None]:
    """Texts of the data that a run was made of, and why they are not all of them, if so."""
    found = [part for mistake in results.mistakes for part in mistake.text.split(" ⟶ ")]
    try:
        tree = yaml.safe_load((run / "recipe.yaml").read_text(encoding="utf-8"))
        read = data.load(recipe_loading.from_mapping(tree))
    except LowresError:
        return found, (
            "the run's data cannot be read here: files were searched for the sentences of the "
            "report alone, not for those of the data"
        )
    for rows in (read.train, read.dev, *read.tests.values(), *read.target_train.values()):
        for column in ("text", "text_pair", "tokens"):
            if column in rows.column_names:
                values = list(rows[column])
                found += [v if isinstance(v, str) else " ".join(v) for v in values]
    return list(dict.fromkeys(found)), None


class _Sentences:
    """Texts to look for, whatever stands between their letters."""

    def __init__(self, texts: Iterable[str]) -> None:
        own = {_letters(text) for text in probe.SENTENCES}
        self._by_start: dict[str, list[str]] = {}
        for text in texts:
            letters = _letters(text)
            # scripts without spaces have no words to count
            many = len(text.split()) >= _LEAST_WORDS or " " not in text.strip()
            if many and len(letters) >= LEAST_LETTERS and letters not in own:
                self._by_start.setdefault(letters[:LEAST_LETTERS], []).append(letters)

    def in_file(self, name: str, content: str) -> bool:
        if not self._by_start:
            return False
        if name.endswith(".json"):
            # escapes of letters would hide them
            content = json.dumps(json.loads(content), ensure_ascii=False)
        letters = _letters(content)
        for at in range(len(letters) - LEAST_LETTERS + 1):
            whole = self._by_start.get(letters[at : at + LEAST_LETTERS])
            if whole is not None and any(letters.startswith(text, at) for text in whole):
                return True
        return False


def _letters(text: str) -> str:
    """Without spaces, quotes and what escapes them: YAML folds lines, JSON and Markdown escape."""
    return re.sub(r"[\s\\\"']+", "", text)


def check(folder: Path, texts: Sequence[str], paths: Iterable[str] = ()) -> None:
    """Raise `RunError` for a file that must not be published; names the file and the reason.

    Args:
        folder: what would be sent.
        texts: sentences of the data, which are not ours to publish.
        paths: folders that the run has read from, see `recorded_paths`.
    """
    from huggingface_hub import get_token

    own = (get_token() or "").encode(errors="replace")
    private = [re.escape(path) for path in (*_private_paths(), *paths)]
    private += [path.replace(r"\\", r"\\\\") for path in private if r"\\" in path]
    leak = re.compile(rf"(?<![\w.-])(?:{'|'.join(private)})") if private else None
    wanted = _Sentences(texts)
    for file in sorted(f for f in folder.rglob("*") if f.is_symlink() or f.is_file()):
        name = file.relative_to(folder).as_posix()
        _check_kind(file, name)
        content = file.read_bytes() if file.suffix != WEIGHTS else b""
        if _TOKEN.search(content) or (own and own in content):
            raise RunError(f"{name}: holds what looks like a Hub token; remove it")
        text = content.decode("utf-8", errors="replace")
        found = leak.search(text) if leak is not None else None
        if found is not None:
            raise RunError(f"{name}: names a path of this machine ({found[0]}); remove it")
        # lists of pieces: megabytes without a sentence in them
        if not _matches(file.name, snapshots.VOCABULARY) and wanted.in_file(name, text):
            raise RunError(f"{name}: holds a sentence of the data, which is not ours to publish")
        if not belongs(name):
            raise RunError(f"{name}: is no file of an adapter that lowres knows; remove it")


def belongs(name: str) -> bool:
    """Whether a path in the repository is one of those that lowres writes."""
    parts = name.split("/")
    if len(parts) == 1:
        return _matches(name, (*hub_adapters.FILES, *BESIDE))
    inside = len(parts) == 3 and parts[0] == stacking.ADAPTERS
    return inside and _matches(parts[2], (*hub_adapters.FILES, probe.FILE))


def _check_kind(file: Path, name: str) -> None:
    if file.is_symlink():
        raise RunError(f"{name}: is a link; put the file itself there, or remove it")
    broken = file.suffix == WEIGHTS and not _is_safetensors(file)
    if file.suffix.lower() in PICKLES or broken:
        raise RunError(f"{name}: a pickle can run code when loaded; only safetensors go out")
    size = file.stat().st_size
    most = MOST_BYTES.get(file.suffix, MOST_BYTES[""])
    if not 0 < size <= most:
        raise RunError(
            f"{name}: {size / 1e6:,.1f} MB, expected more than nothing and at most "
            f"{most / 1e6:,.0f} MB"
        )


def _matches(name: str, patterns: Iterable[str]) -> bool:
    return any(fnmatch(name, pattern) for pattern in patterns)


def _is_safetensors(file: Path) -> bool:
    """By its header, whatever it is called."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(file, "np"):
            return True
    except (SafetensorError, OSError):
        return False


def check_weights(folder: Path) -> None:
    """Raise `RunError` for an adapter whose LoRA or head is not whole, or a tensor empty.

    peft fills what is missing at random, and says so in a warning only.
    """
    from safetensors import safe_open

    file = folder / stacking.WEIGHTS
    with safe_open(file, "np") as weights:
        shapes = {name: weights.get_slice(name).get_shape() for name in weights.keys()}  # noqa: SIM118 - no dict
    where = f"{folder.name}/{file.name}"
    empty = next((name for name, shape in shapes.items() if 0 in shape), None)
    if empty is not None:
        raise RunError(f"{where}: {empty} has the shape {shapes[empty]}; train it again")
    config = stacking.read_config(folder)
    partners = {
        name.replace(".lora_A.", ".lora_B.")
        if ".lora_A." in name
        else name.replace(".lora_B.", ".lora_A.")
        for name in shapes
        if ".lora_" in name
    }
    missing = sorted(partners - shapes.keys())
    if not partners and config.get("target_modules") != trained.NO_LORA:
        missing = ["lora_A and lora_B"]
    # peft names heads of all architectures, of which a model has one
    heads = config.get("modules_to_save") or ()
    if heads and not any(f".{head}." in name for head in heads for name in shapes):
        missing.append(f"a head ({', '.join(heads)})")
    # of a base that was trained whole, by their full paths
    missing += [
        path
        for path in heads
        if "." in path and not any(name.startswith(f"{stacking.PREFIX}{path}.") for name in shapes)
    ]
    if missing:
        raise RunError(f"{where}: lacks {', '.join(missing[:3])}; train it again")
