"""The lines below a table of experiments: which numbers are not shown, why, and what to type."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from pipeline.lab.experiments.read import UNSCORED, WAITS, Entry
from pipeline.lab.experiments.records import PER_TOKEN, TOKENIZER_TOLERANCE, Experiment, Group, bytes_per_token

MAX_NAMES = 4  # experiments named in a line


def missing_numbers(experiments: Iterable[Experiment]) -> list[str]:
    """A line for each reason why numbers are not there, with the names, and the remedy for the first of them."""
    reasons: dict[str, list[str]] = {}
    for one in experiments:
        for why in (one.missing, one.undiagnosed):
            if why and why not in (UNSCORED, WAITS):
                reasons.setdefault(why.replace(f" {one.name}`", " NAME`"), []).append(one.name)
    return [_line(names, why) for why, names in reasons.items()]


def _line(names: Sequence[str], why: str) -> str:
    """Such as `a, b and 3 more: failed …`."""
    more = f" and {len(names) - MAX_NAMES} more" if len(names) > MAX_NAMES else ""
    return f"{', '.join(names[:MAX_NAMES])}{more}: {why.replace('NAME', names[0])}"


def without_per_token(experiments: Sequence[Experiment]) -> tuple[list[Experiment], list[str]]:
    """The experiments without numbers per token where tokenizers differ, and a line that says so.

    They do not compare, as prices in two currencies do not.
    """
    sizes = [size for one in experiments if _is_text(one) and (size := bytes_per_token(one.scores))]
    if not sizes or max(sizes) <= min(sizes) * (1 + TOKENIZER_TOLERANCE):
        return list(experiments), []
    kept = [
        replace(one, scores={name: value for name, value in one.scores.items() if name not in PER_TOKEN})
        if _is_text(one)
        else one
        for one in experiments
    ]
    return kept, [
        f"language: accuracy and loss are per token and not shown, because a token is {min(sizes):.3g} to {max(sizes):.3g}"
        " bytes here; compare bits_per_byte (`dvc exp show` has all of them)"
    ]


def _is_text(one: Experiment) -> bool:
    return one.task in ("language", "")


def hidden(entries: Iterable[Entry], experiments: Iterable[Experiment], head: str) -> list[str]:
    """A line with the number of experiments of other commits that the table does not show."""
    shown = {one.commit for one in experiments}
    count = sum(entry.commit not in shown and entry.baseline != head for entry in entries)
    return [f"{count} experiment{'s' * (count > 1)} of other commits: `rally show -A`"] if count else []


def about_groups(groups: Sequence[Group], experiments: Iterable[Experiment]) -> list[str]:
    """Lines about what seeds as one row leave out: diverged seeds, repeats, and how code differs."""
    lines = []
    if any(one.diverged for group in groups for one in group.experiments if any(other.scores for other in group.experiments)):
        lines.append("a mean is that of the seeds that did not diverge")
    shown = {(one.commit, one.name) for group in groups for one in group.experiments}
    if count := sum(bool(one.baseline) and (one.commit, one.name) not in shown for one in experiments):
        lines.append(
            f"{count} experiment{'s' * (count > 1)} with the knobs and the seed of another: `rally show --each` lists all"
        )
    commits = {group.experiments[0].code: group.experiments[0].commit[:7] for group in reversed(groups)}
    if len(commits) > 1:
        first, second = (commits[code] for code in codes(groups)[:2])
        lines.append(
            f"code: 1 and 2 are of other code, and stand apart; `git diff {' '.join(filter(None, (first, second)))} --"
            " pipeline dvc.yaml` shows the difference"
        )
    return lines


def codes(groups: Iterable[Group]) -> list[str]:
    """The codes of groups, in the order in which they come."""
    return list(dict.fromkeys(group.experiments[0].code for group in groups))
