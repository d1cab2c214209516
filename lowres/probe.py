"""`probe.json`: sentences of our own and the logits that an adapter gives them.

Whoever downloads the adapter can see whether it still gives the same. None of the sentences is of
any data set; where the vocabulary is extended some are made of new pieces.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from lowres import adapter_files, bases, extension, model
from lowres.errors import RunError
from lowres.hardware import Hardware
from lowres.recipe import Base
from lowres.tasks import TaskOptions

FILE: Final = "probe.json"
SCHEMA: Final = 1
SENTENCES: Final = (
    "The children walked to school along the river.",
    "Dr. Amina Bello visited Nairobi on 3 May 2021.",
    "Watoto walikwenda shuleni asubuhi na mapema.",
    "Yara sun tafi makaranta da safe.",
    "Àwọn ọmọ náà lọ sí ilé-ìwé ní òwúrọ̀.",
    "Abana bagiye ku ishuri mu gitondo.",
    "Los niños fueron a la escuela por la mañana.",
    "Les enfants sont allés à l’école ce matin.",
    "बच्चे सुबह स्कूल गए।",
    "ልጆቹ ጠዋት ወደ ትምህርት ቤት ሄዱ።",
    "ذهب الأطفال إلى المدرسة في الصباح.",
    "孩子们早上去学校了。",
    "ⵜⴰⵎⴰⵣⵉⵖⵜ ⵜⴻⵍⵍⴰ",
    "1,234.56 % — @user https://example.org #topic :-) 🙂",
    "a",
    "Rain, rain, rain: it rained for three days and nobody in the village could leave the house.",
)
FROM_PIECES: Final = 4
"""Sentences made of new pieces, in place of the last ones."""
PIECES_EACH: Final = 12


@dataclass(frozen=True)
class Probe:
    """One sentence: the fields of an example, its ids, and logits [labels] or [tokens, labels]."""

    fields: dict[str, Any]
    input_ids: list[int]
    logits: np.ndarray


def sentences(pieces: Sequence[str] = ()) -> list[str]:
    """Sixteen of them; with new pieces some are made of those."""
    if not pieces:
        return list(SENTENCES)
    plain = [piece.replace("▁", " ").removeprefix("##").strip() for piece in pieces]
    words = [word for word in plain if word] or ["a"]
    step = max(1, len(words) // FROM_PIECES)
    made = [
        " ".join(words[at * step : at * step + PIECES_EACH]) or words[0]
        for at in range(FROM_PIECES)
    ]
    return [*SENTENCES[: len(SENTENCES) - FROM_PIECES], *made]


def make(
    folder: Path,
    located: bases.LocatedBase,
    task: TaskOptions,
    labels: Sequence[str],
    hardware: Hardware,
) -> list[Probe]:
    """Answer the sentences with an adapter over the unquantised base, in double precision: the
    order of sums, another with each number of threads, does not show in the figures then.

    Raises `RunError` for an adapter that gives logits that are not finite.
    """
    import torch

    options = Base(name=located.name, quantization="none")
    network = adapter_files.load_adapter(
        model.load_base(located, options, task, list(labels), hardware), folder
    ).double()
    tokenizer = adapter_files.tokenizer_of(folder, located)
    found = []
    for text in sentences(new_pieces(folder)):
        fields = fields_of(text, task)
        encoded = tokenizer(**arguments(fields), return_tensors="pt").to(network.device)
        with torch.inference_mode():
            logits = network(**encoded).logits[0].cpu().numpy()
        if not np.isfinite(logits).all():
            raise RunError(f"{folder}: gives logits that are not finite; train it again")
        found.append(Probe(fields, encoded["input_ids"][0].tolist(), logits))
    return found


def new_pieces(folder: Path) -> tuple[str, ...]:
    """The pieces that an adapter's own tokenizer has beyond the base's."""
    file = folder / extension.META
    return extension.read(folder).pieces if file.is_file() else ()


def fields_of(text: str, task: TaskOptions) -> dict[str, Any]:
    """A sentence as an example of the task: text, two texts, or words."""
    if "text_pair" in task.fields:
        return {"text": text, "text_pair": SENTENCES[0]}
    return {"tokens": text.split()} if "tokens" in task.fields else {"text": text}


def arguments(fields: dict[str, Any]) -> dict[str, Any]:
    """What any tokenizer of transformers is called with for these fields."""
    if "tokens" in fields:
        return {"text": fields["tokens"], "is_split_into_words": True}
    return dict(fields)


def write(
    file: Path, probes: Sequence[Probe], base: dict[str, Any], adapter: dict[str, Any]
) -> None:
    """Write `probe.json`.

    Args:
        file: where.
        probes: what was asked and answered.
        base: over which base the logits were taken, and what they may differ by over which.
        adapter: of which study it is; see `lineage`.
    """
    plain = {
        "schema": SCHEMA,
        "adapter": adapter,
        "base": base,
        "probes": [
            {
                **probe.fields,
                "input_ids": probe.input_ids,
                "logits": np.round(probe.logits.astype(np.float64), 9).tolist(),
            }
            for probe in probes
        ],
    }
    file.write_text(json.dumps(plain, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


def lineage(text: str) -> tuple[Any, ...] | None:
    """Of which study, task, labels and base a `probe.json` is; None where lowres has not written
    it. An adapter may take the place of another of the same."""
    try:
        plain = json.loads(text)
        adapter, base = plain["adapter"], plain["base"]
        schema = plain["schema"]
        found = (adapter["study"], adapter["task"], sorted(adapter["labels"]), base["id"])
    except (ValueError, KeyError, TypeError):
        return None
    return found if schema == SCHEMA else None
