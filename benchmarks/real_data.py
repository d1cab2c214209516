"""Run the shipped recipes on local data with e5-small and write the tables of docs/results.md.

    python benchmarks/real_data.py run topics-sib200 sentiment-nusax   # train and evaluate
    python benchmarks/real_data.py run topics-sib200 --quantization none --seeds 1
    python benchmarks/real_data.py table                               # runs/*/results.json -> docs

The data is looked for at $LOWRES_DATA, else at ../shared/data beside the repository. Runs that are
finished are not repeated; `table` reads `results.json` alone and adds nothing by hand.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import subprocess
import sys
from pathlib import Path
from statistics import fmean
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
DATA = Path(os.environ.get("LOWRES_DATA", ROOT.parent / "shared" / "data"))
RUNS = ROOT / "runs"
PAGE = ROOT / "docs" / "results.md"
NUSAX = (
    "data.names={ind_Latn: indonesian, ace_Latn: acehnese, ban_Latn: balinese, "
    "bjn_Latn: banjarese, bug_Latn: buginese, jav_Latn: javanese, mad_Latn: madurese, "
    "min_Latn: minangkabau, nij_Latn: ngaju, sun_Latn: sundanese, bbc_Latn: toba_batak}"
)
SEEN = frozenset((
    "fra_Latn", "spa_Latn", "arb_Arab", "hin_Deva", "ind_Latn",
    "swh_Latn", "hau_Latn", "amh_Ethi", "tam_Taml", "urd_Arab",
    "som_Latn", "xho_Latn", "khm_Khmr", "mya_Mymr", "zho_Hans",
))  # fmt: skip
"""The languages of topics-sib200 that XLM-R, and so e5, was pretrained on."""
LOCAL: dict[str, tuple[str, ...]] = {
    "topics-sib200": ("data.files={data}/sib200/{{lang}}/{{split}}.tsv",),
    "ner-masakhaner": (
        "data.files={data}/masakhaner/{{lang}}/{{split}}.txt",
        "data.source.files={data}/uner/UNER_English-EWT/{{lang}}-ud-{{split}}.iob2",
    ),
    "pos-ud": ("data.files={data}/ud/*/{{lang}}-ud-{{split}}.conllu",),
    "sentiment-nusax": (
        "data.files={data}/nusax/{{lang}}/{{split}}.csv",
        NUSAX.replace("{", "{{").replace("}", "}}"),
        "data.labels={{}}",
    ),
    "sentiment-afrisenti": (
        "data.files={data}/afrisenti/{{lang}}/{{split}}.tsv",
        "data.source.files={data}/nusax/english/{{split}}.csv",
        "data.labels={{}}",
        "data.source.labels={{}}",
    ),
    "news-masakhanews": ("data.files={data}/masakhanews/{{lang}}/{{split}}.tsv",),
}


def overrides(recipe: str) -> list[str]:
    """What makes a shipped recipe run on the local files with e5-small, from the repository."""
    if not DATA.is_dir():
        sys.exit(f"no data at {DATA}: set LOWRES_DATA to the folder of the data sets")
    data = os.path.relpath(DATA, ROOT)
    return ["base.name=e5-small", *(each.format(data=data) for each in LOCAL[recipe])]


def command(recipe: str, quantization: str, seeds: list[int]) -> list[str]:
    """The `lowres run` of one recipe on local data."""
    words = ["lowres", "run", recipe, *overrides(recipe)]
    if quantization != "8bit":
        words.append(f"base.quantization={quantization}")
    if seeds:
        words.append(f"seeds={json.dumps(seeds)}")
    return words


def run(recipes: list[str], quantization: str, seeds: list[int]) -> None:
    """Run each; a finished one costs seconds. Exit status 3 (a doubtful score) is a result too."""
    for recipe in recipes:
        run_words(command(recipe, quantization, seeds))


def run_words(words: list[str]) -> None:
    """Say a `lowres run` and do it; ends where it fails."""
    print("$", shlex.join(words), flush=True)
    own = [str(Path(sys.executable).with_name("lowres")), *words[1:]]
    # 3: a score must not be trusted; it is a result all the same
    status = subprocess.run(own, cwd=ROOT, check=False).returncode
    if status not in (0, 3):
        sys.exit(status)


def results_of(words: list[str], out: Path) -> dict[str, Any]:
    """The results of a `lowres run` into a folder, which is done here."""
    run_words(words)
    found: dict[str, Any] = json.loads((out / "results.json").read_text(encoding="utf-8"))
    return found


def load_runs() -> list[dict[str, Any]]:
    """Results of all finished runs on real data, by recipe, 8-bit first."""
    files = sorted(RUNS.glob("*/results.json"))
    found = [json.loads(file.read_text(encoding="utf-8")) for file in files]
    kept = [r for r in found if r["recipe"]["name"] in LOCAL and r["base"]["name"] == "e5-small"]
    order = list(LOCAL)
    return sorted(
        kept,
        key=lambda r: (
            order.index(r["recipe"]["name"]),
            r["base"]["quantization"] != "8bit",
            -len(r["seeds"]),
        ),
    )


def metric_of(results: dict[str, Any]) -> str:
    """The metric that the study is judged by."""
    return str(results["comparisons"][0]["metric"])


def means(results: dict[str, Any], over: str = "targets") -> dict[str, dict[str, Any]]:
    """Averages of the headline metric by system."""
    metric = metric_of(results)
    return {
        a["system"]: a for a in results["averages"] if a["over"] == over and a["metric"] == metric
    }


def summary(runs: list[dict[str, Any]]) -> list[str]:
    """One row a run."""
    lines = [
        "| recipe | weights | kept | seeds | metric | source | targets, mean ± sd | probe "
        "| TF-IDF or lookup | majority | minutes | peak MB |",
        "|---|---|---|---:|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for r in runs:
        targets, source = means(r), means(r, "source")
        own = targets.get("adapter")
        lexical = targets.get("tfidf") or targets.get("lookup")
        sd = f" ± {own['sd']:.3f}" if own and own["sd"] is not None else ""
        cells = [
            r["recipe"]["name"] + departures(r), r["base"]["quantization"], kept(r),
            str(len(r["seeds"])), metric_of(r),
            shown(source.get("adapter")), shown(own) + sd, shown(targets.get("probe")),
            shown(lexical), shown(targets.get("majority")),
            f"{r['resources']['seconds'] / 60:.1f}", f"{r['resources']['peak_mb']:.0f}",
        ]  # fmt: skip
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def kept(results: dict[str, Any]) -> str:
    """Which weights were kept: of the best epoch on source dev, or the mean of epochs."""
    return str(results["recipe"]["train"].get("checkpoint", "best"))


def departures(results: dict[str, Any]) -> str:
    """Training keys in which a run differs from the recipe as it is shipped now."""
    from lowres.recipe_loading import load

    shipped = load(results["recipe"]["name"]).model_dump(mode="json")["train"]
    was = results["recipe"]["train"]
    differing = [
        f"{key} {value:g}" if isinstance(value, float) else f"{key} {value}"
        for key, value in was.items()
        if key != "checkpoint" and key in shipped and shipped[key] != value
    ]
    return f" ({', '.join(differing)})" if differing else ""


def by_seed(results: dict[str, Any]) -> list[str]:
    """The mean over targets of each seed; for topics also over those that the base has seen."""
    metric = metric_of(results)
    source = results["recipe"]["languages"]["source"]
    own = [
        s
        for s in results["scores"]
        if s["system"] == "adapter" and s["metric"] == metric and s["language"] not in source
    ]
    groups = {"all targets": frozenset(s["language"] for s in own)}
    if results["recipe"]["name"] == "topics-sib200":
        groups["the targets that the base was pretrained on"] = SEEN
    lines = []
    for title, languages in groups.items():
        values = {
            seed["seed"]: [
                s["value"] for s in own if s["seed"] == seed["seed"] and s["language"] in languages
            ]
            for seed in results["seeds"]
        }
        words = [f"seed {seed} {fmean(found):.4f}" for seed, found in values.items() if found]
        mean = fmean(fmean(found) for found in values.values() if found)
        count = len({s["language"] for s in own} & languages)
        lines.append(f"Mean over {title} ({count}): {', '.join(words)}; together {mean:.4f}.  ")
    return lines


def shown(average: dict[str, Any] | None) -> str:
    """Three places, or a dash."""
    return f"{average['mean']:.3f}" if average else "–"


def detail(results: dict[str, Any]) -> list[str]:
    """One row a language: mean over seeds, interval, n, baselines, verdict."""
    metric = metric_of(results)
    scores = [s for s in results["scores"] if s["metric"] == metric]
    systems = list(dict.fromkeys(s["system"] for s in scores if s["system"] != "adapter"))
    lines = [
        f"| language | adapter | 95% interval | n | {' | '.join(systems)} | verdict |",
        f"|---|---:|---:|---:|{'---:|' * len(systems)}---|",
    ]
    verdicts = {v["language"]: v["verdict"] for v in results["verdicts"]}
    trusted = {s["seed"] for s in results["seeds"] if s["status"] == "ok"}
    for language in results["languages"]:
        code = language["code"]
        here = [s for s in scores if s["language"] == code]
        own = [s for s in here if s["system"] == "adapter" and s["seed"] in trusted]
        values = {s["system"]: f"{s['value']:.3f}" for s in here}
        cells = [f"{language['name']} `{code}`", *adapter_cells(own)]
        cells += [values.get(system, "–") for system in systems]
        cells.append(verdicts.get(code, "source"))
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def adapter_cells(scores: list[dict[str, Any]]) -> list[str]:
    """Mean over seeds, mean bounds, n."""
    if not scores:
        return ["–", "–", "–"]
    mean, low, high = (
        sum(s[key] for s in scores) / len(scores) for key in ("value", "low", "high")
    )
    return [f"{mean:.3f}", f"{low:.3f}–{high:.3f}", str(scores[0]["n"])]


def table() -> None:
    """Write the measured part of docs/results.md, below its marker."""
    runs = load_runs()
    if not runs:
        sys.exit(f"no finished run of a real-data recipe in {RUNS}")
    head = PAGE.read_text(encoding="utf-8").split("<!-- measured -->")[0]
    lines = [head.rstrip(), "", "<!-- measured -->", "", "## All runs", "", *summary(runs), ""]
    for r in runs:
        seeds = ", ".join(str(s["seed"]) for s in r["seeds"])
        study = r["recipe"]["name"] + departures(r)
        title = f"## {study}, {r['base']['quantization']}, {kept(r)}, seeds {seeds}"
        versions = ", ".join(f"{k} {v}" for k, v in r["versions"].items())
        lines += [title, "", *detail(r), "", *by_seed(r)]
        lines += [f"{w}  " for w in r["warnings"]]
        lines += ["", f"{r['base']['obtained']}; {versions}.", ""]
    PAGE.write_text("\n".join(lines), encoding="utf-8")
    print(f"{PAGE}: {len(runs)} runs")


def main() -> None:
    """Parse and go."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="what", required=True)
    running = commands.add_parser("run", help="train and evaluate")
    running.add_argument("recipes", nargs="+", choices=list(LOCAL))
    running.add_argument("--quantization", default="8bit", choices=["8bit", "4bit", "none"])
    running.add_argument("--seeds", nargs="*", type=int, default=[])
    commands.add_parser("table", help="write docs/results.md")
    asked = parser.parse_args()
    if asked.what == "run":
        run(asked.recipes, asked.quantization, asked.seeds)
    else:
        table()


if __name__ == "__main__":
    main()
