"""The doctor on what is wrong at rest: regularization, averages, warm-up, size, attention, and the data themselves."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
from test_doctor import LEVELS, SOUND, commands, confused, falling, heat, knobs, of_classes, run

from pipeline.doctor.case import Case, material
from pipeline.doctor.causes.recipe import HEAVY, explained_by_a_knob, is_heavy
from pipeline.doctor.causes.table import CAUSES
from pipeline.doctor.diagnose import diagnose, read_signs, votes
from pipeline.doctor.signs.table import SIGNS

MOVES = {"update_ratio": heat("update_ratio", {"block 1": [0.02, 0.01], "block 2": [0.02, 0.01]}, (0, 1000))}
AT_UNIGRAM = falling(4.1, 3.28, pace=60)


def learns_nothing(**turned: Any) -> Case:
    """A run that ends at the unigram's loss though its weights move, with some knobs."""
    return run(AT_UNIGRAM, levels=LEVELS, sanity=SOUND, readings=MOVES, knobs=knobs(**turned))


def with_material(case: Case, **numbers: float) -> Case:
    return replace(case, material=numbers)


def healthy(**other: Any) -> Case:
    return run(falling(4.1, 1.7), levels=LEVELS, sanity=SOUND, readings=MOVES, **other)


# ------------------------------------------------------------------------------------------------------------ the recipe


@pytest.mark.parametrize("knob", HEAVY)
def test_regularization_beyond_its_limit_outvotes_shuffled_targets(knob: str) -> None:
    case = learns_nothing(**{knob.replace(".", "__"): 0.9 if HEAVY[knob] < 0.9 else 2 * HEAVY[knob]})
    if knob == "train.mixup":  # of images alone, where targets are not shuffled but labels may be wrong
        case = replace(
            of_classes(levels={"accuracy": 0.3, "majority": 0.11, "logistic": 0.9}, readings=MOVES), knobs=case.knobs
        )
    said = diagnose(case)
    assert is_heavy(case)
    assert said.causes[0] == "regularized to death"
    assert any(f"-S {knob}=0.0" in command for command in commands(said))


@pytest.mark.parametrize(
    ("turned", "cause"),
    [
        ({"model__width": 8, "model__heads": 2}, "too small to learn it"),
        ({"model__context_length": 4}, "context too short"),
        ({"model__attention": "window", "model__window": 2}, "context too short"),
        ({"model__norm": "none"}, "no normalization"),
    ],
)
def test_a_knob_that_is_enough_of_a_reason_is_named_before_shuffled_targets(turned: dict[str, Any], cause: str) -> None:
    case = learns_nothing(**turned)
    assert explained_by_a_knob(case)
    named = diagnose(case).causes
    assert cause in named[:2]
    assert "shuffled targets" not in named[:1]


def test_without_such_a_knob_shuffled_targets_are_still_the_first_suspect() -> None:
    case = learns_nothing()
    assert not explained_by_a_knob(case)
    assert diagnose(case).causes[0] == "shuffled targets"
    assert diagnose(replace(case, knobs={})).causes[0] == "shuffled targets"


def test_a_strange_knob_of_a_run_that_learns_is_no_finding() -> None:
    for turned in ({"model__dropout": 0.9}, {"train__label_smoothing": 0.7}, {"model__width": 8, "model__heads": 2}):
        assert diagnose(healthy(knobs=knobs(**turned))).finding == "healthy"


def test_smoothed_targets_show_in_the_gradient_even_with_the_knobs_hidden() -> None:
    steps = (0, 500, 1000)
    probed = heat("gradient_norm", {"block 1": [5.0, 5.0, 5.0]}, steps)
    case = replace(healthy(), readings={**MOVES, "gradient_norm": probed}, knobs={})
    assert SIGNS["gradient_agreement"].read(case) == pytest.approx(0.2)
    assert diagnose(case).causes[0] == "regularized to death"


