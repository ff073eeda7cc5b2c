"""What of the user's data cannot be used? The first of it is refused, or all of it is left out and counted, as they ask."""

from __future__ import annotations

from pipeline.params.data import Prepare
from pipeline.params.errors import UserError
from pipeline.progress import say


class BadData:
    """Rows, images and files that cannot be used, as they are met."""

    def __init__(self, knobs: Prepare, what: str) -> None:
        self.leave_out, self.what = knobs.on_bad_data == "skip", what
        self.count, self.first = 0, ""

    def add(self, problem: str) -> None:
        """Take note of one: where it is, and what is wrong with it.

        Raises:
            UserError: prepare.on_bad_data is not to leave such out.
        """
        if not self.leave_out:
            raise UserError(f"{problem} (prepare.on_bad_data=skip goes on without such {self.what})")
        self.count += 1
        self.first = self.first or problem

    def report(self) -> dict[str, int]:
        """Say how many were left out and which was the first; their number as the card has it."""
        if self.count:
            say(f"left out: {self.count:,} {self.what} that cannot be used, the first of them: {self.first}")
        return {f"faulty_{self.what}": self.count} if self.count else {}
