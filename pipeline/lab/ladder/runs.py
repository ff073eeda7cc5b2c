"""The runs of a ladder: how many steps each budget pays for by rehearsal, what they cost, and their losses."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.artifacts.paths import meta_of
from pipeline.artifacts.reading import read_json
from pipeline.engine.runtime.runtime import Runtime
from pipeline.identity import digest, read_cached
from pipeline.lab.budget.fake_step import FakeStep, fake_step
from pipeline.lab.budget.timing import measure
from pipeline.lab.dvc.base_params import BaseParams
from pipeline.lab.fleet.fleet import Fleet
from pipeline.lab.ladder.ladders import Ladder, Rung
from pipeline.lab.scaling.points import Point
from pipeline.lab.studies.grid import Variant
from pipeline.lab.studies.measures.record import Record, validation_loss
from pipeline.lab.studies.runs.identity import SECTIONS
from pipeline.lab.studies.runs.sweep import Advance, make_data, record_path, run_all
from pipeline.params.errors import ParamsError, UserError
from pipeline.params.load import with_knobs
from pipeline.params.parse import parse
from pipeline.params.schema import Params
from pipeline.tasks.base import Shape

FEWEST_STEPS = 20  # of a run, below which its schedule is a staircase
READ_BY_ALL = ("embedding", "head")  # parts of the network that are left out of N without embeddings

COUNTS = ("all", "blocks")
"""What N counts: all parameters, or those without embeddings and head."""


@dataclass(frozen=True)
class Run:
    """A run of a ladder.

    Attributes:
        rung: its place in the ladder; -1 for the top.
        variant: what is trained.
        sizes: its parameters, by what is counted (see COUNTS).
        tokens: that it learns from.
        flops: of its training, by rehearsal, without validations.
        data: the folder of its tokens.
    """

    rung: int
    width: int
    variant: Variant
    sizes: Mapping[str, int]
    tokens: int
    flops: float
    data: Path

    @property
    def identity(self) -> str:
        """A digest of the knobs that decide its outcome; not of the code."""
        return digest(["ladder", self.variant.params.model_dump(include=SECTIONS, mode="json")])[:32]

    @property
    def record(self) -> Path:
        """Where its record is kept."""
        path = record_path(self.variant, self.data, ())
        assert path is not None
        return path

    @property
    def is_done(self) -> bool:
        return read_cached(self.record) is not None

    def point(self, loss: float, count: str) -> Point:
        return Point(float(self.sizes[count]), float(self.tokens), self.flops, loss)


def runs_of(ladder: Ladder, base: BaseParams) -> list[Run]:
    """All runs, with their parameters checked; the data are made on the way.

    Args:
        base: the base parameters, with the ladder's knobs and the user's.

    Raises:
        ParamsError: with one line for each knob that cannot be used.
        UserError: a budget pays for too few steps.
    """
    widths = sorted({width for rung in (*ladder.rungs, ladder.top) for width in rung.widths})
    by_width, problems = dict[int, Params](), dict[str, list[int]]()
    for width in widths:
        try:
            by_width[width] = parse(Params, with_knobs(base.sections, {"model.width": width, "train.steps": 2}))
        except ParamsError as error:
            for problem in error.problems:
                problems.setdefault(problem, []).append(width)
    if problems:
        some = ((said, "" if at == widths else f"at width {', '.join(map(str, at))}: ") for said, at in problems.items())
        raise ParamsError(*(f"{where}{said}" for said, where in some))
    [(_, data)] = make_data([Variant((0,), next(iter(by_width.values())))]).items()
    shape = Shape.of(read_json(meta_of(data)))
    steps = {width: _step(params, shape) for width, params in by_width.items()}
    runs, too_short = list[Run](), list[str]()
    for place, rung in (*enumerate(ladder.rungs), (-1, ladder.top)):
        for width in rung.widths:
            count = round(rung.flops / sum(steps[width].flops.values()))
            if count < FEWEST_STEPS:
                too_short.append(
                    f"width {width} at {rung.flops:.3g} FLOPs: is {count} steps; leave it out, or use a budget of "
                    f"{FEWEST_STEPS * sum(steps[width].flops.values()):.2g} FLOPs or more"
                )
            runs += _runs(ladder, base, rung, place, width, count, steps[width], data)
    if too_short:
        raise UserError(*too_short)
    return runs


def _runs(
    ladder: Ladder, base: BaseParams, rung: Rung, place: int, width: int, count: int, step: FakeStep, data: Path
) -> Iterator[Run]:
    sizes = {"all": sum(step.parameters.values())}
    sizes["blocks"] = sum(many for part, many in step.parameters.items() if part not in READ_BY_ALL)
    for seed in ladder.seeds[:1] if place < 0 else ladder.seeds:
        knobs = {"model.width": width, "train.steps": max(count, 1), "seed": seed}
        params = parse(Params, with_knobs(base.sections, knobs))
        where = (place % (len(ladder.rungs) + 1), rung.widths.index(width), seed)
        tokens = count * params.train.batch_size * params.model.context_length
        yield Run(place, width, Variant(where, params), sizes, tokens, count * float(sum(step.flops.values())), data)


def _step(params: Params, shape: Shape) -> FakeStep:
    runtime = Runtime(params.runtime, params.train.precision)
    return fake_step(params, shape, precision=runtime.precision, on_card=runtime.device.type == "cuda")


def seconds_of(runs: Sequence[Run]) -> float:
    """About how long the runs that are not done take on this machine, one after another: 20 steps of each width are timed."""
    todo = [run for run in runs if not run.is_done]
    times = dict[int, float]()
    for run in todo:
        if run.width not in times:
            shape = Shape.of(read_json(meta_of(run.data)))
            train = run.variant.params.train.model_copy(update={"validation_points": 0})
            times[run.width] = measure(run.variant.params.model_copy(update={"train": train}), shape).step
    return sum(times[run.width] * _steps_with_validation(run.variant.params) for run in todo)


def _steps_with_validation(params: Params) -> float:
    """Steps, and validations as steps: a forward pass is a third of one."""
    train = params.train
    return train.steps + train.validation_points * train.validation_examples / train.batch_size / 3


def train_all(runs: Sequence[Run], advance: Advance, fleet: Fleet | None = None) -> dict[int, float]:
    """The validation loss of each run, by its place in the list; inf where it diverged. Kept runs are not trained again.

    Args:
        fleet: the machines that train; None = this one.
    """
    places = {run.variant.place: at for at, run in enumerate(runs)}
    records: dict[tuple[int, ...], Record] = run_all([run.variant for run in runs], (), advance, fleet)
    return {places[place]: validation_loss(record) for place, record in records.items()}
