"""Data sets of the Hugging Face Hub, at a commit.

`datasets` answers any failure with the last version in its cache, without a word. Here the
revision is resolved to a commit first, so that what is loaded is what is recorded; the cache is
used only where there is no network, and then that is said.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lowres.errors import HubError
from lowres.locations import Origin, fill, placeholders
from lowres.readers import Table, table_of
from lowres.recipe_data import DataSource

if TYPE_CHECKING:
    from datasets import DatasetBuilder, DatasetDict
    from huggingface_hub.hf_api import DatasetInfo

PARQUET_BRANCH = "refs/convert/parquet"


@dataclass(frozen=True)
class HubSet:
    """One configuration, all its splits. `commit` is what was loaded."""

    id: str
    commit: str
    config: str | None
    splits: DatasetDict
    notes: tuple[str, ...]

    def table(self, origin: Origin, split: str) -> Table | None:
        """One split under the name it has there, or None."""
        for name in origin.split_names(split):
            if name in self.splits:
                source = f"{self.id}@{self.commit}:{self.config or 'default'}/{name}"
                table = table_of(self.splits[name], source)
                return Table(table.columns, table.rows, table.lines, self.notes, source, "row")
        return None


def config_name(origin: Origin) -> str | None:
    """The configuration of this language. Raises `DataError` for a malformed template."""
    template = origin.spec.config
    if template is None:
        return None
    return fill(template, f"{origin.key}.config", lang=origin.name)


def check_config(spec: DataSource, key: str, languages: tuple[str, ...]) -> None:
    """Raise `HubError` where two languages would be one configuration."""
    template = spec.config or ""
    fill(template, f"{key}.config", lang="x")
    if len(languages) > 1 and "lang" not in placeholders(template):
        raise HubError(
            f"{key}.config has no {{lang}}: {', '.join(languages)} would all be "
            f"{spec.hub}; name the configurations, for example {key}.config: '{{lang}}'"
        )


def open_set(origin: Origin) -> HubSet:
    """Load one configuration at a commit.

    Raises `HubError` for an id that is missing, gated or renamed, an unknown revision or
    configuration, and where there is neither network nor cache.
    """
    hub_id = str(origin.spec.hub)
    config = config_name(origin)
    info = _resolve(origin, origin.spec.revision)
    if info is None:
        return _from_cache(origin, config)
    # datasets 5 runs no scripts, and refuses a repository that has one whatever else it holds.
    if any(name == f"{hub_id.split('/')[1]}.py" for name in _files(info)):
        return _from_parquet_branch(origin, config)
    builder = _builder(origin, config, info.sha)
    if builder.hash != info.sha:
        raise HubError(_unloadable(origin, config, "its files could not be listed"))
    return HubSet(hub_id, str(info.sha), config, _prepared(origin, config, builder), ())


def _resolve(origin: Origin, revision: str | None) -> DatasetInfo | None:
    """What the revision is now; None where the Hub cannot be reached."""
    from huggingface_hub import HfApi, errors
    from huggingface_hub.utils import httpx  # type: ignore[attr-defined]

    hub_id = str(origin.spec.hub)
    try:
        return HfApi().dataset_info(hub_id, revision=revision, timeout=30)
    except errors.GatedRepoError:
        raise HubError(
            f"{origin.key}.hub: {hub_id} is gated: accept its terms at https://huggingface.co/"
            f"datasets/{hub_id} and log in (hf auth login), or use {_local_copy(origin)}"
        ) from None
    except errors.RevisionNotFoundError:
        if revision == PARQUET_BRANCH:
            raise HubError(
                f"{origin.key}.hub: {hub_id} has only a loading script, which datasets 5 does not "
                f"run, and no branch {PARQUET_BRANCH}; use {_local_copy(origin)}"
            ) from None
        raise HubError(
            f"{origin.key}.revision: {hub_id} has no revision {revision!r}; "
            "leave it out to get main"
        ) from None
    except errors.RepositoryNotFoundError:
        raise HubError(
            f"{origin.key}.hub: {hub_id} does not exist on the Hub, was renamed, or is private "
            f"(then log in: hf auth login); or use {_local_copy(origin)}"
        ) from None
    except (errors.OfflineModeIsEnabled, httpx.TransportError):
        return None
    except errors.HfHubHTTPError as error:
        status = error.response.status_code if error.response is not None else "no status"
        raise HubError(
            f"{origin.key}.hub: the Hub answered {status} for {hub_id}; "
            f"try again later, or use {_local_copy(origin)}"
        ) from None


def _local_copy(origin: Origin) -> str:
    return f"a local copy: {origin.key}.files='FOLDER/{{lang}}/{{split}}.parquet' (or tsv, jsonl …)"


def _unloadable(origin: Origin, config: str | None, reason: object) -> str:
    what = f"{origin.spec.hub} ({config})" if config else str(origin.spec.hub)
    line = " ".join(str(reason).split())
    return f"{origin.key}.hub: {what} cannot be loaded: {line}; or use {_local_copy(origin)}"


def _files(info: DatasetInfo) -> list[str]:
    return [sibling.rfilename for sibling in info.siblings or ()]


def _builder(origin: Origin, config: str | None, commit: str | None) -> DatasetBuilder:
    from datasets import load_dataset_builder
    from datasets.exceptions import DatasetsError

    # The prefix keeps a local folder of the same name from being taken for the data set.
    path = f"hf://datasets/{origin.spec.hub}"
    try:
        return load_dataset_builder(path, config, revision=commit)
    except (ValueError, OSError, DatasetsError) as error:
        raise HubError(_unloadable(origin, config, error)) from None


def _prepared(origin: Origin, config: str | None, builder: DatasetBuilder) -> DatasetDict:
    from datasets import DatasetDict
    from datasets.exceptions import DatasetsError
    from huggingface_hub.errors import HfHubHTTPError
    from huggingface_hub.utils import httpx  # type: ignore[attr-defined]

    try:
        builder.download_and_prepare()
        splits = builder.as_dataset()
    except (ValueError, OSError, DatasetsError, HfHubHTTPError, httpx.TransportError) as error:
        raise HubError(_unloadable(origin, config, error)) from None
    assert isinstance(splits, DatasetDict)  # no split was asked for
    return splits


def _from_cache(origin: Origin, config: str | None) -> HubSet:
    """What an earlier load left in the cache of `datasets`; its folder is named by the commit."""
    from datasets.packaged_modules.cache.cache import Cache

    hub_id = str(origin.spec.hub)
    revision = origin.spec.revision
    try:
        # What `load_dataset` falls back to, without its half minute of retries a data set.
        builder = Cache(
            dataset_name=hub_id.split("/")[1],
            repo_id=hub_id,
            config_name=config,
            version="auto",
            hash="auto",
        )
    except ValueError:
        what = f"{hub_id}, configuration {config}" if config else hub_id
        raise HubError(
            f"{origin.key}.hub: no network, and {what} is not in the cache; connect once, "
            f"or use {_local_copy(origin)}"
        ) from None
    commit = str(builder.hash)
    if revision not in (None, "main", commit):
        raise HubError(
            f"{origin.key}.hub: no network, and the cache holds {hub_id} at {commit}, not at "
            f"{revision}; connect once, or set {origin.key}.revision to that commit"
        )
    note = f"no network: {hub_id} read from the cache, at the commit loaded last"
    return HubSet(hub_id, commit, config, _prepared(origin, config, builder), (note,))


def _from_parquet_branch(origin: Origin, config: str | None) -> HubSet:
    """The Hub's own conversion: `<config>/<split>/0000.parquet`, `partial-<split>` if cut."""
    from datasets import load_dataset_builder

    hub_id = str(origin.spec.hub)
    info = _resolve(origin, PARQUET_BRANCH)
    if info is None:
        raise HubError(_unloadable(origin, config, "the network went away"))
    found: dict[str, list[str]] = {}
    configs = set()
    partial = False
    for name in _files(info):
        match = re.fullmatch(r"([^/]+)/(partial-)?([^/]+)/[^/]+\.parquet", name)
        if match is None:
            continue
        configs.add(match[1])
        if match[1] == (config or "default"):
            partial = partial or match[2] is not None
            url = f"hf://datasets/{hub_id}@{info.sha}/{name}"
            found.setdefault(match[3], []).append(url)
    if not found:
        raise HubError(
            f"{origin.key}.config: {hub_id} has no configuration {config or 'default'!r} at "
            f"{PARQUET_BRANCH}; it has {', '.join(sorted(configs)) or 'none'}"
        )
    notes = [f"{hub_id} is a loading script: read from {PARQUET_BRANCH} at {info.sha}"]
    if partial:
        notes.append("the Hub converted only the first part of a split (partial-)")
    builder = load_dataset_builder("parquet", data_files=found)
    return HubSet(hub_id, str(info.sha), config, _prepared(origin, config, builder), tuple(notes))
