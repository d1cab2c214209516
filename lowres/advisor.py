"""`lowres.suggest`: which sources and bases to try for a language, and what to do first.

The command draws what it gives.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from lowres import (
    advice,
    base_views,
    bases,
    corpus,
    evenly,
    hardware,
    languages,
    prebuilt,
    quiet,
    recipe_loading,
    registry,
    retrieval,
    source_views,
)
from lowres.base_views import BaseView
from lowres.diagnose import Finding, Text, open_text
from lowres.errors import DataError, LowresError, nearest, reworded
from lowres.progress import Progress, Silent
from lowres.source_views import Labelled, Suggestion

Files = str | Path


def suggest(
    target: str,
    *,
    text: Files | None = None,
    labelled: Mapping[str, Files] | Sequence[Files] = (),
    parallel: Mapping[str, Files] | None = None,
    task: str | None = None,
    bases: Sequence[Files] = (),
    progress: Progress | None = None,
) -> Suggestion:
    """Which source languages and bases to try for a target, why, and what to do first.

    Args:
        target: FLORES code, such as `ssw_Latn`.
        text: a UTF-8 file of it, one sentence a line.
        labelled: files of labelled examples by their language's code; or files that are named by
            it, or lie in a folder that is. Those of other languages are the sources that are
            ranked; without any, all of the record are. One of the target says how many labels
            there are.
        parallel: translations of `text`, line by line, by their language's code.
        task: `classification`, `pairs` or `tagging`; chooses what was measured elsewhere.
        bases: names, Hub ids or folders to compare; by default all of `lowres ls bases`, of which
            those are looked at whose files are on this disk.
        progress: where to tell how it goes.

    Returns:
        `sources` and `bases`, the best first, each with its `reasons`; `steps`, what to do;
        `notes`, what could not be said.

    Raises:
        LanguageError: for a code that no table knows, or a file whose language nobody says.
        DataError: for a file that is none, or in another script than its language says.
        BaseModelError, HubError: for a base that is named and cannot be had.
    """
    quiet.libraries()
    if isinstance(labelled, Mapping):
        labelled = [f"{code}={file}" for code, file in labelled.items()]
    with reworded(_in_arguments):
        return advise(
            target,
            None if text is None else Path(text),
            [str(file) for file in labelled],
            [f"{code}={file}" for code, file in (parallel or {}).items()],
            task,
            [str(base) for base in bases],
            progress or Silent(),
        )


def _in_arguments(said: str) -> str:
    """Errors that name the command's options name the arguments that are here."""
    said = said.replace("write --labelled zul_Latn=FILE", "write labelled={'zul_Latn': FILE}")
    return re.sub(r"--(target|text|labelled|parallel|task|bases?)\b", r"\1", said).replace(
        "base: ", "bases: "
    )


def advise(
    target: str,
    text: Path | None,
    labelled: Sequence[str],
    parallel: Sequence[str],
    task: str | None,
    named: Sequence[str],
    progress: Progress,
) -> Suggestion:
    """As `suggest`, from what the command's options say, which its errors name.

    Args:
        target: `--target`.
        text: `--text`.
        labelled: each `zul_Latn=FILE`, or a FILE that its name or folder says the language of.
        parallel: each `zul_Latn=FILE`.
        task: `--task`.
        named: each `--base`.
        progress: where to tell how it goes.
    """
    code = languages.of_option("--target", target)
    _check_names(task, named)
    translations = dict(_parallel(given, text) for given in parallel)
    opened = None
    if text is not None:
        with reworded(lambda said: said if said.startswith("--text") else f"--text {said}"):
            opened = open_text(text, code)
    files = [source_views.labelled(given) for given in labelled]
    _check_distinct(files)
    views = _views(code, named, opened)
    best = views[0]
    retrieved = _retrieved(best.name, opened, translations, progress)
    ranked = source_views.sources(code, task, opened, files, retrieved)
    steps = advice.steps(
        code,
        best.name,
        best.finding,
        best.seen,
        corpus.words(corpus.sample(opened.path)) if opened else None,
        [source.code for source in ranked],
        source_views.of_target(code, files),
    )
    notes = [
        *(opened.notes if opened else ()),
        *source_views.notes(code, opened, files, task),
        *_ready(code, views),
    ]
    return Suggestion(code, task, ranked, tuple(views), steps, tuple(notes))


