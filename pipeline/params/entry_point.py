"""The entry point of a stage script: errors as one line and exit status 2."""

from __future__ import annotations

import errno
import functools
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

from pipeline.params.errors import UserError, printable
from pipeline.params.machine import machine_is_busy
from pipeline.params.names import ROOMS


def entry_point(main: Callable[[], None]) -> Callable[[], None]:
    """Make a command's `main` end without a traceback: with plain lines and status 2 where a user's thing fails, 130 on Ctrl-C.

    It also has the threads of numerical libraries fall asleep soon when they wait, which must be said before those are
    loaded. They would spin for long; on cores that another process wants, a training step took ten times as long for it.

    A stage takes no arguments: `python -m pipeline.train --help` must not begin a training.
    """
    file = Path(main.__code__.co_filename).resolve()
    is_stage = main.__module__ == "__main__" and file.parent == ROOMS

    @functools.wraps(main)
    def refusing() -> None:
        if is_stage and len(sys.argv) > 1:
            print(_no_arguments(file.stem, sys.argv[1]), file=sys.stderr)
            sys.exit(2)
        spins = "0" if machine_is_busy() else "10000"
        os.environ.setdefault("GOMP_SPINCOUNT", spins)  # GNU's OpenMP, which torch brings along on Linux
        os.environ.setdefault("KMP_BLOCKTIME", "1")  # LLVM's and Intel's, milliseconds
        try:
            main()
        except UserError as refusal:
            print(*map(printable, refusal.problems), sep="\n", file=sys.stderr)
            sys.exit(2)
        except OSError as error:  # a full disk, a folder that may not be written to, a file where a folder is wanted
            if error.strerror is None:
                raise
            print(printable(f"{error.filename or 'a file'}: {error.strerror}{_wanted(error)}"), file=sys.stderr)
            sys.exit(2)
        except KeyboardInterrupt:
            sys.exit(130)  # as a shell has it

    return refusing


def _wanted(error: OSError) -> str:
    """What it takes that a file can be written which could not be; "" where the error says it itself."""
    if error.errno == errno.EFBIG:
        return "; a limit on the size of files forbids it (`ulimit -f`, or the file system's own)"
    if error.errno not in (errno.ENOSPC, errno.EDQUOT):
        return ""
    folder = Path(str(error.filename or ".")).absolute()
    while not folder.is_dir():
        folder = folder.parent
    return f"; {shutil.disk_usage(folder).free:,} bytes are free on the disk of {folder}: free some space there"


def _no_arguments(stage: str, word: str) -> str:
    return (
        f"pipeline.{stage}: takes no arguments, and was given {word!r}. Its settings are in params.yaml; "
        f"`dvc repro {stage}` runs it after what it needs, `dvc exp run -S train.lr=0.01` with one of them changed"
    )
