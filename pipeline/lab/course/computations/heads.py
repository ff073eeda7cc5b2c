"""What attention heads look at, before and after a small training on real text."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipeline.lab.course.computations.base import Result, small
from pipeline.lab.dvc.base_params import BaseParams


def previous_token_heads(base: BaseParams, knobs: Mapping[str, Any], text: str) -> Result:
    """The head that attends most to the token just before, in a text, before and after a training on Python's manual."""
    from pipeline.artifacts.paths import tokenizer_of
    from pipeline.engine.runtime.runtime import Runtime
    from pipeline.figures import forms
    from pipeline.inference.trained import TrainedModel
    from pipeline.lab.doctor.cases import MANUAL, TASKS
    from pipeline.lab.doctor.run_case import write_manual
    from pipeline.lab.studies.runs.sweep import tokens_folder
    from pipeline.lab.training.run_one import SmallRun, run_one
    from pipeline.probes.attention.induction import previous_token
    from pipeline.probes.attention.maps import attention_maps
    from pipeline.readings import Axis, Reading
    from pipeline.tokenizers.table import load as load_tokenizer

    write_manual(Path(MANUAL))
    params = small(base, {**TASKS["manual"], **knobs})
    tokens = tokens_folder(params)
    shares, random, maps = dict[int, list[float]](), dict[int, list[float]](), list[Any]()
    heads, words = list[str](), list[str]()

    class AtTheEnds:
        """Reads the heads before the first step and after the last."""

        def __init__(self, run: SmallRun) -> None:
            self.run = run

        def on_step(self, progress: Any) -> None:
            if progress.step not in (0, params.train.steps):
                return
            tokenizer, plain = load_tokenizer(tokenizer_of(tokens)), Runtime(params.runtime)
            subject = TrainedModel(progress.model, self.run.task, tokenizer, plain, progress.step, params.probe.sequences, text)
            found, seen = previous_token(subject), attention_maps(subject)
            assert found and seen, "a language model with attention has both"
            random[progress.step] = [float(row[0]) for row in found.values]
            maps.append([one for layer in seen.values for one in layer])
            rows = range(1, len(seen.axes[-1].ticks))
            shares[progress.step] = [sum(float(one[row][row - 1]) for row in rows) / len(rows) for one in maps[-1]]
            words[:] = [str(word) for word in seen.axes[-1].ticks]
            heads[:] = [f"{layer}.{head}" for layer in seen.axes[0].ticks for head in seen.axes[1].ticks]

        def interrupted(self) -> bool:
            return False

    run_one(params, tokens, None, AtTheEnds)
    first, last = shares[0], shares[params.train.steps]
    drawn = Reading(
        "attention",
        "maps",
        "attention probability",
        "What each token (row) attends to (column), before training and after it.",
        (Axis("step", [0, params.train.steps]), Axis("head", heads), Axis("query", words), Axis("key", words)),
        maps,
        about="attention",
        span=(0, 1),
    )
    lines = ["Attention to the letter just before, mean over the letters"]
    lines += [f"{'layer.head':34}" + "  ".join(f"{head:>8}" for head in heads)]
    for where, found in (("in this text", shares), ("in random letters", random)):
        for step, row in found.items():
            lines.append(f"{where:20}step {step:<9}" + "  ".join(f"{share:8.2f}" for share in row))
    best = max(range(len(last)), key=last.__getitem__)
    return Result({"share": last[best], "before": max(first), "head": heads[best]}, lines, forms.draw(drawn))
