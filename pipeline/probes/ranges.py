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
GUESS = "a guess, to be fitted"

RANGES: dict[str, Range] = {
    "start_excess": Range("Rally's RESULTS A1: .03 in ten good runs, above .3 broken", high=0.1, sick_high=0.3),
    "start_loss": Range(GUESS, high=0.3, sick_high=0.8),
    "future": Range(RULE + "a causal network has none", high=0.0, sick_high=0.0),
    "across_batch": Range(RULE + "examples do not know of each other", high=0.0, sick_high=0.0),
    "cache_difference": Range(RULE + "the same function; rounding of float32 stays below", high=1e-3, sick_high=1e-2),
    "overlap": Range(GUESS, high=0.05, sick_high=0.5),
    "not_a_number": Range(RULE + "nothing is learned from what is no number", high=0.0, sick_high=0.0),
    "ran_away": Range(RULE + "it was ended", high=0.0, sick_high=0.0),
    "gain": Range(GUESS, low=0.6, sick_low=0.3),
    "beyond_unigram": Range(GUESS, low=0.4, sick_low=0.1),
    "floor_margin": Range(RULE + "the entropy is what nobody beats; 5 % for a short split", low=-0.02, sick_low=-0.05),
    "bigram_share": Range(GUESS, low=0.3, sick_low=0.1),
    "late_share": Range(GUESS, high=0.2, sick_high=0.35),
    "early_share": Range(GUESS, low=0.2, sick_low=0.02),
    "roughness": Range(GUESS, high=0.05, sick_high=0.15),
    "setback": Range(GUESS, high=0.1, sick_high=0.3),
    "peak": Range(GUESS, high=0.1, sick_high=0.3),
    "gap": Range(GUESS, low=-0.1, high=0.15, sick_low=-0.2, sick_high=0.4),
    "dropped_gap": Range(GUESS, high=0.05, sick_high=0.2),
    "rise": Range(GUESS, high=0.03, sick_high=0.1),
    "gradient_growth": Range(GUESS, high=5.0, sick_high=20.0),
    "gradient_spike": Range("OLMo-core: beyond 6 standard deviations of the last 128 steps", high=6.0, sick_high=30.0),
    "clipped": Range("Godbole et al., 2023: above half is 'extremely aggressive'", high=0.1, sick_high=0.9),
    "skipped": Range(GUESS, high=0.02, sick_high=0.2),
    "gradient_agreement": Range(GUESS, low=0.2, high=6.0, sick_low=0.05, sick_high=30.0),
    "gradient_ratio": Range(GUESS, low=0.05, high=20.0, sick_low=1e-4, sick_high=1e3),
    "update_ratio": Range(
        "Rally's RESULTS B: 1e-4 … 3e-2 after warm-up; above .1 or below 1e-6 broken",
        low=3e-4,
        high=0.1,
        sick_low=1e-5,
        sick_high=0.3,
    ),
    "least_update": Range(GUESS, low=0.01, sick_low=1e-4),
    "activation_growth": Range(
        "Rally's RESULTS B: above 100 or below a thousandth broken", low=0.1, high=50.0, sick_low=1e-3, sick_high=300.0
    ),
    "effective_rank": Range("Rally's RESULTS A9: 1.0 without residuals, 16 to 23 of 64 with them", low=2.0, sick_low=1.3),
    "saturated": Range("Rally's RESULTS B: below 5 % healthy, above 20 % broken", high=0.1, sick_high=0.4),
    "dead": Range("Rally's RESULTS B: below 5 % healthy, above 20 % broken", high=0.1, sick_high=0.3),
    "log_partition": Range("Rally's RESULTS B: a drift below 5", high=5.0, sick_high=20.0),
    "attention_entropy_start": Range(GUESS, low=0.6, sick_low=0.35),
    "attention_entropy": Range("Rally's RESULTS B: below .1 in all heads of a layer broken", low=0.02, sick_low=0.0),
    "attention_logit": Range("Rally's RESULTS B: 52 still trained, above 1,000 broken", high=60.0, sick_high=1000.0),
    "previous_token": Range(RULE + "a softmax leaves something for every key that may be seen", low=1e-6, sick_low=1e-12),
    "attention_sink": Range(RULE + "a softmax leaves something for every key that may be seen", low=1e-8, sick_low=1e-12),
    "context_gain": Range(GUESS, low=-0.05, sick_low=-0.3),
    "distinct_2": Range(GUESS, low=0.02, sick_low=0.0),
    "copied_length": Range("Rally's RESULTS B: above 50 characters is learned by heart", high=50.0, sick_high=200.0),
}
