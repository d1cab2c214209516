"""The command line: parse, call, render. Heavy libraries are imported inside the commands."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from lowres import (
    __version__,
    cli_adapt,
    cli_compare,
    cli_evaluate,
    cli_guard,
    cli_merge,
    cli_plan,
    cli_predict,
    cli_publish,
    cli_suggest,
    cli_sweep,
    cli_tokenizer,
    cli_translate,
)
from lowres.cli_guard import guarded
from lowres.errors import Interrupted, LowresError

app = typer.Typer(
    name="lowres",
    help="Adapt a multilingual encoder to languages it serves badly, and measure the transfer.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)
app.add_typer(cli_tokenizer.app, name="tokenizer")
app.command(name="adapt")(cli_adapt.adapt)
app.command(name="compare")(cli_compare.compare)
app.command(name="suggest")(cli_suggest.suggest)
app.command(name="sweep")(cli_sweep.sweep)
app.command(name="evaluate")(cli_evaluate.evaluate)
app.command(name="plan")(cli_plan.plan)
app.command(name="publish")(cli_publish.publish)
app.command(name="merge")(cli_merge.merge)
app.command(name="predict")(cli_predict.predict)
app.command(name="translate")(cli_translate.translate)


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
    # \[ is rich's way to write a bracket that is no markup
    typer.Argument(help=r"key.path=value, e.g. lora.rank=8 'languages.targets=\[swh_Latn]'"),
]
Json = Annotated[bool, typer.Option("--json", help="Machine-readable standard output.")]
Out = Annotated[Path | None, typer.Option("--out", help="Run folder; default runs/<name>-<hash>.")]


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
    cli_guard.let_through(debug)


@app.command()
@guarded
def run(
    recipe: RecipeName, overrides: Overrides = None, out: Out = None, as_json: Json = False
) -> None:
    """Execute a recipe: train, evaluate beside baselines, report. Goes on where it stopped."""
    from lowres import api, quiet
    from lowres.interrupts import Presses
    from lowres.progress import Terminal

    study = api.Recipe.load(recipe, overrides or [])
    presses = Presses()
    progress = Terminal(presses.check)
    quiet.libraries()
    with presses.watched():
        done = api.run(study, out=out, progress=progress)
    if as_json:
        typer.echo((done.folder / "results.json").read_text("utf-8"), nl=False)
    else:
        from rich.console import Console

        from lowres.report import summary_table

        Console().print(summary_table(done.results))
    progress.say(f"report: {done.report}")
    for line in done.doubts:
        progress.say(f"not to be trusted: {line}")
    if done.doubts:
        raise typer.Exit(3)


@app.command()
@guarded
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
    from lowres import api

    left = api.Recipe.load(recipe, overrides or []).check()
    typer.echo(f"{recipe}: valid" + "".join(f" ({said})" for said in left))


@app.command()
@guarded
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
            "recipe": study.model_dump(mode="json", exclude={"publish"}),
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
@guarded
def list_things(
    what: Annotated[
        str,
        typer.Argument(
            help="recipes, bases, tasks, metrics, baselines, cards or runs",
            autocompletion=_kinds,
        ),
    ] = "recipes",
    as_json: Json = False,
) -> None:
    """List recipes, bases, tasks, metrics, baselines, runs, or the cards that `plan` knows."""
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
@guarded
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
@guarded
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
