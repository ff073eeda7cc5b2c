"""`rally export` and its options."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Literal

import typer

from pipeline.lab.project import enter_project
from pipeline.params.errors import printable


def export(
    folder: Annotated[Path, typer.Argument(help="The folder to write: a new one, or one that `rally export` wrote.")] = Path(
        "exported"
    ),
    to: Annotated[
        Literal["auto", "transformers", "onnx"],
        typer.Option(help="The format; auto is transformers if it has a class for the network, otherwise ONNX."),
    ] = "auto",
) -> None:
    """Export the trained model for transformers, or as ONNX."""
    called_from = enter_project()
    from pipeline.lab.export import export as room

    written = room.export(target := called_from / folder, to)
    print(printable(f"{os.path.relpath(target, called_from)}: {written}"))
