"""An adapter merged into its base: an ordinary transformers model, checked after it is written.

The base is always the unquantised one, whatever the adapter was trained over: a product of LoRA
added to rounded weights would be rounded with them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import torch
from safetensors import SafetensorError

from lowres import (
    artifacts,
    extension,
    hub_adapters,
    inference,
    merge_source,
    onnx_export,
    predict,
    probe,
)
from lowres import rows as new_rows
from lowres.errors import DeviceError, RunError
from lowres.merge_source import Source

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from lowres.onnx_export import Inputs

TOLERANCE: Final = 1e-5
"""Largest difference of a logit between what is read back and the adapter over its float base.

Both have float32 weights and are compared in double precision: in single precision a model of
twelve layers is 6e-6 away from its own logits, which says nothing about the merge (that is 3e-7).
"""

PRECISIONS: Final = (torch.float32, torch.float64)


@dataclass(frozen=True)
class Merged:
    """What was merged into what, and how it was checked."""

    base: str
    model_class: str
    trained_over: str | None
    """Quantization of the base in training; None where nothing says."""
    probes: int
    """Sentences that both were asked."""
    widest: float
    """Largest difference of a logit, both computed in double precision."""
    widest_single: float
    """The same in single precision, where the order of sums is most of it."""
    agreeing: int | None
    """Sentences with the same labels as over the quantised base; None without that comparison."""
    onnx: onnx_export.Exported | None
    notes: tuple[str, ...]


def merge(
    name: str | Path,
    out: Path,
    onnx: bool = False,
    language: str | None = None,
    allow_pickle: bool = False,
    revision: str | None = None,
) -> Merged:
    """Merge an adapter into its base and write a model that transformers loads by itself.

    Args:
        name: an adapter's folder, a run's, or `namespace/name` of the Hub.
        out: folder to write; it is whole or not there.
        onnx: write `model.onnx` too.
        language: which adapter of a run with `adapt.per_language`.
        allow_pickle: load a base whose weights are pickled (such files can run code).
        revision: branch, tag or commit on the Hub.

    Raises:
        RunError: no adapter, several of them, one that cannot be merged; `out` is taken; the model
            read back gives other logits.
        HubError: the Hub has no such adapter, or is out of reach and the cache has none.
        DeviceError: `onnx` without its packages.
    """
    if onnx:
        onnx_export.check_installed()
    place = hub_adapters.place(name, revision, language)
    folder = merge_source.choose(place.folder, language)
    with artifacts.new_folder(out.expanduser().resolve(), "OUT") as partial:
        source = merge_source.load(folder, allow_pickle)
        texts = probe.sentences(_new_pieces(folder))
        probes = _encoded(texts, source.tokenizer, source)
        # before the merge, which is in place
        expected = {kind: _logits(source.network, probes, kind) for kind in PRECISIONS}
        _write(_plain(source.network, folder), source.tokenizer, partial, out)
        written, tokenizer = _read_back(partial, source.task.model_class)
        _check_ids(_encoded(texts, tokenizer, source), probes)
        widest = _widest(written, probes, expected)
        exported = None
        if onnx:
            exported = _export(written, tokenizer, probes, partial, source.max_tokens)
        agreeing, notes = _against_quantised(
            folder, source, probes, expected[torch.float32], allow_pickle
        )
    return Merged(
        base=source.base,
        model_class=f"AutoModelFor{source.task.model_class}",
        trained_over=source.trained_over,
        probes=len(probes),
        widest=widest[torch.float64],
        widest_single=widest[torch.float32],
        agreeing=agreeing,
        onnx=exported,
        notes=(*([place.note] if place.note else []), *source.notes, *notes),
    )


def _new_pieces(folder: Path) -> tuple[str, ...]:
    has_some = (folder / extension.META).is_file()
    return extension.read(folder).pieces if has_some else ()


def _encoded(
    texts: Sequence[str], tokenizer: PreTrainedTokenizerBase, source: Source
) -> list[Inputs]:
    """One batch of one text each, as a user of transformers would give it to the model."""
    return [
        dict(
            tokenizer(
                **probe.arguments(probe.fields_of(text, source.task)),
                truncation=True,
                max_length=source.max_tokens,
                return_tensors="pt",
            )
        )
        for text in texts
    ]


def _logits(network: Any, probes: Sequence[Inputs], kind: torch.dtype) -> list[torch.Tensor]:
    """Logits computed in a float type: [1, labels] each, or [1, tokens, labels]."""
    network.to(kind)
    try:
        with torch.inference_mode():
            return [network(**inputs).logits for inputs in probes]
    finally:
        network.float()


def _plain(network: Any, folder: Path) -> PreTrainedModel:
    """The model with LoRA in its weights, the head in its place and new rows in its table.

    DoRA too is exact: peft takes the norms of the weights it is given.
    """
    try:
        merged: PreTrainedModel = network.merge_and_unload(safe_merge=True)
    except (ValueError, NotImplementedError) as error:
        raise RunError(f"{folder}: cannot be merged: {error}") from error
    brought = new_rows.find(merged)
    if brought is not None:
        table: Any = brought.base
        merged.set_input_embeddings(table)
        end = brought.first_id + len(brought.rows)
        # some tables have spare rows, into which the first new ids fall
        merged.resize_token_embeddings(max(table.num_embeddings, end), mean_resizing=False)
        table = merged.get_input_embeddings()
        with torch.no_grad():
            table.weight[brought.first_id : end] = brought.rows
    return merged


def _write(
    merged: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, folder: Path, out: Path
) -> None:
    # what reading the probes left behind would be saved with it
    backend: Any = tokenizer.backend_tokenizer
    backend.no_truncation()
    backend.no_padding()
    try:
        merged.save_pretrained(str(folder))
        tokenizer.save_pretrained(str(folder))
    except (OSError, SafetensorError) as error:
        raise RunError(
            f"{out}: cannot be written ({error}); nothing was kept: free some space, or give "
            "another OUT"
        ) from error


def _read_back(folder: Path, model_class: str) -> tuple[Any, PreTrainedTokenizerBase]:
    """What transformers makes of the folder when told nothing else."""
    import transformers

    auto = getattr(transformers, f"AutoModelFor{model_class}")
    written, said = auto.from_pretrained(folder, output_loading_info=True)
    wrong = sorted({*said["missing_keys"], *said["unexpected_keys"]})
    if wrong:
        raise RunError(
            f"the model that was written is not whole for transformers ({', '.join(wrong[:3])}); "
            "nothing was kept: report this, please"
        )
    tokenizer: PreTrainedTokenizerBase = transformers.AutoTokenizer.from_pretrained(folder)
    return written.eval(), tokenizer


def _check_ids(again: Sequence[Inputs], probes: Sequence[Inputs]) -> None:
    """Raise `RunError` when the tokenizer read back gives the model something else."""
    for new, old in zip(again, probes, strict=True):
        if new.keys() != old.keys() or not torch.equal(new["input_ids"], old["input_ids"]):
            raise RunError(
                "the tokenizer that was written reads the probe sentences otherwise than the "
                "adapter's; nothing was kept: report this, please"
            )


def _widest(
    written: Any, probes: Sequence[Inputs], expected: dict[torch.dtype, list[torch.Tensor]]
) -> dict[torch.dtype, float]:
    """The largest difference of a logit. Raises `RunError` when it is too large."""
    widest = {
        kind: max(
            float((new - old).abs().max())
            for new, old in zip(_logits(written, probes, kind), logits, strict=True)
        )
        for kind, logits in expected.items()
    }
    found = widest[torch.float64]
    if not found <= TOLERANCE:  # so that NaN is refused
        raise RunError(
            f"the merged model's logits differ from those of the adapter over its float base by "
            f"{found:.2g}, at most {TOLERANCE:g} is allowed; nothing was kept"
        )
    return widest


def _export(
    written: Any,
    tokenizer: PreTrainedTokenizerBase,
    probes: Sequence[Inputs],
    folder: Path,
    max_tokens: int,
) -> onnx_export.Exported:
    """`model.onnx`, compared on each probe, on all as one batch, and on a text of full length."""
    rows = [{name: tensor[0].tolist() for name, tensor in inputs.items()} for inputs in probes]
    pad_id = int(tokenizer.pad_token_id or 0)
    together = inference.model_inputs(rows, pad_id)
    longest = max(rows, key=lambda row: len(row["input_ids"]))
    times = -(-max_tokens // len(longest["input_ids"]))
    full = {name: (values * times)[:max_tokens] for name, values in longest.items()}
    batches = [*probes, together, inference.model_inputs([full], pad_id)]
    file = folder / onnx_export.FILE
    return onnx_export.export(written, file, inference.model_inputs(rows[:2], pad_id), batches)


def _against_quantised(
    folder: Path,
    source: Source,
    probes: Sequence[Inputs],
    expected: Sequence[torch.Tensor],
    allow_pickle: bool,
) -> tuple[int | None, tuple[str, ...]]:
    """On how many probes the labels are those of the base as it was in training, and notes."""
    if source.trained_over in (None, "none"):
        return None, ()
    try:
        trained = predict.load(folder, allow_pickle=allow_pickle).network
    except DeviceError as error:
        return None, (f"not compared with the {source.trained_over} base: {error}",)
    same = 0
    for inputs, logits in zip(probes, expected, strict=True):
        with torch.inference_mode():
            said = trained(**{name: ids.to(trained.device) for name, ids in inputs.items()}).logits
        same += torch.equal(said.argmax(dim=-1).cpu(), logits.argmax(dim=-1))
    return same, ()
