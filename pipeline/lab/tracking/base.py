"""A run as a tracker takes it, and what a tracker is. No torch."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from pipeline.lab.experiments.records import Knob
from pipeline.params.errors import check_packages

PROJECT = "rally"
"""The name under which trackers that have projects keep the runs."""


@dataclass(frozen=True)
class TrackedRun:
    """One experiment with its numbers.

    Attributes:
        key: of its commit, or of its content where it has none; a tracker has one run of each.
        name: for a reader; two runs may have the same.
        seconds: when it was made, since 1970.
        knobs: all of them, such as "train.lr".
        curves: such as "train/loss" -> (step, value) in order, values that are not finite left out.
        scores: such as "bits_per_byte".
        about: further facts in words, such as the finding of the doctor.
    """

    key: str
    name: str
    seconds: float
    knobs: Mapping[str, Knob]
    curves: Mapping[str, list[tuple[int, float]]]
    scores: Mapping[str, float]
    about: Mapping[str, str]

    @property
    def points(self) -> int:
        """How many numbers its curves have."""
        return sum(map(len, self.curves.values()))

    @property
    def last_step(self) -> int:
        """The step at which its scores were measured."""
        return max((step for curve in self.curves.values() for step, _ in curve), default=0)


Item = TypeVar("Item")


def batches(items: Sequence[Item], size: int) -> Iterator[Sequence[Item]]:
    """The items in order, at most `size` at once."""
    return (items[start : start + size] for start in range(0, len(items), size))


class Tracker(ABC):
    """A folder that a tracker reads.

    A run is written whole or not at all: what a kill left of one is replaced by the next call.

    Args:
        folder: is made if it is not there.
    """

    package: str
    """What it imports; also the name of the extra."""
    look: str
    """The command that shows FOLDER."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @abstractmethod
    def written(self) -> set[str]:
        """The keys of the runs that are there, whole."""

    @abstractmethod
    def write(self, run: TrackedRun) -> None:
        """Add a run."""

    def errors(self) -> tuple[type[Exception], ...]:
        """What is raised where its folder cannot be read or written."""
        return (OSError,)

    @classmethod
    def check_package(cls) -> None:
        """Check that it can be imported.

        Raises:
            UserError: it is not installed.
        """
        check_packages(f"--to {cls.package}", cls.package, cls.package, pinned=False)
