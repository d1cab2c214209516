"""What the task is trained on: the base, extended and adapted as the recipe says, and its controls.

The controls answer what a gain is due to: the base as it is, the same adaptation of the old
vocabulary, the extension without adaptation. Same data, same steps.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lowres import artifacts, corpus, few_shot, prebuilt, translated
from lowres.artifacts import RunFolder
from lowres.errors import DataError
from lowres.progress import Progress
from lowres.recipe import Recipe
from lowres.recipe_loading import identity
from lowres.recipe_text import Adapt
from lowres.recipe_translated import USES
from lowres.variants import BASE_AS_IS, EXTENDED_ONLY, OLD_VOCABULARY, Variant

if TYPE_CHECKING:
    from lowres.bases import LocatedBase
    from lowres.data import LabelledData
    from lowres.hardware import Hardware
    from lowres.material import LanguageText

TRIM = "trim"


def stage_names(recipe: Recipe) -> list[str]:
    """The stages of `make`, in order."""
    names = ["extend"] if _extends(recipe) else []
    if _trims(recipe):
        names.append(TRIM)
    adapt = _adapts(recipe)
    if adapt is None:
        return names
    main = [f"adapt/{code}" for code in _languages(recipe)] if _alone(recipe) else ["adapt"]
    control = [_beside(OLD_VOCABULARY) + name for name in main]
    return [*names, *main, *(control if _extends(recipe) and adapt.controls else [])]


def training_names(recipe: Recipe) -> list[str]:
    """The stages that train the task, in order."""
    places = [*_places(recipe), *few_shot.places(recipe), *translated.places(recipe)]
    return [f"{place}train/{seed}" for place in places for seed in recipe.seeds]


def _places(recipe: Recipe) -> list[str]:
    places = [""]
    changed = _extends(recipe) or recipe.adapt is not None
    if not changed or (recipe.adapt is not None and not recipe.adapt.controls):
        return places
    places.append(_beside(BASE_AS_IS))
    if _extends(recipe) and _adapts(recipe):
        places += [_beside(OLD_VOCABULARY), _beside(EXTENDED_ONLY)]
    return places


def variants(recipe: Recipe, located: LocatedBase, folder: RunFolder) -> list[Variant]:
    """The recipe's own first, then its controls; the stages of `make` are done."""
    extended = _extended(recipe, located, folder)
    under = {
        "": _adapted(recipe, extended, folder, ""),
        _beside(BASE_AS_IS): located,
        _beside(OLD_VOCABULARY): _adapted(recipe, located, folder, _beside(OLD_VOCABULARY)),
        _beside(EXTENDED_ONLY): extended,
    }
    found = [
        Variant(place.split("/")[1] if place else "adapter", under[place], place)
        for place in _places(recipe)
    ]
    own = under[""]
    return [*found, *few_shot.variants(recipe, own), *translated.variants(recipe, own)]


def small(recipe: Recipe, located: LocatedBase, folder: RunFolder) -> LocatedBase:
    """The base with the trimmed table that `make` has chosen; itself where the recipe has none."""
    if not _trims(recipe):
        return located
    from lowres import trimmed

    return replace(located, kept=str(folder.path / TRIM / trimmed.FILE))


def table_rows(located: LocatedBase) -> int | None:
    """Rows of a trimmed table; None where it is whole."""
    if located.kept is None:
        return None
    from lowres import trimmed

    return len(trimmed.read(Path(located.kept)).ids)


def fingerprint(recipe: Recipe, located: LocatedBase) -> str:
    """What `make` returns, without making anything."""
    if not _anything(recipe):
        return ""
    from lowres import material

    texts = material.load(recipe.text, recipe.languages.targets) if recipe.text else ()
    return _inputs(recipe, located, texts)


