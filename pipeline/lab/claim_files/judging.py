"""A claim file judged by today's statistics: the verdict on each check, and the status of the whole."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

from pipeline.lab.claim_files.form import Check, ClaimFile, Held
from pipeline.lab.studies.claims.base import Claim, Status, Verdict
from pipeline.lab.studies.claims.results import Axis, Basis, Results
from pipeline.lab.studies.claims.table import CLAIMS
from pipeline.lab.studies.measures.metrics import MEASURES
from pipeline.params.errors import UserError
from pipeline.params.names import suggest
from pipeline.params.parse import parse

DIGITS = 3  # of an effect and its interval in a file: a rounding error makes no difference in git

SHARES = ("accuracy", "macro_f1", "calibration_error")  # scores of experiments that lie between 0 and 1
POSITIVE = ("loss", "bits_per_byte")


def judged(file: ClaimFile) -> ClaimFile:
    """The file with the verdicts that its values have today.

    Raises:
        UserError: a claim, or a measure, is one that there no longer is.
    """
    found = results_of(file)
    checks, controls = (
        [_checked(check, claim_of(check.claim), found, len(file.scope.seeds)) for check in part]
        for part in (file.checks, file.controls)
    )
    return file.model_copy(update={"checks": checks, "controls": controls, "status": status_of(checks, controls)})


def status_of(checks: Sequence[Check], controls: Sequence[Check]) -> Held:
    """The status of a claim: a control that does not fail leaves it undecided, because then a failure was not possible."""
    verdicts = {check.verdict for check in checks}
    if Status.REFUTED in verdicts:
        return "refuted"
    if Status.EXTEND in verdicts:
        return "edge"
    failed = all(control.verdict is Status.FAILED for control in controls)
    return "held" if failed and verdicts == {Status.HELD} else "undecided"


def results_of(file: ClaimFile) -> dict[str, Results]:
    """Every measure of a claim file on its grid."""
    axes = tuple(Axis(name, tuple(way)) for name, way in file.runs.vary.items())
    shape = (*(len(axis.labels) for axis in axes), len(file.scope.seeds))
    draws: Literal["none", "one", "seed"] = "none" if file.runs.bench else "one" if file.runs.draws == "one" else "seed"
    basis = Basis(file.scope.rounds, draws, "fresh" if file.kind == "confirmatory" else "seen")
    found = {}
    for name in file.runs.measure:
        values = np.array(file.values[name], dtype=np.float64).reshape(shape)
        is_log, quantity, low, high = scale_of(name, of_study=bool(file.rests_on.study))
        found[name] = Results(axes, values, is_log, quantity, low, high, file.held_out.get(name, 0), basis)
    return found


def scale_of(name: str, *, of_study: bool) -> tuple[bool, str, float, float]:
    """(it spans decades, it in words, the least and the largest that it can be) of a measure, or of a score of experiments.

    Raises:
        UserError: there is no such measure.
    """
    if not of_study:
        return False, name, 0.0 if name in (*SHARES, *POSITIVE) else -math.inf, 1.0 if name in SHARES else math.inf
    if name not in MEASURES:
        raise UserError(f"measure: there is no '{name}'. {suggest(name, tuple(MEASURES))}")
    measure = MEASURES[name]
    return measure.logarithmic, measure.quantity, measure.low, measure.high


def claim_of(content: dict[str, dict[str, Any]]) -> Claim:
    """A claim as it stands in a study: {kind: {argument: value}}.

    Raises:
        UserError: it is none.
    """
    if len(content) != 1:
        raise UserError("check: is not one claim, such as at_most: {measure: loss, value: 2.0}")
    [(kind, arguments)] = content.items()
    if kind not in CLAIMS:
        raise UserError(f"check: there is no '{kind}'. {suggest(str(kind), tuple(CLAIMS))}")
    return parse(CLAIMS[kind], arguments, ("check", kind))


def _checked(check: Check, claim: Claim, found: dict[str, Results], seeds: int) -> Check:
    return check_of(check.claim, claim.judge(found), seeds)


def check_of(content: dict[str, dict[str, Any]], verdict: Verdict, seeds: int) -> Check:
    """A check of a file from the verdict on it."""
    low, effect, high = (rounded(number) for number in verdict.effect) if verdict.effect else (None, None, None)
    return Check(
        claim=content,
        says=verdict.claimed,
        verdict=verdict.status,
        at=verdict.place,
        effect=effect,
        low=low,
        high=high,
        n=seeds,
    )


def rounded(number: float) -> float | None:
    """A number with DIGITS digits; None where there is none, because a training diverged."""
    return None if math.isnan(number) else float(f"{number:.{DIGITS}g}")
