"""Signs in the samples that a language model generates: repetition, and text copied from the training split."""

from __future__ import annotations

from pipeline.doctor.case import LAST, Case
from pipeline.doctor.signs.base import LANGUAGE, THUMB, Range, Sign


def distinct_2(case: Case) -> float | None:
    """The share of different pairs of tokens in the samples, at the end."""
    found = case.readings.get("sample_quality")
    lines = {} if found is None else dict(zip(map(str, found.axes[0].ticks), found.values, strict=True))
    values = [value for value in lines.get("distinct_2", []) if value is not None]
    return float(values[-1]) if values else None


def copied_length(case: Case) -> float | None:
    """Characters of the longest piece of the samples that occurs in the training text, at the end."""
    lengths = case.at("copied_length", LAST)
    return lengths[0] if lengths else None


SAMPLES = {
    "distinct_2": Sign(
        distinct_2,
        "Repetition in the samples (distinct-2): {value} of their pairs of tokens are different.",
        Range(THUMB, low=0.04, sick_low=0.02),
        "sample_quality",
        LANGUAGE,
    ),
    "copied_length": Sign(
        copied_length,
        "Memorization: the longest passage that the samples copy from the training text has {value} characters.",
        Range("Rally's RESULTS B: above 50 characters is memorized", high=50.0, sick_high=200.0),
        "copied_length",
        LANGUAGE,
    ),
}
