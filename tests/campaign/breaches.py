"""Stages that break a promise: each part of the campaign must see the one that is planted for it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any


def train_that_forgets() -> None:
    """A resumed training lacks the losses of the steps since the last row of its curve."""
    from pipeline import train
    from pipeline.engine.checkpoint import Progress

    restore = Progress.restore

    def forgetting(self: Progress, tensors: dict[str, Any], numbers: dict[str, Any]) -> None:
        restore(self, tensors, {**numbers, "targets": 0})

    Progress.restore = forgetting  # type: ignore[method-assign]
    train.main()


def tokenize_in_place() -> None:
    """What stood there is removed before the new is whole."""
    import shutil

    from pipeline import tokenize
    from pipeline.artifacts import paths

    shutil.rmtree(paths.TOKENS, ignore_errors=True)
    tokenize.main()


def tokenize_that_trusts() -> None:
    """No checksum is compared."""
    from pipeline import tokenize
    from pipeline.artifacts import checksums

    checksums.check_sha256 = lambda path, expected: None
    tokenize.main()


def tokenize_that_unpickles() -> None:
    """Whatever lies in the place of an array is opened."""
    import numpy as np

    from pipeline import tokenize
    from pipeline.artifacts import checksums

    checksums.check_sha256 = lambda path, expected: None
    load = np.lib.format.open_memmap

    def careless(path: Path, **how: Any) -> Any:
        with contextlib.suppress(Exception):
            np.load(path, allow_pickle=True)
        return load(path, **how)

    np.lib.format.open_memmap = careless
    tokenize.main()


@contextlib.contextmanager
def unforced() -> Iterator[None]:
    """A block in which nothing is forced to the disk."""
    import os

    fsync, os.fsync = os.fsync, lambda descriptor: None
    try:
        yield
    finally:
        os.fsync = fsync


def tokenize_unforced() -> None:
    from pipeline import tokenize

    with unforced():
        tokenize.main()
