"""Tasks handed to an engine: as many at once as it takes, killed ones again, failed ones told, all cancelled on Ctrl-C.

No torch.
"""

from __future__ import annotations

import json
import sys
import time
from collections import Counter, deque
from collections.abc import Hashable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from pipeline.lab.fleet.base import Engine, Outcome
from pipeline.params.errors import UserError

RETRIES = 2  # of a task whose process was killed


class TasksFailedError(UserError):
    """Some tasks failed, and all others are done."""


class Commit(NamedTuple):
    """Of which commit the machines make a clone, and from where.

    Attributes:
        commit: its hash.
        repository: the top folder of the repository here.
        prefix: the project's folder within it.
        private: the folder for clones, where the machines can read this one's folders.
        remote: the URL of a git remote, for machines that cannot; "" = there is none.
    """

    commit: str
    repository: str
    prefix: str
    private: str
    remote: str = ""


class Fleet:
    """An engine, and the commit that its machines run."""

    def __init__(self, name: str, engine: Engine, commit: Commit) -> None:
        self.name, self.engine, self.commit = name, engine, commit

    def run(self, program: str, tasks: Mapping[str, Mapping[str, Any]]) -> Iterator[tuple[str, dict[str, Any]]]:
        """(name, answer) of each task, as it is done.

        Args:
            program: the module that runs in the clone. It reads the task from standard input, prints the answer, or
                {"problems": lines}, as JSON, and ends by itself when the process that started it has ended.
            tasks: JSON, by names that people read.

        Raises:
            TasksFailedError: tasks have failed, or were killed more than RETRIES times; raised after all others are done.
            UserError: the engine takes no tasks any more; those that run were cancelled.
        """
        waiting, running, kills = deque(tasks), dict[Hashable, str](), Counter[str]()
        failed, done = dict[str, str](), 0
        try:
            while waiting or running:
                begin = [waiting.popleft() for _ in range(min(len(waiting), self.engine.at_once - len(running)))]
                if begin:
                    self._start(program, tasks, begin, running)
                ended = self.engine.ended(list(running))
                for handle, outcome in ended:
                    name = running.pop(handle)
                    if (answer := _answer(outcome)) is not None and "problems" not in answer:
                        done += 1
                        yield name, answer
                    elif answer is None and outcome.was_killed and kills[name] < RETRIES:
                        kills[name] += 1
                        waiting.append(name)
                        print(f"{name}: {_killed(outcome)}; it is tried again", file=sys.stderr)
                    else:
                        failed[name] = _why(outcome, answer, kills[name])
                if not ended:
                    time.sleep(self.engine.pause)
        except KeyboardInterrupt:
            count = len(running)
            self._cancel(running)
            print(f"{count} cancelled; {done} of {len(tasks)} are kept, and the same command trains the rest", file=sys.stderr)
            raise
        finally:
            self._cancel(running)
        if failed:
            raise TasksFailedError(
                *_told(failed), f"{done} of {len(tasks)} are kept, and the same command tries the rest again"
            )

    def _start(
        self, program: str, tasks: Mapping[str, Mapping[str, Any]], names: Sequence[str], running: dict[Hashable, str]
    ) -> None:
        texts = [json.dumps({**self.commit._asdict(), "program": program, **tasks[name]}) for name in names]
        try:
            running.update(zip(self.engine.start(texts), names, strict=True))
        except UserError:
            raise
        except Exception as error:  # of whatever kind the engine's are
            lines = str(error).strip().splitlines() or [type(error).__name__]
            raise UserError(f"--on {self.name}: takes no training: {lines[-1]}") from error

    def _cancel(self, running: dict[Hashable, str]) -> None:
        if running:
            self.engine.cancel(list(running))
            running.clear()


def _answer(outcome: Outcome) -> dict[str, Any] | None:
    """What the program answered; None if it ended before."""
    try:
        answer = json.loads(outcome.said.splitlines()[-1])
    except (IndexError, ValueError):
        return None
    return answer if isinstance(answer, dict) else None


def _killed(outcome: Outcome) -> str:
    how = f"was killed (signal {-outcome.status})" if outcome.status else "is gone without a result"
    return f"its process {how}{': ' * bool(outcome.log)}{outcome.log}"


def _why(outcome: Outcome, answer: dict[str, Any] | None, kills: int) -> str:
    if answer and "problems" in answer:
        return "; ".join(map(str, answer["problems"]))
    if outcome.was_killed:
        return f"{_killed(outcome)}, {kills + 1} times; lower what a training needs (`rally budget` says how)"
    return f"ended with status {outcome.status}: {outcome.log or 'see the log of the engine'}"


def _told(failed: Mapping[str, str]) -> list[str]:
    """A line for each failed task; one for all that failed for the same reason."""
    names: dict[str, list[str]] = {}
    for name, why in failed.items():
        names.setdefault(why, []).append(name)
    return [f"{some[0]}{f' and {len(some) - 1} more' if len(some) > 1 else ''}: {why}" for why, some in names.items()]
