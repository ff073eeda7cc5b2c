"""Knobs whose best value moves when another one changes: tune them again."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence

from pipeline.lab.comparison.comparable import WITHOUT_EFFECT, minimizes
from pipeline.lab.comparison.comparison import Interaction
from pipeline.lab.experiments.records import Group, Knob
from pipeline.lab.statistics.differences import evidence
from pipeline.lab.statistics.intervals import ALPHA

STEP = 1  # of the grid: a best value that moves by no more is the same, as far as the grid can say
FEWEST_VALUES = 3  # of the tuned knob in a line

Line = Mapping[Knob, Group]  # value of the tuned knob -> variant


def interactions(groups: Sequence[Group], metric: str) -> list[Interaction]:
    """The pairs of knobs where the best value of one moves by more than STEP of its grid between values of the other.

    It must be more than noise: each of two best values must be better than the other one on its own line, beyond an interval
    that is corrected for the number of values it was chosen among.
    """
    rows = [group for group in groups if group.values(metric)]
    names = [name for name in (rows[0].knobs if rows else ()) if not name.startswith(WITHOUT_EFFECT)]
    varied = [name for name in names if len({repr(row.knobs.get(name)) for row in rows}) > 1]
    numbers = [name for name in varied if all(_is_number(row.knobs.get(name)) for row in rows)]
    found = []
    for tuned in numbers:
        for changed in (name for name in varied if name != tuned):
            one = next(
                filter(None, (_moved(lines, tuned, changed, metric) for lines in _lines(rows, tuned, changed, varied))), None
            )
            if one:
                found.append(one)
    return found


def _is_number(value: Knob) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _lines(rows: Sequence[Group], tuned: str, changed: str, varied: Sequence[str]) -> Iterator[dict[Knob, Line]]:
    """For each choice of the remaining knobs: value of the changed knob -> its line of values of the tuned one."""
    rest = [name for name in varied if name not in (tuned, changed)]
    settings: dict[str, dict[Knob, dict[Knob, Group]]] = {}
    for row in rows:
        key = repr([row.knobs.get(name) for name in rest])
        settings.setdefault(key, {}).setdefault(row.knobs[changed], {})[row.knobs[tuned]] = row
    for of_changed in settings.values():
        lines: dict[Knob, Line] = {value: line for value, line in of_changed.items() if len(line) >= FEWEST_VALUES}
        if len(lines) > 1:
            yield lines


def _moved(lines: Mapping[Knob, Line], tuned: str, changed: str, metric: str) -> Interaction | None:
    """The interaction, if the best values of two of these lines differ by more than a step, and by more than noise."""
    best = {value: _best(line, metric) for value, line in lines.items()}
    for one, other in itertools.combinations(lines, 2):
        grid = sorted(lines[one].keys() & lines[other].keys(), key=lambda value: float(value or 0))
        if best[one] not in grid or best[other] not in grid:
            continue
        if abs(grid.index(best[one]) - grid.index(best[other])) <= STEP:
            continue
        if _is_better(lines[one], best[one], best[other], metric) and _is_better(lines[other], best[other], best[one], metric):
            return Interaction(tuned, changed, best)
    return None


def _best(line: Line, metric: str) -> Knob:
    return (min if minimizes(metric) else max)(line, key=lambda value: float(line[value].array(metric).mean()))


def _is_better(line: Line, better: Knob, worse: Knob, metric: str) -> bool:
    """Whether the best value of a line is better than another one, by more than the noise of having been chosen as the best."""
    others = [group.values(metric) for value, group in line.items() if value not in (better, worse)]
    found = evidence(line[worse].values(metric), line[better].values(metric), others)
    return found is not None and found.p * (len(line) - 1) <= ALPHA
