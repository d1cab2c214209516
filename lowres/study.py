"""A recipe with all that its training works on, and what each training learns from."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lowres import artifacts, few_shot, translated
from lowres.artifacts import RunFolder
from lowres.recipe import Recipe
from lowres.recipe_loading import digest
from lowres.recipe_translated import USES
from lowres.results import TranslationRecord
from lowres.variants import TRANSLATE_TRAIN

if TYPE_CHECKING:
    from lowres.augmentations import Known
    from lowres.bases import LocatedBase
    from lowres.data import LabelledData
    from lowres.hardware import Hardware
    from lowres.prefix import Store
    from lowres.shared import Shared
    from lowres.variants import Variant


@dataclass(frozen=True)
class Seen:
    """What one training learns from."""

    data: LabelledData
    target_examples: dict[str, list[str]]
    """Ids of the targets' examples in it, by language."""
    notes: tuple[str, ...]
    """How it was changed, a sentence each."""
    translations: tuple[TranslationRecord, ...] = ()
    """Files of translations in it."""
    beside: LabelledData | None = None
    """Of translate-train: what the zero-shot training learns from."""


@dataclass(frozen=True)
class Study:
    """A recipe with all that its training and evaluation work on."""

    recipe: Recipe
    labelled: LabelledData
    located: LocatedBase
    machine: Hardware
    folder: RunFolder
    variants: tuple[Variant, ...]
    under: str
    """Fingerprint of the stages before training."""
    shared: Shared
    store: Store | None
    """Where states of frozen layers are kept while the run lasts."""

    @property
    def own(self) -> Variant:
        """The recipe's own way to train."""
        return self.variants[0]

    @property
    def inputs(self) -> str:
        """Fingerprint of all that training depends on."""
        plain: dict[str, Any] = {
            "recipe": digest(self.recipe),
            "base": [self.located.hub_id, self.located.revision, self.located.obtained],
            "train": self.labelled.train.to_dict(),
            "dev": self.labelled.dev.to_dict(),
            "labels": self.labelled.labels,
        }
        if self.recipe.train.augment:
            from lowres import bilingual

            ways = range(len(self.recipe.train.augment))
            plain["words"] = [bilingual.digests(self.recipe, number) for number in ways]
        if few_shot.asked(self.recipe):
            shown = {code: rows.to_dict() for code, rows in self.labelled.target_train.items()}
            plain["target_train"] = shown
        return artifacts.fingerprint({**plain, "under": self.under} if self.under else plain)

    @property
    def answered_inputs(self) -> str:
        """Fingerprint of all that the answers depend on."""
        tests = {language: test.to_dict() for language, test in self.labelled.tests.items()}
        more: list[Any] = few_shot.plain(self.recipe, self.labelled.labels)
        if self.recipe.translated is not None:
            more += [translated.digests(self.recipe, use) for use in USES]
        return artifacts.fingerprint([self.inputs, tests, *more])

    def inputs_of(self, variant: Variant, seed: int) -> str:
        """Fingerprint of all that training a variant depends on."""
        if variant.system == TRANSLATE_TRAIN:
            files = translated.digests(self.recipe, "train", variant.targets)
            return artifacts.fingerprint([self.inputs, files])
        if variant.shots is None:
            return self.inputs
        return artifacts.fingerprint(
            [self.inputs, *few_shot.plain(self.recipe, self.labelled.labels)]
        )

    def start_of(self, variant: Variant, seed: int) -> Path | None:
        """The adapter that a variant trains on from; None where it starts anew."""
        if not few_shot.continues(self.recipe, variant):
            return None
        return self.folder.path / self.own.training(seed) / "adapter"

    def recipe_of(self, variant: Variant, seen: Seen) -> Recipe:
        """The recipe that a variant is trained by, on what it sees."""
        recipe = few_shot.recipe_of(self.recipe, variant)
        if seen.beside is None:
            return recipe
        from lowres.training_arguments import steps_an_epoch

        options, tokenizer = recipe.train, self.shared.tokenizer(variant.located)
        windows = self.shared.windows(
            recipe.task, seen.beside.train, tokenizer, seen.beside.labels, options.max_tokens
        )
        steps = max(1, round(options.epochs * steps_an_epoch(options, len(windows))))
        return translated.recipe_of(recipe, steps)

    def answered(self, variant: Variant) -> LabelledData:
        """The data with the test sets that a variant answers."""
        if variant.targets is None or variant.scores_source:
            return self.labelled
        tests = {code: self.labelled.tests[code] for code in variant.targets}
        return replace(self.labelled, tests=tests)

    def seen(self, variant: Variant, seed: int) -> Seen:
        """What a variant is trained on, and how it came to be."""
        labelled, notes = self.labelled, tuple[str, ...]()
        ids: dict[str, list[str]] = {}
        # the controls too, the base as it is among them: they differ in the base alone
        if self.recipe.train.augment and not few_shot.continues(self.recipe, variant):
            labelled, notes = self._augmented(seed)
        if variant.system == TRANSLATE_TRAIN:
            found = translated.train_data(
                self.recipe, self.labelled, labelled, variant.targets or ()
            )
            return Seen(found.data, ids, notes, found.records, labelled)
        if variant.shots is not None:
            from lowres import shots

            assert variant.targets is not None, "a few-shot system"
            labelled, ids = shots.add(
                labelled,
                variant.shots,
                variant.targets,
                self.recipe.task.gold_field,
                seed,
                variant.draw or 1,
                few_shot.settings(self.recipe),
            )
        return Seen(labelled, ids, notes)

    def _augmented(self, seed: int) -> tuple[LabelledData, tuple[str, ...]]:
        from lowres import augment

        recipe = self.recipe
        ways, source = recipe.train.augment, ", ".join(recipe.languages.source)
        return augment.augment(self.labelled, ways, recipe.task, self.lexicons, source, seed)

    @cached_property
    def lexicons(self) -> tuple[tuple[Known, ...], ...]:
        """What each way of `train.augment` looks into: words of the source in every target, names
        of its entities."""
        from lowres import bilingual

        return tuple(
            bilingual.of_recipe(self.recipe, number, self.own.located)
            for number in range(len(self.recipe.train.augment))
        )
