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
        Literal["auto", "transformers", "gguf", "onnx", "hub-folder"],
        typer.Option(
            help="The format: gguf is for llama.cpp; auto is transformers if it has a class for the network, otherwise ONNX."
            " hub-folder: as auto, and names what readers on the Hugging Face hub would miss; `rally upload` sends it."
        ),
    ] = "auto",
    type_: Annotated[
        Literal["f32", "f16", "q8_0"] | None,
        typer.Option(
            "--type", help="The numbers of a GGUF file: f32 (the default), f16, or q8_0 (8 bits).", show_default=False
        ),
    ] = None,
) -> None:
    """Export the trained model for transformers, as GGUF or as ONNX."""
    called_from = enter_project()
    from pipeline.lab.export import export as room

    written = room.export(target := called_from / folder, to, type_)
    print(printable(f"{os.path.relpath(target, called_from)}: {written}"))
