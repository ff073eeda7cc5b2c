"""`rally autotune`: finds the fastest settings of this machine, prints a table, and keeps them as the meaning of `auto`."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn
from rich.table import Column, Table

from pipeline.engine.block_execution import missing_compiler
from pipeline.engine.runtime.runtime import Runtime
from pipeline.engine.runtime.tuned import NEVER, Tuned, save_tuned
from pipeline.lab.stand_ins.dummy_task import DummyTask
from pipeline.lab.tuning.timing import (
    Setting,
    Training,
    break_even_steps,
    candidates,
    fastest_setting,
    matches,
    measure,
    measure_compiled,
    with_auto_settings,
)
from pipeline.params.schema import Params

SECONDS = 40.0  # of all measurements together, if every setting gets two turns; compiling comes on top


def tune(params: Params, *, compiling: bool = False, seconds: float = SECONDS) -> None:
    """Time the settings, print the table, and keep the fastest for the `auto` settings of every params.yaml.

    Args:
        compiling: time torch.compile on a CPU too; on CUDA it is always timed.
        seconds: of all measurements together.

    Raises:
        UserError: the device does not exist here, has not enough memory, or cannot compile.
    """
    params = with_auto_settings(params)
    default_runtime = Runtime(params.runtime, params.train.precision)
    with Progress(TextColumn("measuring"), BarColumn(), console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=1.0)
        with default_runtime.enough_memory():
            training = Training(params)
            settings = list(candidates(default_runtime, attends=training.attends))
            default = next(setting for setting in settings if matches(setting, default_runtime))
            measure(training, settings, seconds, lambda share: bar.update(task, completed=share))
            best = fastest_setting(settings, default)
            # On a CPU it never paid off at the size of these networks.
            compiling = compiling or (default_runtime.device.type == "cuda" and not missing_compiler(default_runtime.device))
            compiled = measure_compiled(params, best, seconds / 4) if compiling else None
    console = Console()
    console.print(table(training.task, params.train.batch_size, [*settings, *([compiled] if compiled else [])], default))
    shape = f"width {params.model.width}, depth {params.model.depth}, {params.train.batch_size} {_examples(training.task)}"
    pays = break_even_steps(best, compiled) if compiled else None
    save_tuned(
        Tuned(default_runtime.device.type, best.precision, best.threads, best.attention, pays, shape),
        default_runtime.device.type,
    )
    if pays is not None:
        verdict = "Compiling saves no time." if pays == NEVER else f"Compiling saves time from {pays:,} steps on."
        console.print(verdict, highlight=False)
    if best is default:
        console.print("No setting was faster than the default of `auto` by more than noise.", highlight=False)
    console.print(
        f"From now on `auto` means here: {best}. Runs in another precision give other numbers: compare new runs with each"
        " other. `rally autotune --forget` undoes it.",
        highlight=False,
        markup=False,
        soft_wrap=True,
    )


def forget(params: Params) -> None:
    """Restore the meaning of `auto` on an untuned machine."""
    auto = with_auto_settings(params)
    save_tuned(None, Runtime(auto.runtime).device.type)
    runtime = Runtime(auto.runtime, auto.train.precision)
    print(f"`auto` means again its default: {next(s for s in candidates(runtime) if matches(s, runtime))}")


def _examples(task: DummyTask) -> str:
    """The examples of a batch, for the record."""
    if task.shape.image:
        return f"images of {' x '.join(map(str, task.shape.image))}"
    return f"{'texts' if task.shape.classes else 'sequences'} of {task.length}"


def table(task: DummyTask, batch: int, settings: Sequence[Setting], default: Setting) -> Table:
    """Tokens per second (for a classifier: examples) of every setting, the median of its turns; the fastest first, the default
    in bold.
    """
    tokens = batch * (1 if task.shape.classes else task.length)
    unit = "examples/s" if task.shape.classes else "tokens/s"
    pace = Column(unit, min_width=len(unit))  # shown in full in a narrow terminal too
    drawn = Table("precision", "threads", "attention", "compiled", pace, "range", "× default")
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
