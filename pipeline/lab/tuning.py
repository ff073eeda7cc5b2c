"""What is fastest here? Threads, precision and the kernel of attention, measured by steps of the very training, in turns."""

from __future__ import annotations

import itertools
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.progress import BarColumn, TextColumn
from rich.progress import Progress as Bar
from rich.table import Table

from pipeline.artifacts import SPLITS, TOKENS, meta_of, parts_of, read_json, tokens_of
from pipeline.corpus.parts import PART
from pipeline.engine.checkpoint import Progress
from pipeline.engine.loop import update
from pipeline.engine.runtime import Runtime
from pipeline.engine.start import begin
from pipeline.engine.tuned import Tuned, keep
from pipeline.networks.attention import Kernel, use_kernel
from pipeline.params import Params, Refusal, cores
from pipeline.tasks.base import Task

SECONDS = 40.0  # of all measurements together, as long as every setting had its two turns
ROUNDS = 12  # turns of a setting at most
HOPELESS = 1.5  # times the least seconds a step: a setting that is so slow gets no further turn
WORTH = 1.03  # times the speed: less is no reason to leave what `auto` meant


@dataclass
class Setting:
    """A way to run, and the seconds that a step took in each of its turns."""

    precision: str
    threads: int
    attention: Kernel
    steps: list[float] = field(default_factory=list)

    @property
    def middle(self) -> float:
        return statistics.median(self.steps)


def play(params: Params, seconds: float = SECONDS) -> None:
    """Measure for so long, show the table, and keep what was found for the `auto` settings of every params.yaml."""
    with Bar(TextColumn("measuring"), BarColumn(), console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=1.0)
        settings, default, found = tune(params, seconds, lambda share: bar.update(task, completed=share))
    console = Console()
    console.print(table(params, settings, default))
    keep(found, found.device)
    console.print(
        f"From now on `auto` means here: {said(found.precision, found.threads, found.attention)}. Runs in another precision are"
        " other runs: compare what is trained from now on with each other. `rally tune-device --forget` undoes it.",
        highlight=False,
        markup=False,
        soft_wrap=True,
    )


def forget(params: Params) -> None:
    """Let `auto` mean again what it means where nothing was measured."""
    device = Runtime(params.runtime).device.type
    keep(None, device)
    usual = left_to_auto(params)
    print(f"`auto` means again what is fast as a rule: {said(*before(Runtime(usual.runtime, usual.train.precision)))}")


def said(precision: str, threads: int, kernel: str) -> str:
    """A way to run, in words."""
    return f"{precision}, {threads} thread{'s' if threads > 1 else ''}, attention {kernel}"


def tune(params: Params, seconds: float, advance: Callable[[float], None]) -> tuple[list[Setting], Setting, Tuned]:
    """(every setting with its measurements, the one that `auto` meant, what it shall mean).

    Args:
        advance: called with the share of the time that is over.

    Raises:
        Refusal: the device is not there, or has not enough memory.
    """
    params = left_to_auto(params)
    usual = Runtime(params.runtime, params.train.precision)
    settings = list(candidates(usual))
    default = next(s for s in settings if (s.precision, s.threads, s.attention) == before(usual))
    with usual.enough_memory():
        measure(params, settings, seconds, advance)
    best = choice(settings, default)
    shape = f"width {params.model.width}, depth {params.model.depth}, {params.train.batch} sequences of {params.model.length}"
    return settings, default, Tuned(usual.device.type, best.precision, best.threads, best.attention, shape)


def choice(settings: Sequence[Setting], default: Setting) -> Setting:
    """The fastest, if it is so by more than noise."""
    fastest = min(settings, key=lambda setting: setting.middle)
    return fastest if default.middle > WORTH * fastest.middle else default


def before(runtime: Runtime) -> tuple[str, int, Kernel]:
    """What `auto` means now."""
    written = runtime.precision == "bfloat16" and runtime.device.type == "cpu"
    kernel: Kernel = runtime.attention if runtime.attention != "auto" else "written" if written else "library"
    return runtime.precision, torch.get_num_threads(), kernel


def left_to_auto(params: Params) -> Params:
    """The same training with nothing fixed of what is measured: what holds for a machine must not hang on one params.yaml."""
    runtime = params.runtime.model_copy(update={"threads": 0, "attention": "auto"})
    return params.model_copy(update={"runtime": runtime, "train": params.train.model_copy(update={"precision": "auto"})})


