"""The doctor on runs that are not what their knobs and curves say, and on those that no cause of its list explains."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from test_doctor import LEVELS, SOUND, falling, heat, knobs, run

from pipeline.doctor.case import Case
from pipeline.doctor.diagnose import UNEXPLAINED, diagnose
from pipeline.doctor.signs.table import SIGNS

STEPS = (0, 100, 400, 1000)
RATES = [0.01 * (50 - row) / 50 for row in range(50)]


def healthy(**other: Any) -> Case:
    return run(falling(4.1, 1.7), levels=LEVELS, sanity=SOUND, **other)


def with_updates(updates: list[float], **turned: Any) -> Case:
    case = healthy(knobs=knobs(**turned), readings={"update_ratio": heat("update_ratio", {"block 1": updates}, STEPS)})
    return replace(case, train={**case.train, "lr": RATES})


def value(case: Case, sign: str) -> float:
    found = SIGNS[sign].read(case)
    assert found is not None
    return found


# ------------------------------------------------------------------------------------------------------- rates and targets


def test_steps_of_length_zero_at_a_recorded_rate_are_a_schedule_that_is_not_followed() -> None:
    said = diagnose(with_updates([0.0, 0.02, 0.0, 0.0]))
    assert said.finding == "does not add up"
    assert said.causes[0] == "learning-rate schedule not followed"
    assert diagnose(with_updates([0.0, 0.02, 0.012, 1e-6])).finding == "healthy", "at the end the rate itself is near 0"


def test_steps_are_measured_against_the_rate_and_those_of_sgd_are_not() -> None:
    assert value(with_updates([0.0, 0.018, 0.012, 0.0]), "schedule_followed") == pytest.approx(1, abs=0.03)
    assert SIGNS["schedule_followed"].read(with_updates([0.0, 0.018, 0.0, 0.0], train__optimizer="sgd")) is None


def counted(share: float, **turned: Any) -> Case:
    values = knobs(**turned)
    each = values["train"]["batch_size"] * values["model"]["context_length"]
    case = healthy(knobs=values)
    return replace(case, train={**case.train, "targets": [share * each * (step or 0.0) for step in case.train["step"]]})


def test_a_target_that_is_missing_in_every_window_is_a_second_shift() -> None:
    said = diagnose(counted(47 / 48))
    assert (said.finding, said.causes[0]) == ("does not add up", "targets shifted twice")
    assert diagnose(counted(1.0)).finding == "healthy"
    for turned in ({"train__windows": "documents"}, {"train__batch_start": 0.25}, {"train__length_start": 0.5}):
        assert SIGNS["targets_counted"].read(counted(0.9, **turned)) is None, "fewer are no fault there"


# ------------------------------------------------------------------------------------------------------- losses and outputs


def first_pass(above: float, tokens: float = 1e6, **material: float) -> Case:
    """A validation loss that is above the training loss by a share of it all along."""
    case = healthy(held_out=[(1 + above) * loss for loss in falling(4.1, 1.7, 20)])
    seen = [500.0 * (step or 0.0) for step in case.validation["step"]]
    told = {"training_tokens": tokens, **material}
    return replace(case, validation={**case.validation, "targets": seen}, material=told)


def test_a_gap_before_anything_was_read_twice_is_not_memory() -> None:
    case = first_pass(0.5)
    assert value(case, "first_pass_gap") == pytest.approx(0.5, abs=0.02)
    assert diagnose(case).causes[0] == "padding counted in the loss"
    assert "too little training text" not in diagnose(case).causes
    later = first_pass(0.5, tokens=1000.0)
    assert SIGNS["first_pass_gap"].read(later) is None
    assert diagnose(later).causes[0] == "too little training text"
    assert diagnose(first_pass(0.0)).finding == "healthy"


def test_a_harder_or_short_split_and_repeated_text_explain_a_gap() -> None:
    whole = value(first_pass(0.5), "first_pass_gap")
    assert value(first_pass(0.5, split_difference=0.3, held_out_error=0.02), "first_pass_gap") == pytest.approx(whole - 0.32)
    assert SIGNS["first_pass_gap"].read(first_pass(0.5, repeated=1.0)) is None
    unlike = diagnose(first_pass(0.5, split_difference=0.45))
    assert unlike.causes[0] == "validation text unlike training text"


@pytest.mark.parametrize("tokens", [7, 65])
def test_probabilities_in_place_of_logits_show_in_the_denominator_of_the_softmax(tokens: int) -> None:
    rng, means = np.random.default_rng(0), []
    for sharpness in (0.0, 1.0, 50.0):
        scores = np.exp(sharpness * rng.normal(size=(100, tokens)))
        means.append(float(np.log(np.exp(scores / scores.sum(1, keepdims=True)).sum(1)).mean()))
    rounded = [float(f"{mean:.4g}") for mean in means]
    uniform = math.log(tokens)
    case = run(
        falling(uniform, uniform - 0.6),
        levels={"uniform": uniform},
        readings={"log_partition": heat("log_partition", {"mean": rounded}, (0, 500, 1000))},
    )
    assert value(case, "probability_range") <= 1
    assert diagnose(case).causes[0] == "softmax before the loss"
    of_logits = heat("log_partition", {"mean": [uniform, uniform + 1.2, uniform + 2.0]}, (0, 500, 1000))
    assert diagnose(replace(case, readings={"log_partition": of_logits})).finding == "healthy"
    wide = replace(case, levels={"uniform": math.log(50_000)})
    assert SIGNS["probability_range"].read(wide) is None, "four digits do not tell"


# ------------------------------------------------------------------------------------------------------- gradients and jumps


def test_layers_that_never_have_a_gradient_are_cut_off_and_those_at_the_start_need_none() -> None:
    def of(first: list[float], **turned: Any) -> Case:
        layers = {"embedding": first, "block 1": first, "block 2": [0.1, 0.1, 0.1, 0.1]}
        return healthy(knobs=knobs(**turned), readings={"gradient_norm": heat("gradient_norm", layers, STEPS)})

    assert value(of([0.0] * 4), "unreached") == pytest.approx(2 / 3)
    assert diagnose(of([0.0] * 4)).causes[0] == "gradient cut off"
    assert value(of([0.0, 0.1, 0.1, 0.1]), "unreached") == 0, "branches that start at 0 have no gradient before the first step"
    assert SIGNS["unreached"].read(of([0.0] * 4, train__freeze=True)) is None, "they are to be frozen"


def test_a_loss_that_goes_back_to_where_it_was_is_another_checkpoint_and_a_single_row_is_not() -> None:
    losses = falling(4.1, 1.7)
    back = diagnose(healthy() if not losses else run([*losses[:35], *losses[2:17]], levels=LEVELS, sanity=SOUND))
    assert back.finding == "unstable"
    assert back.causes[0] == "resumed from old weights"
    one = run([*losses[:35], losses[35] + 0.3, *losses[36:]], levels=LEVELS, sanity=SOUND)
    assert value(one, "jump") < 0


def test_noise_that_lasts_over_rows_is_of_neighbouring_examples_and_independent_noise_is_not() -> None:
    rng, trend = np.random.default_rng(0), np.array(falling(4.1, 1.7, 200))
    noise = rng.normal(0, 0.15, 203)
    lasting = trend + np.convolve(noise, np.ones(4) / 2, "valid")
    assert value(run([*map(float, lasting)]), "wandering") > SIGNS["wandering"].range.sick_high
    assert value(run([*map(float, trend + noise[:200])]), "wandering") < SIGNS["wandering"].range.high
    assert value(run([*map(float, trend)]), "wandering") < SIGNS["wandering"].range.high, "a smooth curve is no noise"
    assert "training examples not shuffled" in diagnose(run([*map(float, lasting)])).causes


# ------------------------------------------------------------------------------------------------------- what is not explained


def test_that_little_was_learned_is_no_evidence_for_shuffled_targets() -> None:
    flat = run(falling(4.1, 2.9, pace=60), levels=LEVELS, sanity=SOUND)
    said = diagnose(flat)
    assert said.finding == "worse than counting pairs"
    assert said.causes == ()
    assert all(finding.says.endswith(UNEXPLAINED) for finding in said.findings)


def test_a_loss_of_exactly_the_token_frequencies_is_evidence_for_them() -> None:
    said = diagnose(run(falling(4.1, 3.31, pace=60), levels=LEVELS, sanity=SOUND))
    assert said.causes[0] == "shuffled targets"
    assert not said.findings[0].says.endswith(UNEXPLAINED)
