"""How well `lowres suggest` orders sources: rank correlation with measured transfer, and regret.

    python benchmarks/advisor.py masakhaner   # the published table of MasakhaNER 2.0
    python benchmarks/advisor.py text         # the same, ten sources with their texts
    python benchmarks/advisor.py nusax        # benchmarks/results/nusax_matrix.json, our own
    python benchmarks/advisor.py choice       # what `record.NEARNESS` was chosen by
    python benchmarks/advisor.py page         # all four into docs/advisor.md

A target is left out of the record before it is asked for. Beside each order: Spearman's correlation
with the measured order, mean and least over targets; how far the first, and the best of the first
three, are below the best source, in points of F1. Of MasakhaNER's table the places of all sources
are published and F1 of a few, so there it is from .. to.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import io
import json
import os
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import fmean

from scipy.stats import spearmanr

from lowres import record, source_views, uriel
from lowres.diagnose import Text, open_text

ROOT = Path(__file__).resolve().parent.parent
DATA = Path(os.environ.get("LOWRES_DATA", ROOT.parent / "shared" / "data"))
MATRIX = ROOT / "benchmarks" / "results" / "nusax_matrix.json"
ANCHORS = ROOT / "benchmarks" / "results" / "masakhaner2_f1.tsv"
RETRIEVAL = ROOT / "benchmarks" / "results" / "nusax_retrieval.json"
PAGE = ROOT / "docs" / "advisor.md"
PARALLEL_LINES = 200
OF_MASAKHANER = {
    "amh_Ethi": "amh", "bam_Latn": "bam", "hau_Latn": "hau", "ibo_Latn": "ibo",
    "kin_Latn": "kin", "lug_Latn": "lug", "pcm_Latn": "pcm", "swh_Latn": "swa",
    "wol_Latn": "wol", "yor_Latn": "yor",
}  # fmt: skip
ENGLISH_ENTITIES = "uner/UNER_English-EWT/en_ewt-ud-train.iob2"

Order = Callable[[str], list[str]]
Points = Callable[[str, str], tuple[float, float]]
"""(target, source) -> least and most F1 that the source can have."""


def evaluate(
    name: str, order: Order, values: Mapping[str, Mapping[str, float]], points: Points
) -> None:
    """One line of the table; `values` are target -> source -> value, higher better."""
    correlations, first, three = [], [], []
    for target, measured in values.items():
        codes = [code for code in order(target) if code in measured]
        found = spearmanr(range(len(codes)), [-measured[code] for code in codes])
        correlations.append(float(found.statistic))
        best = max(measured, key=lambda code: measured[code])
        top = points(target, best)[1]
        bounds = [points(target, code) for code in codes[:3]]
        first.append((top - bounds[0][1], top - bounds[0][0]))
        best_of_three = max(codes[:3], key=lambda code: measured[code])
        low, high = points(target, best_of_three)
        three.append((top - high, top - low))
    cells = [
        name, f"{fmean(correlations):.2f}", f"{min(correlations):.2f}", _span(first), _span(three),
    ]  # fmt: skip
    print(f"| {' | '.join(cells)} |")


def _span(bounds: Sequence[tuple[float, float]]) -> str:
    low, high = fmean(b[0] for b in bounds), fmean(b[1] for b in bounds)
    return f"{low:.1f}" if high - low < 0.05 else f"{low:.1f} to {high:.1f}"


def head(of: str = "") -> None:
    print(
        f"| order by{of} | Spearman, mean | least | first below best | best of three below best |"
    )
    print("|---|---:|---:|---:|---:|")


def by_distance(codes: Sequence[str], kind: str) -> Order:
    """Nearest first; languages of which a distance is not known last."""

    def order(target: str) -> list[str]:
        def key(code: str) -> float:
            value = getattr(uriel.distances(target, code), kind)
            return 2.0 if value is None else float(value)

        return sorted((code for code in codes if code != target), key=key)

    return order


def alike(table: record.Table) -> Order:
    """By the record, all measured targets alike: the best source in general."""

    def order(target: str) -> list[str]:
        sums: dict[str, list[float]] = {}
        for other in table.values:
            if other != target:
                for source, standing in table.standing(other).items():
                    sums.setdefault(source, []).append(standing)
        means = {source: fmean(found) for source, found in sums.items() if source != target}
        return sorted(means, key=lambda source: -means[source])

    return order


def advised(table: record.Table, *kinds: str) -> Order:
    """As `suggest` does without text: the record without the target, and closeness."""

    def order(target: str) -> list[str]:
        found = source_views.sources(target, table.task, None, (), {}, [table])
        return [
            source.code for source in source_views.ordered(found, kinds or source_views.EVIDENCE)
        ]

    return order


def masakhaner() -> None:
    """42 sources for the 20 targets of MasakhaNER 2.0; the record without the target's column."""
    table = next(table for table in record.tables() if table.name == "masakhaner2")
    anchors = read_anchors()
    values = {t: {s: -place for s, place in table.values[t].items()} for t in anchors}
    codes = sorted(table.sources)
    points = between(table, anchors)
    head()
    evaluate("all there is without text (`suggest`)", advised(table), values, points)
    evaluate("the record alone, near targets first", advised(table, "measured"), values, points)
    evaluate("the record alone, all targets alike (no urielplus)", alike(table), values, points)
    for kind in ("apart", "genetic", "geographic", "typological"):
        evaluate(f"distance alone, {kind}", by_distance(codes, kind), values, points)
    english = ["eng_Latn", *(code for code in codes if code != "eng_Latn")]
    evaluate("English first, the rest by name", lambda target: english, values, points)


