"""The types that knobs share, and how a problem with one is reported."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, WithJsonSchema
from pydantic_core import PydanticCustomError


class Section(BaseModel):
    """One section of params.yaml: strict types, no unknown or missing knobs, only finite numbers."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, allow_inf_nan=False)


def _is_a_path(text: str) -> str:
    if "\0" in text:
        raise PydanticCustomError("named", "contains a zero byte; no path can")
    return text


Folder = Annotated[str, Field(min_length=1), AfterValidator(_is_a_path)]  # or file


Count = Annotated[int, Field(ge=1, le=10**8)]


Seed = Annotated[int, Field(ge=0, lt=2**32)]


def problem(knob: str, text: str) -> PydanticCustomError:
    """An error that depends on several knobs, reported for one of them."""
    return PydanticCustomError("between", "{text}", {"knob": knob, "text": text})


def _is_a_power_of_two(number: int) -> int:
    if number & (number - 1):
        below = 1 << (number.bit_length() - 1)
        raise PydanticCustomError("named", "{text}", {"text": f"{number} is not a power of two; use {below} or {2 * below}"})
    return number


PowerOfTwo = Annotated[
    int,
    Field(ge=1, le=1024),
    AfterValidator(_is_a_power_of_two),
    WithJsonSchema({"type": "integer", "enum": [2**power for power in range(11)]}),
]


def divisor(number: int, near: int) -> int:
    """The divisor of a number that is nearest to another number, the smaller of two: 4 for 12 near 5."""
    return min((d for d in range(1, number + 1) if number % d == 0), key=lambda d: abs(d - near))


def format_value(value: Any) -> str:
    """A value as an error message quotes it: as in YAML, and cut after 60 characters."""
    text = {True: "true", False: "false", None: "null"}[value] if value is None or isinstance(value, bool) else repr(value)
    return text if len(text) <= 60 else f"{text[:57]}…"
