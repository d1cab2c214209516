"""`lowres plan`: what a recipe will take, before it runs."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lowres.cli_guard import guarded

if TYPE_CHECKING:
    from lowres.lengths import Lengths
    from lowres.plan import Plan

ROWS = (
    *("weights", "LoRA, head, optimizer", "new rows", "activations", "workspace", "tokenizer"),
    "libraries",
)
"""Of the table, in order."""


def _recipes(begun: str) -> list[str]:
    from lowres.recipe_loading import shipped

    return [name for name in shipped() if name.startswith(begun)]


def _cards(begun: str) -> list[str]:
    from lowres.cards import CARDS

    return [card.name for card in CARDS if card.name.startswith(begun)]


@guarded
def plan(
    recipe: Annotated[
        str, typer.Argument(help="A shipped recipe's name, or a path.", autocompletion=_recipes)
    ],
    overrides: Annotated[
        list[str] | None,
        # as in cli.py: \[ is a bracket that is no markup of rich's
        typer.Argument(help=r"key.path=value, e.g. lora.rank=8 'languages.targets=\[swh_Latn]'"),
    ] = None,
    gpu: Annotated[
        str | None,
        typer.Option(
            help="A card (`lowres ls cards`), or its memory such as 16GB; default: this machine.",
            autocompletion=_cards,
        ),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Machine-readable standard output.")
    ] = False,
) -> None:
    """Foretell the memory that each stage takes, and the largest micro-batch that fits.

    Where a stage does not fit, the exit status is 2, and standard error says what to set.
    """
    from lowres import plan as planning
    from lowres.recipe_loading import load

    made = planning.make(load(recipe, overrides or []), gpu)
    for line in made.warnings:
        typer.echo(f"warning: {line}", err=True)
    if as_json:
        typer.echo(json.dumps(_plain(made), indent=1, ensure_ascii=False))
    else:
        typer.echo("\n".join(_lines(made)))
    for line in made.faults:
        typer.echo(line, err=True)
    if made.faults:
        raise typer.Exit(2)


def _plain(plan: Plan) -> dict[str, Any]:
    """The plan as plain data, for `--json`; MB rounded to one digit."""
    place = plan.place
    return {
        "recipe": plan.recipe,
        "base": plan.base,
        "quantization": plan.quantization,
        "parameters": plan.parameters,
        "shape_from": plan.shape_from,
        "place": {
            "name": place.name,
            "device": place.device,
            "memory_mb": round(place.memory_mb, 1),
            "free_mb": round(place.free_mb, 1),
            "precision": place.precision,
        },
        "lengths": asdict(plan.lengths),
        "text": None if plan.text is None else asdict(plan.text),
        "batch": plan.batch,
        "micro_batch": plan.micro_batch,
        "largest_micro_batch": plan.largest_micro_batch,
        "stages": [
            {
                "name": stage.name,
                "parts_mb": {what: round(size, 1) for what, size in stage.parts.items()},
                "planned_mb": round(stage.total_mb, 1),
            }
            for stage in plan.stages
        ],
        "peak_mb": round(plan.peak_mb, 1),
        "fits": plan.fits,
        "faults": list(plan.faults),
        "advice": list(plan.advice),
        "warnings": list(plan.warnings),
    }


def _lines(made: Plan) -> list[str]:
    place = made.place
    shown = [
        f"{made.recipe}: {made.base}, {made.parameters / 1e6:,.0f} million parameters, "
        f"{made.quantization}; shape by {made.shape_from}",
        f"{place.name}: {place.memory_mb:,.0f} MB, {place.free_mb:,.0f} free; {place.precision}",
        _said("lengths", made.lengths),
        *([] if made.text is None else [_said("text", made.text)]),
        "",
        *_table(made),
        "",
        f"{'fits' if made.fits else 'does not fit'}: {made.peak_mb:,.0f} of "
        f"{place.free_mb:,.0f} MB at micro-batch {made.micro_batch} (train.batch {made.batch})",
        f"largest micro-batch that fits: {made.largest_micro_batch:,}",
    ]
    return [*shown, *made.advice]


def _said(what: str, found: Lengths) -> str:
    return f"{what}: {found.note}; longest {found.longest} tokens, half below {found.median}"


def _table(made: Plan) -> list[str]:
    """A row for what takes memory, a column for each stage."""
    names = [stage.name for stage in made.stages]
    rows = [("MB", *names)]
    for what in ROWS:
        sizes = [stage.parts.get(what, 0.0) for stage in made.stages]
        if any(sizes):
            said = "CUDA context" if what == "libraries" and made.place.device == "cuda" else what
            rows.append((said, *(f"{size:,.0f}" for size in sizes)))
    rows.append(("peak", *(f"{stage.total_mb:,.0f}" for stage in made.stages)))
    return [f"{row[0]:<24}" + "".join(f"{cell:>10}" for cell in row[1:]) for row in rows]
