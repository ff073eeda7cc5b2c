"""All checks of a training that has just been built, and the reading that holds their numbers."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Mapping

import numpy as np

from pipeline.artifacts.paths import NONE
from pipeline.conformance import network as parts
from pipeline.conformance import plain_network
from pipeline.conformance.plain_training import OPTIMIZERS, rate
from pipeline.conformance.recorded import drawn_starts, draws_anywhere, mean_loss, validation_windows
from pipeline.conformance.steps import CheckedSteps
from pipeline.conformance.text import StoredText, fed, places, unlike_stored
from pipeline.engine.checkpoint import Progress
from pipeline.engine.loop import validate
from pipeline.engine.runtime.runtime import Runtime
from pipeline.engine.sampler import batch_of
from pipeline.engine.sanity import is_classification
from pipeline.engine.schedules import learning_rate
from pipeline.networks.transformer import GPT
from pipeline.params.model import Model
from pipeline.params.training import Train
from pipeline.readings import Axis, Reading
from pipeline.tasks.base import Batch, Task
from pipeline.tasks.lm import LanguageModelling

Numbers = dict[str, float]
CHECKED_STEPS = "checked_steps"  # the name of the reading
WHOLE_STEPS = 2  # steps at the start with whole batches
FIRST = 4  # steps from the first that are checked; further ones are spread over the training
SHORT = 2  # examples of every other step
LATER = 0.02  # by which a difference is larger in later steps than in the first ones, if it counts
DRAWN = 24  # steps whose batches are drawn to see where their windows stand
SEQUENCES = 2  # examples on which the parts of the network are compared
EVALUATED = 8  # examples of the validation split
ERRORS = (RuntimeError, ValueError, IndexError, KeyError, TypeError, AttributeError, AssertionError)
FEW_NUMBERS = 1e9  # weights · tokens of a batch beyond which the steps are not checked: minutes on a CPU


def check(progress: Progress, task: Task, model: Model, train: Train, seed: int, runtime: Runtime) -> tuple[Numbers, list[str]]:
    """The numbers of all checks that apply to a training before its first step, and why the others do not.

    The training is used up: its weights are moved, and steps are made.
    """
    numbers: Numbers = {}
    skipped: list[str] = []
    if str(NONE) != train.teacher:
        return {}, ["all checks: there is no second implementation of distillation"]
    network = progress.model

    def take(what: str, measure: Callable[[], Numbers]) -> None:
        try:
            numbers.update(measure())
        except ERRORS as error:  # whatever a user's code does here, the stage goes on
            skipped.append(f"{what}: {type(error).__name__}: {error}".splitlines()[0])

    if str(NONE) == train.init_from:
        take("initial weights", lambda: parts.initial_spread(network, model))
    take("schedule", lambda: schedule(train))
    if isinstance(task, LanguageModelling):
        take("text", lambda: unlike_stored(task))
        take("batches", lambda: batches(progress, task, train, seed))
    examples = _examples(task)
    with parts.moved_weights(network):
        take("modes", lambda: parts.modes(network, examples.inputs, model, train, seed))
        if numbers.get("repeatable"):
            skipped.append("network: its answer changes from one pass to the next")
        elif not plain_network.is_known(model, mixed=isinstance(task, LanguageModelling)):
            skipped.append(f"network: there is no second implementation of {model.embedding_mixer} or of {model.norm}")
        else:
            take("network", lambda: parts.parts(network, examples.inputs, model))
            if isinstance(network, GPT):
                take("backward", lambda: parts.backward(network, examples.inputs, examples.targets, model))
    if train.mixup:
        skipped.append("steps: there is no second implementation of mixup")
    else:
        take("steps", lambda: steps(progress, task, model, train, seed, runtime))
        if train.optimizer not in OPTIMIZERS or train.state_8bit:
            skipped.append(f"updates: there is no second implementation of {train.optimizer}")
    if isinstance(task, LanguageModelling):
        take("evaluation", lambda: evaluation(progress, task, train, runtime))
    return {name: value if math.isfinite(value) else 99.0 for name, value in numbers.items()}, skipped


def schedule(train: Train) -> Numbers:
    """schedule: the largest difference of the schedule from its closed form at twenty points, as a share of the peak."""
    points = [point / 20 for point in range(20)]
    return {"schedule": max(abs(learning_rate(point, train) - rate(point, train)) for point in points) / train.lr}


def _examples(task: Task) -> Batch:
    size = task.size("train")
    return task.batch("train", np.arange(SEQUENCES) * (size - 1) // SEQUENCES)


def batches(progress: Progress, task: LanguageModelling, train: Train, seed: int) -> Numbers:
    """What the batches of steps that are spread over the training hold, and where they stand in the text.

    late_batches: the share of windows or targets that are wrong, where those of the first eighth of the training are not.
    undrawn: the share of windows that are not those that the seed and the step draw.
    """
    text, began = StoredText(task, "train"), progress.step
    held = np.asarray(task.ids("train"))
    drawn, likely = {}, {}
    for step in map(int, np.unique(np.linspace(0, train.steps - 1, DRAWN).astype(int))):
        progress.step = step
        drawn[step] = batch_of(task, train, seed, step)
        likely[step] = drawn_starts(seed, step, train.batch_size, len(text.ids) - task.length)
    progress.step = began
    found = fed([(batch, likely[step]) for step, batch in drawn.items()], text, held)
    begun = fed([(batch, likely[step]) for step, batch in drawn.items() if step <= train.steps / 8], text, held)
    late = max(found[name] for name in ("inputs", "targets"))
    found["late_batches"] = late if max(begun["inputs"], begun["targets"]) == 0 else 0.0
    if not draws_anywhere(task, train) or found["inputs"]:
        return found
    rows = {step: list(zip(batch.inputs.numpy(), likely[step], strict=False)) for step, batch in drawn.items()}
    elsewhere = [not text.is_at(row, int(place)) for pairs in rows.values() for row, place in pairs]
    found["undrawn"] = sum(elsewhere) / len(elsewhere)
    stand = {step: [text.only_start_of(row, int(place)) for row, place in pairs] for step, pairs in rows.items()}
    if sum(place < 0 for found_at in stand.values() for place in found_at) > len(drawn):
        return found  # too many stand nowhere, or at several places
    known = {step: [place for place in found_at if place >= 0] for step, found_at in stand.items()}
    return found | places(known, task.length, len(text.ids) - task.length)


def steps(progress: Progress, task: Task, model: Model, train: Train, seed: int, runtime: Runtime) -> Numbers:
    """The differences of checked steps: whole ones at the start, short ones over the rest of the training."""
    parts.move(progress.model)
    weights = task.objective.class_weights if is_classification(task) else ()  # type: ignore[attr-defined]
    fixed = [not weight.requires_grad for weight in progress.model.parameters()]
    checked = CheckedSteps(progress, task, model, train, seed, runtime, weights)
    for number, step in enumerate(_checked(train.steps)):
        progress.step = step
        batch = batch_of(task, train, seed, step)
        with contextlib.suppress(*(ERRORS if number else ())):  # one that cannot be made does not lose the others
            whole = number < WHOLE_STEPS
            checked.run(step, batch if whole else batch.part(slice(0, min(SHORT, len(batch.inputs)))), whole=whole)
    found = checked.numbers | checked.evaluated()
    changes = (value - LATER for name, value in checked.late.items() if checked.early.get(name, 0.0) < LATER)
    found["late"] = max(0.0, *changes)
    if not train.freeze and model.norm != "batch":  # whose running means have no gradient
        found["still"] = max(found.get("still", 0.0), sum(fixed) / len(fixed))
    return found


def _checked(steps: int) -> list[int]:
    """Which steps are checked: the first ones, those around each quarter of the training, and some in between."""
    quarters = [quarter * steps // 4 + off for quarter in (1, 2, 3) for off in (-1, 0)]
    between = [round((steps - 1) * share) for share in (0.1, 0.4, 0.6, 0.9, 1.0)]
    return sorted({step for step in (*range(FIRST), *quarters, *between) if 0 <= step < steps})


def evaluation(progress: Progress, task: LanguageModelling, train: Train, runtime: Runtime) -> Numbers:
    """validation: of the measured validation loss from the plain one of the stored text, relative."""
    few = train.model_copy(update={"validation_examples": EVALUATED})
    found, _ = validate(progress, task, few, runtime, lambda: False)
    with progress.optimizer.eval_weights():
        wanted = mean_loss(progress.model, *validation_windows(task, few))
    return {"validation": abs(found - wanted) / max(wanted, 0.05)}


def as_reading(numbers: Mapping[str, float]) -> Reading:
    """The numbers as a reading, so that the stages after it and the report have them."""
    axes = (Axis("check", list(numbers)), Axis("number", ["difference"]))
    says = "Each part of a training step against a plain second implementation. Healthy: equal up to rounding."
    values = [[float(f"{value:.4g}")] for value in numbers.values()]
    return Reading(CHECKED_STEPS, "heat", "relative difference", says, axes, values)
