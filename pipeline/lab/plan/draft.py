"""A plan made: the sizes by search, their knobs, memory and times, and the stages of the search."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from pipeline.lab.budget.estimate import cached_fake_steps, free_memory
from pipeline.lab.budget.fit import Device, card, changes_to_fit, with_changes
from pipeline.lab.plan import menu
from pipeline.lab.plan.form import Option, Plan, Tier
from pipeline.lab.plan.law import VOCABULARY, FittedLaw, law, trouble
from pipeline.lab.plan.material import Material, material
from pipeline.lab.plan.shapes import EPOCHS, Net, Sized, nearest, nets, ranked, same_size, tokens_in, vocabulary_for
from pipeline.lab.plan.speed import Speed, assumed, measured_seconds
from pipeline.lab.stand_ins.data_shape import Data
from pipeline.params.errors import UserError
from pipeline.params.load import with_knobs
from pipeline.params.parse import parse
from pipeline.params.schema import Params
from pipeline.tasks.base import Shape

HEAD_ROOM = 0.92  # of the memory, that a run may need by `rally budget`
POINT, GAME = 8, 2  # by how much the smaller sizes are smaller
STEPS = 2000  # that the longest run should have at least, before batches are made smaller
LARGEST_BATCH = {True: 32_768, False: 2_048}  # tokens of a step, by "on a card"
FEWEST = 8  # sequences of a step
FEWEST_STEPS = 20
ROW = 5  # steps of a row of metrics/train.csv, so that steps 10 and 100 can be seen
SECONDS_OF_STAGES = 20.0  # that an experiment takes besides its training
BIG = 50e6  # weights, that people ask for
SAME_LOSS = 0.02  # nats: forecasts that differ by less are equal


@dataclass(frozen=True)
class Wish:
    """What a plan is for.

    Attributes:
        card: GB of memory; None: this CPU.
        hours: of the longest run.
        clock: measure steps here, where the machine is the one of the plan.
    """

    name: str
    card: float | None
    hours: float
    data: str | None = None
    clock: bool = True


def draft(wish: Wish, base: Mapping[str, Any]) -> Plan:
    """A plan for a card or a CPU.

    Args:
        base: the sections of params.yaml as last committed.

    Raises:
        UserError: it can do nothing in this time or memory, or the data set cannot be used.
    """
    on_card = wish.card is not None
    text, speed = material(wish.data, base, on_card=on_card), assumed(wish.card)
    fit = law(text.name)
    seconds = wish.hours * 3600
    best = _best(seconds, text, speed, fit)
    makes = _Maker(wish, base, text, speed, best)
    allowance = menu.point_seconds(seconds)
    point = makes.tier(makes.point, max(allowance, 1.0))
    game = makes.tier(makes.game, max(menu.game_seconds(seconds), 1.0))
    last = makes.tier(best.net, seconds)
    stages = menu.stages(seconds, point, makes.others(), on_card=on_card)
    return Plan(
        name=wish.name,
        hours=wish.hours,
        card=wish.card,
        data=dict(makes.data),
        vocabulary=makes.vocabulary,
        levels=dict(text.levels),
        speed=makes.speed.source,
        law=fit.source
        if fit.is_of(text.name, makes.vocabulary, text.levels)
        else f"{fit.source}, which is of another text: only its slope is used",
        base=makes.base_knobs,
        point=point,
        game=game,
        set=last,
        stages=list(stages),
        notes=list(_notes(wish, makes, last, fit)),
    )


def _best(seconds: float, text: Material, speed: Speed, fit: FittedLaw) -> Sized:
    found = ranked(seconds, text.tokens, text.vocabulary or VOCABULARY, speed, fit)
    if not found:
        raise UserError("rally plan: no shape has a vocabulary this large; use a smaller tokenize.vocab_size")
    return found[0]


class _Maker:
    """Makes the sizes of a plan, with the same text, batch rule and machine for each."""

    def __init__(self, wish: Wish, base: Mapping[str, Any], text: Material, speed: Speed, best: Sized) -> None:
        self.wish, self.base, self.text, self.speed = wish, base, text, speed
        self.on_card = wish.card is not None
        self.net = best.net
        among = list(nets(best.net.vocabulary, on_card=self.on_card))
        self.point = nearest(best.net.parameters / POINT, best.net, among)
        self.game = nearest(best.net.parameters / GAME, best.net, among)
        self.vocabulary = text.vocabulary or vocabulary_for(self.point)
        self.data = dict(text.knobs) | ({} if text.vocabulary else {"tokenize.vocab_size": self.vocabulary})
        self.precision = "bfloat16" if self.on_card else "float32"
        self.base_knobs = {**self.data, "train.precision": self.precision, "model.mlp_ratio": self.net.mlp}
        self.shape = Data(Shape(self.vocabulary), None, "")
        self.step_of = cached_fake_steps(self.shape)
        self.device = _device(wish.card, self.precision)
        self.measures = wish.clock and _is_here(wish.card)
        self.sequences = _sequences(best, self.on_card)

    def knobs_of(self, net: Net) -> dict[str, Any]:
        """The knobs of a shape."""
        return {
            "model.depth": net.depth,
            "model.width": net.width,
            "model.heads": net.heads,
            "model.context_length": net.length,
        }

    def others(self) -> list[Option]:
        """A deeper and a wider shape of about the size of the point."""
        near = same_size(self.point, on_card=self.on_card)
        return [Option(label=f"{net.depth} x {net.width}", set=self.knobs_of(net)) for net in near]

    def params(self, knobs: Mapping[str, Any]) -> Params:
        """All knobs of a run with some set.

        Raises:
            UserError: they cannot be used together with those of params.yaml.
        """
        return parse(Params, with_knobs(self.base, {**self.base_knobs, **knobs}))

    def tier(self, net: Net, seconds: float) -> Tier:
        """A shape for some seconds of training.

        Raises:
            UserError: it does not fit, or the time is too short for FEWEST_STEPS.
        """
        net = replace(net, vocabulary=self.vocabulary)
        knobs = {**self.knobs_of(net), "train.batch_size": self.sequences, "train.accumulation_steps": 1}
        knobs |= self._changes(knobs)
        times = self._seconds_of_step(net, knobs)
        most = math.inf if self.text.tokens is None else EPOCHS * self.text.tokens
        steps = int(min(seconds / times[1], most / (self.sequences * net.length)))
        if steps < FEWEST_STEPS:
            raise UserError(
                f"--hours {self.wish.hours:g}: is too short: it has {max(steps, 0)} steps of the smallest useful batch, and"
                f" {FEWEST_STEPS} are needed; use more"
            )
        device, step = self.device, self.step_of(self.params(knobs), self.device)
        knobs |= {"train.steps": steps, **menu.recorded(steps)}
        return Tier(
            set=knobs,
            parameters=sum(step.parameters.values()),
            tokens=steps * self.sequences * net.length,
            steps=steps,
            bytes=device.needed(step.bytes, step.saved),
            seconds=[round(steps * one, 1) for one in times],
        )

    def _changes(self, knobs: Mapping[str, Any]) -> dict[str, Any]:
        """What makes it fit, by `rally budget`.

        Raises:
            UserError: nothing does.
        """
        room, params = round(self.device.memory * HEAD_ROOM), self.params(knobs)

        def excess(changed: Params) -> int:
            step = self.step_of(changed, self.device)
            return self.device.needed(step.bytes, step.saved) - room

        hopeless = self.device.needed(0, 0) >= room  # what any process needs
        changes = None if hopeless else changes_to_fit(params, excess) if excess(params) > 0 else {}
        if changes is None:
            raise UserError(
                f"{self.device.name}: too little memory for any useful run, by `rally budget`; use a larger card, or --cpu"
            )
        with_changes(params, changes)
        return changes

    def _seconds_of_step(self, net: Net, knobs: Mapping[str, Any]) -> tuple[float, float, float]:
        """At the fastest, in the middle, at the slowest."""
        if self.measures:
            where = (net.depth, net.width, net.length, knobs["train.batch_size"])
            if where not in self.speed.measured:
                taken = measured_seconds(self.params(knobs), self.shape.shape)
                self.speed = replace(self.speed, measured={**self.speed.measured, where: taken})
            return (self.speed.measured[where],) * 3
        flops = sum(self.step_of(self.params(knobs), self.device).flops.values())
        speeds, parts = self.speed, knobs["train.accumulation_steps"]
        fast, middle, slow = (
            speeds.seconds(flops, net.depth, net.width, parts, one) for one in (speeds.high, speeds.middle, speeds.low)
        )
        return fast, middle, slow


def _sequences(best: Sized, on_card: bool) -> int:
    """Sequences of a step, the same at every size, so that the learning rate carries over: fewer where steps would be few."""
    sequences, length = LARGEST_BATCH[on_card] // best.net.length, best.net.length
    while best.tokens / (sequences * length) < STEPS and sequences > FEWEST:
        sequences //= 2
    return sequences


def _device(gib: float | None, precision: str) -> Device:
    return card(gib, precision) if gib is not None else Device("this machine", free_memory(), False, precision)


def _is_here(gib: float | None) -> bool:
    """Whether the machine of the plan is the one that it is made on."""
    import torch

    if gib is None:
        return True
    return torch.cuda.is_available() and torch.cuda.get_device_properties(0).total_memory < 1.1 * gib * 2**30


def _notes(wish: Wish, makes: _Maker, last: Tier, fit: FittedLaw) -> Iterator[str]:
    """What fits no budget, and what is a guess."""
    seconds, net = wish.hours * 3600, makes.net
    if makes.on_card and last.parameters < BIG / 1.5:
        big, speed = nearest(BIG, net, nets(makes.vocabulary, on_card=True)), makes.speed
        few, middle, many = (
            tokens_in(big, seconds, replace(speed, low=one, high=one)) / big.parameters
            for one in (speed.low, speed.middle, speed.high)
        )
        there, here = fit.loss(big.parameters, middle * big.parameters), fit.loss(last.parameters, last.tokens)
        no_use = "do not fit into" if there - here >= SAME_LOSS else "gain nothing in"
        yield (
            f"{big.parameters / 1e6:.0f} M weights {no_use} {wish.hours:g} hours: they would see {few:.1f} to"
            f" {many:.1f} tokens each and end at {there:.2f}, where the set ends at {here:.2f}. Published"
            " fits spend a given compute best at 20 to 56 tokens per weight"
        )
    if makes.text.tokens is None:
        yield f"how many tokens {makes.text.name} has is not known before it is tokenized; read it {EPOCHS:g} times at most"
    elif last.tokens >= 0.99 * EPOCHS * makes.text.tokens:
        yield f"the text is the limit, not the time: it is read {EPOCHS:g} times, and more of it would be memorized"
    if damaged := trouble():
        yield f"your own ladders were not asked: {damaged}"
    if not makes.measures:
        yield "times are a range until steps are measured: make the plan again on the machine that will run it"
    lower = ": stage confirm tries the next lower one" if seconds >= menu.SHORTEST else ""
    yield (
        "the learning rate is carried from the point to the larger sizes, but its best falls with weights and steps, with Muon"
        f" too{lower} (rally play rate-and-size)"
    )
    yield (
        "batch and decay are carried as they are (rally play batch-and-size, rally play decay-and-size); layers and width are"
        " not, for the best depth grows with the size (rally play shape-and-size)"
    )
