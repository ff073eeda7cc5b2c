"""`rally tune-device`: what was found to be the fastest way to run, as a table and as what `auto` means from then on."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn
from rich.table import Column, Table

from pipeline.engine.block_execution import missing_compiler
from pipeline.engine.runtime.runtime import Runtime
from pipeline.engine.runtime.tuned import NEVER, Tuned, save_tuned
from pipeline.lab.stand_ins.dummy_task import MadeUp
from pipeline.lab.tuning.timing import (
    Setting,
    Training,
    candidates,
    choice,
    left_to_auto,
    like,
    measure,
    measure_compiled,
    pays_from,
)
from pipeline.params.schema import Params

SECONDS = 40.0  # of all measurements together, as long as every setting had its two turns; compiling comes on top


def tune(params: Params, *, compiling: bool = False, seconds: float = SECONDS) -> None:
    """Measure for so long, show the table, and keep what was found for the `auto` settings of every params.yaml.

    Args:
        compiling: measure torch.compile too, wherever this is; on CUDA it is measured anyway.

    Raises:
        UserError: the device is not there, has not enough memory, or compiling is wanted and cannot be done.
    """
    params = left_to_auto(params)
    usual = Runtime(params.runtime, params.train.precision)
    with Progress(TextColumn("measuring"), BarColumn(), console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=1.0)
        with usual.enough_memory():
            training = Training(params)
            settings = list(candidates(usual, attends=training.attends))
            default = next(setting for setting in settings if like(setting, usual))
            measure(training, settings, seconds, lambda share: bar.update(task, completed=share))
            best = choice(settings, default)
            # On a CPU it never paid at the size of these networks.
            compiling = compiling or (usual.device.type == "cuda" and not missing_compiler(usual.device))
            compiled = measure_compiled(params, best, seconds / 4) if compiling else None
    console = Console()
    console.print(table(training.task, params.train.batch_size, [*settings, *([compiled] if compiled else [])], default))
    shape = f"width {params.model.width}, depth {params.model.depth}, {params.train.batch_size} {_examples(training.task)}"
    pays = pays_from(best, compiled) if compiled else None
    save_tuned(Tuned(usual.device.type, best.precision, best.threads, best.attention, pays, shape), usual.device.type)
    if pays is not None:
        verdict = "Compiling saves nothing." if pays == NEVER else f"Compiling pays from {pays:,} steps on."
        console.print(verdict, highlight=False)
    if best is default:
        console.print("Nothing was faster than what `auto` meant by more than noise.", highlight=False)
    console.print(
        f"From now on `auto` means here: {best}. Runs in another precision are other runs: compare what is trained from now on"
        " with each other. `rally tune-device --forget` undoes it.",
        highlight=False,
        markup=False,
        soft_wrap=True,
    )


def forget(params: Params) -> None:
    """Let `auto` mean again what it means where nothing was measured."""
    usual = left_to_auto(params)
    save_tuned(None, Runtime(usual.runtime).device.type)
    runtime = Runtime(usual.runtime, usual.train.precision)
    print(f"`auto` means again what is fast as a rule: {next(s for s in candidates(runtime) if like(s, runtime))}")


def _examples(task: MadeUp) -> str:
    """What a batch is made of, for the record."""
    if task.shape.image:
        return f"images of {' x '.join(map(str, task.shape.image))}"
    return f"{'texts' if task.shape.classes else 'sequences'} of {task.length}"


def table(task: MadeUp, batch: int, settings: Sequence[Setting], default: Setting) -> Table:
    """Tokens (of what has classes, examples) a second, the median of its turns, of every setting: the fastest first; what
    `auto` meant is bold.
    """
    tokens = batch * (1 if task.shape.classes else task.length)
    unit = "examples/s" if task.shape.classes else "tokens/s"
    pace = Column(unit, min_width=len(unit))  # what one looks for is read whole in a narrow terminal too
    drawn = Table("precision", "threads", "attention", "compiled", pace, "range", "× before")
    for setting in sorted(settings, key=lambda setting: setting.middle):
        speeds = [tokens / seconds for seconds in setting.steps]
        drawn.add_row(
            setting.precision,
            str(setting.threads),
            setting.attention,
            "yes" if setting.compile else "no",
            f"{statistics.median(speeds):,.0f}",
            f"{min(speeds):,.0f} … {max(speeds):,.0f}",
            f"{default.middle / setting.middle:.2f}",
            style="bold" if setting is default else "",
        )
    return drawn
