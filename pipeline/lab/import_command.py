"""`rally import`: prints the command that fine-tunes a model in a folder."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from pipeline.lab.commands import print_notes
from pipeline.lab.project import enter_project
from pipeline.params.errors import printable


def import_(
    folder: Annotated[Path, typer.Argument(help="A copy of models/trained, or a folder in Hugging Face's format.")],
) -> None:
    """Print the command that fine-tunes a model in a folder."""
    target = enter_project() / folder
    from pipeline.lab.dvc.run_dvc import shell_line
    from pipeline.lab.fine_tuning import fine_tuning_command

    command, notes = fine_tuning_command(Path(os.path.relpath(target)) if target.is_relative_to(Path.cwd()) else target)
    print_notes(map(printable, notes))
    print(shell_line(command))
