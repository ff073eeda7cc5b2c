"""The top folder of a project, found from any folder in it."""

from __future__ import annotations

import os
from pathlib import Path

from pipeline.params.errors import UserError


def top_folder(start: Path) -> Path:
    """The nearest folder, from `start` upward, that holds params.yaml and dvc.yaml.

    Raises:
        UserError: there is none.
    """
    for folder in (start, *start.parents):
        if (folder / "params.yaml").is_file() and (folder / "dvc.yaml").is_file():
            return folder
    raise UserError(f"{start}: not inside a Rally project: no params.yaml and dvc.yaml here or in any parent folder")


def enter_project() -> Path:
    """Change to the top folder of the project; the folder that the command was called from.

    Raises:
        UserError: not inside a project.
    """
    called_from = Path.cwd()
    os.chdir(top_folder(called_from))
    return called_from
