"""Every claim that a study can make, by its name."""

from __future__ import annotations

from pipeline.lab.studies.claims.base import Claim
from pipeline.lab.studies.claims.bounds import (
    AtLeast,
    AtMost,
    DiffersAtMost,
    Exceeds,
    FellOff,
    LiesBetween,
    MatchesPrediction,
)
from pipeline.lab.studies.claims.optima import (
    OptimumLiesBetween,
    OptimumMovesAtLeast,
    OptimumMovesAtMost,
)
from pipeline.lab.studies.claims.tuned import BestAtMost, BestBelow, SensitivityFalls

CLAIMS: dict[str, type[Claim]] = {
    "optimum_moves_at_most": OptimumMovesAtMost,
    "optimum_moves_at_least": OptimumMovesAtLeast,
    "optimum_lies_between": OptimumLiesBetween,
    "best_at_most": BestAtMost,
    "best_below": BestBelow,
    "at_most": AtMost,
    "at_least": AtLeast,
    "lies_between": LiesBetween,
    "exceeds": Exceeds,
    "differs_at_most": DiffersAtMost,
    "fell_off": FellOff,
    "follows": MatchesPrediction,
    "sensitivity_falls": SensitivityFalls,
}

RENAMED_ARGUMENTS = {"foretold": "predicted"}  # of claims in earlier versions
