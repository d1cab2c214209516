"""A recipe with all that its training works on, and what each training learns from."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lowres import artifacts, few_shot
from lowres.artifacts import RunFolder
from lowres.recipe import Recipe
from lowres.recipe_loading import digest

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

    def inputs_of(self, variant: Variant, seed: int) -> str:
        """Fingerprint of all that training a variant depends on."""
        if variant.shots is None:
            return self.inputs
        return artifacts.fingerprint([self.inputs, *few_shot.plain(self.recipe)])

    def start_of(self, variant: Variant, seed: int) -> Path | None:
        """The adapter that a variant trains on from; None where it starts anew."""
        if not few_shot.continues(self.recipe, variant):
            return None
        return self.folder.path / self.own.training(seed) / "adapter"

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
