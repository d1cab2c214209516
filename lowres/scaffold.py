"""`lowres new`: a commented recipe from a few answers."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import yaml

from lowres import bases, locations, registry
from lowres.artifacts import write_text
from lowres.errors import LowresError, nearest
from lowres.languages import canonical
from lowres.recipe_loading import load

TEMPLATE = """\
# Keys and their defaults:  lowres show {path}   (JSON schema for editors: lowres validate --schema)
# Check it:  lowres validate {path}
# Run it:    lowres run {path}
name: {name}
question: How far does {task} learnt in {source} carry to {targets}?

base:
  name: {base}            # `lowres ls bases`, a Hub id, or a folder
  quantization: 8bit      # 8bit, 4bit or none

languages:                # FLORES codes, such as yor_Latn
  source: [{source}]      # has labels: trained on, checkpoints chosen on its dev set
  targets: [{targets}]    # only ever used to score

data:
{data}
  # names: {{{first_target}: what-the-data-calls-it}}   # when files do not use FLORES codes
  # labels: {{label-there: label-here}}                # null drops a label
  unseen_labels: error    # a target label the source never showed: error, drop or wrong

task:
  name: {task}            # {tasks}

lora:
  rank: 16

train:
  epochs: 10
  max_tokens: 128         # sub-words a window; longer texts become several, nothing is cut

seeds: [1, 2, 3]          # three, so that the table can say how much is chance
"""


@dataclass(frozen=True)
class Answers:
    """What `lowres new` asks."""

    source: str
    targets: str
    task: str
    data: str
    base: str


def write(path: Path, answers: Answers) -> None:
    """Write the recipe, and check it by loading it. Raises `LowresError`; never overwrites."""
    if path.exists():
        raise LowresError(f"{path}: exists; choose another name or remove it")
    if path.suffix not in (".yaml", ".yml"):
        raise LowresError(f"{path}: a recipe's name ends in .yaml")
    if not path.parent.is_dir():
        raise LowresError(f"{path.parent}: no such folder; make it first: mkdir -p {path.parent}")
    tasks = registry.names("tasks")
    if answers.task not in tasks:
        raise LowresError(
            f"--task: unknown task {answers.task!r}{nearest(answers.task, tasks)} "
            f"(known: {', '.join(tasks)})"
        )
    try:
        source = canonical(answers.source)
        targets = [canonical(code.strip()) for code in answers.targets.split(",") if code.strip()]
    except ValueError as error:
        raise LowresError(str(error)) from error
    if not targets:
        raise LowresError("--targets: name at least one language, such as yor_Latn")
    bases.check_name(answers.base)
    text = TEMPLATE.format(
        path=path,
        name=re.sub(r"[^a-z0-9._-]+", "-", path.stem.lower()).strip("-._") or "study",
        base=answers.base,
        source=source,
        targets=", ".join(targets),
        first_target=targets[0],
        task=answers.task,
        tasks=", ".join(tasks),
        data=_data_lines(answers.data),
    )
    write_text(path, text)
    try:
        study = load(str(path))
        locations.check_template(study.data, "data", (source, *targets))
    except LowresError:
        path.unlink()
        raise


def _data_lines(data: str) -> str:
    """`hub:` for `namespace/name` that is no path here, else `files:`."""
    is_hub = re.fullmatch(r"[\w.-]+/[\w.-]+", data) and "{" not in data and not Path(data).exists()
    quoted = yaml.safe_dump(data, default_style='"', width=1000).strip()
    if is_hub:
        return f'  hub: {quoted}\n  config: "{{lang}}"        # one configuration a language'
    return f"  files: {quoted}"
