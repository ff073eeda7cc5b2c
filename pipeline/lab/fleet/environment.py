"""Whether the environment here is the one that a clone asks for. No torch."""

from __future__ import annotations

import re
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from pipeline.params.errors import UserError


def check_environment(constraints: Path) -> None:
    """Compare each installed package with the version that is pinned. Not all that are pinned are needed.

    Raises:
        UserError: one differs.
    """
    other = []
    for line in constraints.read_text(encoding="utf-8").splitlines():
        if not (pin := re.match(r"([\w.-]+)==([^\s;]+)", line)):
            continue
        try:
            here = version(pin[1])
        except PackageNotFoundError:
            continue
        if here.partition("+")[0] != pin[2]:  # torch's has the kind of its build behind a plus
            other.append(f"{pin[1]} {here} (pinned: {pin[2]})")
    if other:
        more = f" and {len(other) - 3} more" if len(other) > 3 else ""
        raise UserError(
            f"{constraints}: this machine's environment is another: {', '.join(other[:3])}{more}; "
            "make it anew from this commit (./run true), and name its folder by RALLY_VENV"
        )
