"""An adapter by its Hub id: its files fetched or found in the cache, errors in one line.

Only what an adapter is made of is fetched: config, safetensors, labels, tokenizer. Never a pickle,
never code.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from lowres import bases, extension, snapshots
from lowres.errors import HubError, RunError
from lowres.stacking import ADAPTERS, CONFIG, WEIGHTS

PICKLES: Final = (".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt")
FILES: Final = (CONFIG, WEIGHTS, "labels.json", extension.META, *snapshots.TOKENIZER)
"""What an adapter's folder may hold: what training writes, and what is fetched."""
_LISTING: Final = f"{ADAPTERS}/*/{CONFIG}"
"""Which languages have an adapter of their own."""
_ASK_TIMEOUT_S: Final = 10.0


@dataclass(frozen=True)
class Found:
    """A folder of the Hub client's cache. `note`: why it is not what the Hub holds now, if so."""

    folder: Path
    note: str | None = None


def is_id(name: str | Path) -> bool:
    """Whether it is `namespace/name` and nothing here is called so. A `Path` never is."""
    return isinstance(name, str) and bases.is_hub_id(name) and not Path(name).exists()


def place(name: str | Path, revision: str | None = None, language: str | None = None) -> Found:
    """What a user calls an adapter: a folder as it is, or the files of a Hub id.

    Raises what `fetch` does, and `RunError` for a revision of a folder.
    """
    if is_id(name):
        return fetch(str(name), revision, language)
    if revision is not None:
        raise RunError(f"--revision {revision}: {name} is a folder; leave it out")
    return Found(Path(name))


def fetch(name: str, revision: str | None, language: str | None) -> Found:
    """The files of an adapter: from the Hub where it answers, else from the cache.

    Args:
        name: `namespace/name`.
        revision: branch, tag or commit; `main` by default.
        language: FLORES code of the language whose own adapter is wanted as well.

    Raises:
        HubError: no such repository or revision, no right to read it, or nothing is at hand
            without a network.
        RunError: the repository holds no adapter, or one in pickles.
    """
    patterns = [*FILES, _LISTING, *(f"{ADAPTERS}/{language}/{file}" for file in FILES)]
    if language is None:
        patterns = [*FILES, _LISTING]
    reason = snapshots.why_out_of_reach()
    if reason is None:
        try:
            return Found(_download(name, revision, patterns))
        except snapshots.OutOfReachError as error:
            reason = str(error)
    stored = _cached(name, revision, patterns)
    if stored is not None:
        return Found(stored, f"{reason}: took {name} from the cache, commit {stored.name[:12]}")
    raise HubError(
        f"{name}: no such folder here; {reason}, and no whole copy of it"
        f"{f' at {revision}' if revision else ''} is in the cache ({CONFIG}, {WEIGHTS}): run once "
        "with a network, or give a folder"
    )


def check_weights(where: str, files: list[str]) -> None:
    """Raise `RunError` unless these files, at the top of a place, are an adapter in safetensors."""
    if CONFIG not in files:
        what = "a whole model, which transformers loads" if "config.json" in files else "no adapter"
        raise RunError(f"{where}: {what}: there is no {CONFIG} at its top")
    if WEIGHTS in files:
        return
    pickles = [file for file in files if file.endswith(PICKLES)]
    if pickles:
        raise RunError(
            f"{where}: its weights are pickled ({pickles[0]}), which can run code when loaded: "
            f"refused; ask its authors for {WEIGHTS} (peft: save_pretrained, safe_serialization)"
        )
    raise RunError(f"{where}: incomplete: there is no {WEIGHTS}; copy or publish it again")


def _download(name: str, revision: str | None, patterns: list[str]) -> Path:
    from huggingface_hub import HfApi, constants

    api = HfApi(endpoint=constants.ENDPOINT)
    with _translated(name, revision):
        info = api.model_info(name, revision=revision, timeout=_ASK_TIMEOUT_S)
        files = [sibling.rfilename for sibling in info.siblings or ()]
        check_weights(name, files)
        # by the name of the branch, so that the cache knows without a network what it stood for
        folder = api.snapshot_download(
            name, revision=revision, allow_patterns=patterns, cache_dir=constants.HF_HUB_CACHE
        )
    return Path(folder)


def _cached(name: str, revision: str | None, patterns: list[str]) -> Path | None:
    from huggingface_hub import HfApi, constants
    from huggingface_hub.errors import LocalEntryNotFoundError

    with _translated(name, revision):
        try:
            stored = HfApi().snapshot_download(
                name,
                revision=revision,
                allow_patterns=patterns,
                cache_dir=constants.HF_HUB_CACHE,
                local_files_only=True,
            )
        except LocalEntryNotFoundError:
            return None
    folder = Path(stored)
    # an interrupted download leaves a folder too
    return folder if all((folder / file).exists() for file in (CONFIG, WEIGHTS)) else None


@contextmanager
def _translated(name: str, revision: str | None) -> Iterator[None]:
    """The client's errors to ours, one line each."""
    from huggingface_hub import constants
    from huggingface_hub.errors import (  # type: ignore[attr-defined]
        GatedRepoError,
        HfHubHTTPError,
        HFValidationError,
        HTTPError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    page = f"{constants.ENDPOINT}/{name}"
    try:
        yield
    except GatedRepoError as error:
        raise HubError(
            f"{name}: the adapter is gated; accept its terms at {page} and run `hf auth login`"
        ) from error
    except RepositoryNotFoundError as error:
        raise HubError(
            f"{name}: no such folder here, and {constants.ENDPOINT} has no such model, or it is "
            "private; check the spelling, or run `hf auth login` if it is private"
        ) from error
    except RevisionNotFoundError as error:
        raise HubError(
            f"--revision {revision}: {name} has no such branch, tag or commit; see "
            f"{page}/commits/main"
        ) from error
    except HFValidationError as error:
        raise HubError(f"{name}: no such folder here, and no valid Hub id: {error}") from error
    except HfHubHTTPError as error:
        status = error.response.status_code
        if status in (401, 403):
            raise HubError(
                f"{name}: {constants.ENDPOINT} refused access (HTTP {status}): missing, private or "
                "gated; run `hf auth login` with a token that may read it"
            ) from error
        raise snapshots.OutOfReachError(f"{constants.ENDPOINT} answered HTTP {status}") from error
    except (LocalEntryNotFoundError, HTTPError) as error:
        raise snapshots.OutOfReachError(f"{constants.ENDPOINT} stopped answering") from error
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise HubError(
                f"{name}: the disk of {constants.HF_HUB_CACHE} is full; free space or set HF_HOME "
                "to another folder"
            ) from error
        reason = f"{constants.ENDPOINT}: {error.strerror or error}"
        raise snapshots.OutOfReachError(reason) from error