def make(
    recipe: Recipe,
    data: LabelledData,
    located: LocatedBase,
    machine: Hardware,
    folder: RunFolder,
    progress: Progress,
) -> str:
    """Run the extend, trim and adapt stages, those of the controls too; returns a fingerprint of
    all that they depend on (empty where the recipe has none)."""
    if not _anything(recipe):
        return ""
    from lowres import adapt, material

    options = _adapts(recipe)
    if options is not None:
        adapt.check_base(options.objective, located)
    texts = material.load(recipe.text, recipe.languages.targets) if recipe.text else ()
    for name in _prebuilt(recipe):
        learnt = prebuilt.read(name).provenance["learned_from"]
        texts = material.with_notes_on(texts, learnt, f"tokenizer.extend.prebuilt {name}")
    if options is None:
        material.say_notes(texts, progress)
    inputs = _inputs(recipe, located, texts)
    own = _extended(recipe, located, folder)
    if _extends(recipe):
        _extend(recipe, located, texts, folder, inputs, progress)
    if _trims(recipe):
        _trim(recipe, data, own, texts, folder, inputs, progress)
        own, located = small(recipe, own, folder), small(recipe, located, folder)
    if options is not None:
        _adapt(recipe, own, texts, machine, folder, inputs, "", progress)
        if _extends(recipe) and options.controls:
            place = _beside(OLD_VOCABULARY)
            # they were told at the first adaptation
            texts = tuple(replace(text, notes=()) for text in texts)
            _adapt(recipe, located, texts, machine, folder, inputs, place, progress)
    return inputs


def _extends(recipe: Recipe) -> bool:
    return recipe.tokenizer is not None and recipe.tokenizer.extend is not None


def _trims(recipe: Recipe) -> bool:
    return recipe.tokenizer is not None and recipe.tokenizer.trim is not None


def _adapts(recipe: Recipe) -> Adapt | None:
    """The section, where a language adapter is trained, and not taken."""
    return recipe.adapt if recipe.adapt is not None and recipe.adapt.adapter is None else None


def _anything(recipe: Recipe) -> bool:
    """Whether the task is trained on anything but the base as it is."""
    return bool(stage_names(recipe)) or recipe.adapt is not None


def _alone(recipe: Recipe) -> bool:
    """Whether each language has an adapter of its own."""
    return recipe.adapt is not None and recipe.adapt.per_language


def _languages(recipe: Recipe) -> tuple[str, ...]:
    assert recipe.text is not None, "the recipe's own check: adapt needs text"
    named = recipe.text.languages
    return recipe.languages.targets if named == "targets" else tuple(named)


def _beside(system: str) -> str:
    return f"controls/{system}/"


def _extended(recipe: Recipe, located: LocatedBase, folder: RunFolder) -> LocatedBase:
    """The base with the tokenizer of the recipe's own training."""
    if _extends(recipe):
        return replace(located, extension=str(folder.path / "extend"))
    if recipe.adapt is not None and not _adapts(recipe):
        from lowres import finished

        return replace(located, extension=finished.under(recipe, located).extension)
    return located


def _adapted(recipe: Recipe, located: LocatedBase, folder: RunFolder, place: str) -> LocatedBase:
    """The base with its language adapter, or with one a language to be scored with."""
    if recipe.adapt is None:
        return located
    if not _adapts(recipe):
        from lowres import finished

        return finished.under(recipe, located)
    top = folder.path / f"{place}adapt"
    if not recipe.adapt.per_language:
        return replace(located, language=str(top / "adapter"))
    each = tuple((code, str(top / code / "adapter")) for code in _languages(recipe))
    return replace(located, per_language=each)


def _inputs(recipe: Recipe, located: LocatedBase, texts: tuple[LanguageText, ...]) -> str:
    whole = identity(recipe)
    sections = {
        name: whole[name]
        for name in ("text", "tokenizer", "adapt", "base")
        if whole[name] is not None
    }
    where = [located.hub_id, located.revision, located.obtained]
    learnt = [text.digest() for text in texts]
    kept = {}
    for key, name in kept_files(recipe):
        path = Path(name).expanduser()
        corpus.check_start(path, key)
        kept[name] = artifacts.file_hash(path)
    taken = [prebuilt.read(name).pieces for name in _prebuilt(recipe)]
    if recipe.adapt is not None and recipe.adapt.adapter is not None:
        from lowres import finished

        taken = [*taken, tuple(finished.digests(recipe))]
    return artifacts.fingerprint([sections, where, learnt, kept, *([taken] if taken else [])])


def check_prebuilt(recipe: Recipe) -> None:
    """Raise `DataError` for a prebuilt extension that there is none of, or of two vocabularies."""
    found = [prebuilt.read(name) for name in _prebuilt(recipe)]
    if len({one.provenance["vocabulary_sha256"] for one in found}) > 1:
        raise DataError(
            f"tokenizer.extend.prebuilt: {', '.join(one.name for one in found)} extend different "
            "vocabularies; name those of one"
        )