def test_a_rate_that_rises_to_the_end_is_found_and_a_search_for_a_rate_is_not() -> None:
    case = healthy(knobs=knobs(train__warmup_ratio=1.0, train__cooldown_ratio=0.0))
    rising = replace(case, train={**case.train, "lr": [0.001 * (row + 1) for row in range(50)]})
    assert SIGNS["late_peak"].read(rising) == 1
    said = diagnose(rising)
    assert said.causes[0] == "ends before the warm-up"
    assert "dvc exp run -S train.warmup_ratio=0.05" in commands(said)
    usual = replace(case, train={**case.train, "lr": [0.001 * min(row + 1, 5) * (50 - row) for row in range(50)]})
    assert SIGNS["late_peak"].read(usual) == pytest.approx(0.1)
    assert diagnose(usual).finding == "healthy"
    searched = replace(rising, knobs=knobs(train__schedule="exponential"))
    assert SIGNS["late_peak"].read(searched) is None


def averaged(above: float, tokens: float = 1e6, ema: float = 0.9999) -> Case:
    """A run whose validation loss is above its training loss by a share of it all along, in its first pass over the text."""
    case = healthy(held_out=[(1 + above) * loss for loss in falling(4.1, 1.7, 20)], knobs=knobs(train__ema=ema))
    counted = [1000.0 * step for step in case.validation["step"] if step is not None]
    return replace(case, validation={**case.validation, "targets": counted}, material={"training_tokens": tokens})


def test_averages_that_lag_show_before_anything_can_be_memorized() -> None:
    lagging = averaged(0.1)
    assert SIGNS["average_gap"].read(lagging) == pytest.approx(0.1, abs=0.03)
    said = diagnose(lagging)
    assert said.finding == "misleading scores"
    assert said.causes[0] == "averages lag"
    assert diagnose(averaged(0.0)).finding == "healthy"
    assert SIGNS["average_gap"].read(averaged(0.1, ema=0.0)) is None, "nothing is averaged"


def test_after_the_first_pass_a_gap_is_memory_and_harder_text_is_subtracted() -> None:
    assert SIGNS["average_gap"].read(averaged(0.1, tokens=1000.0)) is None
    case = averaged(0.1)
    harder = replace(case, material={**case.material, "split_difference": 0.1})
    assert SIGNS["average_gap"].read(harder) == pytest.approx((SIGNS["average_gap"].read(case) or 0) - 0.1)


def test_heads_that_weigh_all_tokens_alike_are_found_and_heads_that_hardly_choose_are_not() -> None:
    def of(entropy: float) -> Case:
        heads = {"1.1": [1.0, 1.0], "1.2": [1.0, entropy]}
        return (
            healthy()
            if entropy is None
            else replace(healthy(), readings={"attention_entropy": heat("attention_entropy", heads, (0, 9))})
        )

    said = diagnose(of(1.0))
    assert said.finding == "dead or frozen layers"
    assert said.causes[0] == "attention ignores content"
    assert diagnose(of(0.999)).finding == "healthy"


def test_a_network_that_uses_its_whole_width_and_loses_to_pairs_is_too_small() -> None:
    ranks = heat("effective_rank", {"block 1": [4.0, 7.0]}, (0, 1000))
    case = run(
        falling(4.1, 2.9),
        levels=LEVELS,
        sanity=SOUND,
        knobs=knobs(model__width=8, model__heads=2),
        readings={"effective_rank": ranks},
    )
    assert SIGNS["rank_used"].read(case) == 7 / 8
    said = diagnose(case)
    assert said.finding == "worse than counting pairs"
    assert said.causes[0] == "too small to learn it"
    assert "dvc exp run -S model.width=32" in commands(said)


@pytest.mark.parametrize(
    ("turned", "cause"),
    [
        ({"train__optimizer": "adamw", "train__beta2": 0.5}, "squared gradients forgotten"),
        ({"train__optimizer": "muon", "train__momentum": 0.999}, "momentum too long"),
        ({"train__optimizer": "adamw", "train__beta1": 0.999}, "momentum too long"),
    ],
)
def test_a_run_that_jumps_is_explained_by_the_memory_of_its_optimizer(turned: dict[str, Any], cause: str) -> None:
    losses = [*falling(4.1, 2.0, 30), *[6.0] * 3, *falling(4.0, 2.2, 20)]
    said = diagnose(run(losses, levels=LEVELS, sanity=SOUND, knobs=knobs(**turned)))
    assert said.finding == "unstable"
    assert cause in said.causes[:2]
    usual = diagnose(run(losses, levels=LEVELS, sanity=SOUND, knobs=knobs(train__optimizer="adamw", train__beta1=0.9)))
    assert cause not in usual.causes


