"""Training throughput on a busy machine, compared with a fair share of the cores.

    python -m benchmarks.busy [--busy 0,2,4,8] [--rounds 3] [--seconds 4] [--settle 15] [--spin 10000,0] [--threads 0]

Each measurement trains the default recipe on random tokens in a process of its own, while `busy` other processes compute.
The fair share is what a scheduler owes `threads` of `threads + busy` equal threads: cores · threads / (threads + busy), as
a share of the cores. The table shows the median over rounds, which take turns. Before each measurement the load runs alone
for a while, because a stage looks at how busy the machine was when it starts.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator

from benchmarks.bench import TOP, machine, table
from pipeline.params.load import read_sections, with_knobs
from pipeline.params.machine import cores
from pipeline.params.parse import parse
from pipeline.params.schema import Params

SPIN = "while True: pass"


def measure(threads: int, seconds: float) -> float:
    """Tokens per second of the default recipe, in this process."""
    from pipeline.engine.loop import train_step
    from pipeline.engine.runtime.runtime import Runtime
    from pipeline.engine.setup import make_objective, untrained_state
    from pipeline.lab.stand_ins.dummy_task import BatchMaker, DummyTask
    from pipeline.tasks.base import Shape

    params = parse(Params, with_knobs(read_sections(TOP / "params.yaml"), {"runtime.threads": threads}))
    runtime = Runtime(params.runtime, params.train.precision)
    task = DummyTask(params, Shape(1024), make_objective(params.train, runtime, None), BatchMaker(params.seed, None))
    progress = untrained_state(params.seed, task, params.model, params.train, runtime)

    def steps() -> int:
        train_step(progress, task, params.train, params.seed, runtime, lambda: False)
        return progress.step

    for _ in range(3):  # kernels are chosen, memory is fetched, caches fill
        first = steps()
    start = time.perf_counter()
    while time.perf_counter() - start < seconds or progress.step - first < 5:
        steps()
    return (progress.step - first) * params.train.batch_size * params.model.context_length / (time.perf_counter() - start)


@contextlib.contextmanager
def beside(count: int) -> Iterator[None]:
    """A block during which `count` other processes compute; they end with it."""
    others = [subprocess.Popen([sys.executable, "-c", SPIN]) for _ in range(count)]
    try:
        yield
    finally:
        for other in others:
            other.kill()
            other.wait()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--busy", default="0,2,4,8", help="how many busy processes")
    parser.add_argument("--spin", default="", help="values of GOMP_SPINCOUNT to compare; without it: as the stages set it")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--settle", type=float, default=15.0, help="seconds before each measurement")
    parser.add_argument("--seconds", type=float, default=4.0, help="of each measurement")
    parser.add_argument("--threads", type=int, default=0, help="0 = as many as there are cores")
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.one:
        print(measure(asked.threads, asked.seconds))
        return
    counts, spins = [int(count) for count in asked.busy.split(",")], asked.spin.split(",")
    speeds: dict[tuple[str, int], list[float]] = {each: [] for each in itertools.product(spins, counts)}
    words = [
        sys.executable,
        "-c",
        "from pipeline.params.entry_point import entry_point; from benchmarks.busy import main; entry_point(main)()",
        "--one",
    ]
    words += ["--threads", str(asked.threads), "--seconds", str(asked.seconds)]
    for _, (spin, count) in itertools.product(range(asked.rounds), speeds):
        with beside(count):
            time.sleep(asked.settle)
            environment = {**os.environ, **({"GOMP_SPINCOUNT": spin} if spin else {})}
            done = subprocess.run(words, cwd=TOP, env=environment, capture_output=True, text=True, check=True)
        speeds[spin, count].append(float(done.stdout))
    threads = asked.threads or cores()
    rows: list[tuple[object, ...]] = []
    for (spin, count), found in speeds.items():
        middle, quiet = statistics.median(found), statistics.median(speeds[spin, counts[0]])
        share = min(1.0, threads / (threads + count))
        spread = f"{min(found):,.0f} … {max(found):,.0f}"
        rows.append((spin or "as set", count, f"{middle:,.0f}", spread, middle / quiet, share, middle / quiet / share))
    header = (
        "spin",
        "busy processes",
        "tokens/s, median",
        "range",
        "speed ÷ idle speed",
        "fair share",
        "speed ÷ fair share",
    )
    print(f"{machine()}; {threads} threads; {asked.rounds} rounds\n\n{table(header, rows)}")


if __name__ == "__main__":
    main()
