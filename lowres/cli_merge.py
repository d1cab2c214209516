"""`lowres merge`: an adapter and its base as one ordinary model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lowres.cli_guard import guarded

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lowres.merge import Merged


@guarded
def merge(
    adapter: Annotated[
        str, typer.Argument(help="An adapter's folder, a run's, or a Hub id (namespace/name).")
    ],
    out: Annotated[Path, typer.Argument(help="Folder to write.")],
    onnx: Annotated[
        bool, typer.Option("--onnx", help="Write model.onnx too, compared with onnxruntime.")
    ] = False,
    language: Annotated[
        str | None,
        typer.Option("--language", "--lang", help="Where a run made an adapter a language: whose."),
    ] = None,
    revision: Annotated[
        str | None, typer.Option("--revision", help="Branch, tag or commit on the Hub.")
    ] = None,
    allow_pickle: Annotated[
        bool, typer.Option("--allow-pickle", help="Load a base of pickled weights (can run code).")
    ] = False,
) -> None:
    """Merge an adapter into its float base: a model that transformers loads by itself."""
    from lowres import quiet
    from lowres.progress import Terminal

    progress = Terminal()
    quiet.libraries()
    from lowres import merge as merging

    found = merging.merge(adapter, out, onnx, _code(language), allow_pickle, revision)
    for line in _said(found, out):
        typer.echo(line)
    for note in found.notes:
        progress.say(f"note: {note}")


def _code(given: str | None) -> str | None:
    from lowres.languages import of_option

    return None if given is None else of_option("--language", given)


def _said(found: Merged, out: Path) -> Iterator[str]:
    from lowres import merge as merging
    from lowres import onnx_export

    yield (
        f"{out}: merged into {found.base} in float32; "
        f"{found.model_class}.from_pretrained({str(out)!r}) loads it"
    )
    yield (
        f"{found.probes} probe sentences: logits differ from the adapter's over the float base by "
        f"{found.widest:.1e} at most (allowed: {merging.TOLERANCE:g}), by "
        f"{found.widest_single:.1e} in single precision"
    )
    if found.agreeing is not None:
        yield (
            f"trained over a base in {found.trained_over}, merged into the float one: the same "
            f"labels on {found.agreeing} of {found.probes} probe sentences"
        )
    if found.onnx is not None:
        yield (
            f"{onnx_export.FILE}: opset {found.onnx.opset}, {', '.join(found.onnx.inputs)}; logits "
            f"differ from torch's by {found.onnx.widest:.1e} at most "
            f"(allowed: {onnx_export.TOLERANCE:g})"
        )
