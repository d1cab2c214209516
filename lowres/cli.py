"""The command line: parse, call, render. Heavy libraries are imported inside the commands."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Annotated, ParamSpec

import typer

from lowres import __version__
from lowres.errors import Interrupted, LowresError

P = ParamSpec("P")

app = typer.Typer(
    name="lowres",
    help="Adapt a multilingual encoder to languages it serves badly, and measure the transfer.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)


def _recipes(begun: str) -> list[str]:
    from lowres.recipe_loading import shipped

    return [name for name in shipped() if name.startswith(begun)]


def _kinds(begun: str) -> list[str]:
    from lowres.listing import KINDS

    return [kind for kind in KINDS if kind.startswith(begun)]


RecipeName = Annotated[
    str, typer.Argument(help="A shipped recipe's name, or a path.", autocompletion=_recipes)
]
Overrides = Annotated[
    list[str] | None,
    typer.Argument(help="key.path=value, e.g. lora.rank=8 'languages.targets=[swh_Latn]'"),
]
Json = Annotated[bool, typer.Option("--json", help="Machine-readable standard output.")]
Out = Annotated[Path | None, typer.Option("--out", help="Run folder; default runs/<name>-<hash>.")]


class _State:
    debug = False


def _version(value: bool) -> None:
    if value:
        typer.echo(f"lowres {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
    debug: Annotated[
        bool, typer.Option("--debug", help="Full tracebacks: lowres --debug run …")
    ] = False,
) -> None:
    _State.debug = debug


def _guarded(command: Callable[P, None]) -> Callable[P, None]:
    """Errors to one line on standard error and the exit status of their kind."""

    @wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            command(*args, **kwargs)
        except (Interrupted, KeyboardInterrupt) as error:
            what = _first_line(error) if isinstance(error, Interrupted) else "interrupted"
            typer.echo(f"{what}; give the same command again to go on", err=True)
            raise typer.Exit(Interrupted.exit_status) from error
        except LowresError as error:
            if _State.debug:
                raise
            typer.echo(str(error), err=True)
            raise typer.Exit(error.exit_status) from error
        except BrokenPipeError:
            # the reader of our output has gone (`| head`): not our fault, not an error
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise typer.Exit(0) from None
        except typer.Abort as error:
            raise typer.Exit(_abandoned(error)) from error
        except (typer.Exit, SystemExit):
            raise
        except Exception as error:
            if _State.debug:
                raise
            typer.echo(
                f"lowres failed: {type(error).__name__}: {_first_line(error)} "
                "(this is a bug; --debug before the command shows where)",
                err=True,
            )
            raise typer.Exit(1) from error

    return run


def _abandoned(error: typer.Abort) -> int:
    """The exit status of a question that got Ctrl-C, or nobody to answer it."""
    if isinstance(error.__context__, KeyboardInterrupt):
        typer.echo("interrupted; nothing was written", err=True)
        return Interrupted.exit_status
    typer.echo("no answer on standard input; give all options (see --help)", err=True)
    return 2


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else "no message"


@app.command()
@_guarded
def run(
    recipe: RecipeName, overrides: Overrides = None, out: Out = None, as_json: Json = False
) -> None:
    """Execute a recipe: train, evaluate beside baselines, report. Goes on where it stopped."""
    from lowres.recipe_loading import load

    study = load(recipe, overrides or [])
    from lowres import pipeline
    from lowres.interrupts import Presses
    from lowres.progress import Terminal
    from lowres.report import summary_table

    presses = Presses()
    progress = Terminal(presses.check)
    progress.quiet_libraries()
    with presses.watched():
        results = pipeline.run(study, out, progress)
    if as_json:
        typer.echo((pipeline.run_folder(study, out) / "results.json").read_text("utf-8"), nl=False)
    else:
        from rich.console import Console

        Console().print(summary_table(results))
    progress.say(f"report: {pipeline.run_folder(study, out) / 'report.html'}")
    doubts = pipeline.untrusted(results)
    for line in doubts:
        progress.say(f"not to be trusted: {line}")
    if doubts:
        raise typer.Exit(3)


@app.command()
@_guarded
def validate(
    recipe: Annotated[
        str | None,
        typer.Argument(help="A shipped recipe's name, or a path.", autocompletion=_recipes),
    ] = None,
    overrides: Overrides = None,
    schema: Annotated[bool, typer.Option("--schema", help="Print the JSON schema.")] = False,
) -> None:
    """Check a recipe and that its files are there; prints every fault at once."""
    from lowres import recipe_loading

    if schema:
        typer.echo(json.dumps(recipe_loading.schema(), indent=2, ensure_ascii=False))
        return
    if recipe is None:
        raise LowresError("validate needs a recipe's name or path (or --schema)")
    study = recipe_loading.load(recipe, overrides or [])
    from lowres import bases
    from lowres.data import check_files

    bases.check_name(study.base.name)
    check_files(study)
    typer.echo(f"{recipe}: valid")


@app.command()
@_guarded
def show(
    recipe: RecipeName, overrides: Overrides = None, out: Out = None, as_json: Json = False
) -> None:
    """Print the resolved recipe and the stages that would run."""
    from lowres import pipeline, recipe_loading
    from lowres.artifacts import RunFolder

    study = recipe_loading.load(recipe, overrides or [])
    RunFolder(pipeline.run_folder(study, out)).check(recipe_loading.dump(study))
    stages = pipeline.plan(study, out)
    if as_json:
        plain = {
            "recipe": study.model_dump(mode="json"),
            "stages": [{"name": s.name, "state": s.state} for s in stages],
            "run": str(pipeline.run_folder(study, out)),
        }
        typer.echo(json.dumps(plain, indent=1, ensure_ascii=False))
        return
    typer.echo(recipe_loading.dump(study))
    typer.echo(f"# run folder: {pipeline.run_folder(study, out)}")
    for stage in stages:
        typer.echo(f"# {stage.name:<12} {stage.state}")


@app.command(name="ls")
@_guarded
def list_things(
    what: Annotated[
        str,
        typer.Argument(
            help="recipes, bases, tasks, metrics, baselines or runs",
            autocompletion=_kinds,
        ),
    ] = "recipes",
    as_json: Json = False,
) -> None:
    """List recipes, bases, tasks, metrics, baselines or runs."""
    from lowres import listing

    rows = listing.rows(what)
    if as_json:
        typer.echo(json.dumps(rows, indent=1, ensure_ascii=False))
        return
    if not rows:
        typer.echo(f"no {what} here", err=True)
        return
    from rich.console import Console
    from rich.table import Table

    table = Table(*rows[0], box=None, header_style="bold")
    for row in rows:
        table.add_row(*(str(value) for value in row.values()))
    Console().print(table)


@app.command()
@_guarded
def new(
    path: Annotated[Path, typer.Argument(help="The recipe file to write.")],
    source: Annotated[str | None, typer.Option(help="Source language, e.g. eng_Latn.")] = None,
    targets: Annotated[str | None, typer.Option(help="Targets, comma-separated.")] = None,
    task: Annotated[str | None, typer.Option(help="classification, tagging or pairs.")] = None,
    data: Annotated[
        str | None, typer.Option(help="Path template with {lang} and {split}, or a Hub id.")
    ] = None,
    base: Annotated[str, typer.Option(help="Base encoder.")] = "xlm-roberta-base",
) -> None:
    """Write a commented recipe from a few answers (asked for when not given as options)."""
    from lowres import scaffold

    answers = scaffold.Answers(
        source=source or typer.prompt("Source language (has labels)", default="eng_Latn"),
        targets=targets or typer.prompt("Target languages, comma-separated"),
        task=task or typer.prompt("Task (classification, tagging, pairs)", "classification"),
        data=data or typer.prompt("Data: path with {lang} and {split}, or a Hub id"),
        base=base,
    )
    scaffold.write(path, answers)
    typer.echo(f"{path}: written; next: lowres validate {path}")


@app.command()
@_guarded
def predict(
    adapter: Annotated[Path, typer.Argument(help="An adapter's folder, or a run's.")],
    texts: Annotated[list[str] | None, typer.Argument(help="Texts; none: standard input.")] = None,
    file: Annotated[Path | None, typer.Option("--file", help="Read lines from a file.")] = None,
    allow_pickle: Annotated[
        bool, typer.Option("--allow-pickle", help="Load a base of pickled weights (can run code).")
    ] = False,
) -> None:
    """Answer texts with an adapter: one JSON line an input line, in order."""
    from lowres import predict as using
    from lowres.progress import Terminal

    using.find(adapter)
    if texts and file is not None:
        raise LowresError("give texts or --file, not both")
    lines = texts or using.lines_of(file)
    Terminal().quiet_libraries()
    loaded = using.load(adapter, allow_pickle=allow_pickle)
    for answer in loaded.predict(lines):
        row = {"predicted": answer.answer, "probability": answer.probability}
        typer.echo(json.dumps(row, ensure_ascii=False))


@app.command()
@_guarded
def doctor(as_json: Json = False) -> None:
    """Say what this machine can do."""
    from lowres import doctor as examination

    report = examination.examine()
    if as_json:
        typer.echo(json.dumps(examination.plain(report), indent=1, ensure_ascii=False))
        return
    from rich.console import Console

    Console().print(examination.table(report))


def main() -> None:
    """Entry point of the `lowres` command; a misspelt option is one line, as every fault is."""
    try:
        status = app(standalone_mode=False)
    except typer.Abort:
        raise SystemExit(Interrupted.exit_status) from None
    except Exception as error:
        # usage errors: of click, or of the copy of it that newer typer has inside
        if not hasattr(error, "format_message") or not hasattr(error, "exit_code"):
            raise
        said = error.format_message().strip().removesuffix(".")
        if said.startswith("No such option") and "Possible" not in said:
            said += "; keys of a recipe are written without dashes: seeds=[1,2]"
        typer.echo(f"{said} (see lowres --help)", err=True)
        raise SystemExit(error.exit_code) from None
    raise SystemExit(status or 0)


if __name__ == "__main__":
    main()
