"""The files of a base on the Hub, or in the Hub client's cache: found, fetched, errors in one line.

Only config, tokenizer and weights are fetched; of weights only safetensors, unless pickles are
allowed. No code of a repository is ever fetched.
"""

from __future__ import annotations

import errno
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from fnmatch import fnmatch
from functools import cache
from pathlib import Path
from typing import Final

from lowres.errors import BaseModelError, HubError

REACH_TIMEOUT_S: Final = 2.5
"""Longest wait for the Hub's first answer, name look-up included."""
_ASK_TIMEOUT_S: Final = 10.0

SAFE_WEIGHTS: Final = ("model*.safetensors", "model.safetensors.index.json")
PICKLED_WEIGHTS: Final = ("pytorch_model*.bin", "pytorch_model.bin.index.json")
VOCABULARY: Final = ("tokenizer.json", "vocab.txt", "vocab.json", "merges.txt", "*.model")
"""Where a tokenizer has its pieces; `*.model` is sentencepiece's."""
TOKENIZER: Final = (
    *VOCABULARY,
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
)
_SMALL_FILES: Final = (
    *("config.json", "generation_config.json"),
    *TOKENIZER,
    "*.spm",
    "README.md",
    "LICENSE*",
)


class OutOfReachError(Exception):
    """The Hub did not answer; the text says what was seen. Callers try the cache next."""


def why_out_of_reach() -> str | None:
    """None when the Hub answers, else the reason. Asked once a process, for at most 2.5 s."""
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
        return "HF_HUB_OFFLINE is set"
    if _answers(constants.ENDPOINT):
        return None
    return f"{constants.ENDPOINT} did not answer"


@cache
def _answers(endpoint: str) -> bool:
    """Whether any answer comes, be it an error. In a thread: no time-out bounds a name look-up."""
    from huggingface_hub import get_session
    from huggingface_hub.errors import HTTPError  # type: ignore[attr-defined]

    if not endpoint.startswith(("http://", "https://")):
        raise HubError(f"HF_ENDPOINT {endpoint!r} is no http address")
    answered = threading.Event()

    def ask() -> None:
        try:
            get_session().head(endpoint, timeout=REACH_TIMEOUT_S)
        except (OSError, HTTPError):
            return
        answered.set()

    thread = threading.Thread(target=ask, name="lowres-reach-hub", daemon=True)
    thread.start()
    thread.join(REACH_TIMEOUT_S)
    return answered.is_set()


def download(hub_id: str, revision: str | None, allow_pickle: bool) -> Path:
    """The folder of a snapshot; its name is the commit that `revision` (or `main`) stood for.

    Raises:
        HubError: no such repository or revision, gated, or the disk is full.
        BaseModelError: the weights are pickled only, or there are none.
        OutOfReachError: the Hub does not answer, or with a server error.
    """
    from huggingface_hub import HfApi, constants

    api = HfApi(endpoint=constants.ENDPOINT)
    with _translated(hub_id, revision):
        info = api.model_info(hub_id, revision=revision, timeout=_ASK_TIMEOUT_S)
        files = [sibling.rfilename for sibling in info.siblings or ()]
        weights = _weights(hub_id, files, allow_pickle)
        # By the name of the branch, so that the cache remembers which commit it stood for and can
        # be used later without a network.
        return Path(
            api.snapshot_download(
                hub_id,
                revision=revision,
                allow_patterns=[*_SMALL_FILES, *weights],
                cache_dir=constants.HF_HUB_CACHE,
            )
        )


