"""What a quantised base takes: memory once it is loaded, and the most until then.

    python benchmarks/base_memory.py             # XLM-R-base and -large sized, a table
    python benchmarks/base_memory.py --quick     # base alone: a tenth of the rows, two layers
    python benchmarks/base_memory.py --json

The models have random weights in the shapes of XLM-R. The peer is what a user would write for
8 bits: `BitsAndBytesConfig(load_in_8bit=True)`, the head left out, then peft's
`prepare_model_for_kbit_training`. Memory is what the process holds beyond what it held when all
libraries were imported and a tiny model had been loaded in the same way; both sides run in
processes of their own, and every tensor is read before anything is counted.

"kept" is what only the process can free: anonymous memory, and the tensors that are mapped from
the checkpoint. "resident" counts as the system does, with the pages of a mapped checkpoint that no
tensor needs any more: they stay until the system has another use for them. The peak is of resident
memory (VmHWM). On a GPU all of it is what torch reserves of it, kept and resident are the same.
Four minutes on one core; 4 GB of disk in $TMPDIR.
"""

from __future__ import annotations

import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import alone
import numpy as np
import tables
import torch

SIZES = {"base": (768, 12, 3072), "large": (1024, 24, 4096)}
PIECES = 250_002
TRIMMED = 60_000
ALL = ("lowres", "lowres trimmed", "peer", "peer, prepared")
NOTES = (
    "kept: anonymous memory, and tensors that are mapped from the checkpoint",
    "resident: with all pages of the checkpoint that are still mapped, which the system can take "
    "back at any time",
)


def make(folder: Path, size: str, quick: bool) -> None:
    """A checkpoint of random weights."""
    from tokenizers import Tokenizer, models
    from transformers import AutoModelForMaskedLM, PreTrainedTokenizerFast, XLMRobertaConfig

    width, layers, inner = SIZES[size]
    config = XLMRobertaConfig(
        vocab_size=PIECES // 10 if quick else PIECES,
        hidden_size=width,
        num_hidden_layers=2 if quick else layers,
        num_attention_heads=width // 64,
        intermediate_size=inner,
        max_position_embeddings=514,
        type_vocab_size=1,
    )
    torch.manual_seed(0)
    model: Any = AutoModelForMaskedLM.from_config(config)
    model.save_pretrained(folder, max_shard_size="500MB")
    words = Tokenizer(models.WordLevel({"<unk>": 0, "<pad>": 1}, unk_token="<unk>"))
    PreTrainedTokenizerFast(tokenizer_object=words, pad_token="<pad>").save_pretrained(folder)


def lowres(folder: Path, trimmed: bool = False) -> Any:
    """As lowres loads an 8-bit base with a head."""
    from transformers import AutoConfig

    from lowres import model
    from lowres.bases import LocatedBase
    from lowres.hardware import detect
    from lowres.recipe import Base
    from lowres.tasks.classification import Options
    from lowres.trimmed import Kept, write

    located = LocatedBase("base", str(folder), None, None, "folder")
    if trimmed:
        rows = AutoConfig.from_pretrained(folder).vocab_size
        draw = np.random.default_rng(0).permutation(rows - 3)[: rows * TRIMMED // PIECES - 3] + 3
        kept = folder / "kept.json"
        write(kept, Kept(np.sort(np.concatenate([[0, 1, 2], draw])), rows, 0))
        located = replace(located, kept=str(kept))
    base = Base(name="base", quantization="8bit")
    return model.load_base(located, base, Options(name="classification"), ["a", "b"], detect())


def peer(folder: Path, prepared: bool = False) -> Any:
    """As the documentation of transformers and peft has it."""
    from peft import prepare_model_for_kbit_training
    from transformers import AutoModelForSequenceClassification, BitsAndBytesConfig

    device = 0 if torch.cuda.is_available() else "cpu"
    config = BitsAndBytesConfig(load_in_8bit=True, llm_int8_skip_modules=["classifier"])
    model: Any = AutoModelForSequenceClassification.from_pretrained(
        folder, quantization_config=config, dtype=torch.float32, device_map={"": device}
    )
    return prepare_model_for_kbit_training(model) if prepared else model


def side(name: str, tiny: str, folder: str) -> dict[str, float]:
    """What loading takes, in a process of its own."""
    load = lowres if name.startswith("lowres") else peer
    flag = name in ("lowres trimmed", "peer, prepared")
    load(Path(tiny), flag)
    kept, resident = alone.kept_mb(), alone.held_from_here()
    model = load(Path(folder), flag)
    tensors = {t.data_ptr(): t for t in (*model.parameters(), *model.buffers())}
    for tensor in tensors.values():
        tensor.amax()  # what is mapped takes memory once it is read; a sum of int8 takes a copy
    return {
        "peak": alone.most_held() - resident,
        "kept": alone.kept_mb(tensors.values()) - kept,
        "resident": alone.held_from_here() - resident,
        "sum": sum(tensor.nbytes for tensor in tensors.values()) / 2**20,
    }


def measured(folder: Path, size: str, quick: bool) -> list[dict[str, Any]]:
    """Rows of one size."""
    tiny, whole = folder / "tiny", folder / size
    make(whole, size, quick)
    make(tiny, size, True)
    found = {}
    for name in ALL:
        found[name] = alone.call(side, name, str(tiny), str(whole))
        print(f"{size}, {name}: {found[name]}", file=sys.stderr)
    return rows_of(size, found)


def rows_of(size: str, found: dict[str, dict[str, float]]) -> list[dict[str, Any]]:
    """What the sides found, the fair comparison first."""
    own, other = found["lowres"], found["peer, prepared"]
    rows = [
        ("kept", own["kept"], other["kept"]),
        ("kept, peer not yet prepared", own["kept"], found["peer"]["kept"]),
        ("kept, trimmed to 60,000 pieces", found["lowres trimmed"]["kept"], None),
        ("tensors of the model", own["sum"], other["sum"]),
        ("resident", own["resident"], other["resident"]),
        ("most resident until all is read", own["peak"], other["peak"]),
        ("the most / resident", own["peak"] / own["resident"], other["peak"] / other["resident"]),
        ("most resident, trimmed", found["lowres trimmed"]["peak"], None),
    ]
    unit = "MB"
    return [tables.row(f"{size}: {name}", "" if "/" in name else unit, a, b) for name, a, b in rows]


def main() -> None:
    asked = tables.arguments(__doc__).parse_args()
    rows = []
    for size in ("base",) if asked.quick else SIZES:
        with tempfile.TemporaryDirectory() as name:
            rows += measured(Path(name), size, asked.quick)
    tables.show(rows, asked.json, ("lowres, 8-bit", "bitsandbytes + peft"), NOTES)


if __name__ == "__main__":
    main()
