"""Whether a file belongs to the parameters, code and data beside it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Verdict:
    """Whether a file belongs to the knobs, code and data beside it.

    Attributes:
        says: why not, as a clause (`seed is 2, and was 1 when train ran`); "" where it belongs to them.
        known: False where nothing says whose the file is, such as without a dvc.lock.
    """

    says: str = ""
    known: bool = True

    def __bool__(self) -> bool:
        """Whether it belongs to them."""
        return not self.says


MATCHES = Verdict()
