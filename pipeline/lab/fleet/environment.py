"""Whether the environment here is the one that a clone asks for. No torch."""

from __future__ import annotations

import re
import tomllib
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from pipeline.params.errors import UserError


def check_environment(project: Path) -> None:
    """Compare what pyproject.toml says the code imports with the versions that constraints.txt pins.

    Raises:
        UserError: a package is missing, or of another version.
    """
    needed = tomllib.loads((project / "pyproject.toml").read_text(encoding="utf-8"))["project"]["dependencies"]
    names = {found[0].lower() for word in needed if (found := re.match(r"[\w.-]+", word))}
    other = []
    for line in (project / "constraints.txt").read_text(encoding="utf-8").splitlines():
        if not (pin := re.match(r"([\w.-]+)==([^\s;]+)", line)) or pin[1].lower() not in names:
            continue
        try:
            here = version(pin[1]).partition("+")[0]  # torch's has the kind of its build behind a plus
        except PackageNotFoundError:
            here = "none"
        if here != pin[2]:
            other.append(f"{pin[1]} {here} (pinned: {pin[2]})")
    if other:
        more = f" and {len(other) - 3} more" if len(other) > 3 else ""
        raise UserError(
            f"{project.resolve()}: this machine's environment is another: {', '.join(other[:3])}{more}; "
            "make it from this commit (./run true there), and name its folder by RALLY_VENV"
        )
