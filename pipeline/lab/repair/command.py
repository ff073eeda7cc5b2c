"""`rally repair`."""

from __future__ import annotations

import os
from pathlib import Path

from pipeline.lab.project import enter_project
from pipeline.params.errors import UserError


def repair() -> None:
    """Repair what a killed git or DVC left behind. ./run does this by itself."""
    from pipeline.lab.dvc.remotes import unverified
    from pipeline.lab.repair import repair as room

    try:
        enter_project()
    except UserError:
        if (root := room.root_in_commit(Path.cwd())) is None:
            raise
        os.chdir(root)

    for line in [*room.repair(Path.cwd()), *unverified(Path.cwd())]:
        print(line)
