"""A duel, pair by pair, until its rule ends it: which seeds, where it stands after each, and its line in the log."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np

from pipeline.artifacts.writing import rounded
from pipeline.lab.duel import log, rule
from pipeline.lab.duel.rule import Options, Standing, Verdict, judge
from pipeline.lab.duel.runs import DIGITS, SIDES, Pair, Runner
from pipeline.lab.duel.sides import Challenge
from pipeline.lab.dvc.base_params import BaseParams
from pipeline.lab.dvc.git import join_names
from pipeline.params.errors import UserError


@dataclass(frozen=True)
class Duel:
    """A duel that has begun.

    Attributes:
        before: its line in the log, if the two sides have met by this metric; then it goes on from there.
        seeds: those of all its pairs, in their order.
    """

    challenge: Challenge
    options: Options
    runner: Runner
    before: log.Line | None
    seeds: tuple[int, ...]

    def known(self) -> dict[int, Pair]:
        """The pairs of its line in the log."""
        if self.before is None:
            return {}
        values = zip(*(self.before["values"][side] for side in SIDES), strict=True)
        return {seed: Pair(seed, *pair) for seed, pair in zip(self.before["seeds"], values, strict=True)}

    def missing(self) -> list[int]:
        """The seeds of pairs that were not trained yet, if it goes on to the last."""
        known = self.known()
        return [seed for seed in self.seeds if seed not in known and not self.runner.has(seed)]

    def fight(self, advance: Callable[[], None] = lambda: None) -> Iterator[tuple[tuple[Pair, ...], Standing]]:
        """The pairs so far and where the duel stands, after each pair; ends with its verdict.

        Args:
            advance: is called after each training.
        """
        pairs, known = list[Pair](), self.known()
        for seed in self.seeds:
            pairs.append(known[seed] if seed in known else self.runner.pair(seed, advance))
            standing = standing_of(pairs, self.challenge.metric, self.options)
            yield tuple(pairs), standing
            if standing.verdict is not Verdict.UNDECIDED:
                return

    def line(self, pairs: Sequence[Pair], standing: Standing) -> dict[str, Any]:
        """Its line in the log."""
        challenge, options, (low, mean, high) = self.challenge, self.options, standing.gain
        patch = challenge.patch
        return {
            "date": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "champion": {"commit": challenge.commit, "identity": self.runner.identities["champion"]},
            "challenger": {
                "knobs": dict(challenge.knobs),
                "patch": {"sha256": patch.sha256, "files": list(patch.files)} if patch else None,
                "identity": self.runner.identities["challenger"],
            },
            "metric": challenge.metric,
            "draws": challenge.draws,
            "seeds": [pair.seed for pair in pairs],
            "values": {side: [_number(getattr(pair, side)) for pair in pairs] for side in SIDES},
            "gain": {"mean": _number(mean), "low": _number(low), "high": _number(high)},
            "verdict": standing.verdict.value,
            "reason": standing.reason,
            "rule": {
                "name": rule.NAME,
                "alpha": rule.ALPHA,
                "least": options.least,
                "most": options.most,
                "at_least": options.at_least,
            },
            "seconds": {side: round(sum(pair.seconds[at] for pair in pairs), 1) for at, side in enumerate(SIDES)},
        }


def begin(challenge: Challenge, options: Options, runner: Runner) -> Duel:
    """A duel with its seeds: those of its line in the log, and then fresh ones.

    Fresh seeds come after those of params.yaml and of all earlier duels, so that none is judged on the seeds on which the
    champion became champion: it was chosen for its luck with these too.

    Raises:
        UserError: the log is damaged.
    """
    lines = log.read_log()
    champion, challenger = ({"identity": runner.identities[side]} for side in SIDES)
    like = {"champion": champion, "challenger": challenger, "metric": challenge.metric, "draws": challenge.draws}
    before = log.earlier(lines, like)
    first = 1 + max(challenge.champion.seed, log.highest_seed(lines))
    seeds = itertools.chain(before["seeds"] if before else (), itertools.count(first))
    return Duel(challenge, options, runner, before, tuple(itertools.islice(seeds, options.most)))


def standing_of(pairs: Sequence[Pair], metric: str, options: Options) -> Standing:
    """Where a duel stands after some pairs.

    A challenger that diverges where the champion does not is discarded at once. A pair in which the champion diverges counts
    for neither. Both can only make it harder for an equal challenger to be kept.
    """
    found = (pair.gain(metric) for pair in pairs)
    gains = np.array([gain for gain in found if gain is not None], dtype=np.float64)
    if lost := [pair.seed for pair in pairs if pair.challenger is None and pair.champion is not None]:
        reason = f"the challenger diverged with seed {lost[0]}, and the champion did not"
        return Standing(Verdict.DISCARD, rule.gain_interval(gains), reason)
    standing = judge(gains, options)
    if left := [str(pair.seed) for pair in pairs if pair.champion is None]:
        reason = f"{standing.reason} (not counted, because the champion diverged: seed {', '.join(left)})"
        return Standing(standing.verdict, standing.gain, reason)
    return standing


def _number(value: float | None) -> float | None:
    """A number for JSON; None where there is none, or it is not finite."""
    return rounded(value, DIGITS) if value is not None and math.isfinite(value) else None


def unused_changes(base: BaseParams, overridden: Collection[str]) -> list[str]:
    """Lines for the user where params.yaml or the code differs from the last commit, from which both sides start.

    Args:
        overridden: knobs that the challenger sets itself.
    """
    lines = []
    if knobs := [f"{knob} {here}" for knob, (here, _) in base.changed_knobs.items() if knob not in overridden]:
        lines.append(f"params.yaml: {join_names(knobs)} is in no commit and not used; give it with -S to challenge with it")
    if base.changed_code:
        lines.append(f"{join_names(base.changed_code)}: edited since the last commit; both sides start from that commit's code")
    return lines


def seconds_of(challenge: Challenge) -> float | None:
    """About how long one training of each side takes here, together; None where it cannot be foretold without the data."""
    from pipeline.lab.budget.timing import measure
    from pipeline.lab.stand_ins.data_shape import data_of

    total = 0.0
    for params in (challenge.champion, challenge.challenger):
        try:
            data = data_of(params)
            total += measure(params, data.shape, data.sizes).total(params.train)
        except UserError:
            return None
    return total
