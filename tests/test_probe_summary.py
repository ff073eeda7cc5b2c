"""The few numbers by which runs are compared: each read off its reading at the last snapshot, or left out."""

from __future__ import annotations

import math

import pytest

from pipeline.doctor.signs.table import SIGNS
from pipeline.probes.summary import DECADES, NUMBERS, as_metrics, summary
from pipeline.probes.table import PROBES
from pipeline.readings import Axis, Reading, rounded_or_none

NAN = math.nan


def heat(name: str, ticks: list[str], values: list[list[float]]) -> Reading:
    return Reading(name, "heat", "", "", (Axis("y", ticks), Axis("step", [0, 5])), rounded_or_none(values))


READINGS = {
    reading.name: reading
    for reading in (
        heat("activation_rms", ["embedding", "block 1", "block 2"], [[9, 2], [9, 3], [9, 5]]),
        heat("effective_rank", ["embedding", "block 1", "block 2"], [[1, 40], [1, 30], [1, 20]]),
        heat("saturation", ["block 1", "block 2"], [[0.9, 0.25], [0.9, 0.125]]),
        heat("dead_units", ["block 1", "block 2"], [[0.9, 0.0], [0.9, 0.5]]),
        heat("gradient_norm", ["embedding", "block 1", "block 2", "head"], [[9, 8], [9, 2], [9, 4], [9, 7]]),
        heat("update_ratio", ["embedding", "block 1", "block 2", "head"], [[9, 0.5], [9, 0.01], [9, 0.02], [9, NAN]]),
        heat("noise_scale", ["noise scale"], [[50, 1500]]),
        heat("sharpness", ["largest eigenvalue"], [[3, -20]]),
        heat("attention_entropy", ["1.1", "1.2"], [[1, 0.5], [1, 0.25]]),
        heat("attention_logit", ["1.1", "1.2"], [[99, 8], [1, 12]]),
        heat("attention_sink", ["1.1", "1.2"], [[0, 0.5], [0, 0.75]]),
        heat("previous_token", ["1.1", "1.2"], [[0, 0.875], [0, 0.125]]),
        heat("induction", ["1.1", "1.2"], [[0, 0.0625], [0, 0.25]]),
        heat("log_partition", ["mean", "sd"], [[4, 6], [0, 1]]),
        Reading(
            "loss_by_position",
            "lines",
            "",
            "",
            (Axis("step", [0, 5]), Axis("position", ["1–4", "5–8", "9–16"])),
            [[4.0, 4.0, 4.0], [3.5, 2.5, 2.0]],
        ),
        heat("sample_quality", ["distinct_1", "distinct_2", "valid"], [[1, 0.1], [1, 0.4], [0, 0.75]]),
        heat("copied_length", ["longest copy"], [[3, 42]]),
    )
}
WANTED = {
    "activation_growth": 2.5,
    "effective_rank": 20,
    "saturated": 0.25,
    "dead": 0.5,
    "gradient_ratio": 0.5,
    "update_ratio": 0.02,
    "noise_scale": 1500,
    "sharpness": -20,
    "attention_entropy": 0.375,
    "attention_logit": 12,
    "attention_sink": 0.625,
    "previous_token": 0.875,
    "induction": 0.25,
    "log_partition": 6,
    "context_gain": 1.5,
    "distinct_2": 0.4,
    "valid": 0.75,
    "copied_length": 42,
}


@pytest.mark.parametrize("name", NUMBERS)
def test_a_number_is_that_of_the_last_snapshot(name: str) -> None:
    reading = READINGS[NUMBERS[name][0]]
    assert reading.name in PROBES
    assert summary({reading.name: reading})[name] == WANTED[name]


def test_all_of_them_stand_together_and_what_is_not_there_is_left_out() -> None:
    assert summary(READINGS) == WANTED
    assert summary({}) == {}
    gone = {
        name: Reading(**{**vars(one), "values": rounded_or_none([[NAN] * len(line) for line in one.values])})
        for name, one in READINGS.items()
    }
    assert summary(gone) == {}
    nothing = heat("gradient_norm", ["embedding", "block 1", "block 2"], [[1, 1], [1, 1], [1, 0]])
    lone = heat("activation_rms", ["embedding"], [[0, 0]])
    assert summary({"gradient_norm": nothing, "activation_rms": lone}) == {}


@pytest.mark.parametrize("name", DECADES)
@pytest.mark.parametrize("value", [1e-9, 3e-5, 1.0, 5e4])
def test_what_spans_decades_differs_in_the_five_places_that_dvc_prints(name: str, value: float) -> None:
    first, second = (as_metrics(_with(name, number))[f"log10_{name}"] for number in (value, 1.01 * value))
    assert round(first, 5) < round(second, 5)
    assert first == pytest.approx(math.log10(value), abs=1e-3 * max(1, abs(math.log10(value))))
    assert name not in as_metrics(_with(name, value))


def test_of_a_ratio_that_is_zero_no_logarithm_is_made_up() -> None:
    assert as_metrics(_with("update_ratio", 0.0)) == {}


def test_whatever_is_healthy_only_above_a_small_number_is_printed_as_a_logarithm() -> None:
    small = {name for name in NUMBERS if name in SIGNS and 0 < SIGNS[name].range.sick_low < 1e-2}
    shares = {"attention_entropy"}  # a mean of shares, which are read as such
    assert small - shares - {"attention_sink", "previous_token"} <= set(DECADES)


def _with(name: str, value: float) -> dict[str, Reading]:
    """A reading whose number at the end is `value`."""
    reading = NUMBERS[name][0]
    ticks = {"activation_growth": ["embedding", "block 1"], "gradient_ratio": ["block 2", "block 1"]}.get(name, ["block 1"])
    ones = [[1.0, 1.0], [1.0, value]] if name == "activation_growth" else [[1.0, value], [1.0, 1.0]]
    return {reading: Reading(reading, "heat", "", "", (Axis("y", ticks), Axis("step", [0, 5])), ones[: len(ticks)])}
