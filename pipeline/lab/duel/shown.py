"""What `rally duel` prints: the two sides, the cost, each pair, and the end."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pipeline.figures.words import formatted
from pipeline.lab.duel import log
from pipeline.lab.duel.fight import Duel
from pipeline.lab.duel.rule import LAST, Standing, Verdict
from pipeline.lab.duel.runs import SIDES, Pair
from pipeline.lab.dvc.git import join_names, short_hash
from pipeline.lab.statistics.intervals import Interval
from pipeline.params.errors import printable

DIGITS = 5  # of a score: two trainings often agree in the first three
UNITS = {"loss": "nats per target", "accuracy": "", "bits_per_byte": "bits per byte"}


def beginning(duel: Duel) -> list[str]:
    """The two sides, and what is asked."""
    posed, options = duel.challenge, duel.options
    changes = [f"{knob} {value} (champion: {_knob(posed.champion, knob)})" for knob, value in posed.knobs.items()]
    changes += [f"{join_names(posed.patch.files)} (patch {posed.patch.sha256[:12]})"] if posed.patch else []
    lines = [
        f"champion    commit {short_hash(posed.commit)}",
        f"challenger  {join_names(changes)}",
        f"question    is its {posed.metric} better{f' by more than {options.at_least:g}' if options.at_least else ''}? "
        f"{options.least} to {options.most} pairs",
    ]
    if duel.before:
        count, end = len(duel.before["seeds"]), duel.before["verdict"]
        lines.append(f"before      {duel.before['date'][:10]}: {end} after {count} pair{'s' * (count != 1)}, which count on")
    return [printable(line) for line in lines]


def _knob(params: Any, name: str) -> Any:
    section, _, knob = name.partition(".")
    return getattr(getattr(params, section), knob) if knob else getattr(params, section)


def cost_text(duel: Duel, seconds: float | None) -> str:
    """What the duel costs at most."""
    missing = len(duel.missing())
    kept = f"; {len(duel.seeds) - missing} pairs are here already" if missing < len(duel.seeds) else ""
    time = f", about {_duration(missing * seconds)}" if seconds is not None else ", of unknown length: the data is not made yet"
    return f"costs       up to {2 * missing} trainings{time if missing else ''}{kept}"


def _duration(seconds: float) -> str:
    for size, unit in ((3600, "hours"), (60, "minutes")):
        if seconds >= 2 * size:
            return f"{formatted(seconds / size, 2)} {unit}"
    return f"{formatted(seconds, 2)} seconds"


def plan(duel: Duel, seconds: float | None) -> dict[str, Any]:
    """The same for programs."""
    posed, missing = duel.challenge, duel.missing()
    return {
        "dry_run": True,
        "champion": {"commit": posed.commit, "identity": duel.runner.identities["champion"]},
        "challenger": {
            "knobs": dict(posed.knobs),
            "patch": {"sha256": posed.patch.sha256, "files": list(posed.patch.files)} if posed.patch else None,
            "identity": duel.runner.identities["challenger"],
        },
        "metric": posed.metric,
        "draws": posed.draws,
        "seeds": list(duel.seeds),
        "trainings": 2 * len(missing),
        "seconds": None if seconds is None else round(seconds * len(missing), 1),
        "verdict_before": duel.before["verdict"] if duel.before else None,
    }


def after_pair(duel: Duel, pairs: Sequence[Pair], standing: Standing) -> str:
    """The last pair, and where the duel stands."""
    pair, metric = pairs[-1], duel.challenge.metric
    scores = ", ".join(f"{side} {_score(getattr(pair, side))}" for side in SIDES)
    gain = pair.gain(metric)
    text = f"seed {pair.seed}: {scores}" + (f", gain {formatted(gain)}" if gain is not None else "")
    if len(pairs) < duel.options.least and standing.verdict is Verdict.UNDECIDED:
        return text
    return f"{text}; {len(pairs)} pairs: gain {gain_text(standing.gain)}, {standing.reason}"


def _score(value: float | None) -> str:
    return "diverged" if value is None else formatted(value, DIGITS)


def gain_text(gain: Interval) -> str:
    """A gain with its interval."""
    low, mean, high = (formatted(number) for number in gain)
    return f"{mean} ({low} … {high})"


def ending(duel: Duel, pairs: Sequence[Pair], standing: Standing, *, is_new: bool) -> list[str]:
    """The verdict, what it means and what to do."""
    metric, count = duel.challenge.metric, len(pairs)
    unit = f" {UNITS[metric]}" if UNITS[metric] else ""
    spent = [sum(pair.seconds[at] for pair in pairs) for at in range(len(SIDES))]
    words = f"{standing.verdict.value}: after {count} pairs the gain in {metric} is {gain_text(standing.gain)}{unit}; "
    lines = [f"{words}{standing.reason}."]
    if sum(spent):
        per = ", ".join(f"{side} {formatted(seconds, 2)} s" for side, seconds in zip(SIDES, spent, strict=True))
        lines.append(f"Time of the trainings: {per}.")
    if standing.verdict is Verdict.KEEP:
        lines.append("The gain of a duel that stopped early looks larger than it is; its interval does not.")
    if standing.verdict is Verdict.UNDECIDED and duel.options.most < LAST:
        more = min(LAST, 2 * duel.options.most)
        lines.append(f"Not shown to be better, so do not keep it; the same command with --most {more} goes on from here.")
    where = f"{log.LOG}: {'one line more' if is_new else 'the line of this duel stands there'}"
    return [*lines, f"{where}; commit it with what you keep." if is_new else f"{where}."]
