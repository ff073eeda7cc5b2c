"""Experiments of one task on the same held-out data: only they are compared, and all tests of a page are corrected together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from pipeline.lab.comparison.comparable import TRAINING_DATA, WITHOUT_EFFECT, minimizes, why_not
from pipeline.lab.comparison.compare import compare
from pipeline.lab.comparison.comparison import Comparison, Difference, Ruling
from pipeline.lab.comparison.more_seeds import more_seeds
from pipeline.lab.experiments.records import METRICS, Experiment, Group, Knob, grouped
from pipeline.lab.experiments.variants import differing, score_of
from pipeline.lab.statistics.differences import Evidence, evidence, holm
from pipeline.lab.statistics.intervals import ALPHA
from pipeline.params.errors import UserError
from pipeline.params.names import suggest

NOT_EARNED = "seen, but not beyond the correction for all differences of the page"


@dataclass(frozen=True)
class Setting:
    """A task and its held-out data, with all that was trained on them.

    Attributes:
        title: such as "language, shakespeare".
        metric: the one that decides here; "" where nothing has scores.
        groups: the best first, those without scores last.
        comparison: of all pairs that differ in one knob; None where fewer than two variants have scores.
    """

    title: str
    metric: str
    groups: tuple[Group, ...]
    comparison: Comparison | None

    @property
    def best(self) -> Group | None:
        """The variant with the best mean of those of which no seed diverged; None where there is none."""
        sound = [one for one in self.groups if one.values(self.metric) and not any(each.diverged for each in one.experiments)]
        return sound[0] if sound else None

    @property
    def differences(self) -> tuple[Difference, ...]:
        return self.comparison.differences if self.comparison else ()

    @property
    def varied(self) -> list[str]:
        """The knobs that differ between its variants, without those that do not change what is trained."""
        return [name for name in differing(self.groups) if not name.startswith(WITHOUT_EFFECT)]

    def common(self) -> dict[str, Knob]:
        """The most frequent value of every knob that is varied; of equally frequent ones that of the first variant by name."""
        ordered = sorted(self.groups, key=lambda one: one.name)
        found = {}
        for name in self.varied:
            values = [one.knobs[name] for one in ordered if name in one.knobs]
            found[name] = Counter(values).most_common(1)[0][0]
        return found


def settings_of(experiments: Iterable[Experiment], metric: str | None, base: Mapping[str, Knob]) -> list[Setting]:
    """The settings of experiments that ended, by title, with one correction over all their differences.

    Args:
        experiments: those without a result are in a group only if another seed has one.
        metric: what decides where it is measured; elsewhere, and by default, the one that `rally compare` chooses.
        base: the knobs of params.yaml, from which commands start.

    Raises:
        UserError: nothing has such a score.
    """
    groups = [one for one in grouped(experiments) if any(each.has_result for each in one.experiments)]
    known = tuple(dict.fromkeys(name for one in groups for each in one.experiments for name in each.scores))
    if metric and known and metric not in known:
        raise UserError(f"--metric {metric}: there is no such score. {suggest(metric, known)}")
    found: dict[tuple[tuple[str, Knob], ...], list[Group]] = {}
    for one in groups:
        found.setdefault(_data_of(one), []).append(one)
    titles = _titles(list(found))
    settings = [_setting(titles[key], some, metric, base) for key, some in found.items()]
    return corrected(sorted(settings, key=lambda one: one.title), base)


def _data_of(group: Group) -> tuple[tuple[str, Knob], ...]:
    """The knobs that decide the task and the held-out examples."""
    return tuple(
        (name, value)
        for name, value in sorted(group.knobs.items())
        if name == "task.kind" or (name.startswith("prepare.") and name not in TRAINING_DATA)
    )


def _titles(keys: Sequence[tuple[tuple[str, Knob], ...]]) -> dict[tuple[tuple[str, Knob], ...], str]:
    """Task and data of each setting, and of those with equal ones also what else of the data differs."""
    short = {key: ", ".join(str(dict(key).get(name, "")) for name in ("task.kind", "prepare.dataset")) for key in keys}
    found = {}
    for key, title in short.items():
        same = [dict(other) for other in keys if short[other] == title]
        names = [name for name in dict(key) if len({repr(other.get(name)) for other in same}) > 1]
        found[key] = ", ".join([title.strip(", ") or "no task", *(f"{name} {dict(key)[name]}" for name in names)])
    return found


def _setting(title: str, groups: Sequence[Group], asked: str | None, base: Mapping[str, Knob]) -> Setting:
    scored = [one for one in groups if any(each.scores for each in one.experiments)]
    wanted = asked if any(one.values(asked or "") for one in scored) else None
    comparison = compare(scored, wanted, "one knob", among=groups, base=base) if len(scored) > 1 else None
    metric = comparison.metric if comparison else wanted or _metric(scored)
    return Setting(title, metric, tuple(sorted(groups, key=lambda one: _place(one, metric))), comparison)


def _metric(scored: Sequence[Group]) -> str:
    """The metric of a single variant, as `rally compare` would choose it."""
    if not scored:
        return ""
    classes = scored[0].experiments[0].task in ("classify", "vision")
    preferred = ("accuracy", "loss") if classes else ("bits_per_byte", "loss")
    return next((name for name in (*preferred, *METRICS) if scored[0].values(name)), "")


def _place(group: Group, metric: str) -> tuple[float, str]:
    score = score_of(group, metric)
    mean = score.interval.mean if score else float("inf")
    return (mean if minimizes(metric) or not score else -mean, group.name)


# ------------------------------------------------------------------------------------------------------- one correction


def corrected(settings: Sequence[Setting], base: Mapping[str, Knob]) -> list[Setting]:
    """The settings with Holm's correction over the differences of all of them, instead of those of each alone."""
    tested = [one for setting in settings for one in setting.differences if one.p is not None]
    if sum(any(one.p is not None for one in setting.differences) for setting in settings) < 2:
        return list(settings)  # what `compare` has corrected is all that there is
    levels = {id(one): found for one, found in zip(tested, holm([one.p for one in tested if one.p is not None]), strict=True)}
    found = []
    for setting in settings:
        differences = tuple(
            _again(one, setting.groups, *levels[id(one)], base) if id(one) in levels else one for one in setting.differences
        )
        whole = setting.comparison and replace(setting.comparison, differences=differences)
        found.append(replace(setting, comparison=whole))
    return found


def _again(one: Difference, groups: Sequence[Group], adjusted: float, level: float, base: Mapping[str, Knob]) -> Difference:
    """A difference with the corrected p, and undecided where that is no longer below 5 %."""
    seen = _evidence(one, groups)
    found = replace(one, gap=seen.interval(level), adjusted=adjusted, visible=seen.visible(level))
    if adjusted <= ALPHA:
        return found
    needed = seen.needed(level)
    command = more_seeds(one.first, one.second, one.metric, needed, base) if needed else ""
    reason = one.reason if one.ruling is Ruling.UNDECIDED else NOT_EARNED
    return replace(found, ruling=Ruling.UNDECIDED, needed=needed, command=command, reason=reason)


def _evidence(one: Difference, groups: Sequence[Group]) -> Evidence:
    others = [
        group.values(one.metric)
        for group in groups
        if group is not one.first and group is not one.second and not why_not(one.first, group, one.metric)
    ]
    seen = evidence(one.first.values(one.metric), one.second.values(one.metric), others)
    assert seen, "a difference with a p has two seeds on either side"
    return seen
