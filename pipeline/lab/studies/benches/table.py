"""The table of benches."""

from __future__ import annotations

from pipeline.lab.studies.benches.base import Bench
from pipeline.lab.studies.benches.overfit import Overfit
from pipeline.lab.studies.benches.signal import Signal
from pipeline.lab.studies.benches.superposition import Superposition

BENCHES: dict[str, type[Bench]] = {
    "signal": Signal,
    "overfit": Overfit,
    "superposition": Superposition,
}
