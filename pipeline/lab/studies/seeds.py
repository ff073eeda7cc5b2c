"""The seeds of a study: a further round of them, fresh ones, and the command that would decide what is undecided."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from pipeline.lab.studies.grid import Sweep
from pipeline.params.errors import UserError


def with_seeds(sweep: Sweep, added: Sequence[str] = (), *, fresh: bool = False) -> Sweep:
    """The grid with other seeds.

    Args:
        added: seeds of further rounds, such as "4-8" or "4,6", which are judged together with those before. Each round is one
            more look at the results, and its intervals are wider for that.
        fresh: as many seeds as the study has, of which none was seen when the bounds were chosen.

    Raises:
        UserError: a round is not a list of seeds, or one of them is there already.
    """
    if fresh:
        first = max(*sweep.seeds, *sweep.seen) + 1 if sweep.seen else max(sweep.seeds) + 1
        sweep = replace(sweep, seeds=tuple(range(first, first + len(sweep.seeds))), fresh=True)
    for text in added:
        numbers = seed_numbers(text)
        if twice := sorted({*numbers} & {*sweep.seeds}):
            raise UserError(
                f"--seeds {text}: the study has the seed {', '.join(map(str, twice))} already; use others, such as --seeds "
                f"{_range(max(sweep.seeds) + 1, len(numbers))}"
            )
        sweep = replace(sweep, seeds=(*sweep.seeds, *numbers), added=(*sweep.added, text))
    return sweep


def seed_numbers(text: str) -> tuple[int, ...]:
    """The seeds of `4-8` or `4,6,9-12`.

    Raises:
        UserError: it is not such a list.
    """
    found: list[int] = []
    for part in text.split(","):
        if not (match := re.fullmatch(r"\s*(\d+)(?:-(\d+))?\s*", part)):
            raise UserError(f"--seeds {text}: is not a list of seeds, such as 4-8 or 4,6")
        low, high = int(match[1]), int(match[2] or match[1])
        found += range(low, high + 1)
    if not found or len({*found}) < len(found):
        raise UserError(f"--seeds {text}: is not a list of different seeds, such as 4-8 or 4,6")
    return tuple(found)


def deciding_command(name: str, sweep: Sweep, needed: int) -> str:
    """The command that adds the seeds which would decide a claim."""
    words = ["rally play", name, *(["--fresh"] if sweep.fresh else []), *(f"--seeds {text}" for text in sweep.added)]
    more = max(needed - len(sweep.seeds), 1)
    return " ".join((*words, "--seeds", _range(max(*sweep.seeds, *(sweep.seen or sweep.seeds)) + 1, more)))


def _range(first: int, count: int) -> str:
    return f"{first}-{first + count - 1}" if count > 1 else str(first)
