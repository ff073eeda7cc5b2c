"""Trainings of seconds, healthy or with a fault, and what each leaves for the doctor."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from pydoc_data.topics import topics
from typing import Any

import numpy as np
from torch import Tensor

from pipeline.artifacts import TOKENS, digest, identity, meta_of, private, read_json, sha256_of, tokenizer_of, write_json, write_text
from pipeline.corpus.tokenizers import load as load_tokenizer
from pipeline.engine.checkpoint import Progress
from pipeline.engine.loop import fit
from pipeline.engine.runtime import Runtime
from pipeline.engine.sanity import numbers_at_start
from pipeline.engine.start import begin
from pipeline.engine.strides import Strides
from pipeline.lab import faults
from pipeline.lab.faults import FAULTS, Training
from pipeline.lab.sweep import tokens_for
from pipeline.params import Params, parse, read_yaml, with_knobs
from pipeline.probes.base import Subject
from pipeline.probes.baselines import by_counting, entropy
from pipeline.probes.case import Case
from pipeline.probes.overlap import overlap
from pipeline.probes.table import readings_of
from pipeline.readings import Axis, Reading
from pipeline.tasks.lm import LanguageModelling

Knobs = Mapping[str, Any]

HEALTHY = ""  # in place of a fault's name


@dataclass(frozen=True)
class Patient:
    """One training of the trial: on which task, by which recipe, with which fault, if any.

    Attributes:
        turned: further knobs, of healthy variants.
    """

    task: str
    recipe: str
    seed: int
    fault: str = HEALTHY
    turned: Knobs = field(default_factory=dict)

    def params(self, standing: Mapping[str, Any]) -> Params:
        """All its knobs, over those of params.yaml."""
        healthy = parse(
            Params,
            with_knobs(standing, {**SMALL, **TASKS[self.task], **RECIPES[self.recipe], **self.turned, "seed": self.seed}),
        )
        return FAULTS[self.fault].turned(healthy) if self.fault else healthy


def patients(tasks: Mapping[str, Knobs], seeds: int, healthy: int) -> Iterator[Patient]:
    """Every fault on every task, once a seed, each seed by another recipe; and so many healthy ones of every kind.

    Args:
        healthy: of each task.
    """
    recipes = itertools.cycle(RECIPES)
    by_seed = [(seed, next(recipes)) for seed in range(1, seeds + 1)]
    for task in tasks:
        for fault, (seed, recipe) in itertools.product(FAULTS, by_seed):
            yield Patient(task, recipe, seed, fault)
        for number in range(healthy):
            variant = VARIANTS[number % len(VARIANTS)]
            recipe = list(RECIPES)[number % len(RECIPES)]
            yield Patient(task, recipe, 100 + number, turned=_scaled(variant, RECIPES[recipe]))


def _scaled(variant: Knobs, recipe: Knobs) -> dict[str, Any]:
    """The knobs of a variant; "rate" is a factor on the recipe's own."""
    turned = {name: value for name, value in variant.items() if name != "rate"}
    return turned | ({"train.lr": recipe["train.lr"] * variant["rate"]} if "rate" in variant else {})


# -------------------------------------------------------------------------------------------------------------- trainings


class Weights:
    """Told of a training at every step, it keeps the weights at its snapshots, and how far the step behind each moves them."""

    def __init__(self, params: Params) -> None:
        train = params.train
        self.due = {round(share * train.steps) for share in train.snapshots}
        self.strides = Strides(self.due, train.steps)
        self.kept: dict[int, dict[str, Tensor]] = {}

    def keep(self, progress: Progress) -> None:
        self.strides.keep(progress)
        if progress.step in self.due or progress.diverged:
            with progress.optimizer.reading():
                self.kept[progress.step] = {name: w.detach().clone() for name, w in progress.model.named_parameters()}

    def interrupted(self) -> bool:
        return False


def write_manual(folder: Path) -> None:
    """The reference of the Python language as text."""
    if not (file := folder / "manual.txt").exists():
        write_text(file, "\n".join(text for _, text in sorted(topics.items())))


def case_of(patient: Patient, standing: Mapping[str, Any]) -> Case:
    """What the patient leaves for the doctor: as it was kept, or from a training now."""
    params = patient.params(standing)
    if patient.task == "manual":
        write_manual(Path(MANUAL))
    tokens = tokens_for(params)
    kept = private("trial") / f"{_identity(params, patient.fault, tokens)}.json"
    if kept.exists():
        return _read(read_json(kept))
    case = _train(params, patient.fault, tokens)
    write_json(kept, asdict(case))
    return case


def _identity(params: Params, fault: str, tokens: Path) -> str:
    """Of all that the case hangs on: knobs, data, the code of training and probing, and that of the fault."""
    described = params.model_dump(include={"seed", "model", "train"})
    trained = identity("train", described, {str(TOKENS): tokens})
    stages = read_yaml(Path("dvc.yaml"))["stages"]
    code = sorted(dep for dep in stages["probe"]["deps"] if str(dep).startswith("pipeline"))
    probed = {dep: sha256_of(Path(dep)) for dep in [*code, "pipeline/probes/overlap.py"]}
    spoilt = [fault, sha256_of(Path(faults.__file__))] if fault else []
    return digest({"trained": trained, "probed": probed, "spoilt": spoilt})[:32]


