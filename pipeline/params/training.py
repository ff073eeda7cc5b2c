"""The section train of params.yaml."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from pipeline.params.knobs import Count, Folder, PowerOfTwo, Section, divisor, problem
from pipeline.params.names import KnownName


class Train(Section):
    init_from: Folder
    freeze: bool
    teacher: Folder
    distill_weight: Annotated[float, Field(ge=0, le=1)]
    distill_temperature: Annotated[float, Field(ge=0.1, le=100)]
    steps: Count
    batch_size: Annotated[int, Field(ge=1, le=65536)]
    sampling: Annotated[str, KnownName("engine/sampler.py:SAMPLINGS")]
    windows: Literal["anywhere", "documents"]
    batch_start: Annotated[float, Field(gt=0, le=1)]
    batch_growth: Annotated[float, Field(gt=0, le=1)]
    accumulation_steps: Annotated[int, Field(ge=1)]
    slots: PowerOfTwo
    length_start: Annotated[float, Field(gt=0, le=1)]
    length_growth: Annotated[float, Field(gt=0, le=1)]
    length_keeps: Literal["examples", "tokens"]
    curriculum: Annotated[str, KnownName("engine/curricula.py:CURRICULA")]
    curriculum_start: Annotated[float, Field(gt=0, le=1)]
    curriculum_growth: Annotated[float, Field(gt=0, le=1)]
    ramp: Annotated[str, KnownName("engine/curricula.py:RAMPS")]
    mixture_start: Annotated[float, Field(ge=0, le=1)]
    mixture_end: Annotated[float, Field(ge=0, le=1)]
    optimizer: Annotated[str, KnownName("engine/optimizers/table.py:OPTIMIZERS")]
    lr: Annotated[float, Field(ge=1e-8, le=100)]
    adamw_lr_ratio: Annotated[float, Field(ge=1e-4, le=1e4)]
    momentum: Annotated[float, Field(ge=0, lt=1)]
    nesterov: bool
    beta1: Annotated[float, Field(ge=0, lt=1)]
    beta2: Annotated[float, Field(ge=0, lt=1)]
    epsilon: Annotated[float, Field(gt=0, le=1)]
    precondition_frequency: Annotated[int, Field(ge=1, le=100_000)]
    weight_decay: Annotated[float, Field(ge=0, le=100)]
    state_8bit: bool
    ema: Annotated[float, Field(ge=0, lt=1)]
    grad_clip: Annotated[float, Field(ge=0)]
    stop_if_diverged: bool
    schedule: Annotated[str, KnownName("engine/schedules.py:SCHEDULES")]
    warmup_ratio: Annotated[float, Field(ge=0, le=1)]
    cooldown_ratio: Annotated[float, Field(ge=0, le=1)]
    min_lr_ratio: Annotated[float, Field(ge=0, le=1)]
    loss: Literal["cross_entropy", "mse"]
    class_weights: Literal["none", "balanced"]
    shift: Annotated[int, Field(ge=0, le=64)]
    flip: bool
    cutout: Annotated[int, Field(ge=0, le=64)]
    mixup: Annotated[float, Field(ge=0, le=10)]
    label_smoothing: Annotated[float, Field(ge=0, lt=1)]
    z_loss: Annotated[float, Field(ge=0)]
    precision: Literal["auto", "float32", "bfloat16", "float16"]
    snapshots: Annotated[list[Annotated[float, Field(ge=0, le=1)]], Field(min_length=1)]
    log_points: Annotated[int, Field(ge=1, le=100_000)]
    validation_points: Annotated[int, Field(ge=0, le=10_000)]
    validation_examples: Annotated[int, Field(ge=1)]

    @model_validator(mode="after")
    def sizes_fit(self) -> Train:
        for knob in ("init_from", "teacher"):
            named = os.path.relpath(getattr(self, knob) or ".")
            copy_it = (
                f"Copy the last run's model and name the copy: cp -r models/trained models/copy, then train.{knob}=models/copy"
            )
            if Path(named).is_relative_to("models/trained"):
                raise problem(knob, f"{named!r} is this stage's own output and is deleted when it starts. {copy_it}")
            if named == "models":
                raise problem(knob, f"'models' is the folder of all models; the last run's is models/trained. {copy_it}")
        if self.freeze and self.init_from == "data/none":
            raise problem("freeze", "true needs pretrained weights: set train.init_from")
        if self.sampling == "epochs" and self.batch_start < 1:
            raise problem("sampling", "'epochs' needs batches of one size; set train.batch_start to 1.0")
        if self.batch_size % self.accumulation_steps:
            near = divisor(self.batch_size, self.accumulation_steps)
            raise problem(
                "accumulation_steps", f"{self.accumulation_steps} does not divide batch_size {self.batch_size}; use {near}"
            )
        if self.batch_size % self.slots:
            fits = self.batch_size & -self.batch_size
            raise problem("slots", f"{self.slots} does not divide batch_size {self.batch_size}; use {fits} or less")
        if self.warmup_ratio + self.cooldown_ratio > 1 and self.schedule == "trapezoid":
            raise problem(
                "cooldown_ratio",
                f"{self.cooldown_ratio} and warmup_ratio {self.warmup_ratio} sum to more than 1, the whole training;"
                f" use at most {1 - self.warmup_ratio:g}",
            )
        if any(later <= earlier for earlier, later in zip(self.snapshots, self.snapshots[1:], strict=False)):
            raise problem("snapshots", f"{self.snapshots} is not increasing")
        return self

    @model_validator(mode="after")
    def schedule_has_what_it_needs(self) -> Train:
        if self.schedule == "one_cycle" and not 0 < self.warmup_ratio <= 0.5:
            raise problem(
                "warmup_ratio",
                f"{self.warmup_ratio} is not in 0 < warmup_ratio <= 0.5: one_cycle takes as long to decay as to warm up;"
                " use 0.3, for example",
            )
        if self.schedule == "inverse_sqrt" and not self.warmup_ratio:
            raise problem("warmup_ratio", "0.0 is too low: inverse_sqrt decays in units of its warm-up. Use more, such as 0.1")
        if self.schedule == "exponential" and self.warmup_ratio:
            raise problem(
                "warmup_ratio",
                f"{self.warmup_ratio} is not supported with exponential, which rises from min_lr_ratio itself; use 0",
            )
        if self.schedule == "exponential" and not self.min_lr_ratio:
            raise problem(
                "min_lr_ratio", "0.0 is too low: exponential multiplies its way up from it. Use a small share, such as 1e-4"
            )
        return self

    @model_validator(mode="after")
    def optimizer_has_what_it_needs(self) -> Train:
        if self.optimizer == "sgd" and self.nesterov and not self.momentum:
            raise problem("nesterov", "true needs momentum above 0; set train.momentum, such as 0.9")
        if self.optimizer == "schedule_free" and not self.beta1:
            raise problem("beta1", "0.0 is too low: schedule_free needs beta1 above 0, such as 0.9")
        if self.optimizer == "schedule_free" and self.ema:
            raise problem("ema", f"{self.ema} is not supported with schedule_free, which averages the weights itself; use 0")
        if self.optimizer == "adafactor" and self.state_8bit:
            raise problem("state_8bit", "true is not supported with adafactor, whose state is already factored; use false")
        return self
