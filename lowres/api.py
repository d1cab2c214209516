"""What `import lowres` offers: recipes, runs, tokenizers. The command line stands on it.

Heavy libraries are imported inside the functions, so that a recipe can be read and checked without
them.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

from lowres import recipe, recipe_loading
from lowres.errors import BaseModelError, DataError, reworded
from lowres.events import Done, OnEvent, Warned, unheard
from lowres.progress import Listener, Progress, Silent

if TYPE_CHECKING:
    from typing import Self

    from lowres.diagnose import Base, Finding
    from lowres.extension import Extension
    from lowres.predict import Adapter
    from lowres.recipe_text import Extend, Text
    from lowres.results import Results

Files = str | Path
WORTH_SAYING: Final = 1_000
"""Lines from which on `extend` says how long it may take."""


class Recipe(recipe.Recipe):
    """One study: what is asked, of which base, languages and data. Frozen; its keys are attributes.

    Built from a file by `load`, from plain data by `from_mapping`. Every key with its default is in
    the reference, "Recipe keys".
    """

    @classmethod
    def load(cls, name_or_path: Files, overrides: Sequence[str] | Mapping[str, Any] = ()) -> Self:
        """Read, override and check a recipe.

        Args:
            name_or_path: a shipped recipe's name (`lowres ls recipes`), or a YAML file.
            overrides: as on the command line, `["lora.rank=8", "seeds=[1, 2]"]`, or the same as
                values, `{"lora.rank": 8, "seeds": [1, 2]}`.

        Raises:
            RecipeError: every fault at once, each with file:line or the override that made it.
        """
        given: list[str | recipe_loading.Override] = (
            [recipe_loading.Override(key, _plain(value), key) for key, value in overrides.items()]
            if isinstance(overrides, Mapping)
            else [*overrides]
        )
        return cls._of(recipe_loading.load(str(name_or_path), given))

    @classmethod
    def from_mapping(cls, sections: Mapping[str, Any]) -> Self:
        """A recipe from plain data, as YAML gives it. Raises `RecipeError` with every fault."""
        return cls._of(recipe_loading.from_mapping(sections))

    @classmethod
    def _of(cls, checked: recipe.Recipe) -> Self:
        """The same recipe as one of these; it has been checked."""
        same = cls.model_construct(checked.model_fields_set, **dict(checked))
        return cast("Self", same)

    def check(self) -> tuple[str, ...]:
        """Whether everything that the recipe names is there, and labelled data what it must be.

        Reads labelled data in files, up to 5 MB, and the beginning of raw text only.

        Returns:
            What was not looked at, a sentence each: the run does, before its first stage.

        Raises:
            DataError: names every file of labelled data that is missing, or the first of raw text;
                what a run would refuse in the data, such as sources with different labels; a word
                list that is none, or the wrong way round; translations that are of other texts; a
                prebuilt extension that there is none of.
            BaseModelError: for a base that no name, folder or Hub id can be, or one of whose layers
                `train.freeze` leaves none, where its sizes are known here.
        """
        from lowres import bases, bilingual, corpus, material, shots, translated
        from lowres.data import check_files
        from lowres.preparation import check_prebuilt, kept_files

        bases.check_name(self.base.name)
        self._check_layers()
        check_files(self)
        if self.text is not None:
            material.check_files(self.text, self.languages.targets)
        for number in range(len(self.train.augment)):
            bilingual.of_lists(self, number)
        translated.check_files(self)
        shots.check_files(self)
        left = self._check_contents()
        check_prebuilt(self)
        for key, name in kept_files(self):
            corpus.check_start(Path(name).expanduser(), key)
        return left

    def _check_contents(self) -> tuple[str, ...]:
        from lowres import augment, contents, translated

        found = contents.read(self)
        if isinstance(found, str):
            return (found,)
        augment.check_columns(self, found.labels, found.train)
        translated.check_columns(self, found.labels, found.train, found.tests)
        return ()

    def _check_layers(self) -> None:
        from lowres import recipe_strategies, shapes

        if not self.train.freeze.layers:
            return
        try:
            shape = shapes.find(self.base.name, self.base.revision).shape
        except BaseModelError:
            # not on this disk yet: the run looks, before it makes anything
            return
        recipe_strategies.check_layers(self, shape.layers, shape.shares_layers)

    def yaml(self) -> str:
        """The resolved recipe, defaults written out, as it stands in a run folder."""
        return recipe_loading.dump(self)

    def folder(self, out: Files | None = None) -> Path:
        """Where its run lies: `out`, or `runs/<name>-<digest>` below the current folder."""
        from lowres import pipeline

        return pipeline.run_folder(self, None if out is None else Path(out))


def _plain(value: Any) -> Any:
    """Paths and tuples as YAML would have them."""
    if isinstance(value, Mapping):
        return {key: _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return str(value) if isinstance(value, Path) else value


@dataclass(frozen=True)
class Run:
    """A recipe executed."""

    folder: Path
    """The run folder: adapters, predictions, `results.json`, `report.html`."""
    results: Results
    """What `results.json` holds; its fields are in the reference."""

    @property
    def doubts(self) -> list[str]:
        """Why a score must not be trusted, a line each; empty where all can be."""
        from lowres import pipeline

        return pipeline.untrusted(self.results)

    @property
    def report(self) -> Path:
        """A page to open in a browser."""
        return self.folder / "report.html"

    def load(self, **options: Any) -> Adapter:
        """The adapter of the best seed on source dev; `options` as `lowres.load` takes them.

        Raises `RunError` when no seed can be trusted.
        """
        from lowres import predict

        return predict.load(self.folder, **options)


def run(
    recipe: recipe.Recipe | Files,
    *,
    out: Files | None = None,
    on_event: OnEvent | None = None,
    progress: Progress | None = None,
) -> Run:
    """Execute a recipe: extend, adapt, train, evaluate beside baselines, report.

    Called again it goes on where an earlier call stopped, whatever stopped it, and does nothing
    twice. A run folder is held by one process at a time.

    Args:
        recipe: a recipe, a shipped one's name, or a file.
        out: the run folder; by default `runs/<name>-<digest of the resolved recipe>`.
        on_event: called with every event of `lowres.events`, at once and in the thread that works.
            What it raises stops the run and is raised here as it is; the same call goes on later,
            in training from the last checkpoint (at each epoch and once a minute).
        progress: bars and lines for people, such as `lowres.progress.Terminal()`; by default none.

    Raises:
        RecipeError: when `recipe` is a name or a file, with every fault in it.
        LowresError: when something must be changed; one line says what. The folder stays whole.
        Interrupted: on Ctrl-C, after a checkpoint; the same call goes on.
    """
    from lowres import pipeline

    study = Recipe.load(recipe) if isinstance(recipe, str | Path) else recipe
    folder = pipeline.run_folder(study, None if out is None else Path(out))
    listener = Listener(on_event or unheard, progress or Silent())
    try:
        results = pipeline.run(study, folder, listener)
        done = Run(folder, results)
        for warning in (*results.warnings, *done.doubts):
            listener.tell(Warned(warning))
        listener.tell(Done(folder, results.resources.seconds))
    except Exception:
        if listener.raised is not None:
            # what the work made of it in passing is about disks and memory, and not true
            raise listener.raised from None
        raise
    return done


def open_base(name: Files) -> Base:
    """A base's tokenizer with what is the same for every text: English, its own dead pieces.

    Takes seconds for a large vocabulary. Raises `BaseModelError` or `HubError`.
    """
    from lowres import bases, model
    from lowres.diagnose import open_base as measured

    # no weights are loaded here, so pickled ones are no danger
    tokenizer = model.load_tokenizer(bases.locate(str(name), allow_pickle=True))
    return measured(str(name), tokenizer)


def diagnose(
    base: Files | Base, text: Files | Iterable[str], language: str | None = None
) -> Finding:
    """How a base's tokenizer serves a text: `fine`, `extend`, `replace` or `script unknown`.

    Args:
        base: its name (`lowres ls bases`), Hub id or folder; or what `lowres.api.open_base` gave,
            so that several texts open it once.
        text: a UTF-8 file, one sentence a line, of any size; or the sentences themselves.
        language: FLORES code, such as `yor_Latn`; without one the script is that of most letters.

    Returns:
        `verdict` (`word`, `reason`, `advice`), the figures in `measured`, and `base.english`, the
        same tokenizer's figures on English.

    Raises:
        DataError: for a text that is none, or in another script than its language says.
        LanguageError: for a code that no table knows.
    """
    from lowres import languages
    from lowres.diagnose import examine, open_text

    code = None if language is None else languages.of_option("language", language)
    if isinstance(text, str | Path):
        return examine(_opened(base), open_text(Path(text), code))
    lines = [" ".join(sentence.split()) for sentence in text]
    if not any(lines):
        raise DataError("text: expected sentences, got none with a word in it")
    with tempfile.TemporaryDirectory(prefix="lowres-") as folder:
        file = Path(folder) / "sentences"
        file.write_text("\n".join([*lines, ""]), encoding="utf-8")
        found = examine(_opened(base), open_text(file, code))
    return replace(found, text=replace(found.text, path=Path(file.name)))


def _opened(base: Files | Base) -> Base:
    with reworded(_in_arguments):
        return open_base(base) if isinstance(base, str | Path) else base


def extend(
    base: Files,
    text: Mapping[str, Files] | Sequence[Files],
    out: Files,
    *,
    translations: Sequence[Files] = (),
    lexicons: Sequence[Files] = (),
    pieces: int | str = "auto",
    init: str = "auto",
    keep: Sequence[Files] = (),
    held_out: int | None = None,
    progress: Progress | None = None,
) -> Extension:
    """Add pieces to a base's own tokenizer model, and start a row of embeddings for each.

    Args:
        base: its name, Hub id or folder.
        text: UTF-8 files by their language's FLORES code, one sentence a line; or files whose
            names are the codes (`tzm_Tfng.txt`).
        out: folder to write; `AutoTokenizer` loads it, recipes name it in
            `tokenizer.extend.prebuilt`.
        translations: line-by-line translations, one for all texts or one each, in their order.
        lexicons: word lists (translation, tab, word), one for all texts or one each.
        pieces: how many, or `auto`.
        init: how rows start: `auto`, `align`, `lexicon`, `focus`, `mean`, `random`.
        keep: text of languages whose segmentation must stay.
        held_out: lines at the end of each text that are kept for measuring; by default the
            recipe's.
        progress: where to tell how it goes.

    Returns:
        What `extension.json` holds: the pieces, figures of held-out lines before and after, what
        changed in other languages.

    Raises:
        LowresError: for text that cannot give what is asked, a base that cannot be extended, or a
            folder that holds something.
    """
    from lowres import text_options

    with reworded(_in_arguments):
        files = list(text.values()) if isinstance(text, Mapping) else list(text)
        described = text_options.text(
            [Path(file) for file in files],
            list(text) if isinstance(text, Mapping) else None,
            [Path(file) for file in translations],
            [Path(file) for file in lexicons],
            held_out,
        )
        options = text_options.extend(str(pieces), init, [str(file) for file in keep])
        return write_extension(str(base), options, described, Path(out), progress or Silent())


def write_extension(
    base: str, options: Extend, text: Text, out: Path, progress: Progress
) -> Extension:
    """As `extend`, from sections of a recipe, which its errors name."""
    from lowres import artifacts, bases, material
    from lowres.extend import extend as write

    texts = material.load(text, ())
    located = bases.locate(base)
    lines = sum(each.learning_lines for each in texts)
    if lines >= WORTH_SAYING:
        progress.say(f"learning pieces from {lines:,} lines; a minute for each 2 MB or so")
    with artifacts.new_folder(out, "--out") as folder:
        found = write(options, located, texts, folder)
    material.say_notes(texts, progress)
    return found


_ARGUMENTS = {"lang": "text", "translation": "translations", "lexicon": "lexicons"}


def _in_arguments(said: str) -> str:
    """Errors about keys of a recipe, or options of a command, name the arguments that are here."""
    from lowres import text_options

    def name(found: re.Match[str]) -> str:
        return _ARGUMENTS.get(found[1], found[1].replace("-", "_"))

    return re.sub(r"--([a-z][a-z_-]*)", name, text_options.with_options(said))
