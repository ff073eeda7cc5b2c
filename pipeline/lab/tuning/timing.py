"""Settings of a training (threads, precision, attention kernel), timed in turns with real steps."""

from __future__ import annotations

import itertools
import math
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import torch

from pipeline.engine.loop import train_step
from pipeline.engine.runtime.runtime import Runtime
from pipeline.engine.runtime.tuned import NEVER
from pipeline.engine.setup import make_objective, untrained_state
from pipeline.lab.stand_ins.data_shape import Data, data_of
from pipeline.lab.stand_ins.dummy_task import BatchMaker, DummyTask
from pipeline.networks.attention import Attention, Kernel, set_attention_kernel
from pipeline.params.errors import UserError
from pipeline.params.machine import cores
from pipeline.params.schema import Params

ROUNDS = 12  # most turns of a setting
HOPELESS = 1.5  # a setting this many times slower than the fastest gets no further turn
MIN_WINS = 0.75  # share of the turns in which a setting must beat the default
ASSUMED_VOCABULARY = {"char": 100, "file": 50_000}  # if nothing has been tokenized yet
MIN_SPEEDUP = 1.03  # below it, the default stays


@dataclass
class Setting:
    """A setting, and the seconds per step of each of its turns; `first` are those of the very first step, which compiles."""

    precision: str
    threads: int
    attention: Kernel
    compile: bool = False
    steps: list[float] = field(default_factory=list)
    first: float = 0.0

    @property
    def middle(self) -> float:
        """The median over its turns, seconds per step."""
        return statistics.median(self.steps)

    def __str__(self) -> str:
        return f"{self.precision}, {self.threads} thread{'s' if self.threads > 1 else ''}, attention {self.attention}"


def with_auto_settings(params: Params) -> Params:
    """The same training with all measured settings at auto, because the result must not depend on one params.yaml."""
    runtime = params.runtime.model_copy(update={"threads": 0, "attention": "auto", "compile": False})
    return params.model_copy(update={"runtime": runtime, "train": params.train.model_copy(update={"precision": "auto"})})


# -------------------------------------------------------------------------------------------------------------- settings


def candidates(default_runtime: Runtime, *, attends: bool = True) -> Iterator[Setting]:
    """Every setting of a device, not compiled.

    Args:
        attends: whether the network has attention; without it, kernels are not compared.
    """
    device, known = default_runtime.device.type, {"cpu": ["float32", "bfloat16"], "cuda": ["float32", "bfloat16", "float16"]}
    precisions = known.get(device, ["float32"])
    if device == "cuda" and not torch.cuda.is_bf16_supported(including_emulation=False):
        precisions.remove("bfloat16")
    counts = {torch.get_num_threads()}
    if device == "cpu":
        counts |= {cores(), *(2**power for power in range(10) if 2**power <= cores())}
    kernels: list[Kernel] = ["sdpa", "eager"] if attends else ["auto"]
    for precision, threads, kernel in itertools.product(precisions, sorted(counts), kernels):
        yield Setting(precision, threads, kernel)


def matches(setting: Setting, runtime: Runtime) -> bool:
    """Whether a setting is the one that `auto` means now."""
    rule: Kernel = "eager" if (runtime.precision, runtime.device.type) == ("bfloat16", "cpu") else "sdpa"
    kernel = rule if runtime.attention == "auto" else runtime.attention
    same = (setting.precision, setting.threads) == (runtime.precision, torch.get_num_threads())
    return same and setting.attention in (kernel, "auto")


def fastest_setting(settings: Sequence[Setting], default: Setting) -> Setting:
    """The fastest of the settings that were timed to the end, if it beats the default by more than noise; else the default."""
    turns = max(len(setting.steps) for setting in settings)
    fastest = min((setting for setting in settings if len(setting.steps) == turns), key=lambda setting: setting.middle)
    beaten = [ours < theirs for ours, theirs in zip(fastest.steps, default.steps, strict=False)]
    is_better = default.middle > MIN_SPEEDUP * fastest.middle and sum(beaten) >= MIN_WINS * len(beaten)
    return fastest if is_better else default


def break_even_steps(plain: Setting, compiled: Setting) -> int:
    """The number of steps from which compiling saves more time than it takes."""
    saved = plain.middle - compiled.middle
    return (
        min(NEVER, math.ceil((compiled.first - compiled.middle) / saved))
        if MIN_SPEEDUP * compiled.middle < plain.middle
        else NEVER
    )


# ------------------------------------------------------------------------------------------------------------- measuring


def measure(training: Training, settings: Sequence[Setting], seconds: float, advance: Callable[[float], None]) -> None:
    """Time the settings in turns, so that other load on the machine affects all of them equally."""
    start, hopeful, turn_seconds = time.perf_counter(), list(settings), seconds / ROUNDS / len(settings)
    for turn in range(ROUNDS):
        for setting in hopeful:
            training.take(setting, turn_seconds)
        over = (time.perf_counter() - start) / seconds
        advance(min(1.0, over))
        if over > 1 and turn:
            return
        if turn:  # the better of two: one may have been disturbed
            least = min(min(setting.steps) for setting in hopeful)
            hopeful = [setting for setting in hopeful if min(setting.steps) <= HOPELESS * least]


def measure_compiled(params: Params, best: Setting, seconds: float) -> Setting:
    """The same setting with compiled blocks.

    Raises:
        UserError: torch.compile does not work here.
    """
    compiled = Setting(best.precision, best.threads, best.attention, compile=True)
    training = Training(params.model_copy(update={"runtime": params.runtime.model_copy(update={"compile": True})}))
    for _ in range(ROUNDS // 2):
        training.take(compiled, seconds * 2 / ROUNDS)
    return compiled


class Training:
    """The training of params.yaml on random examples, whose steps can be taken in any setting."""

    def __init__(self, params: Params) -> None:
        self.params = params
        runtime = Runtime(params.runtime, params.train.precision)
        data = tuning_data(params)
        self.task = DummyTask(params, data.shape, make_objective(params.train, runtime), BatchMaker(params.seed, data.sizes))
        self.progress = untrained_state(params.seed, self.task, params.model, params.train, runtime)

    @property
    def attends(self) -> bool:
        """Whether the network has attention."""
        return any(isinstance(module, Attention) for module in self.progress.model.modules())

    def take(self, setting: Setting, seconds: float) -> None:
        """One turn of a setting: the median of its steps, after a first one in which threads start and memory is allocated."""
        params, progress = self.params, self.progress
        runtime = Runtime(params.runtime.model_copy(update={"threads": setting.threads}), setting.precision)
        set_attention_kernel(progress.model, setting.attention)
        progress.scaler = runtime.scaler()
        times: list[float] = []
        start = time.perf_counter()
        while len(times) < 2 or time.perf_counter() - start < seconds:
            began = time.perf_counter()
            progress.step = params.train.steps - 1  # the last step, with all schedules at their end
            train_step(progress, self.task, params.train, params.seed, runtime, lambda: False)
            float(progress.recent.pop()[0])  # waits for the device
            times.append(time.perf_counter() - began)
        setting.first = setting.first or times[0]
        setting.steps.append(statistics.median(times[1:]))


def tuning_data(params: Params) -> Data:
    """The shape of the data, with an assumed vocabulary if nothing has been tokenized yet.

    Raises:
        UserError: the shape depends on data that has not been prepared.
    """
    try:
        return data_of(params)
    except UserError:
        if params.tokenize.kind not in ASSUMED_VOCABULARY or params.task.kind == "vision":
            raise
        return data_of(params, ASSUMED_VOCABULARY[params.tokenize.kind])
