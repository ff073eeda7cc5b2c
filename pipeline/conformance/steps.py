"""Checked steps: real steps of the training, each part of which is computed a second time from what the part was given."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from pipeline.conformance.network import SMALL, relative
from pipeline.conformance.plain_training import OPTIMIZERS, PlainOptimizer, cross_entropy, objective, rate, slices
from pipeline.engine.checkpoint import Progress
from pipeline.engine.loop import train_step
from pipeline.engine.runtime.runtime import Runtime
from pipeline.networks.dropout import DropoutState
from pipeline.networks.inits import UpdateKind, lr_multipliers
from pipeline.params.model import Model
from pipeline.params.training import Train
from pipeline.tasks.base import Batch, Loss, Task

Numbers = dict[str, float]
NOTHING = 9.0  # in place of the logarithm of 0
TARGETS = 512  # of a micro-batch at most, and of the plain loss at a time: whole batches in float32 would take memory only
STILL = 2e-5  # of a weight's norm: shorter steps are compared with this, since float32 rounds them
KINDS: dict[str, UpdateKind] = {"sgd": "gradient", "muon": "orthogonal"}  # how muP scales their rates


@dataclass
class Seen:
    """What was seen of one step."""

    parts: list[tuple[Batch, DropoutState, Loss]] = field(default_factory=list)
    given_rate: float = math.nan
    gradients: dict[str, Tensor] = field(default_factory=dict)


@dataclass
class CheckedSteps:
    """Runs steps of a training and compares each part of them with a plain one; the largest difference of each is kept.

    loss: of the loss that is logged from the plain cross-entropy of the network's outputs on what it was fed; relative.
    minimized: of the sum that is minimized from the plain one, with what the knobs add to it; relative.
    gradient: of the gradients that reach the optimizer from those of the plain loss, after clipping; the worst weight's.
    kept: the share of the gradient before that is in this one; healthy: 0.
    gradient_scale: |ln| of their factor, where they differ by nothing else; else 0.
    update: of how far the worst weight moved from the plain optimizer's step, whatever the length of the whole step.
    rate: |ln| of the factor by which all weights moved farther than the plain step at the schedule's rate.
    faster, slower: the same of a factor above 1, and below.
    extra_decay: the share of itself that a weight loses in a step beyond its decay, where nothing else is wrong; else 0.
    still: the share of weights that did not move though they should.
    average: of the weights that are evaluated from the plain average of those after each step.

    Attributes:
        numbers: the largest so far, by name.
        late: the largest of those of steps after an eighth of the training.
    """

    progress: Progress
    task: Task
    model: Model
    train: Train
    seed: int
    runtime: Runtime
    class_weights: tuple[float, ...] = ()
    numbers: Numbers = field(default_factory=dict)
    early: Numbers = field(default_factory=dict)
    late: Numbers = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.named = {name: w for name, w in self.progress.model.named_parameters() if w.requires_grad}
        multipliers = lr_multipliers(self.named, self.model, KINDS.get(self.train.optimizer, "entrywise"))
        self.plain = PlainOptimizer(self.train, multipliers)
        self.before: dict[str, Tensor] = {}
        self.average = {name: torch.zeros_like(w, dtype=torch.float64) for name, w in self.named.items()}
        self.count = 0

    @property
    def follows_updates(self) -> bool:
        """Whether the optimizer is written out a second time."""
        return self.train.optimizer in OPTIMIZERS and not self.train.state_8bit

    def run(self, step: int, batch: Batch, *, whole: bool) -> None:
        """A step of the training, numbered `step`, on its whole batch, or on a few examples of it as one micro-batch."""
        self.progress.step = step
        old = {name: w.detach().clone() for name, w in self.named.items()}
        if whole:
            parts = -(-self.train.batch_size // _at_a_time(batch))
            knobs: dict[str, Any] = {"accumulation_steps": max(self.train.accumulation_steps, parts)}
        else:
            few = len(batch.inputs)
            knobs = {"batch_size": few, "accumulation_steps": 1, "batch_start": 1.0, "length_keeps": "examples", "slots": 1}
        train = self.train.model_copy(update=knobs)
        with self._watched() as seen:
            train_step(self.progress, self.task, train, self.seed, self.runtime, lambda: False, batch)
        found = self._losses(seen, old) | self._updates(seen, old, step)
        for name, value in found.items():
            self.numbers[name] = max(self.numbers.get(name, 0.0), value)
            part = self.late if step > self.train.steps / 8 else self.early
            part[name] = max(part.get(name, 0.0), value)

    @contextlib.contextmanager
    def _watched(self) -> Iterator[Seen]:
        """What passes through the task's loss and the optimizer's step, which do what they did before."""
        seen, loss, step = Seen(), self.task.loss, self.progress.optimizer.step

        def watched_loss(model: Any, batch: Batch, dropout_state: DropoutState | None = None) -> Loss:
            result = loss(model, batch, dropout_state)
            if dropout_state is not None:
                seen.parts.append((batch, dropout_state, result))
            return result

        def watched_step(lr: float) -> None:
            seen.given_rate = lr
            seen.gradients = {n: torch.zeros_like(w) if w.grad is None else w.grad.clone() for n, w in self.named.items()}
            step(lr)

        with _replaced(self.task, "loss", watched_loss), _replaced(self.progress.optimizer, "step", watched_step):
            yield seen

    def _losses(self, seen: Seen, old: dict[str, Tensor]) -> Numbers:
        """The loss and its gradient once more, with the weights before the step."""
        new = {name: w.detach().clone() for name, w in self.named.items()}
        _assign(self.named, old)
        count = sum(batch.count for batch, *_ in seen.parts)
        total = minimized = torch.zeros((), dtype=torch.float64)
        sums = {name: torch.zeros_like(w) for name, w in self.named.items()}
        for batch, state in (piece for whole, its, _ in seen.parts for piece in self._pieces(whole, its)):
            outputs = self.progress.model(batch.inputs, state)
            flat = outputs.reshape(-1, outputs.shape[-1])
            targets = batch.targets.reshape(-1)
            wanted, slope = objective(flat, targets, self.train, self.class_weights, max(count, 1))
            # Of a number, because PyTorch imports sympy (half a second) to check the shape of a slope.
            along = (flat * slope).sum()
            gradients = torch.autograd.grad(along, list(self.named.values()), allow_unused=True, materialize_grads=True)
            for name, gradient in zip(self.named, gradients, strict=True):
                sums[name] += gradient
            total, minimized = total + cross_entropy(flat.detach(), targets).sum(), minimized + wanted
        _assign(self.named, new)
        logged = self.progress.recent[-1][0]
        own = sum(float(result.minimized.detach()) for *_, result in seen.parts)
        found = {
            "loss": _off(float(logged) * count, float(total)),
            "minimized": _off(own, float(minimized)),
        }
        return found | self._gradients(seen, sums) if seen.gradients else found

    def _pieces(self, batch: Batch, state: DropoutState) -> Iterator[tuple[Batch, DropoutState]]:
        """Some examples at a time: in float32, and all at once, they would take more memory than the step itself."""
        whole = self.model.norm == "batch"  # where the examples depend on each other
        for rows in slices(len(batch.targets), len(batch.targets) if whole else _at_a_time(batch)):
            yield batch.part(rows), state.part(rows)

    def _gradients(self, seen: Seen, wanted: dict[str, Tensor]) -> Numbers:
        norm = _norm(wanted)
        if self.train.grad_clip and norm > self.train.grad_clip:
            wanted = {name: gradient * (self.train.grad_clip / norm) for name, gradient in wanted.items()}
            norm = self.train.grad_clip
        off = max(relative(seen.gradients[name], wanted[name], max(SMALL * norm, 1e-12)) for name in wanted)
        rest = {name: seen.gradients[name] - wanted[name] for name in wanted}
        found = {"gradient": off, "kept": 0.0, "gradient_scale": 0.0}
        factor = sum(float((seen.gradients[name] * wanted[name]).sum()) for name in wanted) / max(norm, 1e-12) ** 2
        if off > 1e-2 and factor > 0:
            scaled = (relative(seen.gradients[n], factor * wanted[n], max(factor * SMALL * norm, 1e-12)) for n in wanted)
            found["gradient_scale"] = abs(math.log(factor)) if max(scaled) < 1e-2 else 0.0
        if off > 1e-2 and self.before and (size := _norm(self.before)):
            along = sum(float((rest[name] * self.before[name]).sum()) for name in rest) / size**2
            if _norm({name: rest[name] - along * self.before[name] for name in rest}) < 0.2 * _norm(rest):
                found["kept"] = abs(along)
        self.before = seen.gradients
        return found

    def _updates(self, seen: Seen, old: dict[str, Tensor], step: int) -> Numbers:
        lr = rate(step / self.train.steps, self.train)
        found: Numbers = {}
        if self.follows_updates and seen.gradients:
            moved = {name: w.detach().double() - old[name].double() for name, w in self.named.items()}
            wanted = self.plain.changes(old, seen.gradients, lr)
            found = self._moves(moved, wanted, old)
            if lr:
                found["rate"] = max(found.get("rate", 0.0), abs(math.log(max(seen.given_rate, 1e-12) / lr)))
        self.count += 1
        decay = self.train.ema
        share = (1 - decay) / (1 - decay**self.count)
        for name, w in self.named.items():
            self.average[name] += share * (w.detach().double() - self.average[name])
        return found

    def _moves(self, moved: dict[str, Tensor], wanted: dict[str, Tensor], old: dict[str, Tensor]) -> Numbers:
        floors = {name: STILL * float(old[name].norm()) + 1e-9 for name in moved}
        long = [name for name in wanted if float(wanted[name].norm()) > 10 * floors[name]]
        still = [name for name in long if not moved[name].any()]
        if long and len(still) == len(long):  # no weight moved: the rate is 0
            return {"update": 0.0, "rate": NOTHING, "slower": NOTHING, "still": 0.0}
        factors = [
            float((moved[name] * wanted[name]).sum() / wanted[name].square().sum()) for name in long if name not in still
        ]
        factor = sorted(factors)[len(factors) // 2] if factors else 1.0
        alike = factor > 0 and all(abs(one / factor - 1) < 0.02 for one in factors)
        factor = factor if alike else 1.0  # otherwise it is not one rate that is wrong
        kept = [name for name in wanted if name not in still]
        off = max((relative(moved[n], factor * wanted[n], max(factor * floors[n], floors[n])) for n in kept), default=0.0)
        rate_off = math.log(factor) if abs(factor - 1) > 0.01 else 0.0
        found = {"update": off, "rate": abs(rate_off), "faster": max(rate_off, 0.0), "slower": max(-rate_off, 0.0)}
        extra = self._extra_decay(moved, wanted, old) if off > 0.03 else 0.0
        return found | {"still": len(still) / max(len(long), 1), "extra_decay": extra}

    def _extra_decay(self, moved: dict[str, Tensor], wanted: dict[str, Tensor], old: dict[str, Tensor]) -> float:
        """The share of the weights by which a step shrinks them beyond the knob's decay, where it is otherwise right."""
        rest = {name: moved[name] - wanted[name] for name in moved if old[name].ndim > 1}
        weights = {name: old[name].double() for name in rest}
        share = -sum(float((rest[name] * weights[name]).sum()) for name in rest) / max(_norm(weights), 1e-12) ** 2
        left = _norm({name: rest[name] + share * weights[name] for name in rest})
        return max(share, 0.0) if left < 0.3 * _norm(rest) else 0.0

    def evaluated(self) -> Numbers:
        """average: of the weights in evaluation from those of the knob train.ema, the worst weight's."""
        if self.train.optimizer == "schedule_free":
            return {}
        wanted = self.average if self.train.ema else {name: w.detach().clone() for name, w in self.named.items()}
        with self.progress.optimizer.eval_weights():
            off = max(relative(w.detach(), wanted[name], 1e-9) for name, w in self.named.items())
        return {"average": off}


def _at_a_time(batch: Batch) -> int:
    """The examples that have TARGETS targets together."""
    return max(1, TARGETS // batch.targets.shape[1:].numel())


def _off(found: float, wanted: float) -> float:
    difference = abs(found - wanted) / max(abs(wanted), 1e-9)
    return difference if math.isfinite(difference) else math.inf


def _norm(gradients: dict[str, Tensor]) -> float:
    return math.sqrt(sum(float(gradient.double().square().sum()) for gradient in gradients.values()))


def _assign(named: dict[str, Any], weights: dict[str, Tensor]) -> None:
    with torch.no_grad():
        for name, weight in named.items():
            weight.copy_(weights[name])


@contextlib.contextmanager
def _replaced(owner: Any, method: str, replacement: Callable[..., Any]) -> Iterator[None]:
    """A block in which a method of one object is another one."""
    missing = object()
    before = vars(owner).get(method, missing)
    setattr(owner, method, replacement)
    try:
        yield
    finally:
        if before is missing:
            delattr(owner, method)
        else:
            setattr(owner, method, before)
