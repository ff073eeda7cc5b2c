"""Training throughput on a busy machine, compared with a fair share of the cores and with another checkout.

    python -m benchmarks.busy [--busy 0,2,4,8] [--rounds 3] [--seconds 4] [--threads 0] [--at-once 1] [--late]
        [--against FOLDER] [--spin 10000,0]

Each measurement trains the default recipe on random tokens in a process of its own (`--at-once` of them), while `busy` other
processes compute: from the start, or with `--late` after the first steps. The fair share is what a scheduler owes `threads`
of all equal threads. The table shows the median over rounds, in which all rows take turns; `--against` measures the code of
another checkout too, and quiet rows are each code's own.
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
from pathlib import Path

from benchmarks.bench import TOP, machine, table
from pipeline.params.load import read_sections, with_knobs
from pipeline.params.machine import cores
from pipeline.params.parse import parse
from pipeline.params.schema import Params

SPIN = "import os\nparent = os.getppid()\nwhile os.getppid() == parent:\n    for _ in range(10**6): pass"  # ends with this one
ONE = "from runpy import run_path; from pipeline.params.entry_point import entry_point; entry_point(run_path({!r})['main'])()"
WARM = "warm"


def measure(threads: int, seconds: float) -> float:
    """Tokens per second of the default recipe, in this process, from a line on its standard input on."""
    from pipeline.engine.loop import train_step
    from pipeline.engine.runtime.runtime import Runtime
    from pipeline.engine.setup import make_objective, untrained_state
    from pipeline.lab.stand_ins.dummy_task import BatchMaker, DummyTask
    from pipeline.tasks.base import Shape

    params = parse(Params, with_knobs(read_sections(Path("params.yaml")), {"runtime.threads": threads}))
    runtime = Runtime(params.runtime, params.train.precision)
    task = DummyTask(params, Shape(1024), make_objective(params.train, runtime, None), BatchMaker(params.seed, None))
    progress = untrained_state(params.seed, task, params.model, params.train, runtime)

    def steps() -> int:
        train_step(progress, task, params.train, params.seed, runtime, lambda: False)
        return progress.step

    for _ in range(3):  # kernels are chosen, memory is fetched, caches fill
        first = steps()
    print(WARM, flush=True)
    sys.stdin.readline()
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


def measured(code: Path, spin: str, busy: int, asked: argparse.Namespace) -> float:
    """Tokens per second of one training, the mean of those at once.

    Args:
        code: the checkout that trains.
        spin: GOMP_SPINCOUNT; '' = as the stages set it.
    """
    words = [sys.executable, "-c", ONE.format(str(Path(__file__).resolve())), "--one"]
    words += ["--threads", str(asked.threads), "--seconds", str(asked.seconds)]
    environment = {**os.environ, "PYTHONPATH": str(code), **({"GOMP_SPINCOUNT": spin} if spin else {})}
    with contextlib.ExitStack() as load:
        if not asked.late:
            load.enter_context(beside(busy))
            time.sleep(asked.settle)
        runs = [
            subprocess.Popen(words, cwd=code, env=environment, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
            for _ in range(asked.at_once)
        ]
        for run in runs:
            assert run.stdout and run.stdout.readline().strip() == WARM, "a training has ended early"
        if asked.late:
            load.enter_context(beside(busy))
            time.sleep(2)
        for run in runs:
            assert run.stdin
            print(file=run.stdin, flush=True)
        return statistics.mean(float(run.communicate()[0]) for run in runs)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--busy", default="0,2,4,8", help="how many busy processes")
    parser.add_argument("--spin", default="", help="values of GOMP_SPINCOUNT to compare; without it: as the stages set it")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--settle", type=float, default=10.0, help="seconds of load before each measurement")
    parser.add_argument("--seconds", type=float, default=4.0, help="of each measurement")
    parser.add_argument("--threads", type=int, default=0, help="0 = as many as there are cores")
    parser.add_argument("--at-once", type=int, default=1, help="trainings side by side")
    parser.add_argument("--late", action="store_true", help="the load starts after the first steps")
    parser.add_argument("--against", type=Path, help="another checkout, measured in turns with this one")
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.one:
        print(measure(asked.threads, asked.seconds))
        return
    codes = {"this": TOP} | ({asked.against.name: asked.against.resolve()} if asked.against else {})
    counts, spins = [int(count) for count in asked.busy.split(",")], asked.spin.split(",")
    speeds: dict[tuple[str, str, int], list[float]] = {}
    for _, count, spin, code in itertools.product(range(asked.rounds), counts, spins, codes):
        found = measured(codes[code], spin, count, asked)
        speeds.setdefault((code, spin, count), []).append(found)
        print(f"{code}, spin {spin or 'as set'}, {count} busy: {found:,.0f} tokens/s", file=sys.stderr, flush=True)
    threads = asked.threads or cores()
    rows: list[tuple[object, ...]] = []
    for (code, spin, count), all_found in speeds.items():
        middle, quiet = statistics.median(all_found), statistics.median(speeds[code, spin, counts[0]])
        share = min(1.0, threads / (threads * asked.at_once + count)) / min(1.0, 1 / asked.at_once)
        spread = f"{min(all_found):,.0f} … {max(all_found):,.0f}"
        rows.append((code, spin or "as set", count, f"{middle:,.0f}", spread, middle / quiet, share, middle / quiet / share))
    header = ("code", "spin", "busy processes", "tokens/s, median", "range", "speed ÷ idle speed", "fair share")
    title = f"{machine()}; {asked.at_once} of {threads} threads at once; {asked.rounds} rounds"
    print(f"{title}\n\n{table((*header, 'speed ÷ fair share'), rows)}")


if __name__ == "__main__":
    main()
