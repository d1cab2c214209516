"""README.md of a published adapter: a model card of the Hub, drawn from `Results`.

Metadata follow hf.co/docs/hub/model-cards. What comes from data (label names, names of data sets,
words of the recipe) is escaped, as Markdown carries HTML.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from lowres import (
    by_translation,
    card_files,
    card_limits,
    doubts,
    figures,
    gains,
    learning,
    licences,
    served,
)
from lowres.figures import ADAPTER, number
from lowres.languages import describe

if TYPE_CHECKING:
    from huggingface_hub import EvalResult

    from lowres.licences import DataLicence
    from lowres.results import Results, Score

PLOT = "transfer.svg"
CURVES = "learning.svg"
PIPELINES = {
    "classification": "text-classification",
    "pairs": "text-classification",
    "tagging": "token-classification",
}
_TEX = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    **{letter: f"\\{letter}" for letter in "{}%#$&_"},
}
MADE = {
    "lora": "A LoRA adapter of",
    "gradual": "A LoRA adapter of",
    "full": "The fine-tuned weights of",
    "head": "A task head on the frozen weights of",
    "probe": "A task head on the frozen weights of",
}
"""By the strategy of its training, what is published. Of another one: an adapter."""
_SPECIAL = re.compile(r"([\\`*_\[\]#!~$|{}])")
_BEGINNING = re.compile(r"([-+=]|\d+(?=[.)]))")
"""What makes a list or a line of a heading where a line begins with it."""
_LINK = re.compile(
    r"((?:[a-z][a-z0-9+.-]*://|www\.)[^\s`<>|]+|[^\s`<>|]+@[^\s`<>|]+)", re.IGNORECASE
)
"""What the Hub's Markdown turns into links by itself."""
_INVISIBLE = re.compile(
    "[\x00-\x08\x0e-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff]"
)
"""Control characters, among them those that turn the order of letters around."""


@dataclass(frozen=True)
class Facts:
    """What a card says beside the results. `command`: makes the run again."""

    repo_id: str
    seed: int
    license: str
    base_id: str
    authors: tuple[str, ...]
    intended_use: str
    data: tuple[DataLicence, ...]
    datasets: tuple[str, ...]
    extended: int
    """New pieces."""
    megabytes: float
    per_language: tuple[str, ...]
    rebuilt_tolerance: float | None
    """Of a logit over the Hub's own base, where ours was rebuilt from 4 bits."""
    command: str
    year: int
    base_revision: str | None = None
    """Commit of the base over which the probes were taken, where the run itself knew of none."""


@dataclass(frozen=True)
class Line:
    """A language in the card's table."""

    name: str
    code: str
    role: str
    score: Score | None
    """Of the published seed."""
    mean: str
    baselines: tuple[str, ...]
    verdict: str


def markdown(text: object) -> str:
    """Text as Markdown shows it, whatever it holds: no markup, no HTML, no link, on one line.

    Web addresses are shown as code, which no renderer links; characters that nobody sees, by their
    numbers.
    """
    parts = _LINK.split(_visible(text))
    shown = "".join(f"`{part}`" if at % 2 else _plain(part) for at, part in enumerate(parts))
    return _BEGINNING.sub(_escaped, shown, count=1) if _BEGINNING.match(shown) else shown


def code(text: object) -> str:
    """Text as code in a line of Markdown, whatever it holds."""
    line = _visible(text)
    longest = max((len(run) for run in re.findall("`+", line)), default=0)
    edge = "`" * (longest + 1)
    return f"{edge} {line} {edge}" if longest else f"{edge}{line}{edge}"


def _visible(text: object) -> str:
    line = " ".join(str(text).split())
    return _INVISIBLE.sub(lambda found: f"\\u{ord(found[0]):04x}", line)


def _plain(text: str) -> str:
    line = _SPECIAL.sub(r"\\\1", text)
    return line.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _escaped(beginning: re.Match[str]) -> str:
    """`1` of a list is escaped at its dot."""
    return f"{beginning[0]}\\" if beginning[0].isdigit() else f"\\{beginning[0]}"


def bibtex(text: object) -> str:
    """Text as a field of BibTeX shows it: on one line, nothing of it a command."""
    line = _INVISIBLE.sub("", " ".join(str(text).split()))
    return "".join(_TEX.get(letter, letter) for letter in line)


def _author(name: str) -> str:
    shown = bibtex(name)
    # BibTeX takes " and " for the next author
    return f"{{{shown}}}" if " and " in shown.lower() else shown


