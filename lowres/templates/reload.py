"""Load adapters with transformers and peft alone and answer the `probe.json` of each.

    python reload.py OUT.json JOB.json

JOB: {"bases": [folder…], "adapters": [folder…]}; every adapter is loaded over every base. Written
into no repository; `lowres publish` runs it in a process of its own, in which lowres cannot be
imported.
"""

import json
import sys
from pathlib import Path
from typing import Any


class Blocked:
    """An import hook: the adapter must load for people who never heard of lowres."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> None:
        """Refuse lowres, leave the rest to others."""
        if name.partition(".")[0] == "lowres":
            raise ImportError("lowres is not there in this process")


sys.meta_path.insert(0, Blocked())


def loaded(folder: Path, base: str) -> tuple[Any, Any]:
    """Tokenizer and model of an adapter, as its card says to load it, then in double precision.

    In single precision the order of sums, which hangs on the number of threads, moves a large
    logit by more than what is compared.
    """
    import torch
    from peft import PeftModel
    from transformers import (
        AutoConfig,
        AutoModelForSequenceClassification,
        AutoModelForTokenClassification,
        AutoTokenizer,
    )

    labels = json.loads((folder / "labels.json").read_text(encoding="utf-8"))["labels"]
    settings = json.loads((folder / "adapter_config.json").read_text(encoding="utf-8"))
    tagging = settings["task_type"] == "TOKEN_CLS"
    auto = AutoModelForTokenClassification if tagging else AutoModelForSequenceClassification
    config = AutoConfig.from_pretrained(base, num_labels=len(labels))
    model = auto.from_pretrained(base, config=config, dtype=torch.float32)
    extended = bool(settings.get("trainable_token_indices"))
    tokenizer = AutoTokenizer.from_pretrained(folder if extended else base)
    if extended:
        rows = model.get_input_embeddings().weight.shape[0]
        model.resize_token_embeddings(max(rows, len(tokenizer)), mean_resizing=False)
    return tokenizer, PeftModel.from_pretrained(model, str(folder)).eval().double()


def answers(folder: Path, base: str) -> list[dict[str, Any]]:
    """The ids and logits of every probe of an adapter."""
    import torch

    tokenizer, model = loaded(folder, base)
    found = []
    for probe in json.loads((folder / "probe.json").read_text(encoding="utf-8"))["probes"]:
        if "tokens" in probe:
            encoded = tokenizer(probe["tokens"], is_split_into_words=True, return_tensors="pt")
        else:
            encoded = tokenizer(probe["text"], probe.get("text_pair"), return_tensors="pt")
        with torch.inference_mode():
            logits = model(**encoded).logits[0]
        found.append({"input_ids": encoded["input_ids"][0].tolist(), "logits": logits.tolist()})
    return found


if __name__ == "__main__":
    job = json.loads(Path(sys.argv[2]).read_text(encoding="utf-8"))
    given = [[answers(Path(name), base) for name in job["adapters"]] for base in job["bases"]]
    whole = {"answers": given, "lowres": "lowres" in sys.modules}
    Path(sys.argv[1]).write_text(json.dumps(whole), encoding="utf-8")