def between(table: record.Table, anchors: Mapping[str, Mapping[str, float]]) -> Points:
    """F1 by place: that of the published places around it."""

    def points(target: str, source: str) -> tuple[float, float]:
        place = table.values[target][source]
        known = [(table.values[target][code], f1) for code, f1 in anchors[target].items()]
        below = [f1 for at, f1 in known if at >= place]
        return max(below, default=0.0), min(f1 for at, f1 in known if at <= place)

    return points


def text() -> None:
    """The targets of MasakhaNER 2.0 whose sentences are here, and the sources: a target's text is
    its training sentences without tags. Nothing of the rule was chosen by it."""
    table = next(table for table in record.tables() if table.name == "masakhaner2")
    anchors = read_anchors()
    files = [
        source_views.labelled(f"{code}={DATA}/masakhaner/{name}/train.txt")
        for code, name in OF_MASAKHANER.items()
    ]
    files.append(source_views.labelled(f"eng_Latn={DATA}/{ENGLISH_ENTITIES}"))
    none: dict[str, dict[str, float]] = {file.code: {} for file in files}
    every = advised_of(files, none, table)
    found = {target: its for target, its in every.items() if target in anchors}
    values = {t: {s.code: -table.values[t][s.code] for s in its} for t, its in found.items()}
    points = between(table, anchors)

    def using(*kinds: str) -> Order:
        return lambda target: [s.code for s in source_views.ordered(found[target], kinds)]

    def by_words(target: str) -> list[str]:
        shares = {s.code: s.shared.words for s in found[target] if s.shared}
        return sorted(shares, key=lambda code: -shares[code])

    head()
    evaluate("all there is (`suggest`)", using(*source_views.EVIDENCE), values, points)
    evaluate("without letters", using("measured", "closeness"), values, points)
    evaluate("letters alone", using("letters"), values, points)
    evaluate("share of words in common alone", by_words, values, points)


def read_anchors() -> dict[str, dict[str, float]]:
    """Target -> source -> published F1."""
    found: dict[str, dict[str, float]] = {}
    with ANCHORS.open(encoding="utf-8", newline="") as file:
        rows = (line for line in file if not line.startswith("#"))
        for row in csv.DictReader(rows, delimiter="\t"):
            found.setdefault(row["target"], {})[row["source"]] = float(row["f1"])
    return found


def choice() -> None:
    """The 22 targets of the table that are no part of MasakhaNER 2.0, for settings of the rule."""
    table = next(table for table in record.tables() if table.name == "masakhaner2")
    held = [target for target in table.values if target not in read_anchors()]
    print("| nearness | closeness | Spearman, mean of 22 | place of first | of best of three |")
    print("|---:|---:|---:|---:|---:|")
    was = record.NEARNESS
    for nearness in (0.02, 0.05, 0.1, 0.2):
        record.NEARNESS = nearness  # type: ignore[misc]
        found = {t: source_views.sources(t, table.task, None, (), {}, [table]) for t in held}
        for closeness in (0.0, 0.1, 0.25, 0.5, 1.0):
            correlations, first, three = [], [], []
            for target, its in found.items():
                order = source_views.ordered(its, source_views.EVIDENCE, closeness)
                places = [table.values[target][source.code] for source in order]
                correlations.append(float(spearmanr(range(len(places)), places).statistic))
                first.append(places[0])
                three.append(min(places[:3]))
            figures = f"{fmean(correlations):.3f} | {fmean(first):.1f} | {fmean(three):.1f}"
            print(f"| {nearness} | {closeness} | {figures} |")
    record.NEARNESS = was  # type: ignore[misc]


