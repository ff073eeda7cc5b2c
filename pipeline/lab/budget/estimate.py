"""What a training takes, before it runs: parameters, FLOPs, memory, time; whether it fits, and what would make it fit."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import psutil
import torch

from pipeline.engine.curricula import settings_at
from pipeline.engine.runtime.runtime import Runtime
from pipeline.lab.budget.fake_step import Rehearsal, rehearse
from pipeline.lab.budget.fit import CARDS, Device, card, changes_to_fit, with_changes
from pipeline.lab.budget.timing import Pace, measure
from pipeline.lab.stand_ins.data_shape import Data
from pipeline.lab.stand_ins.dummy_task import BatchMaker, MadeUp
from pipeline.params.schema import Params
from pipeline.tasks.classify import padded_length
from pipeline.tasks.objective import Objective

ASSUMED_FLOPS = 9e12  # a second, of a 12 GB card in 16 bits; a guess, until one was measured
TOKENS_A_PARAMETER = 20  # Hoffmann et al., "Training Compute-Optimal Large Language Models", 2022


@dataclass(frozen=True)
class Verdict:
    """Whether a training fits on a device.

    Attributes:
        wants: bytes, with what is not tensors and a margin.
    """

    device: Device
    wants: int

    @property
    def fits(self) -> bool:
        return self.wants <= self.device.room


@dataclass(frozen=True)
class Budget:
    """All that `rally budget` says.

    Attributes:
        target: the device that `step` was rehearsed for and that `changes` are to make it fit on.
        step: one step on it.
        verdicts: the target first, then the usual cards.
        changes: knobs that would make it fit on the target, by name; empty where it fits, None where they are not enough.
        changed: a step with them.
        pace: measured here; None where it was not.
    """

    params: Params
    data: Data
    target: Device
    step: Rehearsal
    verdicts: list[Verdict]
    changes: Mapping[str, Any] | None
    changed: Rehearsal | None
    pace: Pace | None

    @property
    def parameters(self) -> int:
        return sum(self.step.parameters.values())

    @property
    def unit(self) -> str:
        """What is counted: the tokens of a text that goes on, the examples of what has a class."""
        return "example" if self.data.shape.classes else "token"

    @property
    def targets(self) -> int:
        """Of a full step."""
        return self.params.train.batch_size * (1 if self.data.shape.classes else self.params.model.context_length)

    @property
    def amount(self) -> int:
        """Tokens, or examples, learned from in the whole training."""
        return round(self.params.train.steps * self.targets * self.share.targets)

    @cached_property
    def share(self) -> Share:
        """What a step takes on average."""
        return mean_step(self.params, self.data)

    @property
    def flops_a_step(self) -> int:
        return sum(self.step.flops.values())

    @property
    def flops_a_target(self) -> float:
        return self.flops_a_step / self.targets

    @property
    def flops(self) -> float:
        """Of the whole training, its validations among it."""
        train, flops = self.params.train, self.step.flops
        learning = (flops["forward"] + flops["backward"]) * self.share.work + flops["update"]
        validating = train.validation_points * flops["forward"] * train.validation_examples / train.batch_size
        return train.steps * learning + validating

    @property
    def epochs(self) -> float | None:
        return self.amount / self.data.amount if self.data.amount else None

    def as_json(self) -> dict[str, Any]:
        """The numbers by name, units in the names."""
        train, pace, unit = self.params.train, self.pace, self.unit
        per_parameter = {} if self.data.shape.classes else {"tokens_per_parameter": self.amount / self.parameters}
        return {
            "parameters": self.parameters,
            "parameters_by_part": dict(self.step.parameters),
            **self.data.shape_as_json(),
            f"{unit}s": self.amount,
            **per_parameter,
            "epochs": self.epochs,
            f"flops_per_{unit}": self.flops_a_target,
            "flops_per_step": self.flops_a_step,
            "flops_of_step_by_phase": dict(self.step.flops),
            "flops": self.flops,
            "device": self.target.name,
            "precision": self.target.precision,
            "parameters_without_gradient": self.step.fixed,
            "bytes_at_peak": self.step.bytes,
            "bytes_at_peak_by_part": dict(self.step.peak),
            "bytes_kept_for_backward": self.step.kept,
            "bytes_of_optimizer": self.step.state,
            "fits": {verdict.device.name: verdict.fits for verdict in self.verdicts},
            "bytes_wanted": {verdict.device.name: verdict.wants for verdict in self.verdicts},
            "changes_to_fit": self.changes,
            "measured": asdict(pace) | {"seconds": pace.whole(train)} if pace else None,
            "seconds_at_assumed_speed": self.flops / ASSUMED_FLOPS,
        }


@dataclass(frozen=True)
class Share:
    """What a step takes on average over a training, as a share of the largest step.

    Attributes:
        targets: tokens, or examples with a class, that are learned from.
        work: places that the network looks at.
    """

    targets: float
    work: float


def mean_step(params: Params, data: Data) -> Share:
    """The mean over the training, in which batch and length may grow, and no batch of texts is longer than its longest."""
    train = params.train
    grows = train.batch_start < 1 or train.length_start < 1
    if not grows and data.sizes is None:
        return Share(1.0, 1.0)
    draw = BatchMaker(params.seed, data.sizes)
    task = MadeUp(params, data.shape, Objective(), draw)
    whole = padded_length(data.longest_read(task.length), task.length) if data.shape.classes else task.length
    targets, work = [], []
    for step in range(0, train.steps, max(train.steps // 1000, 1)):
        dials = settings_at(task, train, step)
        length = dials.length
        if data.sizes is not None:
            length = padded_length(int(draw.sizes(dials.batch, dials.length).max()), dials.length)
        targets.append(dials.batch * (1 if data.shape.classes else dials.length / task.length) / train.batch_size)
        work.append(dials.batch * length / (train.batch_size * whole))
    return Share(statistics.fmean(targets), statistics.fmean(work))


def draw_up(params: Params, data: Data, *, for_card: float | None = None, clock: bool = True) -> Budget:
    """The budget of a training.

    Args:
        for_card: GiB of the card that it is to fit on; by default the device of params.yaml.
        clock: measure some steps here, if they fit.
    """
    here = device_here(params)
    target = card(for_card, params.train.precision) if for_card else here
    step_of = rehearsals(data)
    verdicts = [_verdict(params, device, step_of) for device in _devices(target, here, params.train.precision)]

    def excess(changed: Params) -> int:
        return _verdict(changed, target, step_of).wants - target.room

    changes = {} if verdicts[0].fits else changes_to_fit(params, excess)
    fits_here = next(verdict.fits for verdict in verdicts if verdict.device == here)
    return Budget(
        params=params,
        data=data,
        target=target,
        step=step_of(params, target),
        verdicts=verdicts,
        changes=changes,
        changed=step_of(with_changes(params, changes), target) if changes else None,
        pace=measure(params, data.shape, data.sizes) if clock and fits_here else None,
    )


def _devices(target: Device, here: Device, precision: str) -> list[Device]:
    usual = [card(gib, precision) for gib in CARDS]
    return list(dict.fromkeys((target, here, *usual)))


def _verdict(params: Params, device: Device, step_of: Callable[[Params, Device], Rehearsal]) -> Verdict:
    step = step_of(params, device)
    return Verdict(device, device.wants(step.bytes, step.saved))


def rehearsals(data: Data) -> Callable[[Params, Device], Rehearsal]:
    """Steps by knobs and device, each rehearsed once."""
    done: dict[tuple[str, str, bool], Rehearsal] = {}

    def step_of(params: Params, device: Device) -> Rehearsal:
        precision = params.train.precision if params.train.precision != "auto" else device.precision
        key = (params.model_dump_json(), precision, device.on_card)
        if key not in done:
            done[key] = rehearse(params, data.shape, precision=precision, on_card=device.on_card, longest=data.longest)
        return done[key]

    return step_of


def device_here(params: Params) -> Device:
    """What the training would run on as params.yaml stands.

    Raises:
        UserError: it is not there.
    """
    runtime = Runtime(params.runtime, params.train.precision)
    if runtime.device.type == "cuda":
        name, room = torch.cuda.get_device_name(), torch.cuda.get_device_properties(runtime.device).total_memory
        return Device(name, room, True, runtime.precision)
    return Device("memory here, free now", free_memory(), False, runtime.precision)


def free_memory() -> int:
    """Bytes of this machine's memory that nobody uses, within what the container of this process may have."""
    free, limit = psutil.virtual_memory().available, Path("/sys/fs/cgroup/memory.max")
    if limit.exists() and (text := limit.read_text(encoding="utf-8").strip()).isdigit():
        used = Path("/sys/fs/cgroup/memory.current")
        free = min(free, int(text) - int(used.read_text(encoding="utf-8")))
    return free
