"""How well a forecaster knows what it knows: coverage of its intervals, reliability of its probabilities, sharpness, skill."""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pipeline.figures.words import formatted
from pipeline.lab.bets.answers import WIDTH
from pipeline.lab.bets.bet import Bet
from pipeline.lab.bets.outcomes import is_inside, is_right, scores_of
from pipeline.lab.bets.question import LEVEL, ChoiceAnswer, NumberAnswer, YesNoAnswer, percent
from pipeline.lab.bets.scores import skill
from pipeline.lab.statistics.share import Share

FEWEST = 10  # scored bets: of fewer a picture says nothing
EDGES = (0.0, 0.55, 0.65, 0.75, 0.85, 1.0)  # of the bins of probabilities


@dataclass(frozen=True)
class Bin:
    """Bets whose most probable answer had about the same probability.

    Attributes:
        said: the mean of these probabilities.
        right: how many of these answers came out.
    """

    said: float
    right: Share


@dataclass(frozen=True)
class Calibration:
    """A forecaster's scored bets together; late ones are not among them.

    Attributes:
        who: the learner, or a part of the lab.
        held: how many 80 % intervals held the truth; of those whose width was chosen by who bet.
        given: the same of the intervals that the program put around numbers given alone.
        below: how many truths lay below the median that was said.
        bins: of the probabilities.
        width: the median width of the intervals, relative to the number; of logarithmic ones high / low.
        boldness: the mean probability of the most probable answer.
        skills: of each kind of question 1 - score / the naive forecaster's score, and over how many bets.
    """

    who: str
    count: int
    held: Share
    given: Share
    below: Share
    bins: tuple[Bin, ...]
    width: float | None
    factor: float | None
    boldness: float | None
    skills: dict[str, tuple[float, int]]

    @property
    def drawn(self) -> int:
        """How many bets a picture can show."""
        return self.held.count + sum(one.right.count for one in self.bins)


def calibration(who: str, bets: Sequence[Bet]) -> Calibration:
    """The calibration of one forecaster."""
    counted = [bet for bet in bets if bet.counts and bet.who == who]
    numbers = [(bet, bet.answer, bet.outcome) for bet in counted if isinstance(bet.answer, NumberAnswer) and bet.outcome]
    own = [(bet, answer) for bet, answer, _ in numbers if answer.has_own_width]
    inside = [(answer.has_own_width, is_inside(answer, outcome)) for _, answer, outcome in numbers]
    relative = [(a.high - a.low) / abs(a.median) for bet, a in own if not bet.question.logarithmic and a.median]
    factors = [a.high / a.low for bet, a in own if bet.question.logarithmic]
    chances = list(_chances(counted))
    return Calibration(
        who,
        len(counted),
        Share(inside.count((True, True)), len(own)),
        Share(inside.count((False, True)), len(numbers) - len(own)),
        Share(
            sum(isinstance(outcome.truth, float) and outcome.truth < answer.median for _, answer, outcome in numbers),
            len(numbers),
        ),
        tuple(_bins(chances)),
        statistics.median(relative) if relative else None,
        statistics.median(factors) if factors else None,
        statistics.fmean(said for said, _ in chances) if chances else None,
        dict(_skills(counted)),
    )


def _chances(bets: Sequence[Bet]) -> Iterator[tuple[float, bool]]:
    """Of each choice, and of each yes or no: the probability of the most probable answer, and whether it came out."""
    for bet in bets:
        match bet.answer, bet.outcome and bet.outcome.truth:
            case YesNoAnswer(probability), bool():
                yield max(probability, 1 - probability), bool(is_right(bet.answer, bet.outcome))  # type: ignore[arg-type]
            case ChoiceAnswer(probabilities), str():
                yield max(probabilities.values()), bool(is_right(bet.answer, bet.outcome))  # type: ignore[arg-type]


def _bins(chances: Sequence[tuple[float, bool]]) -> Iterator[Bin]:
    for at, (low, high) in enumerate(itertools.pairwise(EDGES)):
        some = [(said, right) for said, right in chances if low <= said < high or (at == len(EDGES) - 2 and said == high)]
        if some:
            yield Bin(statistics.fmean(said for said, _ in some), Share(sum(right for _, right in some), len(some)))


def _skills(bets: Sequence[Bet]) -> Iterator[tuple[str, tuple[float, int]]]:
    """Skill by kind of question, of the sums of scores: a mean of single skills would reward other answers than honest ones."""
    for kind in ("number", "choice", "order", "yesno"):
        pairs = []
        for bet in bets:
            if bet.question.kind == kind and bet.outcome and (scores := scores_of(bet.question, bet.answer, bet.outcome)):
                first = scores[0]
                pairs += [(first.value / first.scale, first.naive / first.scale)] if first.naive is not None else []
        if pairs and (found := skill(sum(own for own, _ in pairs), sum(naive for _, naive in pairs))) is not None:
            yield kind, (found, len(pairs))


# -------------------------------------------------------------------------------------------------------------- in words


def calibration_lines(found: Calibration) -> Iterator[str]:
    """What the bets of a forecaster say together, as lines."""
    who = "You" if found.who == "learner" else f"The {found.who}"
    if found.held.count:
        low, high = found.held.interval
        verdict = "too narrow" if high < LEVEL else "too wide" if low > LEVEL else f"which does not contradict {percent(LEVEL)}"
        yield f"{who}: {percent(LEVEL)} intervals held {found.held}, {verdict}."
        widths = []
        if found.width is not None:
            widths.append(f"{percent(found.width)} of the number")
        if found.factor is not None:
            widths.append(f"a factor of {formatted(found.factor)} where numbers span decades")
        yield f"  Median width: {', '.join(widths)}. Of two calibrated forecasters the narrower one knows more."
    if found.given.count:
        yield f"{who}: numbers without a width: the interval that was put around them held {found.given}; counted apart."
    if found.below.count:
        yield f"  Truths below the number that was said (the middle of an interval): {found.below}; half of them should be."
    for one in found.bins:
        yield f"{who}: said about {percent(one.said)}: right {one.right}."
    if found.boldness is not None:
        yield f"  Mean probability of the most probable answer: {percent(found.boldness)}."
    for kind, (value, count) in found.skills.items():
        what, naive = NAIVE[kind]
        yield f"{who}: skill in {what} {value:+.2f} over {count}; 1 = perfect, 0 = as good as the naive guess: {naive}."


NAIVE = {
    "number": ("numbers", f"the question's own, ± {percent(WIDTH)}"),
    "choice": ("choices", "the same probability for each label"),
    "order": ("orders", "any order, half of all pairs right"),
    "yesno": ("yes or no", "50 %"),
}
"""Of each kind of question what its bets are called, and the naive guess."""
