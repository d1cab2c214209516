"""What every section of a recipe is made of: the frozen base class and the kinds of value."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict

from lowres.languages import canonical


def listed(value: Any) -> Any:
    """One value is read as a list of one."""
    return [value] if isinstance(value, str) else value


def _auto_or_listed(value: Any) -> Any:
    return value if value == "auto" else listed(value)


def no_bool(value: Any) -> Any:
    """YAML reads `yes` and `on` as true, which Python takes for 1."""
    if isinstance(value, bool):
        raise ValueError(f"expected a number, not {str(value).lower()}")
    return value


def distinct(value: Any) -> Any:
    """A list without repetitions."""
    twice = () if value == "auto" else sorted({v for v in value if value.count(v) > 1})
    if twice:
        raise ValueError(f"names {', '.join(twice)} twice")
    return value


Whole = Annotated[int, BeforeValidator(no_bool)]
Number = Annotated[float, BeforeValidator(no_bool)]
Names = Annotated[
    Literal["auto"] | tuple[str, ...],
    BeforeValidator(_auto_or_listed),
    AfterValidator(distinct),
]
"""`auto`, or names: one, or a list."""


def _language(value: Any) -> Any:
    return canonical(value) if isinstance(value, str) else value


Language = Annotated[str, BeforeValidator(_language)]
LanguageList = Annotated[tuple[Language, ...], BeforeValidator(listed)]


class Section(BaseModel):
    """Common to all sections: unknown keys are refused, values never change after loading."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, use_attribute_docstrings=True, allow_inf_nan=False
    )

    def _contradictions(self) -> Iterator[str]:
        """What its keys say that cannot be together, a line each that begins with a key.

        A recipe asks all its sections: a validator of one section that raised would hide what
        is wrong between the others.
        """
        return iter(())

    def every_contradiction(self) -> Iterator[str]:
        """Those of the sections inside, then its own."""
        for key in type(self).model_fields:
            inside = getattr(self, key)
            if isinstance(inside, Section):
                yield from inside.every_contradiction()
        yield from self._contradictions()
