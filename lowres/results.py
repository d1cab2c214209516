"""`results.json`, schema 1: all that the terminal table, the report and the model card read."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field


class Row(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class BaseRecord(Row):
    name: str
    hub_id: str | None = None
    revision: str | None = None
    obtained: str
    """How the base was had: `hub`, `cache`, `folder` or `rebuilt from 4 bits (<packages>)`."""
    quantization: str
    parameters: int
    trainable_parameters: int


class Stage(Row):
    name: str
    seconds: float
    peak_mb: float
    """Of the process, resident."""
    gpu_mb: float | None = None
    """The most that torch reserved of the card, without CUDA's own context. null: on a
    processor."""
    planned_mb: float | None = None
    """Of `gpu_mb` where there is one, else of `peak_mb`."""


class Score(Row):
    """One figure. `seed` is null for systems without one. `low`, `high`: 95% bootstrap interval.

    `system`: adapter, majority, tfidf, lookup, probe, tfidf-target, lookup-target; of a recipe that
    extends or adapts also the controls base-as-is, adapted-old-vocabulary, extended-only; with
    translations translate-train, translate-test.
    `language`: a FLORES code. `n`: test examples.
    """

    system: str
    seed: int | None = None
    draw: int | None = None
    """Of a few-shot system: which draw of the examples."""
    language: str
    role: Literal["source", "target"]
    split: str
    metric: str
    value: float
    low: float
    high: float
    n: int


class Average(Row):
    """Macro average over languages; mean ± sd and median over the seeds that can be trusted."""

    system: str
    metric: str
    over: Literal["targets", "source", "source and targets"]
    mean: float
    sd: float | None
    median: float
    seeds: int
    languages: int


class Comparison(Row):
    """Paired bootstrap on the same examples: delta = a - b, two-sided p.

    `language`: a code, or `targets` for the mean over all of them.
    """

    a: str
    b: str
    language: str
    metric: str
    delta: float
    low: float
    high: float
    p: float
    seed: int | None = None


class Verdict(Row):
    language: str
    verdict: Literal[
        "transfers",
        "no better than TF-IDF",
        "no better than lookup",
        "collapsed",
        "negative transfer",
        "not judged",
    ]
    reason: str


class CurvePoint(Row):
    seed: int
    step: int
    epoch: float
    name: str
    """`loss`, `learning_rate` or `dev <metric>`."""
    value: float


class Confusion(Row):
    language: str
    labels: list[str]
    counts: list[list[int]]
    """Rows gold, columns predicted; the median one of the trusted seeds."""


class Mistake(Row):
    language: str
    id: str
    text: str
    gold: str
    predicted: str
    probability: float | None = None


class SeedRecord(Row):
    seed: int
    status: Literal["ok", "collapsed", "nan"]
    retried: bool
    learning_rate: float
    best_step: int | None
    """The step whose weights were kept; null: the mean of the weights after several epochs."""
    steps: int
    dev: float
    """Source-dev score of what was kept."""
    micro_batch: int | None = None
    """Windows a forward pass took; the effective batch is the recipe's. null: not written down."""


class Resources(Row):
    seconds: float
    peak_mb: float
    device: str
    precision: str
    energy_kwh: float | None = None


class LanguageRecord(Row):
    code: str
    name: str
    direction: Literal["ltr", "rtl"]
    script: str


class TokenizerRecord(Row):
    """Fertility: sub-word pieces a word; unknown_share: of pieces."""

    language: str
    fertility: float
    unknown_share: float
    windows: int
    """Examples that needed more than one window."""
    fertility_before: float | None = None
    unknown_share_before: float | None = None
    """Of the base's own tokenizer, where the recipe extends it."""


class CurveOfPieces(Row):
    pieces: int
    tokens: float
    """Of lines kept out of learning, over the tokens before."""
    unknown: float


class ExtendedLanguage(Row):
    """Held-out lines of the raw text; fertility: pieces a word; shares are of 1."""

    language: str
    n: int
    fertility_before: float
    fertility_after: float
    pieces_before: int
    pieces_after: int
    unknown_before: float
    unknown_after: float
    round_trip_before: float
    round_trip_after: float
    characters: int = 0
    """Of these lines, white space left out."""


class ChangedLanguage(Row):
    language: str
    n: int
    share: float
    """Lines whose ids the extension changes."""


class ExtensionRecord(Row):
    """The tokenizer's extension. `left_out`: candidates that would change other languages."""

    pieces: int
    chosen: str
    offered: int
    left_out: int
    init: str | None
    curve: list[CurveOfPieces]
    languages: list[ExtendedLanguage]
    changed: list[ChangedLanguage]
    changed_unseen: bool = False
    """Whether the lines of `changed` took no part in the choice of the pieces."""


class AdaptationFigure(Row):
    language: str
    name: str
    value: float
    n: int