def _train(params: Params, fault: str, tokens: Path) -> Case:
    runtime = Runtime(params.runtime, params.train.precision)
    vocabulary = read_json(meta_of(tokens), "vocabulary")["vocabulary"]
    progress, task = begin(params.seed, params.model, params.train, tokens, vocabulary, runtime)
    assert isinstance(task, LanguageModelling)
    if fault:
        FAULTS[fault].break_it(Training(params, progress, task))
    sanity = numbers_at_start(progress.model, task)
    keeper = Weights(params)
    fit(progress, task, params.train, params.seed, runtime, keeper)
    readings = readings_of(_subjects(params, progress, task, runtime, keeper, tokens))
    readings.pop("attention", None)
    return Case(
        train=_columns(progress.curve),
        validation=_columns(progress.validations),
        progress=_told(progress),
        sanity=sanity,
        levels=_levels(tokens) | {"overlap": overlap(task.ids("train"), task.ids("validation"))},
        readings=readings,
        knobs=params.model_dump(include={"model", "train"}),
    )


def _subjects(
    params: Params, progress: Progress, task: LanguageModelling, runtime: Runtime, keeper: Weights, tokens: Path
) -> Iterator[Subject]:
    """The network, with whatever was spoilt in it, at each of its snapshots."""
    own = dict(progress.model.named_parameters())
    tokenizer = load_tokenizer(tokenizer_of(tokens))
    plain = Runtime(params.runtime)  # probes look in float32
    for step, weights in sorted(keeper.kept.items()):
        for name, weight in own.items():
            weight.data.copy_(weights[name])
        updates = progress.updates.get(step, {})
        yield Subject(progress.model, task, tokenizer, plain, step, params.probe.sequences, params.probe.toy, updates=updates)


def _told(progress: Progress) -> dict[str, Any]:
    """As metrics/train.json has it."""
    stopped = {"stopped": progress.stopped} if progress.stopped else {}
    skipped = {"skipped_steps": progress.skipped} if progress.scaler.enabled else {}
    return {"step": progress.step, "diverged": progress.diverged, **stopped, **skipped}


def _columns(rows: list[dict[str, float]]) -> dict[str, list[float | None]]:
    return {name: [row[name] for row in rows] for name in (rows[0] if rows else ())}


def _levels(tokens: Path) -> dict[str, float]:
    """Nats a token of simpler predictors on the validation split, measured once for the same tokens."""
    kept = private("trial") / "levels" / f"{sha256_of(tokens)[:32]}.json"
    if not kept.exists():
        scores = [*by_counting(2, tokens), *entropy(tokens)]
        write_json(kept, {score.name: score.loss for score in scores if score.split == "validation"})
    return {name: float(loss) for name, loss in read_json(kept).items()}


def _read(content: dict[str, Any]) -> Case:
    readings = {
        name: Reading(**{**reading, "axes": tuple(Axis(**axis) for axis in reading["axes"])})
        for name, reading in content["readings"].items()
    }
    return Case(**{**content, "readings": readings})


# ------------------------------------------------------------------------------------------------------------ who comes in

MANUAL = ".rally/trial/manual"  # real text that every Python brings along: what help("lambda") and its like say

SMALL: Knobs = {
    "prepare.size": 200_000,
    "tokenize.kind": "char",
    "model.depth": 3,
    "model.width": 48,
    "model.heads": 4,
    "model.length": 48,
    "train.steps": 160,
    "train.batch": 16,
    "train.curve_points": 80,
    "train.validations": 10,
    "train.validation_examples": 64,
    "train.precision": "float32",
    "train.snapshots": [0.0, 0.05, 0.15, 0.4, 1.0],
    "probe.sequences": 16,
    "runtime.threads": 1,
    "runtime.progress": "none",
}

TASKS: dict[str, Knobs] = {
    "markov": {"prepare.dataset": "markov"},
    "addition": {"prepare.dataset": "addition"},
    "sums": {"prepare.dataset": "addition", "prepare.digits": 5, "prepare.fewest_digits": 2, "prepare.reversed": True},
    "zipf_bigram": {"prepare.dataset": "zipf_bigram", "prepare.symbols": 48},
    "dyck": {"prepare.dataset": "dyck", "prepare.bracket_kinds": 3},
    "manual": {"prepare.dataset": "file", "prepare.path": MANUAL, "prepare.pattern": "*.txt"},
}

FITTED_ON = ("markov", "addition", "sums")
HELD_OUT = tuple(task for task in TASKS if task not in FITTED_ON)

RECIPES: dict[str, Knobs] = {
    "house": {"train.lr": 0.02},  # as params.yaml has it: Muon, squared ReLU, no weights in norms, branches that start at 0
    "gpt": {
        "train.optimizer": "adamw",
        "train.lr": 0.005,
        "train.epsilon": 1e-8,
        "train.schedule": "cosine",
        "train.warmup": 0.1,
        "train.weight_decay": 0.1,
        "model.norm": "layer",
        "model.activation": "gelu",
        "model.position": "learned",
        "model.init": "gpt2",
        "model.bias": True,
        "model.expansion": 4.0,
    },
    "llama": {
        "train.optimizer": "adamw",
        "train.lr": 0.005,
        "train.epsilon": 1e-8,
        "train.schedule": "linear",
        "train.warmup": 0.05,
        "train.weight_decay": 0.1,
        "train.clip": 1.0,
        "model.norm": "rms",
        "model.activation": "swiglu",
        "model.init": "fan_in",
        "model.kv_heads": 2,
    },
}

VARIANTS: tuple[Knobs, ...] = (  # what healthy trainings differ in, beside seed, recipe and task
    {},
    {"rate": 0.4},
    {"rate": 2.5},
    {"model.depth": 6},
    {"model.depth": 2, "model.width": 96},
    {"model.norm": "rms", "model.activation": "relu"},
    {"model.position": "alibi", "model.activation": "silu"},
    {"train.batch": 32},
    {"model.dropout": 0.1},
    {"train.weight_decay": 0.0, "train.clip": 1.0},
)
