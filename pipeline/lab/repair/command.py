"""`rally repair`."""

from __future__ import annotations

from pathlib import Path

from pipeline.lab.project import enter_project


def repair() -> None:
    """Repair what a killed git or DVC left behind. ./run does this by itself."""
    enter_project()
    from pipeline.lab.dvc.remotes import unverified
    from pipeline.lab.repair import repair as room

    for line in [*room.repair(Path.cwd()), *unverified(Path.cwd())]:
        print(line)
