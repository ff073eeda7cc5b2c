"""The checksums of files that a test wrote in the place of the stages."""

from __future__ import annotations

import contextlib
from pathlib import Path

from pipeline.artifacts.checksums import seal
from pipeline.artifacts.paths import READ_OUTS


def sealed(folder: Path) -> Path:
    """A project, once the checksums were written down of all that the stages would have left there."""
    with contextlib.chdir(folder):
        for stage in READ_OUTS:
            seal(stage)
    return folder
