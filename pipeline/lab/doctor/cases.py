"""The runs of the doctor's benchmark: trainings of seconds, healthy or with a fault, on generated tasks and on real text."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from pipeline.lab.faults.table import FAULTS
from pipeline.lab.faults.unseen import UNSEEN
from pipeline.params.load import with_knobs
from pipeline.params.parse import parse
from pipeline.params.schema import Params

Knobs = Mapping[str, Any]

HEALTHY = ""  # in place of a fault's name
KNOWN = FAULTS | UNSEEN


@dataclass(frozen=True, eq=False)
class BenchmarkRun:
    """One training of the benchmark: its task, its recipe, its seed, and its fault, if any.

    Attributes:
        overrides: further knobs, of healthy variants.
    """

    task: str
    recipe: str
    seed: int
    fault: str = HEALTHY
    overrides: Knobs = field(default_factory=dict)

    def params(self, base_params: Mapping[str, Any]) -> Params:
        """All its knobs: its own, over those of params.yaml."""
        own = {**SMALL, **TASKS[self.task], **RECIPES[self.recipe], **self.overrides, "seed": self.seed}
        healthy = parse(Params, with_knobs(base_params, own))
        return KNOWN[self.fault].overridden(healthy) if self.fault else healthy


def benchmark_runs(
    tasks: Iterable[str], seeds: int, healthy: int, faults: Iterable[str] = tuple(FAULTS)
) -> Iterator[BenchmarkRun]:
    """Every fault on every task, once for each seed, each seed with another recipe; and healthy runs of every task.

    Args:
        healthy: how many healthy runs each task has.
    """
    recipes = itertools.cycle(RECIPES)
    by_seed = [(seed, next(recipes)) for seed in range(1, seeds + 1)]
    for task in tasks:
        for fault, (seed, recipe) in itertools.product(faults, by_seed):
            yield BenchmarkRun(task, recipe, seed, fault)
        for number in range(healthy):
            variant = VARIANTS[number % len(VARIANTS)]
            recipe = list(RECIPES)[number % len(RECIPES)]
            yield BenchmarkRun(task, recipe, 100 + number, overrides=_scaled(variant, RECIPES[recipe]))


def _scaled(variant: Knobs, recipe: Knobs) -> dict[str, Any]:
    """The knobs of a variant; "rate" is a factor on the recipe's learning rate."""
    knobs = {name: value for name, value in variant.items() if name != "rate"}
    return knobs | ({"train.lr": recipe["train.lr"] * variant["rate"]} if "rate" in variant else {})


MANUAL = ".rally/trial/manual"  # real text that comes with every Python: the texts of help("lambda") and similar topics

SMALL = {
    "prepare.generated_chars": 200_000,
    "tokenize.kind": "char",
    "model.depth": 3,
    "model.width": 48,
    "model.heads": 4,
    "model.context_length": 48,
    "train.steps": 160,
    "train.batch_size": 16,
    "train.log_points": 80,
    "train.validation_points": 10,
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
    "sums": {"prepare.dataset": "addition", "prepare.digits": 5, "prepare.min_digits": 2, "prepare.reversed": True},
    "zipf_bigram": {"prepare.dataset": "zipf_bigram", "prepare.alphabet_size": 48},
    "dyck": {"prepare.dataset": "dyck", "prepare.bracket_kinds": 3},
    "manual": {"prepare.dataset": "file", "prepare.path": MANUAL, "prepare.pattern": "*.txt"},
}

FITTED_ON = ("markov", "addition", "sums")
HELD_OUT = tuple(task for task in TASKS if task not in FITTED_ON)

RECIPES: dict[str, Knobs] = {
    "house": {"train.lr": 0.02},  # that of params.yaml: Muon, squared ReLU, norms without weights, branches that start at 0
    "gpt": {
        "train.optimizer": "adamw",
        "train.lr": 0.003,  # at 0.005 some healthy runs on the manual jump, which hides their faults
        "train.epsilon": 1e-8,
        "train.schedule": "cosine",
        "train.warmup_ratio": 0.1,
        "train.weight_decay": 0.1,
        "model.norm": "layer",
        "model.activation": "gelu",
        "model.position": "learned",
        "model.init": "gpt2",
        "model.bias": True,
        "model.mlp_ratio": 4.0,
    },
    "llama": {
        "train.optimizer": "adamw",
        "train.lr": 0.005,
        "train.epsilon": 1e-8,
        "train.schedule": "linear",
        "train.warmup_ratio": 0.05,
        "train.weight_decay": 0.1,
        "train.grad_clip": 1.0,
        "model.norm": "rms",
        "model.activation": "swiglu",
        "model.init": "fan_in",
        "model.kv_heads": 2,
    },
}

VARIANTS: tuple[Knobs, ...] = (  # how healthy trainings differ, in addition to seed, recipe and task
    {},
    {"rate": 0.4},
    {"rate": 2.5},
    {"model.depth": 6},
    {"model.depth": 2, "model.width": 96},
    {"model.norm": "rms", "model.activation": "relu"},
    {"model.position": "alibi", "model.activation": "silu"},
    {"train.batch_size": 32},
    {"model.dropout": 0.1},
    {"train.weight_decay": 0.0, "train.grad_clip": 1.0},
)
