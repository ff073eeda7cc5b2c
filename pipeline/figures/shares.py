"""Independent pieces of work shared out among forked processes."""

from __future__ import annotations

import contextlib
import os
import pickle
import sys
from collections.abc import Callable, Iterator, Mapping


def shared_out(jobs: Mapping[str, Callable[[], bytes]], processes: int) -> dict[str, bytes]:
    """What each job makes, in the order of the jobs; the same bytes for any number of processes.

    The jobs must leave nothing else behind. They are dealt out like cards, to this process too. A share that does not come,
    because its process was killed or failed, is made here, where an error is then raised.

    Args:
        processes: at most; 1 where processes cannot be forked safely (outside Linux).
    """
    names = list(jobs)
    hands = max(min(processes if sys.platform == "linux" else 1, len(names)), 1)
    with contextlib.ExitStack() as stack:
        dealt = [names[hand::hands] for hand in range(hands)]
        coming = [stack.enter_context(_forked(jobs, share)) for share in dealt[1:]]
        made = {name: jobs[name]() for name in dealt[0]}
        for receive in coming:
            made |= receive()
    return {name: made[name] if name in made else jobs[name]() for name in names}


@contextlib.contextmanager
def _forked(jobs: Mapping[str, Callable[[], bytes]], share: list[str]) -> Iterator[Callable[[], dict[str, bytes]]]:
    """A block during which a forked process does a share, which it ends by itself; gives what waits for the results."""
    reading, writing = os.pipe()
    sys.stdout.flush()  # else the child, too, would write what is in the buffer
    sys.stderr.flush()
    if not (child := os.fork()):
        with contextlib.suppress(BaseException):  # the parent repeats the share, and its error
            os.close(reading)
            with os.fdopen(writing, "wb") as output:
                pickle.dump({name: jobs[name]() for name in share}, output)
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:

        def receive() -> dict[str, bytes]:
            try:
                made: dict[str, bytes] = pickle.load(pipe)  # noqa: S301 (of a child of this process)
            except (EOFError, pickle.UnpicklingError):
                return {}
            return made

        try:
            yield receive
        finally:
            pipe.close()  # a child that is still writing ends then
            os.waitpid(child, 0)
