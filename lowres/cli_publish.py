"""`lowres publish`: an adapter on the Hub, proven to reload."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml

from lowres.cli_guard import guarded
from lowres.errors import RunError

_EXPECTED = "expected the recipe's section publish as YAML, such as license: cc-by-4.0"


@guarded
def publish(
    run: Annotated[Path, typer.Argument(help="A finished run's folder.")],
    repo_id: Annotated[str, typer.Argument(help="namespace/name on the Hub.")],
    seed: Annotated[str, typer.Option(help="median, best-dev (of source dev) or a number.")] = (
        "median"
    ),
    license_: Annotated[
        str | None, typer.Option("--license", help="Of the adapter, e.g. cc-by-4.0.")
    ] = None,
    private: Annotated[bool, typer.Option("--private", help="A repository only you see.")] = False,
    revision: Annotated[str, typer.Option(help="Branch to commit to.")] = "main",
    pr: Annotated[bool, typer.Option("--pr", help="As a pull request.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Build and check the folder, send nothing.")
    ] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Overwrite a repository that holds something else.")
    ] = False,
) -> None:
    """Publish an adapter: one commit, downloaded again and proven to answer the same."""
    from huggingface_hub.utils import disable_progress_bars  # type: ignore[attr-defined]
    from huggingface_hub.utils import logging as hub_logging

    from lowres import publish as publishing
    from lowres import quiet
    from lowres.progress import Terminal

    section = _section(run, license_)
    options = publishing.Options(seed, private, revision, pr, force)
    progress = Terminal()
    quiet.libraries()
    # the client's own bars and notes of each try; ours say what matters
    disable_progress_bars()
    hub_logging.set_verbosity_error()
    with publishing.held(run, repo_id):
        built = publishing.prepare(run, repo_id, options, section)
        for note in built.notes:
            progress.say(f"note: {note}")
        if dry_run:
            typer.echo(f"{built.folder}: checked, nothing sent")
            return
        done = publishing.publish(run, built, options, progress)
    typer.echo(json.dumps(publishing.plain(done)))


def _section(run: Path, license_: str | None) -> Any:
    """The recipe's section `publish` as the run keeps it, with what the options say."""
    from pydantic import ValidationError

    from lowres.recipe_publish import PUBLISH, Publish

    file = run / PUBLISH
    try:
        given = yaml.safe_load(file.read_text(encoding="utf-8")) if file.is_file() else None
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise RunError(f"{file}: {_EXPECTED}, and it cannot be read ({_line(error)})") from error
    given = {} if given is None else given
    if not isinstance(given, dict):
        raise RunError(
            f"{file}: {_EXPECTED}, and it is a {type(given).__name__}; mend or remove it"
        )
    if license_ is not None:
        given["license"] = license_
    try:
        return Publish.model_validate(given)
    except ValidationError as error:
        first = error.errors()[0]
        said = str(first["ctx"]["error"]) if "error" in first.get("ctx", {}) else first["msg"]
        raise RunError(f"publish.{'.'.join(map(str, first['loc']))}: {said}") from None


def _line(error: Exception) -> str:
    return " ".join(str(error).split())
