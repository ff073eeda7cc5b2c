"""A study's grid: its axes and seeds, what is measured of each run, and the claims; read from studies/*.yaml and validated."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple

import numpy as np

from pipeline.lab.studies.benches.base import Bench
from pipeline.lab.studies.benches.table import BENCHES
from pipeline.lab.studies.claims.base import Claim
from pipeline.lab.studies.claims.results import Axis, Basis, Label, Results
from pipeline.lab.studies.claims.table import CLAIMS, RENAMED_ARGUMENTS
from pipeline.lab.studies.measures.metrics import MEASURES, RENAMED_MEASURES
from pipeline.lab.studies.measures.record import Record
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
        place: its cell of the grid and its seed, as indices.
        params: all parameters.
        fault: an entry of FAULTS or SANITY_FAULTS that is put into the training; "" = none.
        bench: the experiment that is run instead of a training, with its own knobs; None for a training.
    """

    place: tuple[int, ...]
    params: Params
    fault: str = ""
    bench: Bench | None = None


@dataclass(frozen=True)
class Sweep:
    """A grid, every cell of which is run once for each seed.

    Attributes:
        axes: the last one is the x axis of the plot, the one before it makes the lines, those before that the panels.
        knobs: for every axis, the knobs that each of its labels sets.
        measures: entries of MEASURES.
        claims: about them, each with its name.
        bench: an entry of BENCHES, where the runs are not trainings.
        shows: curves of the runs to draw: entries of SHOWABLE, or lines of the bench.
        draws: "seed": each seed draws its own data and split too; "one": all share those of prepare.seed.
        seen: the seeds whose results were seen when the bounds of the claims were chosen.
        added: the seeds of each further round, as they were asked for.
        fresh: the seeds are not those of the study; nobody had seen their results.
    """

    axes: tuple[Axis, ...]
    knobs: tuple[tuple[Knobs, ...], ...]
    seeds: tuple[int, ...]
    measures: tuple[str, ...]
    claims: tuple[tuple[str, Claim], ...]
    bench: str = ""
    shows: tuple[str, ...] = ()
    draws: str = "seed"
    seen: tuple[int, ...] = ()
    added: tuple[str, ...] = ()
    fresh: bool = False

    @property
    def basis(self) -> Basis:
        """What its seeds are worth as evidence."""
        known = {*self.seeds} & {*self.seen}
        standing: Literal["", "seen", "fresh"] = "fresh" if self.fresh or (self.seen and not known) else "seen" if known else ""
        draws: Literal["none", "one", "seed"] = "none" if self.bench else "one" if self.draws == "one" else "seed"
        return Basis(1 + len(self.added), draws, standing)

    @property
    def shape(self) -> tuple[int, ...]:
        return (*(len(axis.labels) for axis in self.axes), len(self.seeds))

    @property
    def network_metrics(self) -> tuple[str, ...]:
        """The metrics that need the network itself."""
        asked = [MEASURES[name] for name in (*self.measures, *self.shows) if name in MEASURES]
        needed = (name for measure in asked for name in (measure.network_metric, measure.also_needs))
        return tuple(dict.fromkeys(filter(None, needed)))

    def variants(self, base: Mapping[str, Any]) -> Iterator[Variant]:
        """Every run, with its parameters validated.

        Args:
            base: sections of parameters, which the grid overrides.

        Raises:
            ParamsError: with one line for each knob that cannot be used.
        """
        problems: dict[str, None] = {}
        variants = []
        for place in itertools.product(*map(range, self.shape)):
            chosen = (settings[at] for settings, at in zip(self.knobs, place[:-1], strict=True))
            try:
                knobs = {"seed": (seed := self.seeds[place[-1]])} | ({"prepare.seed": seed} if self.draws == "seed" else {})
                knobs |= {knob: value for settings in chosen for knob, value in settings.items()}
                variants.append(self.variant(place, with_knobs(base, knobs)))
            except ParamsError as error:
                problems |= dict.fromkeys(error.problems)
        if problems:
            raise ParamsError(*problems)
        return iter(variants)

    def variant(self, place: tuple[int, ...], sections: dict[str, Any]) -> Variant:
        """A run with these sections of parameters, validated.

        Raises:
            ParamsError: with one line for each knob that cannot be used.
        """
        own, fault = sections.pop("bench", {}), sections.pop("fault", "")
        if fault and fault not in (
            known := (*names_in("lab/faults/table.py:FAULTS"), *names_in("lab/faults/sanity_faults.py:SANITY_FAULTS"))
        ):
            raise ParamsError(f"fault: there is no '{fault}'. {suggest(str(fault), known)}")
        bench = parse(BENCHES[self.bench], own, ("bench",)) if self.bench else None
        kind = sections.get("task", {}).get("kind", "language")
        if "squared_error" in self.network_metrics and kind == "language":
            raise ParamsError("measure: squared_error is for classifiers only; use task.kind classify or vision")
        if kind != "language":
            if fault:
                raise ParamsError(f"fault: '{fault}' is for language models only; use task.kind language")
            for name in LANGUAGE_ONLY.intersection(self.network_metrics):
                raise ParamsError(f"measure: {name} is for language models only; use task.kind language")
        if "loss_beyond" in self.network_metrics and sections.get("model", {}).get("position") == "learned":
            raise ParamsError("model.position: learned ends at the context of the training, beyond which loss_beyond reads")
        if "fourier_share" in self.network_metrics and sections.get("prepare", {}).get("dataset") != "modular":
            raise ParamsError("measure: fourier_share is of numbers; use prepare.dataset modular")
        if own and not bench:
            raise ParamsError(
                *(f"bench.{knob}: these runs are trainings; name the bench, such as bench: signal" for knob in own)
            )
        return Variant(place, parse(Params, sections), fault, bench)