def _parallel(given: str, text: Path | None) -> tuple[str, Path]:
    if text is None:
        raise LowresError("--parallel: its lines translate those of --text; give --text too")
    code, mark, name = given.partition("=")
    if not mark:
        raise LowresError(f"--parallel {given}: write whose it is: --parallel zul_Latn=FILE")
    return languages.of_option("--parallel", code), Path(name)


def _check_distinct(files: Sequence[Labelled]) -> None:
    codes = [file.code for file in files]
    twice = sorted({code for code in codes if codes.count(code) > 1})
    if twice:
        raise DataError(f"--labelled: {', '.join(twice)} given twice; join the files")


def _check_names(task: str | None, named: Sequence[str]) -> None:
    known = registry.names("tasks")
    if task is not None and task not in known:
        raise LowresError(f"--task: unknown {task!r}{nearest(task, known)} ({', '.join(known)})")
    with reworded(_by_option):
        for name in named:
            bases.check_name(name)


def _by_option(said: str) -> str:
    """What is said of `base.name`, a recipe's key, of the option."""
    return said.replace("base.name: ", "--base: ").replace("base.name", "--base")


def _views(code: str, named: Sequence[str], opened: Text | None) -> list[BaseView]:
    """Of the bases that are named, else of all known ones, as far as they are on this disk."""
    if opened is None:
        return base_views.ranked(code, named or list(bases.ROWS), {}, base_views.NO_TEXT)
    findings: dict[str, Finding] = {}
    with reworded(_by_option):
        if named:
            located = [bases.locate(name) for name in named]
        else:
            located = [found for row in bases.ROWS.values() if (found := bases.at_hand(row))]
        for each in located:
            findings[each.name] = base_views.look(each, opened)
    return base_views.ranked(code, named or list(bases.ROWS), findings, base_views.NOT_HERE)


def _ready(code: str, views: Sequence[BaseView]) -> list[str]:
    """What travels with lowres for a language: a recipe, pieces for XLM-R's vocabulary."""
    said = []
    if code in recipe_loading.shipped():
        said.append(f"a recipe for {code} travels with lowres: lowres show {code}")
    pieces = f"xlmr-{code}"
    rows = [bases.row_of(view.name) for view in views]
    if pieces in prebuilt.names() and any(row is not None and row.xlmr_pieces for row in rows):
        said.append(
            f"so do pieces for it: tokenizer.extend.prebuilt: [{pieces}]"
            if said
            else f"pieces for {code} travel with lowres: tokenizer.extend.prebuilt: [{pieces}]"
        )
    return said


def _retrieved(
    base: str, opened: Text | None, parallel: Mapping[str, Path], progress: Progress
) -> dict[str, float]:
    """Source -> share of parallel lines that find each other in the base."""
    if opened is None or not parallel:
        return {}
    with reworded(_by_option):
        encoder = retrieval.Encoder(bases.locate(base), hardware.detect())
    found = {}
    for code, path in parallel.items():
        pairs = corpus.pairs(opened.path, path, "--text", "--parallel").pairs
        chosen = [pairs[index] for index in evenly.places(len(pairs), retrieval.LINES)]
        with progress.bar(f"parallel lines, {code}", 2 * len(chosen)) as advance:
            mine, theirs = (
                encoder.vectors([pair[side] for pair in chosen], advance) for side in (0, 1)
            )
        found[code] = retrieval.accuracy(mine, theirs)
    return found