# -------------------------------------------------------------------------------------------------------------- the data


@pytest.mark.parametrize(
    ("numbers", "finding", "cause"),
    [
        ({"held_out_error": 0.1}, "misleading scores", "too little held-out text"),
        ({"split_difference": 0.4}, "doubtful data", "validation text unlike training text"),
        ({"repeated": 0.95}, "doubtful data", "text repeats itself"),
        ({"token_excess": 0.9, "vocabulary_used": 0.4}, "doubtful data", "tokenizer of another text"),
        ({"vocabulary_used": 0.05, "token_excess": 0.0}, "doubtful data", "vocabulary too large"),
        ({"documents_per_window": 40.0}, "doubtful data", "documents shorter than the context"),
    ],
)
def test_data_that_are_at_odds_with_the_training_are_named(numbers: dict[str, float], finding: str, cause: str) -> None:
    said = diagnose(with_material(healthy(), **numbers))
    assert said.finding == finding
    assert said.causes[0] == cause


def test_data_as_they_should_be_are_healthy() -> None:
    fine = {"held_out_error": 0.01, "split_difference": 0.02, "repeated": 0.42, "token_excess": 0.01, "vocabulary_used": 0.8}
    said = diagnose(with_material(healthy(), **fine, documents_per_window=3.4, training_tokens=1e6))
    assert said.finding == "healthy"
    assert set(fine) <= {sign.name for sign in said.signs}


def test_noise_in_the_training_text_makes_validation_easier() -> None:
    case = run(falling(4.1, 2.3), held_out=[3.0, 2.2, 1.9, 1.8, 1.8], levels=LEVELS, sanity=SOUND)
    said = diagnose(with_material(case, split_difference=-0.2))
    assert said.causes[0] == "damaged training text"


def test_labels_that_sure_classifiers_contradict_are_wrong_though_the_network_beats_the_majority() -> None:
    noisy = of_classes(losses=falling(2.3, 1.1), levels={"accuracy": 0.63, "majority": 0.35, "logistic": 0.74})
    assert "wrong labels" not in diagnose(with_material(noisy, contradicted=0.02)).causes[:1]
    said = diagnose(with_material(noisy, contradicted=0.22))
    assert "doubtful data" in {finding.name for finding in said.findings}
    assert said.causes[0] == "wrong labels"


def test_the_accuracy_of_a_few_examples_is_known_as_well_as_a_coin_of_as_many_throws() -> None:
    few = replace(of_classes(), confusion=[[count / 25 for count in row] for row in confused(0.93)])
    wanted = 1.96 * math.sqrt(0.93 * 0.07 / 40)
    assert SIGNS["accuracy_error"].read(few) == pytest.approx(wanted)
    very_few = replace(of_classes(), confusion=[[count / 100 for count in row] for row in confused(0.93)])
    assert "too little held-out text" in diagnose(very_few).causes


def test_the_numbers_of_the_data_are_read_from_the_evaluation() -> None:
    assert material({"material": [{"name": "repeated", "value": 0.5}]}) == {"repeated": 0.5}
    assert material({"scores": []}) == {}, "an evaluation that was made before there were any"


def test_each_new_cause_is_against_by_default() -> None:
    """With the knobs of params.yaml and healthy signs, no cause of the recipe has points."""
    case = with_material(
        healthy(), held_out_error=0.01, repeated=0.1, split_difference=0.0, token_excess=0.0, vocabulary_used=0.9
    )
    scores = votes(case, read_signs(case))
    quiet = ("regularized to death", "averages lag", "ends before the warm-up", "too small to learn it", "momentum too long")
    assert all(scores[name] <= 0 for name in quiet)
    assert set(quiet) <= set(CAUSES)
