"""What is tried? A study's grid of knobs and seeds, what it measures, and the claims that it is held against."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from pipeline.lab.studies.bench import BENCHES, Bench
from pipeline.lab.studies.claims.base import Check
from pipeline.lab.studies.claims.results import Axis, Label, Results
from pipeline.lab.studies.claims.table import CHECKS
from pipeline.lab.studies.metrics import MEASURES
from pipeline.lab.studies.record import Record
from pipeline.params.errors import ParamsError, UserError
from pipeline.params.load import with_knobs
from pipeline.params.names import names_in, suggest
from pipeline.params.parse import parse
from pipeline.params.schema import Params

Knobs = Mapping[str, Any]
"""section.knob -> value."""


class Variant(NamedTuple):
    """A run of a grid.

    Attributes:
        place: in the grid.
        params: all knobs.
        fault: an entry of FAULTS or SANITY_FAULTS that is put into the training; none where empty.
        bench: the experiment that is made instead of a training, with its own knobs; None for a training.
    """

    place: tuple[int, ...]
    params: Params
    fault: str = ""
    bench: Bench | None = None


@dataclass(frozen=True)
class Sweep:
    """A grid, every place of which is run once a seed.

    Attributes:
        axes: the last runs across the picture, the one before it makes its lines, those before that its panels.
        knobs: of every axis, the knobs that each of its labels stands for.
        measures: entries of MEASURES.
        checks: claims about them, by name.
        bench: an entry of BENCHES, where the runs are no trainings.
        shows: what of the runs is drawn as it went: an entry of FOLLOWED, or a line of the bench's.
    """

    axes: tuple[Axis, ...]
    knobs: tuple[tuple[Knobs, ...], ...]
    seeds: tuple[int, ...]
    measures: tuple[str, ...]
    checks: tuple[tuple[str, Check], ...]
    bench: str = ""
    shows: tuple[str, ...] = ()

    @property
    def shape(self) -> tuple[int, ...]:
        return (*(len(axis.labels) for axis in self.axes), len(self.seeds))

    @property
    def read(self) -> tuple[str, ...]:
        """What the network has to be looked at for."""
        wanted = (MEASURES[name].reads for name in (*self.measures, *self.shows) if name in MEASURES)
        return tuple(dict.fromkeys(filter(None, wanted)))

    def variants(self, standing: Mapping[str, Any]) -> Iterator[Variant]:
        """Every run, with all of its knobs checked.

        Raises:
            ParamsError: with one line for each knob that cannot be used.
        """
        problems: dict[str, None] = {}
        made = []
        for place in itertools.product(*map(range, self.shape)):
            chosen = (settings[at] for settings, at in zip(self.knobs, place[:-1], strict=True))
            try:
                knobs = {knob: value for settings in chosen for knob, value in settings.items()}
                made.append(self._variant(place, with_knobs(standing, knobs | {"seed": self.seeds[place[-1]]})))
            except ParamsError as error:
                problems |= dict.fromkeys(error.problems)
        if problems:
            raise ParamsError(*problems)
        return iter(made)

    def _variant(self, place: tuple[int, ...], sections: dict[str, Any]) -> Variant:
        own, fault = sections.pop("bench", {}), sections.pop("fault", "")
        if fault and fault not in (
            known := (*names_in("lab/faults/table.py:FAULTS"), *names_in("lab/faults/sanity_faults.py:SANITY_FAULTS"))
        ):
            raise ParamsError(f"fault: there is no '{fault}'. {suggest(str(fault), known)}")
        bench = parse(BENCHES[self.bench], own, ("bench",)) if self.bench else None
        if sections.get("task", {}).get("kind", "language") != "language":
            if fault:
                raise ParamsError(f"fault: '{fault}' is made in language models alone")
            for name in QUESTIONS.intersection(self.read):
                raise ParamsError(f"measure: {name} is asked of language models alone")
        if own and not bench:
            raise ParamsError(*(f"bench.{knob}: these runs are trainings; `bench` names another experiment" for knob in own))
        return Variant(place, parse(Params, sections), fault, bench)


# --------------------------------------------------------------------------------------------------------------- reading

PARTS = ("vary", "seeds", "measure", "check")  # of every sweep
MORE = ("bench", "shows")  # of some

QUESTIONS = frozenset({"exact_answers", "repeat_loss"})  # which a text alone can put
CURVES = ("train_loss", "validation_loss", "validation_accuracy")  # of every training
FOLLOWED = (*CURVES, *(name for name, measure in MEASURES.items() if measure.reads == name))


def read(parts: Mapping[str, Any]) -> Sweep:
    """The parts of an entry of studies/ that make it a sweep.

    Raises:
        UserError: with one line for each that cannot be used.
    """
    if missing := [part for part in PARTS if part not in parts]:
        raise UserError(*(f"{part}: is missing; a study that varies knobs has {', '.join(PARTS)}" for part in missing))
    vary, seeds, bench = parts["vary"], parts["seeds"], parts.get("bench", "")
    measures, shows = (_listed(parts.get(part, [])) for part in ("measure", "shows"))
    problems = []
    if not (isinstance(vary, dict) and vary and all(isinstance(way, list | dict) and way for way in vary.values())):
        problems.append("vary: holds no axes (knob: [value, value …], or name: {label: {knob: value}, …})")
    elif any(isinstance(way, dict) and not all(isinstance(knobs, dict) for knobs in way.values()) for way in vary.values()):
        problems.append("vary: a label holds no knobs (name: {label: {knob: value}, …})")
    if not (isinstance(seeds, list) and seeds and all(type(seed) is int for seed in seeds) and len({*seeds}) == len(seeds)):
        problems.append("seeds: are no list of different whole numbers")
    strange = [measure for measure in measures or [""] if measure not in MEASURES]
    problems += [f"measure: there is no '{measure}'. {suggest(str(measure), tuple(MEASURES))}" for measure in strange]
    if bench and bench not in BENCHES:
        problems.append(f"bench: there is no '{bench}'. {suggest(str(bench), tuple(BENCHES))}")
    shown = tuple(BENCHES[bench].lines) if bench in BENCHES else FOLLOWED
    problems += [f"shows: there is no '{name}'. {suggest(str(name), shown)}" for name in shows if name not in shown]
    if problems:
        raise UserError(*problems)
    axes = tuple(Axis(name, tuple(way)) for name, way in vary.items())
    knobs = tuple(tuple(way.values()) if isinstance(way, dict) else tuple({name: v} for v in way) for name, way in vary.items())
    sweep = Sweep(axes, knobs, tuple(seeds), tuple(measures), _checks(parts["check"]), bench, tuple(shows))
    nothing = {name: Results(axes, np.zeros(sweep.shape)) for name in measures}
    for name, check in sweep.checks:
        if check.seeks_least and MEASURES[measure := check.measure or measures[0]].rises:
            problems.append(f"check: {name}: takes the least for the best, and of {measure} it is the largest")
        try:
            check.judge(nothing)  # whether it can speak about this grid
        except UserError as refusal:
            problems += [f"check: {name}: {problem}" for problem in refusal.problems]
    if problems:
        raise UserError(*problems)
    return sweep


def _checks(claims: Any) -> tuple[tuple[str, Check], ...]:
    if not (isinstance(claims, list) and claims and all(isinstance(claim, dict) and len(claim) == 1 for claim in claims)):
        raise UserError("check: holds no claims (- name: {what it wants to know})")
    read = []
    for claim in claims:
        [(name, arguments)] = claim.items()
        if name not in CHECKS:
            raise UserError(f"check: there is no '{name}'. {suggest(str(name), tuple(CHECKS))}")
        read.append((name, parse(CHECKS[name], arguments, ("check", name))))
    return tuple(read)


def _listed(names: Any) -> list[Any]:
    return names if isinstance(names, list) else [names]


# --------------------------------------------------------------------------------------------------------------- results


def results(sweep: Sweep, records: Mapping[tuple[int, ...], Record]) -> dict[str, Results]:
    """Every measure of every run, in its place."""
    found = {}
    for name in sweep.measures:
        values = np.empty(sweep.shape)
        for place, record in records.items():
            values[place] = MEASURES[name].of(record)
        found[name] = Results(sweep.axes, values, MEASURES[name].logarithmic)
    return found


def label_text(label: Label) -> str:
    """A label as people write it."""
    return f"{label:.4g}" if isinstance(label, float) else str(label)


def titles(axes: Sequence[Axis], *, named: bool = False) -> list[str]:
    """What each combination of labels is called, in the order of the grid; on request with the names of the axes."""
    words = ([f"{axis.name} {text}" if named else text for text in map(label_text, axis.labels)] for axis in axes)
    return [", ".join(combination) for combination in itertools.product(*words)]