def candidates(usual: Runtime) -> Iterator[Setting]:
    """Every setting that a device can take."""
    threads = torch.get_num_threads()
    precisions = {"cpu": ["float32", "bfloat16"], "cuda": ["float32", "bfloat16", "float16"]}.get(
        usual.device.type, ["float32"]
    )
    if usual.device.type == "cuda" and not torch.cuda.is_bf16_supported(including_emulation=False):
        precisions.remove("bfloat16")
    counts = {threads}
    if usual.device.type == "cpu":
        counts |= {cores(), *(2**power for power in range(10) if 2**power <= cores())}
    kernels: list[Kernel] = ["library", "written"]
    for one in itertools.product(precisions, sorted(counts), kernels):
        yield Setting(*one)


def measure(params: Params, settings: Sequence[Setting], seconds: float, advance: Callable[[float], None]) -> None:
    """Give every setting its turns, each followed by the next one's, so that whatever else the machine does hits all alike."""
    with tempfile.TemporaryDirectory() as folder:
        vocabulary = leave_random_ids(params, Path(folder))
        usual = Runtime(params.runtime, params.train.precision)
        progress, task = begin(params.seed, params.model, params.train, Path(folder), vocabulary, usual)
        start, hopeful, turn_seconds = time.perf_counter(), list(settings), seconds / ROUNDS / len(settings)
        for turn in range(ROUNDS):
            for setting in hopeful:
                setting.steps.append(_seconds_a_step(params, setting, turn_seconds, progress, task))
            over = (time.perf_counter() - start) / seconds
            advance(min(1.0, over))
            if over > 1 and turn:
                return
            least = min(setting.middle for setting in hopeful)
            if turn:  # one turn may have been another program's
                hopeful = [setting for setting in hopeful if setting.middle <= HOPELESS * least]


def _seconds_a_step(params: Params, setting: Setting, seconds: float, progress: Progress, task: Task) -> float:
    """The median over one turn, after a step in which threads start and memory is fetched."""
    runtime = Runtime(params.runtime.model_copy(update={"threads": setting.threads}), setting.precision)
    use_kernel(progress.model, setting.attention)
    progress.scaler = runtime.scaler()
    times: list[float] = []
    start = time.perf_counter()
    while len(times) < 2 or time.perf_counter() - start < seconds:
        began = time.perf_counter()
        progress.step = params.train.steps - 1  # where all that grows is grown
        update(progress, task, params.train, params.seed, runtime, lambda: False)
        float(progress.recent.pop()[0])  # which waits for the device
        times.append(time.perf_counter() - began)
    return statistics.median(times[1:])


def leave_random_ids(params: Params, folder: Path) -> int:
    """Tokens without meaning, on which a step is the same work; how many different ones there are."""
    kind = params.tokenize.kind
    try:
        vocabulary = int(read_json(meta_of(TOKENS), "vocabulary")["vocabulary"])
    except Refusal:  # nothing has been tokenized yet
        vocabulary = {"byte": 256, "char": 100}.get(kind, params.tokenize.vocabulary)
    ids = np.random.default_rng(params.seed).integers(vocabulary, size=16 * params.model.length + 1)
    for split in SPLITS:
        np.save(tokens_of(folder, split), ids.astype(np.uint32))
    np.save(parts_of(folder), np.array([(len(ids), 0.0, 0)], PART))
    return vocabulary


def table(params: Params, settings: Sequence[Setting], default: Setting) -> Table:
    """Tokens a second of every setting, the fastest first, beside what `auto` meant."""
    tokens = params.train.batch * params.model.length
    drawn = Table("precision", "threads", "attention", "tokens/s, median", "range", "× before")
    for setting in sorted(settings, key=lambda setting: setting.middle):
        speeds = [tokens / seconds for seconds in setting.steps]
        drawn.add_row(
            setting.precision,
            str(setting.threads),
            setting.attention,
            f"{statistics.median(speeds):,.0f}",
            f"{min(speeds):,.0f} … {max(speeds):,.0f}",
            f"{default.middle / setting.middle:.2f}",
            style="bold" if setting is default else "",
        )
    return drawn