# --------------------------------------------------------------------------------------------------------------- reading

PARTS = ("vary", "seeds", "measure", "check")  # of every grid
DRAWS = ("seed", "one")

LANGUAGE_ONLY = frozenset({"exact_answers", "repeat_loss", "late_loss", "common_loss", "rare_loss", "loss_beyond"})
CURVES = ("train_loss", "validation_loss", "validation_accuracy")  # of every training
SHOWABLE = (*CURVES, *(name for name, measure in MEASURES.items() if measure.network_metric == name))


def read_sweep(parts: Mapping[str, Any]) -> Sweep:
    """The parts of an entry of studies/ that make it a grid.

    Raises:
        UserError: with one line for each part that cannot be used.
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
    draws, seen = parts.get("draws", "seed"), parts.get("seen", [])
    for part, numbers in (("seeds", seeds), ("seen", seen)):
        whole = isinstance(numbers, list) and all(type(seed) is int for seed in numbers) and len({*numbers}) == len(numbers)
        if not whole or (part == "seeds" and not numbers):
            problems.append(f"{part}: {numbers!r} is not a list of different whole numbers, such as [1, 2, 3]")
    if draws not in DRAWS:
        problems.append(f"draws: there is no '{draws}'. {suggest(str(draws), DRAWS)}")
    unknown = [measure for measure in measures or [""] if measure not in MEASURES]
    problems += [f"measure: {_no_measure(measure)}" for measure in unknown]
    if bench and bench not in BENCHES:
        problems.append(f"bench: there is no '{bench}'. {suggest(str(bench), tuple(BENCHES))}")
    showable = tuple(BENCHES[bench].lines) if bench in BENCHES else SHOWABLE
    problems += [f"shows: there is no '{name}'. {suggest(str(name), showable)}" for name in shows if name not in showable]
    if problems:
        raise UserError(*problems)
    axes = tuple(Axis(name, tuple(way)) for name, way in vary.items())
    knobs = tuple(tuple(way.values()) if isinstance(way, dict) else tuple({name: v} for v in way) for name, way in vary.items())
    sweep = Sweep(axes, knobs, tuple(seeds), tuple(measures), _claims(parts["check"]), bench, tuple(shows), draws, tuple(seen))
    if any("prepare.seed" in settings for choices in knobs for settings in choices):
        sweep = replace(sweep, draws="one")
    zeros = {name: Results(axes, np.zeros(sweep.shape)) for name in measures}
    for name, claim in sweep.claims:
        try:
            claim.decide(claim.select(claim.measure, zeros), zeros)  # whether it fits this grid
        except UserError as error:
            problems += [f"check: {name}: {problem}" for problem in error.problems]
            continue
        if claim.minimizes and MEASURES[measure := claim.measure or measures[0]].higher_is_better:
            problems.append(f"check: {name}: takes the lowest value for the best, but a higher {measure} is better")
    if problems:
        raise UserError(*problems)
    return sweep


def _no_measure(name: Any) -> str:
    if new := RENAMED_MEASURES.get(name):
        return f"{name} was renamed {new}"
    return f"there is no '{name}'. {suggest(str(name), tuple(MEASURES))}"


def _claims(entries: Any) -> tuple[tuple[str, Claim], ...]:
    if not (isinstance(entries, list) and entries and all(isinstance(entry, dict) and len(entry) == 1 for entry in entries)):
        raise UserError("check: holds no claims (- at_most: {value: 0.1})")
    claims = []
    for entry in entries:
        [(name, arguments)] = entry.items()
        if name not in CLAIMS:
            raise UserError(f"check: there is no '{name}'. {suggest(str(name), tuple(CLAIMS))}")
        if renamed := [old for old in RENAMED_ARGUMENTS if isinstance(arguments, dict) and old in arguments]:
            raise UserError(*(f"check.{name}.{old} was renamed check.{name}.{RENAMED_ARGUMENTS[old]}" for old in renamed))
        claims.append((name, parse(CLAIMS[name], arguments, ("check", name))))
    return tuple(claims)


def _listed(names: Any) -> list[Any]:
    return names if isinstance(names, list) else [names]


# --------------------------------------------------------------------------------------------------------------- results


def results(sweep: Sweep, records: Mapping[tuple[int, ...], Record]) -> dict[str, Results]:
    """Every measure of every run, in its cell."""
    found = {}
    for name in sweep.measures:
        values = np.empty(sweep.shape)
        for place, record in records.items():
            values[place] = MEASURES[name].compute(record)
        measure = MEASURES[name]
        sizes = [record.numbers.get(measure.sample, 0) for record in records.values()] if sweep.draws == "one" else [0]
        about = (measure.logarithmic, measure.quantity, measure.low, measure.high, int(min(sizes)), sweep.basis)
        found[name] = Results(sweep.axes, values, *about)
    return found


def axis_value_text(label: Label) -> str:
    """A label as people write it."""
    return f"{label:.4g}" if isinstance(label, float) else str(label)


def cell_titles(axes: Sequence[Axis], *, named: bool = False) -> list[str]:
    """A title for each combination of labels, in the order of the grid; if `named`, with the names of the axes."""
    words = ([f"{axis.name} {text}" if named else text for text in map(axis_value_text, axis.labels)] for axis in axes)
    return [", ".join(combination) for combination in itertools.product(*words)]
