"""Whether a file belongs to the parameters, code and data beside it: yes, no (with the reason), or not known."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Match:
    """Whether a file belongs to the parameters, code and data beside it.

    Attributes:
        mismatch: why not, as a clause (`seed is 2, and was 1 when train ran`); "" where it belongs to them.
        known: False where there is no record of the file, such as without a dvc.lock.
    """

    mismatch: str = ""
    known: bool = True

    def __bool__(self) -> bool:
        """Whether it belongs to them."""
        return not self.mismatch


MATCHES = Match()
