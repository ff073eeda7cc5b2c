"""`rally repair` and its options."""

from __future__ import annotations

from pathlib import Path

from pipeline.lab.project import enter_project


def repair() -> None:
    """Repair what a killed git or DVC left behind. ./run does this by itself."""
    enter_project()

    for line in repair_project(Path.cwd()):
        print(line)
