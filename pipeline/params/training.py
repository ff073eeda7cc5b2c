"""The section train of params.yaml."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from pipeline.params.knobs import Count, Folder, Section, problem
from pipeline.params.names import known_name


class Train(Section):
    init_from: Folder
    freeze: bool
    teacher: Folder
    distill_weight: Annotated[float, Field(ge=0, le=1)]
    distill_temperature: Annotated[float, Field(ge=0.1, le=100)]
    steps: Count
    batch_size: Annotated[int, Field(ge=1, le=65536)]
    sampling: Annotated[str, known_name("engine/sampler.py:SAMPLINGS")]
    windows: Literal["anywhere", "documents"]
    batch_start: Annotated[float, Field(gt=0, le=1)]
    batch_growth: Annotated[float, Field(gt=0, le=1)]
    accumulation_steps: Annotated[int, Field(ge=1)]
    length_start: Annotated[float, Field(gt=0, le=1)]
    length_growth: Annotated[float, Field(gt=0, le=1)]
    length_keeps: Literal["examples", "tokens"]
    curriculum: Annotated[str, known_name("engine/curricula.py:CURRICULA")]
    curriculum_start: Annotated[float, Field(gt=0, le=1)]
    curriculum_growth: Annotated[float, Field(gt=0, le=1)]
    ramp: Annotated[str, known_name("engine/curricula.py:RAMPS")]
    mixture_start: Annotated[float, Field(ge=0, le=1)]
    mixture_end: Annotated[float, Field(ge=0, le=1)]
    optimizer: Annotated[str, known_name("engine/optimizers/table.py:OPTIMIZERS")]
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
    schedule: Annotated[str, known_name("engine/schedules.py:SCHEDULES")]
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
    def parts_fit(self) -> Train:
        for knob in ("init_from", "teacher"):
            named = os.path.relpath(getattr(self, knob) or ".")
            copy_it = "Copy it first: cp -r models/trained models/teacher"
            if Path(named).is_relative_to("models/trained"):
                raise problem(knob, f"{named!r} is this stage's own output and is deleted when it starts. {copy_it}")
            if named == "models":
                raise problem(knob, f"'models' is the folder of all models; the last run's is models/trained. {copy_it}")
        if self.freeze and self.init_from == "data/none":
            raise problem("freeze", "true, and train.init_from names no folder whose weights could stay as they are")
        if self.sampling == "epochs" and self.batch_start < 1:
            raise problem("sampling", "'epochs' counts examples by steps of one size; it goes with batch_start 1.0 alone")
        if self.batch_size % self.accumulation_steps:
            raise problem("accumulation_steps", f"{self.accumulation_steps} does not divide batch_size {self.batch_size}")
        if self.warmup_ratio + self.cooldown_ratio > 1 and self.schedule == "trapezoid":
            raise problem(
                "cooldown_ratio",
                f"warmup_ratio {self.warmup_ratio} + cooldown_ratio {self.cooldown_ratio} is more than 1, the whole training",
            )
        if any(later <= earlier for earlier, later in zip(self.snapshots, self.snapshots[1:], strict=False)):
            raise problem("snapshots", f"{self.snapshots} does not grow from each to the next")
        return self

    @model_validator(mode="after")
    def schedule_has_what_it_needs(self) -> Train:
        if self.schedule == "one_cycle" and not 0 < self.warmup_ratio <= 0.5:
            raise problem(
                "warmup_ratio", f"{self.warmup_ratio} is not above 0 and up to 0.5; one_cycle falls for as long as it climbs"
            )
        if self.schedule == "inverse_sqrt" and not self.warmup_ratio:
            raise problem("warmup_ratio", "0.0 leaves inverse_sqrt nothing to measure by; it falls from the end of the warm-up")
        if self.schedule == "exponential" and self.warmup_ratio:
            raise problem(
                "warmup_ratio",
                f"{self.warmup_ratio} would climb before exponential does, which climbs from min_lr_ratio to lr itself",
            )
        if self.schedule == "exponential" and not self.min_lr_ratio:
            raise problem(
                "min_lr_ratio", "0.0 is no rate to climb from by factors; exponential wants a small share, such as 1e-4"
            )
        return self

    @model_validator(mode="after")
    def optimizer_has_what_it_needs(self) -> Train:
        if self.optimizer == "sgd" and self.nesterov and not self.momentum:
            raise problem("nesterov", "true looks ahead along the momentum, and momentum is 0")
        if self.optimizer == "schedule_free" and not self.beta1:
            raise problem("beta1", "0.0 takes gradients where the average has no part; schedule_free wants it above 0")
        if self.optimizer == "schedule_free" and self.ema:
            raise problem("ema", f"{self.ema} would average what schedule_free averages already; 0 would do")
        if self.optimizer == "adafactor" and self.state_8bit:
            raise problem("state_8bit", "true finds nothing to shorten in adafactor, which remembers a row and a column")
        return self