def _prebuilt(recipe: Recipe) -> tuple[str, ...]:
    extend = recipe.tokenizer.extend if recipe.tokenizer else None
    return extend.prebuilt if extend else ()


def kept_files(recipe: Recipe) -> list[tuple[str, str]]:
    """(key, file) of the text that shall stay readable as it is."""
    extend = recipe.tokenizer.extend if recipe.tokenizer else None
    trim = recipe.tokenizer.trim if recipe.tokenizer else None
    return [
        *(("tokenizer.extend.keep", name) for name in (extend.keep if extend else ())),
        *(("tokenizer.trim.keep_text", name) for name in (trim.keep_text if trim else ())),
    ]


def _extend(
    recipe: Recipe,
    located: LocatedBase,
    texts: tuple[LanguageText, ...],
    folder: RunFolder,
    inputs: str,
    progress: Progress,
) -> None:
    if folder.finished("extend", inputs) is not None:
        progress.say("extend: done before")
        return
    from lowres import extension
    from lowres.extend import extend, summary

    assert recipe.tokenizer is not None, "only called where the recipe extends"
    assert recipe.tokenizer.extend is not None, "only called where the recipe extends"
    with folder.stage("extend", inputs) as stage:
        found = extend(recipe.tokenizer.extend, located, texts, stage.path)
        stage.notes.update(summary(found))
    for row in found.languages:
        progress.say(
            f"extend: {row.language}: pieces {row.in_words()}, {row.unknown_before:.1%} -> "
            f"{row.unknown_after:.2%} unknown"
        )
    for line in extension.in_words(found):
        progress.say(f"extend: {line}")


def _copied(recipe: Recipe) -> list[Any]:
    """What changed copies of the training examples depend on; empty where there are none."""
    from lowres import bilingual

    ways = recipe.model_dump(mode="json")["train"]["augment"]
    digests = [bilingual.digests(recipe, number) for number in range(len(ways))]
    return [ways, digests, recipe.seeds] if ways else []


def _trim(
    recipe: Recipe,
    data: LabelledData,
    located: LocatedBase,
    texts: tuple[LanguageText, ...],
    folder: RunFolder,
    inputs: str,
    progress: Progress,
) -> None:
    parts = {"train": data.train, "dev": data.dev, **data.tests, **data.target_train}
    shown = {name: examples.to_dict() for name, examples in parts.items()}
    more = [translated.digests(recipe, use) for use in USES if recipe.translated is not None]
    inputs = artifacts.fingerprint([inputs, shown, *_copied(recipe), *more])
    if folder.finished(TRIM, inputs) is not None:
        progress.say(f"{TRIM}: done before")
        return
    from lowres.trim import trim

    with folder.stage(TRIM, inputs) as stage:
        done = trim(recipe, data, located, texts, stage.path, translated.lines(recipe, data))
        stage.notes.update(asdict(done))
    progress.say(
        f"{TRIM}: {done.rows_before:,} -> {done.rows_after:,} rows of the embeddings, "
        f"{done.mb_before:,.0f} -> {done.mb_after:,.0f} MB in float32"
    )


def _adapt(
    recipe: Recipe,
    located: LocatedBase,
    texts: tuple[LanguageText, ...],
    machine: Hardware,
    folder: RunFolder,
    inputs: str,
    place: str,
    progress: Progress,
) -> None:
    from lowres import hardware
    from lowres.adapt import adapt

    assert recipe.adapt is not None
    for name, chosen in _jobs(recipe, texts, place):
        if folder.finished(name, inputs) is not None:
            progress.say(f"{name}: done before")
            continue
        with hardware.enough_memory(recipe, "adapt"), folder.stage(name, inputs) as stage:
            done = adapt(
                recipe.adapt,
                recipe.base,
                located,
                chosen,
                machine,
                stage.path,
                progress,
                recipe.seeds[0],
            )
            stage.notes.update(asdict(done))
        for before, after in zip(done.before, done.after, strict=True):
            progress.say(
                f"{name}: {before.language}: {before.name} {before.value:.3f} -> {after.value:.3f}"
            )


def _jobs(
    recipe: Recipe, texts: tuple[LanguageText, ...], place: str
) -> Iterator[tuple[str, tuple[LanguageText, ...]]]:
    if not _alone(recipe):
        yield f"{place}adapt", texts
        return
    for text in texts:
        yield f"{place}adapt/{text.language}", (text,)