class AdaptationRecord(Row):
    """One language adapter; figures are of held-out lines."""

    stage: str
    languages: list[str]
    objective: str
    steps: int
    items: int
    cut: int
    seconds: float
    before: list[AdaptationFigure]
    after: list[AdaptationFigure]
    loss: list[tuple[int, float]]
    notes: list[str]


BANDED = 5
"""Trainings from which on percentiles of them are shown."""


class LearningPoint(Row):
    """What so many labelled examples of a target bring; `shots` is `0` (the adapter), a number or
    `all`.

    `language`: a code, or `targets` for the mean over all of them. `low`, `high`: 2.5th and 97.5th
    percentile of the `n` trainings (seeds times draws), of fewer than five the lowest and the
    highest; null for one.
    """

    language: str
    shots: str
    examples: int
    metric: str
    mean: float
    low: float | None
    high: float | None
    n: int

    @property
    def is_range(self) -> bool:
        """Whether `low` and `high` are the lowest and the highest of a few trainings."""
        return self.low is not None and self.n < BANDED


class DrawRecord(Row):
    """The examples that few-shot trainings saw, in the order in which they were taken: the first 10
    of them are the 10 shots, all of draw 1 are `all`."""

    language: str
    seed: int
    draw: int
    ids: list[str]


class FailureRecord(Row):
    """A training beside the recipe's own that collapsed, also at half the learning rate; its scores
    are in no average and no curve. Those of the adapter itself are in `seeds`.

    `languages`: the targets whose examples or translations it was trained on; empty for a control.
    """

    system: str
    seed: int
    draw: int | None = None
    languages: list[str]
    status: Literal["collapsed", "nan"]

    def has(self, score: Score) -> bool:
        """Whether it gave this score."""
        own = (self.system, self.seed, self.draw) == (score.system, score.seed, score.draw)
        every = not self.languages or score.role == "source"
        return own and (every or score.language in self.languages)


class TranslationRecord(Row):
    """A file of translations that the user supplied.

    `use`: `train` (the source's examples in this target), `test` (the target's in the source
    language). Of tagging: `spans` were to be carried over (of the answers of all seeds in
    translate-test), `lost` of them could not be; `left_out`: training examples that lost one.
    `in_test`: texts of the target's test set that stand among the translations trained on.
    """

    language: str
    use: Literal["train", "test"]
    n: int
    where: str
    sha256: str
    left_out: int = 0
    spans: int = 0
    lost: int = 0
    in_test: int = 0


class Symptom(Row):
    """One thing that spoils a transfer, looked for in one language.

    `figure` says what `value` is; `low`, `high`: its 95% interval, where there is one; `n`: what it
    was measured on. *Found*: p < 0.05 over all targets together, and large; *possible*: one test
    set alone suggests it. `advice` is empty where there is no sign.
    """

    name: Literal[
        "domain shift",
        "negative transfer",
        "forgetting",
        "over-fitting",
        "tokenisation",
        "label shift",
    ]
    language: str
    figure: str
    value: float
    low: float | None = None
    high: float | None = None
    n: int
    verdict: Literal["found", "possible", "no sign"]
    says: str
    advice: str
    pooled: float | None = None


class DataRecord(Row):
    language: str
    split: str
    n: int
    where: str
    """File or `hub id@commit:config`."""
    notes: list[str] = Field(default_factory=list)


class Results(BaseModel):
    model_config = ConfigDict(extra="forbid")

    schema_version: Literal[1] = Field(1, alias="schema")
    recipe: dict[str, Any]
    base: BaseRecord
    labels: list[str]
    languages: list[LanguageRecord]
    data: list[DataRecord]
    stages: list[Stage]
    seeds: list[SeedRecord]
    scores: list[Score]
    averages: list[Average]
    comparisons: list[Comparison]
    verdicts: list[Verdict]
    curves: list[CurvePoint]
    confusions: list[Confusion]
    mistakes: list[Mistake]
    tokenizer: list[TokenizerRecord]
    learning: list[LearningPoint] = Field(default_factory=list)
    draws: list[DrawRecord] = Field(default_factory=list)
    failures: list[FailureRecord] = Field(default_factory=list)
    translations: list[TranslationRecord] = Field(default_factory=list)
    extension: ExtensionRecord | None = None
    adaptations: list[AdaptationRecord] = Field(default_factory=list)
    symptoms: list[Symptom] = Field(default_factory=list)
    resources: Resources
    warnings: list[str]
    versions: dict[str, str]

    def trusted(self) -> list[Score]:
        """The scores of trainings that did not collapse, on an adapter that did not; without those
        of systems that have no seed."""
        kept = {record.seed for record in self.seeds if record.status == "ok"}
        return [
            score
            for score in self.scores
            if score.seed in kept and not any(failure.has(score) for failure in self.failures)
        ]
