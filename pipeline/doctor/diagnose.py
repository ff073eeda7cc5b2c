"""The doctor: from what a run has left to what it has, why that may be, and which experiment would tell.

Signs are numbers (signs.py) with a healthy range (ranges.py). Signs outside theirs raise complaints (complaints.py). Each
cause (causes.py) is voted for and against by the signs, whatever the complaint; so a verdict can be followed by hand. A knob
never makes a finding; it only helps to choose among the causes of what is seen.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Set
from dataclasses import asdict, dataclass
from typing import Any

from pipeline.artifacts.writing import rounded
from pipeline.doctor.case import Case
from pipeline.doctor.cause import Cause
from pipeline.doctor.causes import CAUSES
from pipeline.doctor.ranges import RANGES, Range, Side, Status
from pipeline.doctor.signs import SIGNS
from pipeline.doctor.symptoms import COMPLAINTS

HEALTHY, UNKNOWN = "healthy", "unknown"
SHOWN = 3  # causes of a finding
STRONG = 2.0  # points of a single sign that make a fault of the code worth naming before a knob
WEIGHTS = {"healthy": 1.0, "odd": 0.5, "sick": 1.0}


@dataclass(frozen=True)
class SignValue:
    """A sign of one case: its number, where it would be healthy (None: no bound), and what it says."""

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
    """A cause of a finding: what it is, the knob to turn, the command to paste, and what its outcome would tell."""

    name: str
    weight: float
    says: str
    knob: str
    command: str
    tells: str


@dataclass(frozen=True)
class Finding:
    """Something that is wrong, with its evidence (names of signs) and its likeliest causes, the likeliest first.

    It weighs as much as the first of them, so that the first cause of the first finding is the likeliest of all; among
    findings of the same cause, that with more evidence comes first.
    """

    name: str
    weight: float
    says: str
    evidence: tuple[str, ...]
    picture: str
    causes: tuple[CauseScore, ...]


@dataclass(frozen=True)
class Diagnosis:
    """What the doctor says of a run: its findings in order of weight, and every sign that could be read."""

    findings: tuple[Finding, ...]
    signs: tuple[SignValue, ...]

    @property
    def finding(self) -> str:
        """The first finding, or "healthy", which is a finding too; "unknown" where nothing could be read."""
        if self.findings:
            return self.findings[0].name
        return HEALTHY if self.signs else UNKNOWN

    @property
    def causes(self) -> tuple[str, ...]:
        """All causes that are named, in the order in which one reads them."""
        return tuple(dict.fromkeys(cause.name for finding in self.findings for cause in finding.causes))

    def as_json(self) -> dict[str, Any]:
        """As metrics/doctor.json holds it."""
        signs = [{name: value for name, value in asdict(sign).items() if name != "side"} for sign in self.signs]
        findings = [asdict(finding) | {"weight": rounded(finding.weight, 3)} for finding in self.findings]
        listed = [finding | {"evidence": list(finding["evidence"]), "causes": list(finding["causes"])} for finding in findings]
        return {"finding": self.finding, "findings": listed, "signs": signs}


def diagnose(case: Case) -> Diagnosis:
    """What a run has, from whatever it has left."""
    seen = look(case)
    scores = votes(case, seen)
    proven = {name for name, cause in CAUSES.items() if cause.knob or _has_strong_evidence(cause, seen)}
    findings = []
    for name, complaint in COMPLAINTS.items():
        evidence = [
            seen[sign] for sign, _, side in map(_parted, complaint.raised_by) if sign in seen and seen[sign].side == side
        ]
        if not any(sign.status == "sick" for sign in evidence) and len(evidence) < 2:
            continue
        evidence.sort(key=lambda sign: sign.status != "sick")  # stable: the order of the table within each
        suspects = _suspects(evidence, scores, proven)
        weight = (scores[suspects[0]] if suspects else 0.0) + 0.01 * sum(sign.weight for sign in evidence)
        named = tuple(_suspect(cause, CAUSES[cause], scores[cause], case) for cause in suspects)
        findings.append(
            Finding(name, weight, complaint.says, tuple(sign.name for sign in evidence), evidence[0].picture, named)
        )
    findings.sort(key=lambda finding: -finding.weight)
    return Diagnosis(tuple(findings), tuple(seen.values()))


def look(case: Case) -> dict[str, SignValue]:
    """Every sign that the case holds."""
    seen = {}
    for name, sign in SIGNS.items():
        value = sign.read(case) if case.kind in sign.kinds else None
        if value is not None and math.isfinite(value):
            seen[name] = _seen(name, value, RANGES[name])
    return seen


def _seen(name: str, value: float, healthy: Range) -> SignValue:
    sign = SIGNS[name]
    low, high = (bound if math.isfinite(bound) else None for bound in (healthy.low, healthy.high))
    says = sign.says.format(value=f"{value:.3g}")
    return SignValue(name, rounded(value, 4), low, high, healthy.status(value), healthy.side(value), says, sign.picture)


def votes(case: Case, seen: Mapping[str, SignValue]) -> dict[str, float]:
    """How much speaks for each cause: the sum of its votes, a sign that is only odd counting half."""
    scores = {}
    for name, cause in CAUSES.items():
        if not cause.fits(case):
            continue
        score = sum(
            vote * seen[sign].weight for sign, side, vote in cause.ballots() if sign in seen and seen[sign].side == side
        )
        scores[name] = score + sum(hint.vote for hint in cause.hints if hint.holds(case))
    return scores


def _has_strong_evidence(cause: Cause, seen: Mapping[str, SignValue]) -> bool:
    """Whether one sign alone speaks strongly for a cause: what Rally's code is tested for should not be suspected for less."""
    cast = ((vote * seen[sign].weight, side == seen[sign].side) for sign, side, vote in cause.ballots() if sign in seen)
    return any(points >= STRONG for points, counts in cast if counts)


def _suspects(evidence: list[SignValue], scores: Mapping[str, float], proven: Set[str]) -> list[str]:
    """The likeliest causes that the evidence speaks for; faults of the code that nothing proves come last."""
    sides = {(sign.name, sign.side) for sign in evidence}
    speaks = [
        name
        for name, cause in CAUSES.items()
        if scores.get(name, 0.0) > 0 and any((sign, side) in sides and vote > 0 for sign, side, vote in cause.ballots())
    ]
    return sorted(speaks, key=lambda name: (name not in proven, -scores[name]))[:SHOWN]


def _suspect(name: str, cause: Cause, weight: float, case: Case) -> CauseScore:
    return CauseScore(name, weight, cause.says, cause.knob, cause.command(case), cause.tells)


def _parted(raised_by: str) -> tuple[str, str, str]:
    sign, between, side = raised_by.rpartition(" ")
    return sign, between, side
