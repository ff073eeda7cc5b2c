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
from pipeline.params.names import PIPELINE


def entry_point(main: Callable[[], None]) -> Callable[[], None]:
    """Wrap a command's `main` so that it ends without a traceback: exit status 2 and a line per problem, 130 on Ctrl-C.

    It also makes waiting threads of numerical libraries sleep early instead of spinning, which has to be set before these
    libraries are loaded: on cores that are shared with other processes, spinning made a training step ten times slower. What
    computes for long does not even spin briefly there (engine/runtime/waiting.py).

    A stage takes no arguments: `python -m pipeline.train --help` must not start a training.
    """
    file = Path(main.__code__.co_filename).resolve()
    is_stage = main.__module__ == "__main__" and file.parent == PIPELINE

    @functools.wraps(main)
    def wrapped() -> None:
        if is_stage and len(sys.argv) > 1:
            print(_no_arguments(file.stem, sys.argv[1]), file=sys.stderr)
            sys.exit(2)
        os.environ.setdefault("GOMP_SPINCOUNT", "10000")  # GNU's OpenMP, which torch brings along on Linux
        os.environ.setdefault("KMP_BLOCKTIME", "1")  # LLVM's and Intel's, milliseconds
        try:
            main()
        except UserError as error:
            print(*map(printable, error.problems), sep="\n", file=sys.stderr)
            sys.exit(2)
        except OSError as error:  # a full disk, a read-only folder, a file in the place of a folder
            if error.strerror is None:
                raise
            print(printable(f"{error.filename or 'a file'}: {error.strerror}{_disk_hint(error)}"), file=sys.stderr)
            sys.exit(2)
        except KeyboardInterrupt:
            sys.exit(130)  # as shells report it

    return wrapped


def _disk_hint(error: OSError) -> str:
    """What to do about a file that could not be written; "" if the error says it itself."""
    if error.errno == errno.EFBIG:
        return "; it exceeds the limit on file sizes (`ulimit -f`, or the file system's own)"
    if error.errno not in (errno.ENOSPC, errno.EDQUOT):
        return ""
    folder = Path(str(error.filename or ".")).absolute()
    while not folder.is_dir():
        folder = folder.parent
    return f"; {shutil.disk_usage(folder).free:,} bytes are free on the disk of {folder}; free some space"


def _no_arguments(stage: str, word: str) -> str:
    return (
        f"pipeline.{stage}: takes no arguments, and was given {word!r}. Its settings are in params.yaml; "
        f"`dvc repro {stage}` runs it with the stages before it, `dvc exp run -S train.lr=0.01` with a setting changed"
    )
