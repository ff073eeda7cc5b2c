"""Runs on which the doctor was once judged from outside, and its diagnosis now: `rally doctor benchmark --reported`.

The list is of 2026-11-30, when the doctor found 9 of the 15 that did harm and named the right cause of 6. Signs and causes were
since made for those it had missed, so that what it says now is no test.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from rich.table import Table

from pipeline.doctor.case import Case
from pipeline.doctor.diagnose import diagnose
from pipeline.lab.doctor.cases import BenchmarkRun

ADAMW = {"train.optimizer": "adamw", "train.lr": 0.005}


@dataclass(frozen=True)
class Reported:
    """A run on the Python manual, with what would be right to say of it.

    Attributes:
        recipe: an entry of RECIPES.
        right: the causes of which one should be among the first two; empty where the run does no harm and is healthy.
        before: what was said on 2026-11-30, in a word.
        fault: an entry of FAULTS.
    """

    recipe: str
    right: tuple[str, ...]
    before: str
    knobs: Mapping[str, Any] = field(default_factory=dict)
    fault: str = ""

    def run(self) -> BenchmarkRun:
        return BenchmarkRun("manual", self.recipe, 1, self.fault, self.knobs)


def verdict(one: Reported, case: Case) -> tuple[str, str, str]:
    """(finding, first two causes, "right", "found", "silent" or "alarm")."""
    said = diagnose(case)
    named = said.causes[:2]
    if not one.right:
        return said.finding, ", ".join(named), "right" if said.finding == "healthy" else "alarm"
    judged = "silent" if said.finding == "healthy" else "right" if set(named) & set(one.right) else "found"
    return said.finding, ", ".join(named), judged


def table_of(cases: Mapping[str, Case]) -> Table:
    """A row for each run."""
    table = Table("run", "recipe", "loss", "before", "now: finding", "first two causes", "judged")
    for name, case in cases.items():
        one = REPORTED[name]
        loss = "" if case.final_loss is None else f"{case.final_loss:.3f}"
        table.add_row(name, one.recipe, loss, one.before, *verdict(one, case))
    return table


REPORTED: dict[str, Reported] = {
    "healthy, house": Reported("house", (), "healthy"),
    "healthy, gpt": Reported("gpt", (), "healthy"),
    "batch 1": Reported("house", ("batch too small",), "right", {"train.batch_size": 1}),
    "batch 1, rate x5": Reported(
        "house", ("learning rate too high", "batch too small"), "right", {"train.batch_size": 1, "train.lr": 0.1}
    ),
    "rate .3": Reported("house", ("learning rate too high",), "right", {"train.lr": 0.3}),
    "rate .1, AdamW": Reported("gpt", ("learning rate too high",), "right", {"train.lr": 0.1}),
    "Lion at AdamW's rate": Reported(
        "gpt", ("learning rate too high",), "right", {"train.optimizer": "lion", "train.lr": 0.005}
    ),
    "beta2 .5": Reported("gpt", ("squared gradients forgotten",), "found", {"train.beta2": 0.5}),
    "dropout .9": Reported("gpt", ("regularized to death",), "found", fault="dropout .9"),
    "smoothing .7": Reported("gpt", ("regularized to death",), "found", fault="smoothing .7"),
    "tokenizer of other text": Reported("house", ("tokenizer of another text",), "silent", fault="foreign tokenizer"),
    "warm-up to the end, house": Reported("house", ("ends before the warm-up",), "silent", fault="rises to the end"),
    "average of all weights": Reported("gpt", ("averages lag",), "silent", fault="ema .999"),
    "even attention": Reported("gpt", ("attention ignores content",), "silent", fault="even attention"),
    "width 8": Reported("gpt", ("too small to learn it",), "silent", fault="width 8"),
    "200 tokens held out": Reported("gpt", ("too little held-out text",), "silent", fault="200 held out"),
    "validation is training": Reported(
        "house", ("validation text in the training split",), "right", fault="validation is training"
    ),
    "tied weights": Reported("house", (), "right", {"model.tie_embeddings": True}),
    "one head": Reported("gpt", (), "right", {"model.heads": 1}),
    "no positions": Reported("gpt", (), "right", {"model.position": "none"}),
}