def render(results: Results, facts: Facts) -> str:
    """The whole README.md: metadata between lines of dashes, then the text."""
    environment = Environment(
        loader=PackageLoader("lowres"),
        # not HTML: every value that comes from outside goes through `markdown`
        autoescape=False,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {
        "md": markdown,
        "code": code,
        "bibtex": bibtex,
        "author": _author,
        "number": number,
        "duration": figures.duration,
        "energy": figures.energy,
        "metric_name": figures.metric_name,
        "heading": figures.heading,
        "interval": served.interval,
        "signed": figures.signed,
    }
    text = environment.get_template("card.md.j2").render(**_view(results, facts))
    return f"---\n{metadata(results, facts)}---\n\n{text}"


def metadata(results: Results, facts: Facts) -> str:
    """The YAML block, as huggingface_hub writes it."""
    from huggingface_hub import ModelCardData

    tags = dict.fromkeys(describe(record.code).bcp47 for record in results.languages)
    # the Hub's own field takes languages alone; tags with a script have one of their own
    codes = dict.fromkeys(tag.split("-")[0] for tag in tags)
    longer = [tag for tag in tags if "-" in tag]
    metrics = dict.fromkeys(_hub_metric(score.metric) for score in _scores(results, facts.seed))
    task = str(results.recipe["task"]["name"])
    lora = ["lora"] if "LoRA" in MADE.get(figures.strategy(results), "") else []
    data = ModelCardData(
        base_model=facts.base_id,
        datasets=list(facts.datasets) or None,
        eval_results=_eval_results(results, facts),
        language=list(codes),
        language_bcp47=longer or None,
        library_name="peft",
        license=facts.license,
        metrics=list(metrics),
        model_name=facts.repo_id.split("/")[-1],
        pipeline_tag=PIPELINES.get(task),
        tags=["lowres", *lora, "cross-lingual-transfer", f"base_model:adapter:{facts.base_id}"],
    )
    return str(data.to_yaml()).strip() + "\n"


def _hub_metric(metric: str) -> str:
    """The Hub's name of a metric."""
    return {"macro_f1": "f1", "span_f1": "f1"}.get(metric, metric)


def _scores(results: Results, seed: int) -> list[Score]:
    return [s for s in results.scores if (s.system, s.seed) == (ADAPTER, seed)]


def _eval_results(results: Results, facts: Facts) -> list[EvalResult]:
    from huggingface_hub import EvalResult

    task = PIPELINES.get(str(results.recipe["task"]["name"]), "other")
    name = facts.datasets[0] if facts.datasets else " ".join(results.recipe["name"].split())
    return [
        EvalResult(
            task_type=task,
            dataset_type=name,
            dataset_name=f"{name} ({describe(score.language).name})",
            dataset_config=score.language,
            dataset_split=score.split,
            metric_type=_hub_metric(score.metric),
            metric_name=f"{figures.metric_name(score.metric)}, {score.role}",
            metric_value=round(score.value, 4),
        )
        for score in _scores(results, facts.seed)
        if math.isfinite(score.value)
    ]


def _view(results: Results, facts: Facts) -> dict[str, Any]:
    summary = figures.summarise(results)
    own = {s.language: s for s in _scores(results, facts.seed) if s.metric == summary.metric}
    lines = [
        Line(
            row.language.name,
            row.language.code,
            row.role,
            own.get(row.language.code),
            _mean(row),
            tuple(
                number(found.value if (found := row.figures.get(system)) else None)
                for system in summary.baselines
            ),
            row.verdict.verdict if row.verdict is not None else row.role,
        )
        for row in (*summary.sources, *summary.targets)
    ]
    record = next((s for s in results.seeds if s.seed == facts.seed), None)
    return {
        "results": results,
        "made": MADE.get(figures.strategy(results), "An adapter of"),
        "facts": facts,
        "revision": results.base.revision or facts.base_revision,
        "summary": summary,
        "lines": lines,
        "answer": "".join(part.text for part in figures.answer(summary)),
        "badly": card_limits.badly(summary, own),
        "better_taught": card_limits.better_taught(summary, own),
        "alike": [r for one in facts.data if (r := licences.alike(one, facts.license))],
        "needed": card_files.needed(results),
        "from_the_hub": card_files.from_the_hub(results),
        "gains": gains.of(results, summary.metric),
        "learning": learning.of(results.learning),
        "translations": by_translation.of(results),
        "curves": CURVES,
        "gap_tables": served.every(results),
        "gap_note": served.NOTE,
        "symptom_lines": doubts.of(results.symptoms),
        "names": {record.code: record.name for record in results.languages},
        "record": record,
        "plot": PLOT,
        "tagging": results.recipe["task"]["name"] == "tagging",
        "pairs": results.recipe["task"]["name"] == "pairs",
        "seeds": sum(s.status == "ok" for s in results.seeds),
    }


def _mean(row: figures.LanguageRow) -> str:
    found = row.adapter
    if found is None:
        return figures.MISSING
    return number(found.value) + ("" if found.sd is None else f" ± {number(found.sd)}")
