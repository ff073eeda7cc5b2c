"""What the learner has done of the course: .rally/course.json, private to the clone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from pipeline.artifacts.paths import private_folder
from pipeline.artifacts.reading import read_json
from pipeline.artifacts.writing import write_json
from pipeline.params.errors import UserError


@dataclass(frozen=True)
class Done:
    """A drill that was done.

    Attributes:
        identity: of the runs that answered it.
        quick: whether they were the short ones.
        when: in UTC.
        bet: its id in the ledger; "" = none.
        outcome: what came out, in words.
        won: whether the bet was better than the naive one; None without a bet or a score.
        said: the sentence about the bet; "" = none.
    """

    identity: str
    quick: bool
    when: str
    bet: str = ""
    outcome: str = ""
    won: bool | None = None
    said: str = ""


def read_done() -> dict[str, Done]:
    """Every drill that was done, by its name."""
    try:
        content = read_json(private_folder("course.json"))
        return {name: Done(**one) for name, one in content.items()}
    except (UserError, TypeError):  # nothing was done yet, or another version wrote it
        return {}


def note_done(name: str, done: Done) -> None:
    """Remember that a drill was done."""
    everything: Mapping[str, Any] = {other: asdict(one) for other, one in read_done().items()}
    write_json(private_folder("course.json"), {**everything, name: asdict(done)})


def now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