def cached(hub_id: str, revision: str | None, allow_pickle: bool) -> Path | None:
    """The folder of a snapshot in the Hub client's cache, or None when there is no whole one."""
    from huggingface_hub import HfApi, constants
    from huggingface_hub.errors import LocalEntryNotFoundError

    weights = (*SAFE_WEIGHTS, *PICKLED_WEIGHTS) if allow_pickle else SAFE_WEIGHTS
    try:
        folder = HfApi().snapshot_download(
            hub_id,
            revision=revision,
            allow_patterns=[*_SMALL_FILES, *weights],
            cache_dir=constants.HF_HUB_CACHE,
            local_files_only=True,
        )
    except LocalEntryNotFoundError:
        return None
    # An interrupted download leaves a folder too.
    has = [file.name for file in Path(folder).iterdir() if file.exists()]
    whole = "config.json" in has and any(_matches(name, weights) for name in has)
    return Path(folder) if whole else None


def config_in_cache(hub_id: str, revision: str | None) -> Path | None:
    """The folder of a snapshot in the Hub client's cache that has a config.json, or None."""
    from huggingface_hub import constants

    folder = Path(constants.HF_HUB_CACHE, f"models--{hub_id.replace('/', '--')}")
    if not folder.is_dir():
        # most often; the client's own look-up takes a third of a second to import
        return None
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(
        hub_id, "config.json", cache_dir=constants.HF_HUB_CACHE, revision=revision
    )
    return Path(found).parent if isinstance(found, str) else None


def _weights(hub_id: str, files: list[str], allow_pickle: bool) -> tuple[str, ...]:
    if "config.json" not in files:
        raise BaseModelError(f"base.name {hub_id}: the repository has no config.json at its top")
    if any(_matches(file, SAFE_WEIGHTS) for file in files):
        return SAFE_WEIGHTS
    if not any(_matches(file, PICKLED_WEIGHTS) for file in files):
        raise BaseModelError(
            f"base.name {hub_id}: the repository has no model.safetensors and no other weights "
            "that lowres reads"
        )
    if not allow_pickle:
        raise BaseModelError(refusal(hub_id))
    return PICKLED_WEIGHTS


def refusal(name: str) -> str:
    """The message for weights that exist as pickles only."""
    return (
        f"base.name {name}: its weights are pickled (pytorch_model.bin), which can run code when "
        "loaded; set base.allow_pickle: true if you trust it, or take a base with model.safetensors"
    )


def _matches(file: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatch(file, pattern) for pattern in patterns)


@contextmanager
def _translated(hub_id: str, revision: str | None) -> Iterator[None]:
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

    page = f"{constants.ENDPOINT}/{hub_id}"
    try:
        yield
    except GatedRepoError as error:
        raise HubError(
            f"base.name {hub_id}: the model is gated; accept its terms at {page} and run "
            "`hf auth login`, or set base.name to a folder with a copy"
        ) from error
    except RepositoryNotFoundError as error:
        raise HubError(
            f"base.name {hub_id}: {constants.ENDPOINT} has no such model, or it is private; check "
            "the spelling, run `hf auth login` if it is private, or set base.name to a folder"
        ) from error
    except RevisionNotFoundError as error:
        raise HubError(
            f"base.revision {revision}: {hub_id} has no such branch, tag or commit; see "
            f"{page}/commits/main"
        ) from error
    except HFValidationError as error:
        raise HubError(f"base.name {hub_id}: no valid Hub id: {error}") from error
    except HfHubHTTPError as error:
        status = error.response.status_code
        if status in (401, 403):
            raise HubError(
                f"base.name {hub_id}: {constants.ENDPOINT} refused access (HTTP {status}): "
                "missing, private or gated; run `hf auth login` with a token that may read it, or "
                "set base.name to a folder with a copy"
            ) from error
        raise OutOfReachError(f"{constants.ENDPOINT} answered HTTP {status}") from error
    except (LocalEntryNotFoundError, HTTPError) as error:
        raise OutOfReachError(f"{constants.ENDPOINT} stopped answering") from error
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise HubError(
                f"base.name {hub_id}: the disk of {constants.HF_HUB_CACHE} is full; free space or "
                "set HF_HOME to another folder"
            ) from error
        raise OutOfReachError(f"{constants.ENDPOINT}: {error.strerror or error}") from error
