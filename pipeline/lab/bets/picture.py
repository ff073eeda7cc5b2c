"""Calibration as a picture: every interval beside its truth, and stated probabilities against what came out."""

from __future__ import annotations

import math
from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pipeline.figures.style import INK, LINES, QUIET, styled
from pipeline.lab.bets.bet import Bet
from pipeline.lab.bets.calibration import Calibration, calibration
from pipeline.lab.bets.question import LEVEL, NumberAnswer, percent

FARTHEST = 3.5  # half widths from the median; truths beyond are drawn there, as arrows
COLOURS = dict(zip(("learner", "doctor", "ladder", "plan"), LINES, strict=False))


def draw_calibration(bets: Sequence[Bet]) -> Figure:
    """The scored bets of the learner and of the lab in one picture."""
    learner = calibration("learner", bets)
    lab = [calibration(who, bets) for who in sorted({bet.who for bet in bets} - {"learner"})]
    everyone = [found for found in (learner, *lab) if found.count]
    numbers = any(found.held.count for found in everyone)
    chances = any(found.bins for found in everyone)
    with styled():
        figure = Figure(figsize=(6.4 * max(1, numbers + chances), 5.6), layout="constrained")
        axes = figure.subplots(1, max(1, numbers + chances), squeeze=False)[0].tolist()
        if numbers:
            _draw_intervals(axes[0], bets, everyone)
        if chances:
            _draw_reliability(axes[-1], everyone)
    return figure


def _draw_intervals(axes: Axes, bets: Sequence[Bet], everyone: Sequence[Calibration]) -> None:
    """Where each truth lay in the interval that was said: -1 and 1 are its ends, 0 is its median."""
    axes.axhspan(-1, 1, color=QUIET, alpha=0.15, linewidth=0)
    axes.axhline(0, color=QUIET, linewidth=1)
    place = 0
    for found in everyone:
        if found.held.count:
            label = f"{_name(found.who)}: {found.held.hits} of {found.held.count} inside"
            axes.plot([], [], "o", color=_colour(found.who), markersize=8, linestyle="none", label=label)
        for bet in bets:
            if bet.who == found.who and bet.counts_as_interval and (away := distance(bet)) is not None:
                place += 1
                shown = min(max(away, -FARTHEST), FARTHEST)
                marker = "o" if shown == away else "^" if away > 0 else "v"
                axes.plot(
                    [place],
                    [shown],
                    marker,
                    color=_colour(found.who),
                    markersize=8,
                    markerfacecolor=_colour(found.who) if abs(away) <= 1 else "white",
                    markeredgewidth=2,
                    linestyle="none",
                )
    axes.set_xlim(0.2, place + 0.8)
    axes.set_ylim(-FARTHEST - 0.4, FARTHEST + 1.4)
    axes.set_yticks([-3, -2, -1, 0, 1, 2, 3])
    axes.set_xticks([])
    axes.set_xlabel("bets, in order")
    axes.set_ylabel("truth, in half widths from the median")
    axes.set_title(f"{percent(LEVEL)} intervals: do they hold?")
    axes.legend(loc="upper left", frameon=False, fontsize=11)


def distance(bet: Bet) -> float | None:
    """How far the truth lay from the median, in widths of the half of the interval on its side; None of another kind of bet."""
    answer, truth = bet.answer, bet.outcome.truth if bet.outcome else None
    if not isinstance(answer, NumberAnswer) or not isinstance(truth, float):
        return None
    low, median, high, value = answer.low, answer.median, answer.high, truth
    if bet.question.logarithmic and truth > 0:
        low, median, high, value = map(math.log, (low, median, high, value))
    half = high - median if value > median else median - low
    if half <= 0:
        return 0.0 if abs(value - median) <= 1e-9 * max(1.0, abs(median)) else float("inf") if value > median else -float("inf")
    return (value - median) / half


def _draw_reliability(axes: Axes, everyone: Sequence[Calibration]) -> None:
    """Stated probability against the share that came out; calibrated points lie on the diagonal."""
    axes.plot([0, 1], [0, 1], color=QUIET, linewidth=1)
    some = [found for found in everyone if found.bins]
    for at, found in enumerate(some):
        shift = 0.008 * (at - (len(some) - 1) / 2)
        for number, one in enumerate(found.bins):
            low, high = one.right.interval
            share = one.right.hits / one.right.count
            axes.plot([one.said + shift] * 2, [low, high], color=_colour(found.who), linewidth=1.6, alpha=0.7)
            axes.plot(
                [one.said + shift],
                [share],
                "o",
                color=_colour(found.who),
                markersize=8,
                linestyle="none",
                label=f"{_name(found.who)}: {sum(other.right.count for other in found.bins)} bets" if number == 0 else "",
            )
            side = -1 if at % 2 == 0 else 1
            axes.annotate(
                f"{one.right.count}",
                (one.said + shift, share),
                (side * 11, 0),
                textcoords="offset points",
                ha="center",
                va="center",
                fontsize=10,
                color=INK,
            )
    axes.set_xlim(0.0, 1.05)
    axes.set_ylim(-0.05, 1.05)
    axes.set_xlabel("probability that was said")
    axes.set_ylabel("share that came out")
    axes.set_title("Probabilities: are they true?")
    axes.legend(loc="upper left", frameon=False, fontsize=11)


def _name(who: str) -> str:
    return "you" if who == "learner" else f"the {who}"


def _colour(who: str) -> str:
    return COLOURS.get(who, QUIET)
