"""How many tokens a second does training take in: the default recipe and nanoGPT's, in float32 and in bfloat16?

    python -m benchmarks.throughput [--rounds 5] [--steps 60] [--threads 0]

The four train in turn on generated text, so no network is needed; the median of the rounds is shown. "Same maths" is
nanoGPT's network and optimizer through our loop; the rest is what the default recipe's parts save or cost.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.bench import ANCHOR, SILENT, Lab, machine, table

GENERATED = {"prepare.dataset": "markov", "tokenize.kind": "char"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--threads", type=int, default=0, help="0 = as many as there are cores")
    asked = parser.parse_args()
    recipes: dict[str, dict[str, Any]] = {
        "nanogpt-cpu": ANCHOR,
        "default": {},
        "default, with nanogpt-cpu's batch": {"train.batch": 12, "model.length": 64},
    }
    with tempfile.TemporaryDirectory() as folder:
        common = SILENT | {"runtime.threads": asked.threads, "train.steps": asked.steps}
        data = Lab(Path(folder, "data"), common | GENERATED)
        data.run("prepare")
        data.run("tokenize")
        speeds: dict[tuple[str, str], list[float]] = {}
        for _ in range(asked.rounds):
            for name, knobs in recipes.items():
                for precision in ("float32", "bfloat16"):
                    lab = Lab(Path(folder, "lab"), {**knobs, **common, **GENERATED, "train.precision": precision}, data)
                    lab.run("train")
                    tokens = asked.steps * lab.params.train.batch * lab.params.model.length
                    speeds.setdefault((name, precision), []).append(tokens / lab.training_seconds())
    base = statistics.median(speeds["nanogpt-cpu", "float32"])
    rows: list[tuple[object, ...]] = []
    for (name, precision), found in speeds.items():
        middle = statistics.median(found)
        rows.append((name, precision, f"{middle:,.0f}", f"{min(found):,.0f} … {max(found):,.0f}", middle / base))
    header = ("recipe", "precision", "tokens/s, median", "range", "ratio to nanogpt-cpu in float32")
    print(
        f"{machine()}; {asked.threads or 'all'} threads; {asked.rounds} rounds of {asked.steps} steps\n\n{table(header, rows)}"
    )


if __name__ == "__main__":
    main()
