"""Checksums for files that a test writes in place of the stages."""

from __future__ import annotations

import contextlib
from pathlib import Path

from pipeline.artifacts.checksums import seal
from pipeline.artifacts.paths import READ_OUTS


def sealed(folder: Path) -> Path:
    """Record the checksums of all outs in a project, as the stages do; returns the project."""
    with contextlib.chdir(folder):
        for stage in READ_OUTS:
            seal(stage)
    return folder
