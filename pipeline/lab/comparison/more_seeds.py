"""The commands that queue what a comparison lacks: more seeds of a variant, or more values of a knob."""

from __future__ import annotations

import ast
import contextlib
import re
from collections.abc import Iterable, Mapping, Sequence
from shlex import quote

from pipeline.lab.comparison.comparable import WITHOUT_EFFECT, unfinished
from pipeline.lab.dvc.overrides import hydra_text
from pipeline.lab.experiments.records import SEEDS, Experiment, Group, Knob

QUEUE = "./run dvc exp run --queue"


def shared_knobs(experiments: Iterable[Experiment]) -> dict[str, Knob]:
    """The knobs that all of these share, by which a command need not name them; None for those in which they differ.

    A command that relied on params.yaml would queue another variant once an experiment or a checkout has changed that file.
    """
    all_knobs = [one.knobs for one in experiments]
    names = dict.fromkeys(name for knobs in all_knobs for name in knobs)
    first = all_knobs[0] if all_knobs else {}
    return {
        name: first[name] if all(name in knobs and knobs[name] == first.get(name) for knobs in all_knobs) else None
        for name in names
    }


def more_seeds(first: Group, second: Group, metric: str, needed: int, base: Mapping[str, Knob]) -> str:
    """A line for each of two variants that has, or awaits, fewer seeds than needed: it queues the others, common ones first.

    Args:
        base: knobs that need not be named (`shared_knobs`); a variant is given by those that differ from them.
    """
    lines = []
    for mine, other in ((first, second), (second, first)):
        there = {one.seed for one in mine.experiments}
        scored = mine.values(metric).keys()
        lacks = needed - len(scored) - unfinished(mine)
        theirs = sorted(other.values(metric).keys() - there)
        new = (seed for seed in range(1, needed + len(there) + 2) if seed not in there and seed not in theirs)
        seeds = [*theirs, *new][: max(0, lacks)]
        if seeds:
            lines.append(queue_line(mine, {"seed": sorted(seeds)}, base))
    return "\n".join(lines)


def queue_line(group: Group, values: Mapping[str, Sequence[Knob]], base: Mapping[str, Knob]) -> str:
    """The command that queues a variant with several values of some knobs."""
    own = {
        name: value
        for name, value in group.knobs.items()
        if name not in values and name not in SEEDS and base.get(name, value) != value and not name.startswith(WITHOUT_EFFECT)
    }
    words = [f"{name}={_text(value)}" for name, value in own.items()]
    words += [f"{name}={','.join(_text(value) for value in some)}" for name, some in values.items()]
    (knob, some), *_ = values.items()
    short = f"{knob.rpartition('.')[2]}{'s' * (knob in SEEDS and len(some) > 1)}"
    ends = "to".join(dict.fromkeys((_text(some[0]), _text(some[-1]))))  # DVC adds -1, -2, … to the name of each of several
    name = re.sub(r"[^A-Za-z0-9-]+", "-", f"{group.name}-{short}{ends}").strip("-")
    return " ".join([QUEUE, "-n", name, *(part for word in words for part in ("-S", quote(word)))])


def _text(value: Knob) -> str:
    """The value of a knob for -S; a list is kept as its text."""
    if value is None:
        return "null"
    if isinstance(value, str) and value.startswith("[") and value.endswith("]"):
        with contextlib.suppress(ValueError, SyntaxError):
            return hydra_text(ast.literal_eval(value))
    return hydra_text(value)
