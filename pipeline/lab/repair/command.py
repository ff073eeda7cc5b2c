"""`rally repair` and its options."""

from __future__ import annotations

from pathlib import Path

from pipeline.lab.project import enter_project


def repair() -> None:
    """Repair what a killed git or DVC left behind. ./run does this by itself."""
    enter_project()
    from pipeline.lab.repair.repair import mend

    for line in mend(Path.cwd()):
        print(line)
