"""The diagnosis of a run: its symptoms, their likely causes, and the experiment that would confirm each.

Signs are numbers with a healthy range (signs/). Signs outside theirs raise symptoms (symptoms.py). Each cause (causes/) is
voted for and against by the signs, whatever the symptom, so that a verdict can be followed by hand. A knob never raises a
symptom; it only helps to choose among the causes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Set
from dataclasses import asdict, dataclass
from typing import Any

from pipeline.artifacts.writing import rounded
from pipeline.doctor.case import Case
from pipeline.doctor.causes.base import Cause
from pipeline.doctor.causes.table import CAUSES
from pipeline.doctor.signs.base import Side, Sign, Status
from pipeline.doctor.signs.checked import CHECKED
from pipeline.doctor.signs.plan import Judged, judged
from pipeline.doctor.signs.table import SIGNS
from pipeline.doctor.symptoms import SYMPTOMS

HEALTHY, UNKNOWN = "healthy", "unknown"
SHOWN = 3  # causes of a finding
STRONG = 2.0  # points of a single sign for which a fault in the code is named before a knob
OUTCOMES = ("gain low", "beyond_unigram low", "bigram_share high")  # that little was learned, which any cause may bring about
UNEXPLAINED = (
    " No cause of the list has evidence of its own. If the loss still falls, train for longer; if not, look at the loss"
    " function, the targets and the data, with `rally look` and `rally check-model --overfit`."
)
WEIGHTS = {"healthy": 1.0, "odd": 0.5, "sick": 1.0}


@dataclass(frozen=True)
class SignValue:
    """A sign of one case: its number, its healthy range (None: no bound), and a sentence about it."""

    name: str
    value: float
    low: float | None
    high: float | None
    status: Status
    side: Side
    says: str
    picture: str

    @property
    def weight(self) -> float:
        """How much it counts when causes are voted on."""
        return WEIGHTS[self.status]


@dataclass(frozen=True)
class CauseScore:
    """A cause of a finding: its points, the knob to change, the command to paste, and what the outcome would mean."""

    name: str
    weight: float
    says: str
    knob: str
    command: str
    tells: str


@dataclass(frozen=True)
class Finding:
    """A symptom that was found, with its evidence (names of signs) and its likeliest causes, the likeliest first.

    It weighs as much as the first of them, so that the first cause of the first finding is the likeliest of all; among
    findings with the same cause, the one with more evidence comes first.
    """

    name: str
    weight: float
    says: str
    evidence: tuple[str, ...]
    picture: str
    causes: tuple[CauseScore, ...]


@dataclass(frozen=True)
class Diagnosis:
    """The findings of a run in order of weight, every sign that has a value, and the checkpoints of its plan, if it has one."""

    findings: tuple[Finding, ...]
    signs: tuple[SignValue, ...]
    checkpoints: tuple[Judged, ...] = ()

    @property
    def finding(self) -> str:
        """The first finding, or "healthy", which is a finding too; "unknown" where no sign has a value."""
        if self.findings:
            return self.findings[0].name
        return HEALTHY if self.signs else UNKNOWN

    @property
    def causes(self) -> tuple[str, ...]:
        """All causes that are named, in the order in which they are shown."""
        return tuple(dict.fromkeys(cause.name for finding in self.findings for cause in finding.causes))

    def as_json(self) -> dict[str, Any]:
        """The content of metrics/doctor.json."""
        signs = [{name: value for name, value in asdict(sign).items() if name != "side"} for sign in self.signs]
        findings = [asdict(finding) | {"weight": rounded(finding.weight, 3)} for finding in self.findings]
        listed = [finding | {"evidence": list(finding["evidence"]), "causes": list(finding["causes"])} for finding in findings]
        plan = {"checkpoints": [one.as_json() for one in self.checkpoints]} if self.checkpoints else {}
        return {"finding": self.finding, "findings": listed, "signs": signs, **plan}


def diagnose(case: Case) -> Diagnosis:
    """The diagnosis of a run, from as much of it as there is."""
    values = read_signs(case)
    scores = votes(case, values)
    grounded = {name for name, cause in CAUSES.items() if _has_own_evidence(cause, case, values)}
    likely = {name for name, cause in CAUSES.items() if cause.knob or _has_strong_evidence(cause, values)}
    findings = []
    for name, symptom in SYMPTOMS.items():
        evidence = [
            values[sign]
            for sign, side in map(_sign_and_side, symptom.raised_by)
            if sign in values and values[sign].side == side
        ]
        if not any(sign.status == "sick" for sign in evidence) and len(evidence) < 2:
            continue
        evidence.sort(key=lambda sign: sign.status != "sick")  # stable: the order of the table within each
        seen = [sign for sign in values.values() if sign.side != "healthy"] if symptom.by_all_signs else evidence
        suspects = _suspects(seen, {name: scores[name] for name in scores if name in grounded}, likely)
        weight = (scores[suspects[0]] if suspects else 0.0) + 0.01 * sum(sign.weight for sign in evidence)
        named = tuple(_cause_score(cause, CAUSES[cause], scores[cause], case) for cause in suspects)
        says = symptom.description if named else symptom.description + UNEXPLAINED
        findings.append(Finding(name, weight, says, tuple(sign.name for sign in evidence), evidence[0].picture, named))
    # What a check has found is a fact, and comes before what symptoms make likely.
    findings.sort(key=lambda finding: (not CHECKED.keys() & set(finding.evidence), -finding.weight))
    return Diagnosis(tuple(findings), tuple(values.values()), tuple(judged(case)))


def read_signs(case: Case) -> dict[str, SignValue]:
    """Every sign that has a value in the case."""
    values = {}
    for name, sign in SIGNS.items():
        value = sign.read(case) if case.kind in sign.kinds else None
        if value is not None and math.isfinite(value):
            values[name] = _sign_value(name, sign, value)
    return values


def _sign_value(name: str, sign: Sign, value: float) -> SignValue:
    low, high = (bound if math.isfinite(bound) else None for bound in (sign.range.low, sign.range.high))
    says = sign.description.format(value=f"{value:.3g}")
    return SignValue(name, rounded(value, 4), low, high, sign.range.status(value), sign.range.side(value), says, sign.picture)


def votes(case: Case, values: Mapping[str, SignValue]) -> dict[str, float]:
    """The points of each cause: the sum of its votes, a sign that is only odd counting half."""
    scores = {}
    for name, cause in CAUSES.items():
        if not cause.applies(case):
            continue
        score = sum(
            vote * values[sign].weight
            for sign, side, vote in cause.parsed_votes()
            if sign in values and values[sign].side == side
        )
        scores[name] = score + sum(hint.vote for hint in cause.hints if hint.holds(case))
    return scores


def _has_strong_evidence(cause: Cause, values: Mapping[str, SignValue]) -> bool:
    """Whether one sign alone speaks strongly for a cause: Rally's code is tested, and is not to be suspected for less."""
    cast = (
        (vote * values[sign].weight, side == values[sign].side) for sign, side, vote in cause.parsed_votes() if sign in values
    )
    return any(points >= STRONG for points, counts in cast if counts)


