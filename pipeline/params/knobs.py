"""The types that knobs share, and how a problem with one is reported."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from pydantic_core import PydanticCustomError


class Section(BaseModel):
    """One section of params.yaml: strict types, no unknown knob, no missing one, nothing that is not finite."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, allow_inf_nan=False)


def _is_a_path(text: str) -> str:
    if "\0" in text:
        raise PydanticCustomError("named", "holds a zero byte, which no path can hold")
    return text


Folder = Annotated[str, Field(min_length=1), AfterValidator(_is_a_path)]  # or file


Count = Annotated[int, Field(ge=1, le=10**8)]


Seed = Annotated[int, Field(ge=0, lt=2**32)]


def problem(knob: str, text: str) -> PydanticCustomError:
    """A problem that only shows between knobs of a section, laid at the door of one of them."""
    return PydanticCustomError("between", "{text}", {"knob": knob, "text": text})


def shown(value: Any) -> str:
    shown = {True: "true", False: "false", None: "null"}[value] if value is None or isinstance(value, bool) else repr(value)
    return shown if len(shown) <= 60 else f"{shown[:57]}…"
