"""Bad data of the user: an error at the first, or skipped and counted, as prepare.on_bad_data says."""

from __future__ import annotations

from pipeline.params.data import Prepare
from pipeline.params.errors import UserError
from pipeline.progress import say


class BadData:
    """Counts the rows, images or files that cannot be used.

    Args:
        what: what is counted, in the plural: rows, images or files.

    Attributes:
        count: number of those added.
        first: the problem of the first.
    """

    def __init__(self, knobs: Prepare, what: str) -> None:
        self.skip, self.what = knobs.on_bad_data == "skip", what
        self.count, self.first = 0, ""

    def add(self, problem: str) -> None:
        """Count one.

        Args:
            problem: where it is and what is wrong with it.

        Raises:
            UserError: prepare.on_bad_data is not skip.
        """
        if not self.skip:
            raise UserError(f"{problem} (prepare.on_bad_data=skip skips such {self.what})")
        self.count += 1
        self.first = self.first or problem

    def report(self) -> dict[str, int]:
        """Print how many were skipped and the problem of the first; their number, as an entry of the card."""
        if self.count:
            say(f"skipped: {self.count:,} {self.what} that cannot be used, the first: {self.first}")
        return {f"faulty_{self.what}": self.count} if self.count else {}
