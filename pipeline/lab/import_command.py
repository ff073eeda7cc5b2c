"""`rally import`: prints the command that fine-tunes a model in a folder or a GGUF file."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from pipeline.lab.commands import print_notes
from pipeline.lab.project import enter_project
from pipeline.params.errors import UserError, printable


def import_(
    model: Annotated[
        Path, typer.Argument(help="A copy of models/trained, a folder in Hugging Face's format, or a GGUF file (FILE.gguf).")
    ],
    folder: Annotated[
        Path | None,
        typer.Option(help="Of a GGUF file: the folder to make of it; models/NAME of NAME.gguf where it is left out."),
    ] = None,
) -> None:
    """Print the command that fine-tunes a folder or a GGUF file."""
    called_from = enter_project()
    target = _relative(called_from / model)
    from pipeline.lab.dvc.run_dvc import shell_line
    from pipeline.lab.fine_tuning import fine_tuning_command
    from pipeline.lab.gguf.to_folder import find_file, to_folder

    notes: list[str] = []
    if (file := find_file(target)) is not None:
        target = _relative(called_from / folder) if folder else Path("models", file.stem)
        to_folder(file, target, fine_tuning_command)
        notes.append(f"{file}: written as {target}, from which training goes on")
    elif folder:
        raise UserError(f"--folder: is for GGUF files, and {model} is a folder, which is used as it is")
    command, more = fine_tuning_command(target)
    print_notes(map(printable, [*notes, *more]))
    print(shell_line(command))


def _relative(path: Path) -> Path:
    """A path inside the project as one from its top folder, as experiments need it."""
    return Path(os.path.relpath(path)) if path.is_relative_to(Path.cwd()) else path
