"""A recipe with all that its training works on, and what each training learns from."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from lowres import artifacts
from lowres.artifacts import RunFolder
from lowres.recipe import Recipe
from lowres.recipe_loading import digest

if TYPE_CHECKING:
    from lowres.augmentations import Lexicon
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
        if self.recipe.languages.shots:
            shown = {code: rows.to_dict() for code, rows in self.labelled.target_train.items()}
            plain["target_train"] = shown
        return artifacts.fingerprint({**plain, "under": self.under} if self.under else plain)

    def seen(self, variant: Variant, seed: int) -> Seen:
        """What a variant is trained on, and how it came to be."""
        labelled, notes = self.labelled, tuple[str, ...]()
        ids: dict[str, list[str]] = {}
        # the controls too, the base as it is among them: they differ in the base alone
        if self.recipe.train.augment:
            labelled, notes = self._augmented(seed)
        if variant.shots is not None:
            from lowres import shots

            targets, gold = self.recipe.languages.targets, self.recipe.task.gold_field
            labelled, ids = shots.add(labelled, variant.shots, targets, gold, seed)
        return Seen(labelled, ids, notes)

    def _augmented(self, seed: int) -> tuple[LabelledData, tuple[str, ...]]:
        from lowres import augment

        recipe = self.recipe
        ways, source = recipe.train.augment, ", ".join(recipe.languages.source)
        return augment.augment(self.labelled, ways, recipe.task, self.lexicons, source, seed)

    @cached_property
    def lexicons(self) -> tuple[tuple[Lexicon, ...], ...]:
        """Words of the source in every target, for each way of `train.augment`."""
        from lowres import bilingual

        return tuple(
            bilingual.of_recipe(self.recipe, number, self.own.located)
            for number in range(len(self.recipe.train.augment))
        )
