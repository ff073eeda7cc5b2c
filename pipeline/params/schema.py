"""The whole of params.yaml, and which knobs are for which kind of task."""

from __future__ import annotations

from typing import Any

from pydantic import model_validator

from pipeline.params.data import Prepare, Task, Tokenize
from pipeline.params.knobs import Section, Seed, format_value, problem
from pipeline.params.model import Model
from pipeline.params.names import DATASETS, names_in
from pipeline.params.stages import Evaluate, Plan, Plot, Probe, Runtime
from pipeline.params.training import Train

SHARDABLE = ("muon", "adamw", "adam", "sgd", "lion", "schedule_free")  # whose update needs the own rows, or gathers the matrix
LABELLED, TEXTS, IMAGES = ("classify", "vision"), ("language", "classify"), ("vision",)


# Knobs for some kinds of task only: (the value without effect, the kinds).
OF_KINDS: dict[str, tuple[Any, tuple[str, ...]]] = {
    "prepare.shuffled_pixels": (False, IMAGES),
    "prepare.dedup_threshold": (0, TEXTS),  # near-duplicate images always share a split
    "prepare.max_examples": (0, LABELLED),
    "prepare.label_noise": (0, LABELLED),
    "train.sampling": ("with_replacement", LABELLED),
    "train.windows": ("anywhere", ("language",)),
    "train.loss": ("cross_entropy", LABELLED),
    "train.class_weights": ("none", LABELLED),
    "train.init_from": ("data/none", TEXTS),
    "train.length_start": (1, TEXTS),
    "train.curriculum": ("none", TEXTS),
    "train.shift": (0, IMAGES),
    "train.flip": (False, IMAGES),
    "train.cutout": (0, IMAGES),
    "train.mixup": (0, IMAGES),
}


class Params(Section):
    """The whole of params.yaml. A stage loads all of it, so that all errors are reported at once, and uses its own sections."""

    seed: Seed
    task: Task
    prepare: Prepare
    tokenize: Tokenize
    model: Model
    train: Train
    evaluate: Evaluate
    probe: Probe
    plan: Plan
    plot: Plot
    runtime: Runtime

    @model_validator(mode="after")
    def data_is_of_the_kind(self) -> Params:
        known = names_in(f"corpus/sources/table.py:{DATASETS[self.task.kind]}")
        if self.prepare.dataset not in known:
            raise problem(
                "prepare.dataset",
                f"'{self.prepare.dataset}' is not a data set for task.kind '{self.task.kind}'. Known: {', '.join(known)}",
            )
        return self

    @model_validator(mode="after")
    def knobs_are_of_the_kind(self) -> Params:
        for name, (off, kinds) in OF_KINDS.items():
            section, knob = name.split(".")
            here = getattr(getattr(self, section), knob)
            if here != off and self.task.kind not in kinds:
                whose = f"is for task.kind {' or '.join(kinds)}, not {self.task.kind}"
                raise problem(name, f"{format_value(here)} {whose}; use {format_value(off)}")
        return self

    @model_validator(mode="after")
    def network_is_of_the_kind(self) -> Params:
        kind, model = self.task.kind, self.model
        sees_images = kind == "vision" and model.network in ("cnn", "mlp")
        if model.norm in names_in("networks/image_norms.py:IMAGE_NORMS") and not sees_images:
            raise problem(
                "model.norm",
                f"'{model.norm}' normalizes over positions; use it with task.kind vision and model.network cnn or mlp",
            )
        if model.norm == "batch":
            for knob, value, off in (
                ("train.accumulation_steps", self.train.accumulation_steps, 1),
                ("train.slots", self.train.slots, 1),
                ("runtime.micro_batch_tokens", self.runtime.micro_batch_tokens, 0),
                ("runtime.activation_checkpointing", self.runtime.activation_checkpointing, "none"),
            ):
                if value != off:
                    text = "model.norm 'batch' needs the whole batch in one forward pass; use"
                    raise problem(knob, f"{format_value(value)}: {text} {format_value(off)}")
        if kind == "vision" and model.network == "cnn" and model.pooling == "first":
            raise problem("model.pooling", "'first' is a class token, which a cnn does not have; use 'mean'")
        if kind != "language" and model.tie_embeddings:
            raise problem("model.tie_embeddings", "true is for task.kind language only, whose outputs are tokens; use false")
        if kind == "language" and model.causal is False:
            raise problem("model.causal", "false leaks the target to a language model; use auto or true")
        return self

    @model_validator(mode="after")
    def sections_fit(self) -> Params:
        processes, slots, tokens = self.runtime.processes, self.train.slots, self.runtime.micro_batch_tokens
        if self.runtime.shard:
            self._check_shard()
        if processes > slots:
            raise problem(
                "runtime.processes",
                f"{processes} is more than train.slots {slots}; use at most that, or train.slots {processes}"
                " (which makes it another run)",
            )
        if tokens and self.train.accumulation_steps > 1:
            raise problem(
                "runtime.micro_batch_tokens",
                f"{tokens} and train.accumulation_steps {self.train.accumulation_steps} both set the size of"
                " a micro-batch; use 0 here or 1 there",
            )
        if 0 < tokens < self.model.context_length:
            length = self.model.context_length
            raise problem(
                "runtime.micro_batch_tokens",
                f"{tokens} is less than one sequence; use model.context_length {length} or more",
            )
        return self

    def _check_shard(self) -> None:
        """Refuse what needs whole matrices, rounds by place, or gives slots of unequal size."""
        train = self.train
        grows = train.length_keeps == "tokens" and train.length_start < 1
        for knob, wrong, why in (
            ("optimizer", train.optimizer not in SHARDABLE, "needs whole matrices; use muon or adamw"),
            ("state_8bit", train.state_8bit, "rounds in blocks that other processes cut elsewhere; use false"),
            (
                "precision",
                train.precision == "float16",
                "scales its loss, which is not supported; use bfloat16 or float32",
            ),
            ("batch_start", train.batch_start < 1, "leaves slots of unequal size; use 1.0"),
            ("length_keeps", grows, "leaves slots of unequal size; use examples"),
        ):
            if wrong:
                raise problem(f"train.{knob}", f"{format_value(getattr(train, knob))} with runtime.shard: {why}")
