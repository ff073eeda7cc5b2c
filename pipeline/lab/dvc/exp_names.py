"""Names of experiments: which ones git and DVC accept, and names made of overrides."""

from __future__ import annotations

import re
from collections.abc import Mapping

from pipeline.identity import digest


def name_problem(name: str) -> str:
    """What is wrong with a name that is not valid."""
    return f"'{name}' means something else to git or DVC; use letters, digits, . and -, and not only a to f"


def is_valid_name(name: str) -> bool:
    """Whether git takes it as a reference, and DVC never as the beginning of a commit (`e1` breaks `dvc plots diff`)."""
    is_reference = re.fullmatch(r"[A-Za-z0-9](?:[A-Za-z0-9_-]|\.(?!\.))*", name) and not name.endswith((".", ".lock"))
    return bool(is_reference) and not re.fullmatch(r"[0-9a-fA-F]{1,40}", name)


def experiment_name(name: str, overrides: Mapping[str, str]) -> str:
    """A name with its overrides: nanogpt-cpu-lr3e-4. Other values make another name; a long value is given as a digest."""
    parts = [name]
    for knob, value in overrides.items():
        is_short = re.fullmatch(r"[\w.+-]{1,24}", value, re.ASCII)
        parts.append(knob.rpartition(".")[2] + (value.replace("+", "") if is_short else f"-{digest(value)[:6]}"))
    return re.sub(r"\.{2,}", ".", "-".join(parts)).strip(".-")