def _has_own_evidence(cause: Cause, case: Case, values: Mapping[str, SignValue]) -> bool:
    """Whether a sign out of its range, or a knob, speaks for a cause, besides that little was learned.

    A sign has to go along with it (a point), a knob to do more: many healthy runs have no warm-up.
    """
    cast = (
        vote * values[sign].weight
        for sign, side, vote in cause.parsed_votes()
        if side != "healthy" and sign in values and values[sign].side == side and f"{sign} {side}" not in OUTCOMES
    )
    return any(points >= 1 for points in cast) or any(hint.vote > 1 and hint.holds(case) for hint in cause.hints)


def _suspects(evidence: list[SignValue], scores: Mapping[str, float], likely: Set[str]) -> list[str]:
    """The likeliest causes that the evidence supports: first those that a check speaks for, last faults in the code without
    strong evidence.
    """
    sides = {(sign.name, sign.side) for sign in evidence}
    supported = [
        name
        for name, cause in CAUSES.items()
        if scores.get(name, 0.0) > 0 and any((sign, side) in sides and vote > 0 for sign, side, vote in cause.parsed_votes())
    ]
    localized = {name for name in supported if _is_localized(CAUSES[name], sides)}
    return sorted(supported, key=lambda name: (name not in localized, name not in likely, -scores[name]))[:SHOWN]


def _is_localized(cause: Cause, sides: Set[tuple[str, str]]) -> bool:
    """Whether a check of the evidence speaks for a cause."""
    return any(sign in CHECKED and (sign, side) in sides and vote > 0 for sign, side, vote in cause.parsed_votes())


def _cause_score(name: str, cause: Cause, weight: float, case: Case) -> CauseScore:
    return CauseScore(name, weight, cause.description, cause.knob, cause.command(case), cause.expected)


def _sign_and_side(raised_by: str) -> tuple[str, str]:
    sign, _, side = raised_by.rpartition(" ")
    return sign, side
