"""The estimate of a training: parameters, FLOPs, memory, time; whether it fits, and changes that make it fit."""

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
from pipeline.lab.budget.fake_step import FakeStep, fake_step
from pipeline.lab.budget.fit import CARDS, Device, card, changes_to_fit, with_changes
from pipeline.lab.budget.timing import StepTime, measure
from pipeline.lab.scaling.own import advice_here
from pipeline.lab.stand_ins.data_shape import Data
from pipeline.lab.stand_ins.dummy_task import BatchMaker, DummyTask
from pipeline.params.schema import Params
from pipeline.tasks.classify import padded_length
from pipeline.tasks.objective import Objective

ASSUMED_FLOPS = 9e12  # per second, of a 12 GB card in 16 bits; a guess, not measured


@dataclass(frozen=True)
class Verdict:
    """Whether a training fits on a device.

    Attributes:
        needed: bytes, with a margin for what are not tensors.
    """

    device: Device
    needed: int

    @property
    def fits(self) -> bool:
        return self.needed <= self.device.memory


@dataclass(frozen=True)
class Budget:
    """The result of `rally budget`.

    Attributes:
        target: the device of `step`, on which `changes` make it fit.
        step: one training step on it.
        verdicts: the target first, then the usual cards.
        changes: knobs that make it fit on the target, by name; empty if it fits, None if no changes are enough.
        changed: a training step with them.
        timing: measured here; None if it was not.
    """

    params: Params
    data: Data
    target: Device
    step: FakeStep
    verdicts: list[Verdict]
    changes: Mapping[str, Any] | None
    changed: FakeStep | None
    timing: StepTime | None

    @property
    def parameters(self) -> int:
        return sum(self.step.parameters.values())

    @property
    def unit(self) -> str:
        """The unit of the amounts: tokens of a language model, examples of a classifier."""
        return "example" if self.data.shape.classes else "token"

    @property
    def targets(self) -> int:
        """Units learned from in a step of full size."""
        return self.params.train.batch_size * (1 if self.data.shape.classes else self.params.model.context_length)

    @property
    def amount(self) -> int:
        """Tokens or examples learned from in the whole training."""
        return round(self.params.train.steps * self.targets * self.mean_step.targets)

    @cached_property
    def mean_step(self) -> MeanStep:
        """The average step, as a share of the largest."""
        return mean_step(self.params, self.data)

    @property
    def flops_per_step(self) -> int:
        return sum(self.step.flops.values())

    @property
    def flops_per_target(self) -> float:
        return self.flops_per_step / self.targets

    @property
    def flops(self) -> float:
        """Of the whole training with its validations."""
        train, flops = self.params.train, self.step.flops
        learning = (flops["forward"] + flops["backward"]) * self.mean_step.work + flops["update"]
        validating = train.validation_points * flops["forward"] * train.validation_examples / train.batch_size
        return train.steps * learning + validating

    @property
    def epochs(self) -> float | None:
        return self.amount / self.data.amount if self.data.amount else None

    def _tokens_per_parameter(self) -> dict[str, Any]:
        """Of this training, and what fits advise for its FLOPs."""
        found, who = advice_here(self.params, self.flops)
        advised = {"by": who, "median": found.tokens_per_parameter, "interval_80": [found.low, found.high]}
        return {"tokens_per_parameter": self.amount / self.parameters, "tokens_per_parameter_advised": advised}

    def as_json(self) -> dict[str, Any]:
        """The numbers by name, units in the names."""
        train, timing, unit = self.params.train, self.timing, self.unit
        per_parameter = {} if self.data.shape.classes else self._tokens_per_parameter()
        return {
            "parameters": self.parameters,
            "parameters_by_part": dict(self.step.parameters),
            **self.data.shape_as_json(),
            f"{unit}s": self.amount,
            **per_parameter,
            "epochs": self.epochs,
            f"flops_per_{unit}": self.flops_per_target,
            "flops_per_step": self.flops_per_step,
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
            "bytes_wanted": {verdict.device.name: verdict.needed for verdict in self.verdicts},
            "changes_to_fit": self.changes,
            "measured": asdict(timing) | {"seconds": timing.total(train)} if timing else None,
            "seconds_at_assumed_speed": self.flops / ASSUMED_FLOPS,
        }


