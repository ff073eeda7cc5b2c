"""What is fastest here? Ways to run a training, tried in turns by real steps of it."""

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
from pipeline.lab.stand_ins.dummy_task import BatchMaker, MadeUp
from pipeline.networks.attention import Attention, Kernel, set_attention_kernel
from pipeline.params.errors import UserError
from pipeline.params.machine import cores
from pipeline.params.schema import Params

ROUNDS = 12  # turns of a setting at most
HOPELESS = 1.5  # times the least seconds a step: a setting that is so slow gets no further turn
SURE = 0.75  # share of the turns in which it must have been faster
LIKELY = {"char": 100, "file": 50_000}  # tokens of a text that has not been looked at
WORTH = 1.03  # times the speed: less is no reason to leave what `auto` meant


@dataclass
class Setting:
    """A way to run, and the seconds that a step took in each of its turns; `first` is the very first step, which compiles."""

    precision: str
    threads: int
    attention: Kernel
    compile: bool = False
    steps: list[float] = field(default_factory=list)
    first: float = 0.0

    @property
    def middle(self) -> float:
        return statistics.median(self.steps)

    def __str__(self) -> str:
        return f"{self.precision}, {self.threads} thread{'s' if self.threads > 1 else ''}, attention {self.attention}"


def left_to_auto(params: Params) -> Params:
    """The same training with nothing fixed of what is measured: what holds for a machine must not hang on one params.yaml."""
    runtime = params.runtime.model_copy(update={"threads": 0, "attention": "auto", "compile": False})
    return params.model_copy(update={"runtime": runtime, "train": params.train.model_copy(update={"precision": "auto"})})


# -------------------------------------------------------------------------------------------------------------- settings


def candidates(usual: Runtime, *, attends: bool = True) -> Iterator[Setting]:
    """Every setting that a device can take, uncompiled.

    Args:
        attends: whether the network has attention; where it has none, nothing is found out about its kernels.
    """
    device, known = usual.device.type, {"cpu": ["float32", "bfloat16"], "cuda": ["float32", "bfloat16", "float16"]}
    precisions = known.get(device, ["float32"])
    if device == "cuda" and not torch.cuda.is_bf16_supported(including_emulation=False):
        precisions.remove("bfloat16")
    counts = {torch.get_num_threads()}
    if device == "cpu":
        counts |= {cores(), *(2**power for power in range(10) if 2**power <= cores())}
    kernels: list[Kernel] = ["sdpa", "eager"] if attends else ["auto"]
    for precision, threads, kernel in itertools.product(precisions, sorted(counts), kernels):
        yield Setting(precision, threads, kernel)


def like(setting: Setting, runtime: Runtime) -> bool:
    """Whether a setting is what `auto` means now."""
    rule: Kernel = "eager" if (runtime.precision, runtime.device.type) == ("bfloat16", "cpu") else "sdpa"
    kernel = rule if runtime.attention == "auto" else runtime.attention
    same = (setting.precision, setting.threads) == (runtime.precision, torch.get_num_threads())
    return same and setting.attention in (kernel, "auto")


def choice(settings: Sequence[Setting], default: Setting) -> Setting:
    """The fastest of those that were tried to the end, if it beats the default by more than noise, and nearly turn by turn."""
    turns = max(len(setting.steps) for setting in settings)
    fastest = min((setting for setting in settings if len(setting.steps) == turns), key=lambda setting: setting.middle)
    beaten = [ours < theirs for ours, theirs in zip(fastest.steps, default.steps, strict=False)]
    is_better = default.middle > WORTH * fastest.middle and sum(beaten) >= SURE * len(beaten)
    return fastest if is_better else default


def pays_from(plain: Setting, compiled: Setting) -> int:
    """How many steps a training must have at least, so that what compiling saves is more than what it takes."""
    saved = plain.middle - compiled.middle
    return (
        min(NEVER, math.ceil((compiled.first - compiled.middle) / saved)) if WORTH * compiled.middle < plain.middle else NEVER
    )


# ------------------------------------------------------------------------------------------------------------- measuring


def measure(training: Training, settings: Sequence[Setting], seconds: float, advance: Callable[[float], None]) -> None:
    """Give every setting its turns, each followed by the next one's, so that whatever else the machine does hits all alike."""
    start, hopeful, turn_seconds = time.perf_counter(), list(settings), seconds / ROUNDS / len(settings)
    for turn in range(ROUNDS):
        for setting in hopeful:
            training.take(setting, turn_seconds)
        over = (time.perf_counter() - start) / seconds
        advance(min(1.0, over))
        if over > 1 and turn:
            return
        if turn:  # the best of two: one may have been another program's
            least = min(min(setting.steps) for setting in hopeful)
            hopeful = [setting for setting in hopeful if min(setting.steps) <= HOPELESS * least]


def measure_compiled(params: Params, best: Setting, seconds: float) -> Setting:
    """The same setting with its blocks compiled.

    Raises:
        UserError: it cannot be done here.
    """
    compiled = Setting(best.precision, best.threads, best.attention, compile=True)
    training = Training(params.model_copy(update={"runtime": params.runtime.model_copy(update={"compile": True})}))
    for _ in range(ROUNDS // 2):
        training.take(compiled, seconds * 2 / ROUNDS)
    return compiled


class Training:
    """The training that params.yaml describes, on examples without meaning, whose steps can be taken in any setting."""

    def __init__(self, params: Params) -> None:
        self.params = params
        runtime = Runtime(params.runtime, params.train.precision)
        data = material(params)
        self.task = MadeUp(params, data.shape, make_objective(params.train, runtime), BatchMaker(params.seed, data.sizes))
        self.progress = untrained_state(params.seed, self.task, params.model, params.train, runtime)

    @property
    def attends(self) -> bool:
        """Whether the network has attention, whose kernel makes a difference."""
        return any(isinstance(module, Attention) for module in self.progress.model.modules())

    def take(self, setting: Setting, seconds: float) -> None:
        """One turn: the median of its steps, after one in which threads start and memory is fetched."""
        params, progress = self.params, self.progress
        runtime = Runtime(params.runtime.model_copy(update={"threads": setting.threads}), setting.precision)
        set_attention_kernel(progress.model, setting.attention)
        progress.scaler = runtime.scaler()
        times: list[float] = []
        start = time.perf_counter()
        while len(times) < 2 or time.perf_counter() - start < seconds:
            began = time.perf_counter()
            progress.step = params.train.steps - 1  # where all that grows is grown
            train_step(progress, self.task, params.train, params.seed, runtime, lambda: False)
            float(progress.recent.pop()[0])  # which waits for the device
            times.append(time.perf_counter() - began)
        setting.first = setting.first or times[0]
        setting.steps.append(statistics.median(times[1:]))


def material(params: Params) -> Data:
    """What there is to read, or is likely to be where nothing has been tokenized yet: characters are about a hundred.

    Raises:
        UserError: the shape hangs on data that has not been looked at.
    """
    try:
        return data_of(params)
    except UserError:
        if params.tokenize.kind not in LIKELY or params.task.kind == "vision":
            raise
        return data_of(params, LIKELY[params.tokenize.kind])
