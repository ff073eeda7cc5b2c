"""What is healthy: the one table of thresholds, each with where it comes from."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

Status = Literal["healthy", "odd", "sick"]
Side = Literal["low", "healthy", "high"]


@dataclass(frozen=True)
class Range:
    """Where a sign is healthy, where it is sick, and how one knows; in between it is odd, which alone is no finding.

    Attributes:
        low, high: healthy from .. to.
        sick_low, sick_high: sick below, sick above.
        origin: a rule that cannot be otherwise, a publication, or the runs that it was fitted on.
    """

    origin: str
    low: float = -math.inf
    high: float = math.inf
    sick_low: float = -math.inf
    sick_high: float = math.inf

    def side(self, value: float) -> Side:
        """On which side of healthy a value is."""
        return "low" if value < self.low else "high" if value > self.high else "healthy"

    def status(self, value: float) -> Status:
        if self.low <= value <= self.high:
            return "healthy"
        return "sick" if value < self.sick_low or value > self.sick_high else "odd"


RULE = "a rule: "
THUMB = "a rule of thumb, wider than what the fitted runs would bear: other batches, lengths and texts move it"
FITTED = "fitted: `rally doctor benchmark --fit` on markov, addition and sums (30 healthy runs, 180 with a fault)"

RANGES: dict[str, Range] = {
    # before the first step
    "start_excess": Range("Rally's RESULTS A1: .03 in ten good runs, above .3 broken", high=0.1, sick_high=0.3),
    "start_loss": Range(FITTED, high=1.2, sick_high=2.8),
    "future": Range(RULE + "a causal network has none", high=0.0, sick_high=0.0),
    "across_batch": Range(RULE + "examples do not know of each other", high=0.0, sick_high=0.0),
    "cache_difference": Range(RULE + "the same function; rounding of float32 stays below 1e-4", high=1e-4, sick_high=1e-2),
    "overlap": Range(RULE + "half of a text is no accident; set phrases make a tenth of a manual", high=0.25, sick_high=0.5),
    # the curves
    "not_a_number": Range(RULE + "nothing is learned from what is no number", high=0.0, sick_high=0.0),
    "ran_away": Range(RULE + "it was given up", high=0.0, sick_high=0.0),
    "gain": Range(FITTED, low=0.33, sick_low=0.27),
    "beyond_unigram": Range(FITTED, low=0.31, sick_low=0.23),
    "floor_margin": Range(RULE + "the entropy is what nobody beats; 5 % for a short split", low=-0.02, sick_low=-0.05),
    "bigram_share": Range(FITTED, low=0.16, sick_low=0.039),
    "late_share": Range(THUMB, high=0.2, sick_high=0.35),
    "early_share": Range(THUMB, low=0.1, sick_low=0.02),
    "roughness": Range(THUMB, high=0.03, sick_high=0.08),
    "setback": Range(THUMB, high=0.12, sick_high=0.2),
    "peak": Range(THUMB, high=0.3, sick_high=0.6),
    "gap": Range(THUMB, low=-0.05, high=0.2, sick_low=-0.1, sick_high=0.4),
    "dropped_gap": Range(THUMB, high=0.05, sick_high=0.2),
    "rise": Range(THUMB, high=0.03, sick_high=0.1),
    # where classes are told
    "beyond_majority": Range(THUMB, low=0.15, sick_low=0.06),
    "logistic_margin": Range(THUMB, low=-0.03, sick_low=-0.08),
    "classes_said": Range(THUMB, low=0.85, sick_low=0.73),
    "by_heart": Range(THUMB, high=0.15, sick_high=0.4),
    # gradients
    "gradient_growth": Range(THUMB, high=3.0, sick_high=8.0),
    "gradient_spike": Range(THUMB, high=12.0, sick_high=30.0),
    "clipped": Range("Godbole et al., 2023: above half is 'extremely aggressive'", high=0.5, sick_high=0.9),
    "skipped": Range(THUMB, high=0.02, sick_high=0.2),
    "gradient_agreement": Range(FITTED, low=0.61, high=1.4, sick_low=0.48, sick_high=1.5),
    "gradient_ratio": Range(FITTED, low=0.027, high=19.0, sick_low=0.0017, sick_high=67.0),
    "update_ratio": Range(
        FITTED + "; low: Rally's RESULTS B (AdamW: 1e-4 and more; below 1e-6 broken)",
        low=1e-4,
        high=0.05,
        sick_low=1e-6,
        sick_high=0.074,
    ),
    "reach": Range(FITTED, low=0.86, sick_low=0.55),
    "decay_share": Range(RULE + "a pull to 0 that makes half of the way is no longer a regulariser", high=0.3, sick_high=0.5),
    "least_update": Range(RULE + "a layer that is trained moves", low=0.01, sick_low=1e-4),
    # layers
    "activation_growth": Range(FITTED + "; low: Rally's RESULTS B", low=0.1, high=110.0, sick_low=1e-3, sick_high=150.0),
    "effective_rank": Range("Rally's RESULTS A9: 1.0 without residuals, 16 to 23 of 64 with them", low=2.0, sick_low=1.3),
    "saturated": Range("Rally's RESULTS B: below 5 % healthy, above 20 % broken", high=0.1, sick_high=0.4),
    "dead": Range("Rally's RESULTS B: below 5 % healthy, above 20 % broken", high=0.1, sick_high=0.3),
    "log_partition": Range("Rally's RESULTS B: a drift below 5", high=5.0, sick_high=20.0),
    # attention
    "attention_entropy_start": Range(FITTED, low=0.5, sick_low=0.31),
    "attention_entropy": Range("Rally's RESULTS B: below .1 in all heads of a layer broken", low=0.02, sick_low=0.0),
    "attention_logit": Range("Rally's RESULTS B: 52 still trained, above 1,000 broken", high=60.0, sick_high=1000.0),
    "previous_token": Range(RULE + "a softmax leaves something for every key that may be seen", low=1e-6, sick_low=1e-12),
    "attention_sink": Range(RULE + "a softmax leaves something for every key that may be seen", low=1e-8, sick_low=1e-12),
    "context_gain": Range(THUMB, low=-0.4, sick_low=-1.0),
    # what it writes
    "distinct_2": Range(THUMB, low=0.04, sick_low=0.02),
    "copied_length": Range("Rally's RESULTS B: above 50 characters is learned by heart", high=50.0, sick_high=200.0),
}
