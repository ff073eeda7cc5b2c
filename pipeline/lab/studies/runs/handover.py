"""A run of a grid as text, to be handed to another machine."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipeline.lab.studies.benches.table import BENCHES
from pipeline.lab.studies.grid import Variant
from pipeline.params.parse import parse
from pipeline.params.schema import Params

PROGRAM = "pipeline.lab.studies.runs.worker"


def task_of(variant: Variant, tokens: Path, metrics: tuple[str, ...], record: Path | None) -> dict[str, Any]:
    """The run as JSON. It takes one thread, where runtime.threads is 0: a machine runs several.

    Args:
        record: where it is kept, by its identity; None for a bench.
    """
    params, bench = variant.params.model_dump(mode="json"), variant.bench
    params["runtime"]["threads"] = params["runtime"]["threads"] or 1
    params["runtime"]["progress"] = "none"
    return {
        "params": params,
        "fault": variant.fault,
        "bench": [next(name for name, kind in BENCHES.items() if type(bench) is kind), bench.model_dump(mode="json")]
        if bench
        else None,
        "tokens": str(tokens.resolve()),
        "metrics": metrics,
        "identity": record.stem if record else "",
        "precision": precision_of(variant) if record else "",
    }


def variant_of(task: Mapping[str, Any]) -> Variant:
    """The run of a task.

    Raises:
        ParamsError: with one line for each knob that cannot be used.
    """
    bench = task["bench"]
    made = parse(BENCHES[bench[0]], bench[1], ("bench",)) if bench else None
    return Variant((), parse(Params, task["params"]), task["fault"], made)


def precision_of(variant: Variant) -> str:
    """The precision of a training on this machine."""
    if (named := variant.params.train.precision) != "auto":
        return named  # without torch, whose import takes more than a second
    from pipeline.engine.runtime.runtime import Runtime

    return Runtime(variant.params.runtime, variant.params.train.precision).precision
