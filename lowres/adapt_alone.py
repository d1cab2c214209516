"""`lowres adapt`: one language adapter outside any recipe, in a folder that says what made it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock, Timeout

from lowres import artifacts, in_memory
from lowres.artifacts import RunFolder
from lowres.errors import RunError
from lowres.progress import Progress
from lowres.recipe import Base, Recipe
from lowres.recipe_text import Adapt, Text

if TYPE_CHECKING:
    from lowres.bases import LocatedBase
    from lowres.hardware import Hardware
    from lowres.material import LanguageText

MADE = "adapted.json"
"""In the adapter's folder: base, extension, options, texts, seed, versions."""
OF_STUDIES = {"adapter", "per_language", "controls"}
"""Keys of `adapt` that say nothing where there is no task."""


def make(
    options: Adapt,
    base: Base,
    text: Text,
    extension: Path | None,
    out: Path,
    seed: int,
    progress: Progress,
) -> dict[str, Any]:
    """Adapt into `out`, or go on there; returns what the stage's manifest notes.

    Args:
        options: as in a recipe.
        base: what to adapt, and how it is held in memory.
        text: what to learn from.
        extension: folder of `lowres tokenizer extend`, or None for the base's own vocabulary.
        out: folder to write.
        seed: of LoRA's start and of the order.
        progress: where to tell how it goes.

    Raises:
        RunError: when the extension is of another base, `out` holds something else, or another
            process writes there.
        DeviceError: when the base, or a step, is too large for the memory; for a quantisation that
            the machine lacks.
        Interrupted: on Ctrl-C or SIGTERM, after a checkpoint; the same call goes on.
    """
    from lowres import bases, fitting, hardware, material
    from lowres.adapt import adapt, check_base

    with _alone(out):
        located = bases.locate(base.name)
        check_base(options.objective, located)
        texts = material.load(text, ())
        if extension is not None:
            located, texts = _extended(extension, located, texts)
        inputs = _inputs(options, base, located, texts, extension, seed)
        folder, name = RunFolder(out.resolve().parent), out.resolve().name
        done = folder.finished(name, inputs)
        if done is not None:
            progress.say(f"{out}: done before")
            return done.notes
        if out.exists() and (not out.is_dir() or any(out.iterdir())):
            raise RunError(f"--out {out}: exists already; give another folder, or remove it")
        machine = hardware.detect()
        study = _study(options, base, text)
        fitting.check(study, located, machine, progress, only="adapt")
        with hardware.enough_memory(study, "adapt"), folder.stage(name, inputs) as stage:
            notes = adapt(options, base, located, texts, machine, stage.path, progress, seed)
            said = _made(options, base, located, texts, text, extension, seed, machine)
            content = json.dumps(said, ensure_ascii=False, indent=1) + "\n"
            artifacts.write_text(stage.path / "adapter" / MADE, content)
            stage.notes.update(asdict(notes))
        done = folder.finished(name, inputs)
        assert done is not None, "the stage has just been made"
        return done.notes


def _study(options: Adapt, base: Base, text: Text) -> Recipe:
    """A recipe with these sections, as planning takes one; its task is none that runs."""
    plain = in_memory.recipe_of("classification", {"base.name": base.name}, "lowres adapt")
    return plain.model_copy(update={"adapt": options, "base": base, "text": text})


@contextmanager
def _alone(out: Path) -> Iterator[None]:
    """Hold the place; a second process that is to write there is refused."""
    place = out.resolve()
    made = [folder for folder in place.parents if not folder.exists()]
    file = place.with_name(f".{place.name}.lock")
    lock = FileLock(file, timeout=0)
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except Timeout as error:
        raise RunError(
            f"--out {out}: another `lowres adapt` writes there; wait for it, or give another folder"
        ) from error
    except OSError as error:
        raise artifacts.disk_error(error, out) from error
    try:
        yield
    finally:
        # before it is let go, so that nobody holds a file that is no longer there
        file.unlink(missing_ok=True)
        lock.release()
        for folder in made:
            if not any(folder.iterdir()):
                folder.rmdir()


def _extended(
    folder: Path, located: LocatedBase, texts: tuple[LanguageText, ...]
) -> tuple[LocatedBase, tuple[LanguageText, ...]]:
    """The base with the extension, and the texts with what it had learnt from them before."""
    from lowres import extension, material, model

    state = extension.state_of(model.load_tokenizer(located))
    found = extension.read(folder)
    where = f"--extension {folder}"
    extension.check_vocabulary(found, state, where, located.name)
    texts = material.with_notes_on(texts, found.learned_from, where)
    return replace(located, extension=str(folder.resolve())), texts


def _inputs(
    options: Adapt,
    base: Base,
    located: LocatedBase,
    texts: tuple[LanguageText, ...],
    extension: Path | None,
    seed: int,
) -> str:
    from lowres import extension as extensions

    return artifacts.fingerprint(
        [
            options.model_dump(mode="json"),
            [located.hub_id, located.revision, located.obtained, base.quantization, seed],
            [text.digest() for text in texts],
            extensions.digest(extension) if extension is not None else None,
        ]
    )


def _made(
    options: Adapt,
    base: Base,
    located: LocatedBase,
    texts: tuple[LanguageText, ...],
    text: Text,
    extension: Path | None,
    seed: int,
    machine: Hardware,
) -> dict[str, Any]:
    """What `adapted.json` says: enough to make the adapter again."""
    from lowres import extension as extensions
    from lowres import scoring

    found = None if extension is None else extensions.read(extension)
    return {
        "made_by": "lowres adapt",
        "base": {
            "name": located.name,
            "hub_id": located.hub_id,
            "revision": located.revision,
            "obtained": located.obtained,
            "quantization": base.quantization,
        },
        "extension": None
        if found is None or extension is None
        else {
            "pieces": len(found.pieces),
            "init": found.init,
            "vocabulary_sha256": found.vocabulary_sha256,
            "sha256": extensions.digest(extension),
            "learned_from": list(found.learned_from),
        },
        "adapt": options.model_dump(mode="json", exclude=OF_STUDIES),
        "texts": [
            {
                **each.record(),
                "held_out": text.held_out,
                "translations": _hashed(text.path("translations", each.language)),
                "lexicon": _hashed(text.path("lexicon", each.language)),
            }
            for each in texts
        ],
        "seed": seed,
        "device": machine.device,
        "precision": machine.precision,
        "versions": scoring.versions(),
    }


def _hashed(file: str | None) -> dict[str, str] | None:
    if file is None:
        return None
    path = Path(file).expanduser()
    return {"file": path.name, "sha256": artifacts.file_hash(path)}