@dataclass(frozen=True)
class MeanStep:
    """The average step of a training, as a share of the largest step.

    Attributes:
        targets: tokens or examples learned from.
        work: positions that the network computes, padding included.
    """

    targets: float
    work: float


def mean_step(params: Params, data: Data) -> MeanStep:
    """The mean over the training: batch size and length may grow, and a batch of texts is as long as its longest."""
    train = params.train
    grows = train.batch_start < 1 or train.length_start < 1
    if not grows and data.sizes is None:
        return MeanStep(1.0, 1.0)
    draw = BatchMaker(params.seed, data.sizes)
    task = DummyTask(params, data.shape, Objective(), draw)
    whole = padded_length(data.longest_read(task.length), task.length) if data.shape.classes else task.length
    targets, work = [], []
    for step in range(0, train.steps, max(train.steps // 1000, 1)):
        settings = settings_at(task, train, step)
        length = settings.length
        if data.sizes is not None:
            length = padded_length(int(draw.sizes(settings.batch, settings.length).max()), settings.length)
        targets.append(settings.batch * (1 if data.shape.classes else settings.length / task.length) / train.batch_size)
        work.append(settings.batch * length / (train.batch_size * whole))
    return MeanStep(statistics.fmean(targets), statistics.fmean(work))


def estimate(params: Params, data: Data, *, for_card: float | None = None, clock: bool = True) -> Budget:
    """The budget of a training.

    Args:
        for_card: memory in GiB of the card to fit on; by default the device of params.yaml.
        clock: time some steps here, if they fit.
    """
    here = this_device(params)
    target = card(for_card, params.train.precision) if for_card else here
    step_of = cached_fake_steps(data)
    verdicts = [_verdict(params, device, step_of) for device in _devices(target, here, params.train.precision)]

    def excess(changed: Params) -> int:
        return _verdict(changed, target, step_of).needed - target.memory

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
        timing=measure(params, data.shape, data.sizes) if clock and fits_here else None,
    )


def _devices(target: Device, here: Device, precision: str) -> list[Device]:
    usual = [card(gib, precision) for gib in CARDS]
    return list(dict.fromkeys((target, here, *usual)))


def _verdict(params: Params, device: Device, step_of: Callable[[Params, Device], FakeStep]) -> Verdict:
    step = step_of(params, device)
    return Verdict(device, device.needed(step.bytes, step.saved))


def cached_fake_steps(data: Data) -> Callable[[Params, Device], FakeStep]:
    """A function from knobs and device to a fake step, which is computed once for each."""
    done: dict[tuple[str, str, bool], FakeStep] = {}

    def step_of(params: Params, device: Device) -> FakeStep:
        precision = params.train.precision if params.train.precision != "auto" else device.precision
        key = (params.model_dump_json(), precision, device.on_card)
        if key not in done:
            done[key] = fake_step(params, data.shape, precision=precision, on_card=device.on_card, longest=data.longest)
        return done[key]

    return step_of


def this_device(params: Params) -> Device:
    """The device of params.yaml.

    Raises:
        UserError: it does not exist here.
    """
    runtime = Runtime(params.runtime, params.train.precision)
    if runtime.device.type == "cuda":
        name, memory = torch.cuda.get_device_name(), torch.cuda.get_device_properties(runtime.device).total_memory
        return Device(name, memory, True, runtime.precision)
    return Device("memory here, free now", free_memory(), False, runtime.precision)


def free_memory() -> int:
    """Bytes of free memory of this machine, within the limit of the container."""
    free, limit = psutil.virtual_memory().available, Path("/sys/fs/cgroup/memory.max")
    if limit.exists() and (text := limit.read_text(encoding="utf-8").strip()).isdigit():
        used = Path("/sys/fs/cgroup/memory.current")
        free = min(free, int(text) - int(used.read_text(encoding="utf-8")))
    return free
