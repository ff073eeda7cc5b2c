"""What every part of the campaign stands on: a server, and labs of the three tasks in which all stages have run."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from small import stages

from campaign.labs import lab, make
from campaign.server import Server, missing, serving
from campaign.trials import tally as tally


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    """With the shim where it can be had."""
    with serving(shim=not missing()) as found:
        yield found


@pytest.fixture
def shim(server: Server) -> Server:
    """The server, where it can kill and fail at a file operation."""
    if why := missing():
        pytest.skip(why)
    return server


@pytest.fixture(scope="session")
def finished(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """A lab of a kind of task in which every stage has run; made once, to be copied."""
    made: dict[str, Path] = {}

    def of(kind: str) -> Path:
        if kind not in made:
            folder = lab(tmp_path_factory.mktemp("finished") / kind, kind)
            make(server, folder, *stages())
            shutil.rmtree(folder / ".rally")  # whoever copies it begins without checkpoints and cached baselines
            made[kind] = folder
        return made[kind]

    return of
