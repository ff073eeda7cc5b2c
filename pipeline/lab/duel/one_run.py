"""One training of a duel, in a process of its own, with the code that PYTHONPATH names: reads what to do from standard input.

The process ends when the duel that began it is killed.
"""

from __future__ import annotations

import json
import math
import os
import sys
import threading
import time
from pathlib import Path
from typing import Any

from pipeline.artifacts.paths import meta_of
from pipeline.artifacts.reading import read_json
from pipeline.artifacts.writing import rounded
from pipeline.evaluation.baselines import predicted_bytes
from pipeline.identity import write_cached
from pipeline.lab.studies.grid import Variant
from pipeline.lab.studies.measures.record import validation_accuracy, validation_loss
from pipeline.lab.studies.runs.run_variant import run_variant
from pipeline.params.entry_point import entry_point
from pipeline.params.names import PIPELINE
from pipeline.params.parse import parse
from pipeline.params.schema import Params


def train(params: Params, tokens: Path) -> dict[str, Any]:
    """Train, and score on the validation split.

    Args:
        tokens: the folder of the encoded data.

    Returns:
        "scores": loss in nats per target, accuracy, of language models bits_per_byte; none where it diverged.
        "seconds": the time that it took.
        "future": the largest |gradient| of a prediction by later inputs; 0 where nothing is causal.
        "code": the code that trained it.
    """
    begun = time.perf_counter()
    record = run_variant(Variant((0,), params), tokens, ())
    seconds = time.perf_counter() - begun
    scores = {} if record.diverged else {"loss": validation_loss(record), "accuracy": validation_accuracy(record)}
    if scores and params.task.kind == "language":
        meta = read_json(meta_of(tokens))
        predicted = (meta["tokens"]["validation"] - 1) / predicted_bytes(meta, "validation")
        scores["bits_per_byte"] = rounded(scores["loss"] * predicted / math.log(2))
    future = record.numbers.get("future", 0.0)
    return {"scores": scores, "seconds": round(seconds, 2), "future": future, "code": str(PIPELINE)}


def end_with(parent: int) -> None:
    """End this process when its parent is gone: nobody would read its result, and it would take the time of the next duel."""
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)


@entry_point
def main() -> None:
    """Train what standard input says, and keep the result where it says."""
    request = json.load(sys.stdin)
    threading.Thread(target=end_with, args=(request["parent"],), daemon=True).start()
    result = train(parse(Params, request["params"]), Path(request["tokens"]))
    write_cached(Path(request["kept"]), result)


if __name__ == "__main__":
    main()