def nusax() -> None:
    """12 x 12 of our own: text of every language, parallel lines; with and without each."""
    from nusax_matrix import LANGUAGES

    plain = json.loads(MATRIX.read_text(encoding="utf-8"))
    rows = {source: row["scores"] for source, row in plain["rows"].items()}
    values = {t: {s: 100 * rows[s][t] for s in rows if s != t} for t in LANGUAGES}
    table = record.Table("nusax", "classification", "", "score", "", values)
    files = labelled(LANGUAGES)
    found = advised_of(files, retrieval_matrix(files), table)

    def points(target: str, source: str) -> tuple[float, float]:
        return values[target][source], values[target][source]

    def using(*kinds: str) -> Order:
        return lambda target: [s.code for s in source_views.ordered(found[target], kinds)]

    done = f" (only {len(rows)} of 12 sources are measured yet)"
    head(done if len(rows) < len(LANGUAGES) else "")
    evaluate("all there is (`suggest`)", using(*source_views.EVIDENCE), values, points)
    for kind in ("measured", "letters", "retrieval"):
        kept = [other for other in source_views.EVIDENCE if other != kind]
        evaluate(f"without {kind}", using(*kept), values, points)
    for kind in source_views.EVIDENCE:
        evaluate(f"{kind} alone", using(kind), values, points)
    others = [table for table in record.tables() if table.name != "nusax"]
    elsewhere = {
        target: source_views.sources(target, None, None, files, {}, others) for target in LANGUAGES
    }
    evaluate(
        "record of other data only, and closeness",
        lambda target: [s.code for s in elsewhere[target]], values, points,
    )  # fmt: skip
    for first in ("ind_Latn", "eng_Latn"):
        rest = sorted(code for code in LANGUAGES if code != first)
        evaluate(
            f"{first} first, the rest by name", lambda t, f=first, r=rest: [f, *r], values, points
        )


def labelled(names: Mapping[str, str]) -> list[source_views.Labelled]:
    return [
        source_views.labelled(f"{code}={DATA}/nusax/{name}/train.csv")
        for code, name in names.items()
    ]


def advised_of(
    files: Sequence[source_views.Labelled],
    retrieved: Mapping[str, Mapping[str, float]],
    table: record.Table,
) -> dict[str, tuple[source_views.Source, ...]]:
    """Target -> all that `suggest` knows of the others; its text is its training sentences."""
    from tempfile import TemporaryDirectory

    found = {}
    with TemporaryDirectory() as folder:
        for file in files:
            path = Path(folder) / f"{file.code}.txt"
            path.write_text("\n".join(" ".join(t.split()) for t in file.lines) + "\n", "utf-8")
            own: Text = open_text(path, file.code)
            found[file.code] = source_views.sources(
                file.code, table.task, own, files, retrieved[file.code], [table]
            )
    return found


def retrieval_matrix(files: Sequence[source_views.Labelled]) -> dict[str, dict[str, float]]:
    """Share of parallel training sentences that find each other in e5-small; kept in a file."""
    if RETRIEVAL.is_file():
        found: dict[str, dict[str, float]] = json.loads(RETRIEVAL.read_text(encoding="utf-8"))
        return found
    from lowres import bases, hardware, readers, retrieval

    encoder = retrieval.Encoder(bases.locate("e5-small"), hardware.detect())
    vectors = {}
    for file in files:
        table = readers.read(file.path, "auto", "auto")
        at, said = table.columns.index("id"), table.columns.index("text")
        rows = sorted((int(str(row[at])), str(row[said])) for row in table.rows)
        vectors[file.code] = encoder.vectors([text for _, text in rows[:PARALLEL_LINES]])
    matrix = {
        target: {
            source: round(retrieval.accuracy(vectors[target], vectors[source]), 4)
            for source in vectors
            if source != target
        }
        for target in vectors
    }
    RETRIEVAL.parent.mkdir(exist_ok=True)
    RETRIEVAL.write_text(json.dumps(matrix, indent=1) + "\n", encoding="utf-8")
    return matrix


TABLES: dict[str, Callable[[], None]] = {
    "masakhaner": masakhaner, "text": text, "nusax": nusax, "choice": choice,
}  # fmt: skip


def page() -> None:
    """Each table in the place of the one below its command; no other word is touched."""
    written = PAGE.read_text(encoding="utf-8")
    for name, table in TABLES.items():
        shown = io.StringIO()
        with contextlib.redirect_stdout(shown):
            table()
        below = rf"(python benchmarks/advisor\.py {name}\n```\n\n)(?:\|.*\n)*"
        written, count = re.subn(below, lambda m, s=shown: m[1] + s.getvalue(), written)
        assert count == 1, name
    PAGE.write_text(written, encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=["page", *TABLES])
    what = parser.parse_args().what
    page() if what == "page" else TABLES[what]()


if __name__ == "__main__":
    main()
