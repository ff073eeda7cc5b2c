"""`rally upload` and its options."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pipeline.lab.project import enter_project


def upload(
    repository: Annotated[str, typer.Argument(metavar="OWNER/NAME", help="The repository, as it is to be called on the hub.")],
    folder: Annotated[Path, typer.Argument(help="A folder that `rally export` wrote.")] = Path("exported"),
    public: Annotated[bool, typer.Option("--public", help="For everyone to see; otherwise for the owner alone.")] = False,
    update: Annotated[bool, typer.Option("--update", help="Add a commit to a repository that is there.")] = False,
) -> None:
    """Send an exported model to the Hugging Face hub."""
    called_from = enter_project()
    from pipeline.lab.export import upload as room

    print(room.upload(repository, called_from / folder, public=public, update=update))
