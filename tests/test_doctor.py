"""The doctor: signs computed from small cases, verdicts that can be added up, and the questions that learners really ask."""

from __future__ import annotations

import json
import math
import shlex
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from small import TOP
from typer.main import get_command

from pipeline.doctor.case import Case
from pipeline.doctor.causes.base import Cause
from pipeline.doctor.causes.table import CAUSES
from pipeline.doctor.diagnose import Diagnosis, diagnose, read_signs, votes
from pipeline.doctor.signs.base import Range
from pipeline.doctor.signs.table import SIGNS
from pipeline.doctor.symptoms import SYMPTOMS
from pipeline.evaluation.contamination import WINDOW, overlap
from pipeline.lab.cli import app
from pipeline.params.load import with_knobs
from pipeline.params.parse import parse
from pipeline.params.schema import Params
from pipeline.params.yaml12 import read_yaml
from pipeline.probes.table import PROBES
from pipeline.readings import Axis, Reading

KNOBS = read_yaml(TOP / "params.yaml")


def knobs(**turned: Any) -> dict[str, Any]:
    """model and train of params.yaml, with changes such as train__lr=0.1."""
    values = with_knobs(KNOBS, {name.replace("__", "."): value for name, value in turned.items()})
    return {section: values[section] for section in ("prepare", "model", "train")}


def heat(name: str, rows: Mapping[str, list[float | None]], steps: tuple[int, ...]) -> Reading:
    axes = (Axis("layer", list(rows)), Axis("step", list(steps)))
    return Reading(name, "heat", "a number", "Healthy: all of it.", axes, list(rows.values()))


def run(losses: list[float], *, steps: int = 1000, held_out: list[float] | None = None, **other: Any) -> Case:
    """A case with evenly spaced rows; its gradient is steady, and its validation loss that of training unless it is given."""
    at = [steps * (row + 1) / len(losses) for row in range(len(losses))]
    held_out = held_out or [*losses[4::5], losses[-1]]
    case = Case(
        train={"step": at, "loss": losses, "gradient_norm": [1.0] * len(losses), "clipped": [0.0] * len(losses)},
        validation={"step": [steps * (row + 1) / len(held_out) for row in range(len(held_out))], "loss": held_out},
        progress={"step": steps, "diverged": False},
        knobs=knobs(),
    )
    return replace(case, **other)


def falling(start: float, end: float, rows: int = 50, pace: float = 12) -> list[float]:
    """A healthy loss curve: fast at first, then ever slower."""
    return [end + (start - end) * math.exp(-pace * (row + 1) / rows) for row in range(rows)]


LEVELS = {"uniform": math.log(65), "unigram": 3.31, "bigram": 2.46}
SOUND = {
    "loss": 4.20,
    "uniform": math.log(65),
    "logit_variance": 0.05,
    "start_excess": 0.001,
    "start_chance": 0.002,
    "future": 0.0,
    "across_batch": 0.0,
    "cache_difference": 1e-6,
    "largest_logit": 1.0,
}


# ------------------------------------------------------------------------------------------ questions that learners ask


def test_is_this_curve_normal() -> None:
    said = diagnose(run(falling(4.1, 1.7), levels=LEVELS, sanity=SOUND))
    assert said.finding == "healthy"
    assert said.findings == ()
    assert all(sign.status == "healthy" for sign in said.signs)
    assert {"gain", "late_share", "setback", "start_loss"} <= {sign.name for sign in said.signs}


def test_why_does_my_loss_start_far_above_the_logarithm_of_the_vocabulary() -> None:
    wrong = SOUND | {"loss": 33.0, "logit_variance": 60.0, "start_excess": -1.2}
    said = diagnose(run(falling(20.0, 2.6), levels=LEVELS, sanity=wrong))
    assert said.finding == "bad initialization"
    assert said.causes[0] == "initial weights too large"
    assert "start_loss" in said.findings[0].evidence
    assert said.findings[0].causes[0].command == "dvc exp run -S model.init=gpt2"


def test_why_does_my_loss_sit_at_seven_and_a_half_with_a_batch_of_three() -> None:
    rng = np.random.default_rng(0)
    losses = [loss + float(noise) for loss, noise in zip(falling(10.8, 7.5, 100, 40), rng.normal(0, 0.9, 100), strict=True)]
    levels = {"uniform": math.log(50257), "unigram": 7.45, "bigram": 5.6}
    said = diagnose(run(losses, held_out=[7.6, 7.5, 7.52], levels=levels, knobs=knobs(train__batch_size=3, train__lr=3e-4)))
    assert {finding.name for finding in said.findings} == {
        "learns nothing",
        "worse than counting pairs",
        "unstable",
    }  # frequencies alone
    assert said.causes[0] == "batch too small"
    assert "dvc exp run -S train.batch_size=24" in [cause.command for finding in said.findings for cause in finding.causes]


def test_why_does_my_network_of_48_layers_of_width_64_learn_nothing() -> None:
    layers: dict[str, list[float | None]] = {f"block {layer}": [10.0 ** (-layer / 6)] * 2 for layer in range(48, 0, -1)}
    case = run(
        falling(4.1, 3.32, pace=60),
        levels=LEVELS,
        sanity=SOUND,
        readings={"gradient_norm": heat("gradient_norm", layers, (0, 1000))},
        knobs=knobs(model__depth=48, model__width=64),
    )
    said = diagnose(case)
    assert said.finding == "learns nothing"
    assert said.causes[0] == "too deep for its width"
    assert said.findings[0].causes[0].command == "dvc exp run -S model.depth=12"


def test_why_is_my_loss_not_a_number_at_step_3000_in_float16() -> None:
    case = run(falling(4.1, 2.2), steps=3000, levels=LEVELS, knobs=knobs(train__precision="float16"))
    case = replace(case, progress={"step": 3000, "diverged": True, "stopped": "the loss is not a number"})
    said = diagnose(case)
    assert said.finding == "diverged"
    assert said.causes[:2] == ("float16 without loss scaling", "learning rate too high")
    assert said.findings[0].causes[1].command == f"dvc exp run -S train.lr={0.1 * KNOBS['train']['lr']:.3g}"


def test_why_is_my_validation_loss_rising() -> None:
    said = diagnose(run(falling(4.1, 0.4), held_out=[2.6, 2.2, 2.0, 2.1, 2.4, 2.9], levels=LEVELS, sanity=SOUND))
    assert said.finding == "overfits"
    assert said.causes[0] == "too little training text"


# -------------------------------------------------------------------------------------------------- what is missing or odd


def test_of_nothing_it_says_nothing() -> None:
    said = diagnose(Case())
    assert (said.finding, said.findings, said.signs) == ("unknown", (), ())


@pytest.mark.parametrize("rows", [1, 2, 5])
def test_a_training_of_few_rows_is_no_crash_and_no_alarm(rows: int) -> None:
    assert diagnose(run(falling(4.1, 3.9, rows), levels=LEVELS)).finding != "unstable"


def test_a_training_that_ended_before_its_first_row_has_a_finding() -> None:
    case = Case(progress={"step": 3, "diverged": True, "stopped": "the loss is not a number"}, knobs=knobs())
    assert diagnose(case).finding == "diverged"


def test_numbers_that_are_missing_are_passed_over() -> None:
    case = run(falling(4.1, 1.7), levels=LEVELS)
    gappy = replace(case, train={**case.train, "loss": [None, *case.train["loss"][1:]]})
    assert diagnose(gappy).finding == "healthy"
    empty = heat("dead_units", {"block 1": [None, None]}, (0, 9))
    assert "dead" not in read_signs(replace(case, readings={"dead_units": empty}))


def test_a_knob_alone_is_no_finding() -> None:
    strange = knobs(model__residual="none", train__epsilon=1.0, train__weight_decay=50.0, train__precision="float16")
    assert diagnose(run(falling(4.1, 1.7), levels=LEVELS, sanity=SOUND, knobs=strange)).finding == "healthy"


def test_one_odd_sign_is_no_finding_and_two_are() -> None:
    dead = {"block 1": [0.0, 0.5 * (SIGNS["dead"].range.high + SIGNS["dead"].range.sick_high)]}
    saturated = {"block 1": [0.0, 0.5 * (SIGNS["saturated"].range.high + SIGNS["saturated"].range.sick_high)]}
    case = run(falling(4.1, 1.7), levels=LEVELS, sanity=SOUND, readings={"dead_units": heat("dead_units", dead, (0, 9))})
    assert diagnose(case).finding == "healthy"
    both = {**case.readings, "saturation": heat("saturation", saturated, (0, 9))}
    assert diagnose(replace(case, readings=both)).finding == "dead or frozen layers"


def test_a_verdict_can_be_added_up_by_hand() -> None:
    case = run(falling(4.1, 3.3, pace=60), levels=LEVELS, sanity=SOUND)
    seen = read_signs(case)
    by_hand = {}
    for name, cause in CAUSES.items():
        if not cause.applies(case):
            continue
        points = [vote for sign, side, vote in cause.parsed_votes() if sign in seen and seen[sign].side == side]
        halves = [
            0.5 if seen[sign].status == "odd" else 1.0
            for sign, side, _ in cause.parsed_votes()
            if sign in seen and seen[sign].side == side
        ]
        by_hand[name] = sum(vote * half for vote, half in zip(points, halves, strict=True))
        by_hand[name] += sum(hint.vote for hint in cause.hints if hint.holds(case))
    assert votes(case, seen) == pytest.approx(by_hand)
    first = diagnose(case).findings[0].causes[0]
    assert first.weight == pytest.approx(max(by_hand[cause.name] for cause in diagnose(case).findings[0].causes))


def test_a_diagnosis_is_json_that_the_page_can_draw() -> None:
    told = json.loads(json.dumps(diagnose(run(falling(4.1, 3.3), levels=LEVELS, sanity=SOUND)).as_json(), allow_nan=False))
    assert told["finding"] == told["findings"][0]["name"]
    assert {"name", "weight", "says", "evidence", "picture", "causes"} <= told["findings"][0].keys()
    assert {"name", "says", "knob", "command", "tells"} <= told["findings"][0]["causes"][0].keys()
    assert all({"name", "value", "low", "high", "status", "says", "picture"} <= sign.keys() for sign in told["signs"])
    assert [finding["weight"] for finding in told["findings"]] == sorted(
        (finding["weight"] for finding in told["findings"]), reverse=True
    )


# ------------------------------------------------------------------------------------------------- classifiers


def of_classes(kind: str = "vision", losses: list[float] | None = None, **other: Any) -> Case:
    """A healthy run over ten classes, with changes; without the sanity checks of language models."""
    sound = {name: number for name, number in SOUND.items() if name not in ("future", "cache_difference")}
    sound |= {"uniform": math.log(10), "loss": 2.33}
    held_out = [2.0, 1.0, 0.5, 0.3, 0.25, 0.25]
    case = run(losses or falling(2.3, 0.02), held_out=held_out, sanity=sound, levels={"accuracy": 0.93} | SIMPLER)
    return replace(case, **({"kind": kind, "confusion": confused(0.93)} | other))


SIMPLER = {"majority": 0.11, "logistic": 0.9}


def confused(right: float) -> list[list[float]]:
    """A confusion matrix of ten equally frequent classes, with this accuracy."""
    return [[100 * (right if row == said else (1 - right) / 9) for said in range(10)] for row in range(10)]


@pytest.mark.parametrize("kind", ["classify", "vision"])
def test_a_classifier_is_healthy_by_the_signs_that_apply_to_it(kind: str) -> None:
    said = diagnose(of_classes(kind))
    assert said.finding == "healthy"
    assert {"beyond_majority", "logistic_margin", "predicted_classes", "overfitting"} <= {sign.name for sign in said.signs}
    spoken = " ".join(sign.says for sign in said.signs)
    assert not any(word in spoken for word in ("ln V", "bigram", "unigram", "context"))


def test_why_does_my_classifier_predict_one_class_for_everything() -> None:
    collapsed = [[1.0, *[0.0] * 9]] * 10
    said = diagnose(of_classes(losses=falling(2.3, 2.25), confusion=collapsed, levels={"accuracy": 0.1} | SIMPLER))
    assert {"predicts one class", "learns nothing", "worse than a linear model"} <= {finding.name for finding in said.findings}
    assert "class imbalance" not in said.causes, "they are all as frequent"
    uneven = [[0.9, 0.0], [0.1, 0.0]]
    rare = diagnose(of_classes(losses=falling(0.7, 0.34), confusion=uneven, levels={"accuracy": 0.9, "majority": 0.9}))
    assert "class imbalance" in rare.causes
    assert "dvc exp run -S train.class_weights=balanced" in commands(rare)


def test_why_does_my_held_out_loss_rise_while_the_training_loss_is_nothing() -> None:
    said = diagnose(replace(of_classes("classify"), validation={"step": [200, 500, 800, 1000], "loss": [0.9, 0.6, 1.5, 2.5]}))
    assert said.finding == "overfits"
    assert said.causes[0] == "too few examples"
    assert "train.shift" not in commands(said)[0], "of texts"


def test_why_is_logistic_regression_better_than_my_network() -> None:
    moves = {"update_ratio": heat("update_ratio", {"block 1": [0.02, 0.01], "block 2": [0.02, 0.01]}, (0, 1000))}
    short = of_classes(losses=falling(2.3, 0.9, pace=0.1), levels={"accuracy": 0.7} | SIMPLER, readings=moves)
    assert diagnose(short).causes[0] == "too few steps"
    mlp = of_classes(levels={"accuracy": 0.8} | SIMPLER, knobs=knobs(model__network="mlp"))
    assert diagnose(mlp).finding == "worse than a linear model"
    assert "dvc exp run -S model.network=cnn" in commands(diagnose(mlp))
    assert "dvc exp run -S model.network=cnn" not in commands(diagnose(replace(mlp, kind="classify")))


def test_why_does_my_classifier_learn_nothing_though_it_moves() -> None:
    moves = {"update_ratio": heat("update_ratio", {"block 1": [0.02, 0.01], "block 2": [0.02, 0.01]}, (0, 1000))}
    said = diagnose(of_classes(losses=falling(2.3, 2.2), levels={"accuracy": 0.12} | SIMPLER, readings=moves))
    assert said.finding in ("learns nothing", "worse than a linear model")
    assert said.causes[0] == "wrong labels"


def commands(said: Diagnosis) -> list[str]:
    return [cause.command for finding in said.findings for cause in finding.causes]


def test_signs_of_classes_are_what_their_formulas_say() -> None:
    case = of_classes(levels={"accuracy": 0.7, "majority": 0.4, "logistic": 0.6}, confusion=[[6, 0], [2, 2]])
    seen = {name: SIGNS[name].read(case) for name in SIGNS}
    assert seen["beyond_majority"] == pytest.approx(0.5)
    assert seen["logistic_margin"] == pytest.approx(0.1)
    entropies = [-sum(p * math.log(p) for p in shares) for shares in ((0.8, 0.2), (0.6, 0.4))]
    assert seen["predicted_classes"] == pytest.approx(math.exp(entropies[0]) / math.exp(entropies[1]))
    assert seen["overfitting"] == 0
    risen = replace(case, validation={"step": [1, 2, 3], "loss": [0.9, 0.5, 1.3]})
    assert SIGNS["overfitting"].read(risen) == pytest.approx(0.8 / math.log(10))
    assert SIGNS["overfitting"].read(replace(risen, train={**risen.train, "loss": [1.0] * 50})) == 0


# ------------------------------------------------------------------------------------------------------------- the tables


SMALL = st.sampled_from([0.0, 1e-12, 1e-6, 0.5, 1.0, 3.0, 1e6])
LOSSES = st.lists(st.none() | SMALL, max_size=24) | st.builds(lambda value, rows: [value] * rows, SMALL, st.integers(0, 24))
READ = {name: heat(name, {"block 1": [0.0, 0.0], "block 2": [None, 0.0]}, (0, 0)) for name in PROBES}


@given(
    losses=LOSSES,
    held_out=LOSSES,
    norms=LOSSES,
    targets=LOSSES,
    levels=st.fixed_dictionaries({}, optional=dict.fromkeys(["uniform", "unigram", "bigram", "entropy", "overlap"], SMALL)),
    told=st.fixed_dictionaries({}, optional=dict.fromkeys(["accuracy", "majority", "logistic"], st.sampled_from([0.0, 1.0]))),
    confusion=st.sampled_from([(), [[0.0, 0.0], [0.0, 0.0]], [[3.0, 0.0], [0.0, 0.0]]]),
    kind=st.sampled_from(["language", "classify", "vision"]),
    readings=st.sampled_from([{}, READ]),
    still=st.booleans(),
)
def test_a_diagnosis_bears_losses_of_zero_and_curves_that_stand_still(
    losses: list[float | None],
    held_out: list[float | None],
    norms: list[float | None],
    targets: list[float | None],
    levels: dict[str, float],
    told: dict[str, float],
    confusion: Any,
    kind: str,
    readings: Any,
    still: bool,
) -> None:
    rows = len(losses)
    steps = [1.0] * rows if still else [float(row + 1) for row in range(rows)]
    padded = {"gradient_norm": norms, "targets": targets, "clipped": norms}
    train = {"step": steps, "loss": losses} | {name: [*some, *[0.0] * rows][:rows] for name, some in padded.items()}
    case = Case(
        kind=kind,
        train=train,
        validation={"step": [float(row) for row in range(len(held_out))], "loss": held_out},
        progress={"step": 0, "skipped_steps": 0, "diverged": False},
        sanity=dict.fromkeys(["start_excess", "logit_variance", "loss", "cache_difference", "largest_logit"], 0.0),
        levels=levels | told,
        confusion=confusion,
        readings=readings,
        knobs=knobs(),
    )
    assert all(math.isfinite(sign.value) for sign in diagnose(case).signs)


def test_a_training_loss_of_zero_still_tells_memorizing_from_knowing() -> None:
    perfect = run([0.0] * 20, held_out=[0.0] * 5, levels={"uniform": 4.0})
    assert SIGNS["generalization_gap"].read(perfect) == 0
    assert SIGNS["roughness"].read(perfect) == 0
    assert SIGNS["validation_rise"].read(perfect) == 0
    memorized = run([0.0] * 20, held_out=[1.0, 0.0, 2.0], levels={"uniform": 4.0})
    assert SIGNS["generalization_gap"].read(memorized) == pytest.approx(2.0 / 0.04)
    assert SIGNS["validation_rise"].read(memorized) == pytest.approx(2.0 / 0.04)
    assert SIGNS["generalization_gap"].read(run([0.0] * 20, held_out=[1.0])) is None, (
        "without ln V nothing says how large a loss is"
    )


def test_the_noise_of_small_batches_is_not_a_setback_and_a_real_jump_is() -> None:
    draw = np.random.default_rng(1)
    noisy = [float(draw.choice([0.05, 2.0], p=[0.9, 0.1], size=8).mean()) for _ in range(20)]
    case = run(noisy, held_out=[0.3], kind="vision", levels={"uniform": math.log(10)})
    told = replace(case, train={**case.train, "targets": [8.0 * (row + 1) for row in range(20)]})
    assert (SIGNS["setback"].read(case) or 0) > SIGNS["setback"].range.high, "without the count of targets it looks like a jump"
    assert SIGNS["setback"].read(told) == 0
    jump = replace(told, train={**told.train, "loss": [*noisy[:10], *[2.6] * 10]})
    assert (SIGNS["setback"].read(jump) or 0) > SIGNS["setback"].range.high


def test_a_fault_of_the_code_is_named_after_the_knobs_unless_one_sign_speaks_strongly_for_it() -> None:
    losses = [2.0, 1.0, *[0.4] * 10, *[2.0] * 6, *[0.4] * 12]
    jumpy = run(losses, held_out=[0.4, 0.4], kind="vision", levels={"uniform": math.log(10)})
    jumpy = replace(jumpy, train={**jumpy.train, "gradient_norm": [*[0.1] * 15, *[2.0] * 15]})
    for finding in diagnose(jumpy).findings:
        codes = [CAUSES[cause.name].knob == "" for cause in finding.causes]
        assert codes == sorted(codes), f"{finding.name}: {[cause.name for cause in finding.causes]}"
    assert any(CAUSES[name].knob == "" for name in diagnose(jumpy).causes), "one is named here, so the order matters"


@pytest.mark.parametrize("name", SIGNS)
def test_a_sign_has_a_range_says_its_number_and_bears_an_empty_case(name: str) -> None:
    assert "{value}" in SIGNS[name].description
    assert SIGNS[name].description.endswith(".")
    assert SIGNS[name].read(Case()) is None
    spoken = [vote for cause in CAUSES.values() for vote, points in cause.votes.items() if points > 0]
    raised = {vote: symptom for symptom in SYMPTOMS.values() for vote in symptom.raised_by}
    whose = [symptom for vote, symptom in raised.items() if vote.startswith(f"{name} ")]
    assert whose, "it raises no symptom"
    if not all(symptom.by_all_signs for symptom in whose):
        assert any(vote.startswith(f"{name} ") for vote in spoken), "it votes for no cause"


@pytest.mark.parametrize("name", SIGNS)
def test_a_range_is_in_order_and_knows_where_it_is_from(name: str) -> None:
    known = SIGNS[name].range
    assert known.origin
    assert known.sick_low <= known.low <= known.high <= known.sick_high
    assert math.isfinite(known.low) or math.isfinite(known.high)
    assert math.isfinite(known.low) == math.isfinite(known.sick_low)
    assert math.isfinite(known.high) == math.isfinite(known.sick_high)


def test_a_range_tells_healthy_odd_and_sick() -> None:
    some = Range("a test", low=1, high=2, sick_low=0.5, sick_high=3)
    assert [some.status(value) for value in (0.4, 0.5, 1, 2, 2.1, 3, 3.1)] == [
        "sick",
        "odd",
        "healthy",
        "healthy",
        "odd",
        "odd",
        "sick",
    ]
    assert [some.side(value) for value in (0.4, 1.5, 9)] == ["low", "healthy", "high"]


@pytest.mark.parametrize("name", SYMPTOMS)
def test_a_symptom_is_raised_by_signs_that_have_such_a_side(name: str) -> None:
    assert SYMPTOMS[name].description.endswith(".")
    for raised in SYMPTOMS[name].raised_by:
        sign, side = raised.split()
        assert math.isfinite({"low": SIGNS[sign].range.low, "high": SIGNS[sign].range.high}[side]), raised


@pytest.mark.parametrize("name", CAUSES)
def test_a_cause_has_words_votes_of_known_signs_and_a_command_that_runs(name: str) -> None:
    cause = CAUSES[name]
    assert cause.description.endswith(".")
    assert cause.expected.endswith(".")
    for sign, side, _ in cause.parsed_votes():
        assert sign in SIGNS
        assert side in ("low", "healthy", "high")
    for kind, network in KINDS:
        case = Case(kind=kind, knobs=knobs(train__grad_clip=0.5, model__network=network))
        if cause.applies(case):
            runs(shlex.split(cause.command(case)), cause, with_knobs(KNOBS, OF_KIND[kind] | {"model.network": network}))


KINDS = [("language", "cnn"), ("classify", "cnn"), ("vision", "cnn"), ("vision", "mlp"), ("vision", "linear")]
OF_KIND = {
    "language": {},
    "classify": {"task.kind": "classify", "prepare.dataset": "dyck"},
    "vision": {"task.kind": "vision", "prepare.dataset": "digits"},
}


def runs(words: list[str], cause: Cause, values: dict[str, Any]) -> None:
    """A command is one of Rally's or DVC's, and its overrides are valid."""
    turned = dict(word.split("=", 1) for word in words if "=" in word)
    if words[0] == "rally":
        verb = get_command(app).commands[words[1]]
        assert {word for word in words if word.startswith("--")} <= {option for known in verb.params for option in known.opts}
    else:
        assert words[:3] == ["dvc", "exp", "run"]
        assert not cause.knob or cause.knob in turned
        parse(Params, with_knobs(values, {knob: read_number(value) for knob, value in turned.items()}))


def read_number(text: str) -> Any:
    from pipeline.params.yaml12 import load_yaml

    return load_yaml(text)


# ------------------------------------------------------------------------------------------------------------- the signs


def test_signs_of_the_curve_are_what_their_formulas_say() -> None:
    losses = [4.0, 3.0, 2.0, 3.5, 2.0, 2.0, 2.0, 2.0, 2.0, 2.0]
    case = run(losses, held_out=[2.5, 2.2, 2.3], levels={"uniform": 4.0, "unigram": 3.0, "bigram": 2.5, "entropy": 2.0})
    case = replace(case, train={**case.train, "gradient_norm": [9.0, 2.0, *[1.0] * 7, 4.0]})
    seen = {name: SIGNS[name].read(case) for name in SIGNS}
    assert seen["gain"] == pytest.approx((4.0 - 2.3) / (4.0 - 2.0))
    assert seen["beyond_unigram"] == pytest.approx((3.0 - 2.3) / (3.0 - 2.0))
    assert seen["floor_margin"] == pytest.approx((2.3 - 2.0) / 2.0)
    assert seen["bigram_share"] == pytest.approx(2.3 / 2.5)
    assert seen["setback"] == pytest.approx(1.5 / 4.0)
    assert seen["peak"] == 0
    assert seen["early_share"] == 0
    assert seen["late_share"] == 0
    assert seen["generalization_gap"] == pytest.approx((2.3 - 2.0) / 2.0)
    assert seen["dropout_gap"] is None
    assert seen["validation_rise"] == pytest.approx(0.1 / 2.2)


def test_signs_of_readings_are_what_their_formulas_say() -> None:
    steps = (0, 500, 1000)
    case = run(
        falling(4.0, 2.0),
        readings={
            "activation_rms": heat("activation_rms", {"embedding": [1.0, 1.0, 2.0], "block 1": [1.0, 1.0, 5.0]}, steps),
            "gradient_norm": heat(
                "gradient_norm", {"embedding": [1, 3.0, 0.3], "block 1": [1, 4.0, 0.4], "block 2": [1, 0, 0]}, steps
            ),
            "update_ratio": heat("update_ratio", {"a": [0.1, 0.02, 0.0], "b": [0.2, 0.04, 0.0], "c": [0.3, 0.0, None]}, steps),
            "attention_entropy": heat("attention_entropy", {"1.1": [0.9, 0.5, 0.4], "1.2": [0.7, 0.5, 0.2]}, steps),
            "attention_logit": heat("attention_logit", {"1.1": [1.0, 60.0, 3.0], "1.2": [2.0, 2.0, None]}, steps),
        },
    )
    seen = {name: SIGNS[name].read(case) for name in SIGNS}
    assert seen["activation_growth"] == 2.5
    assert seen["gradient_agreement"] == pytest.approx((1 / 5 + 1 / 0.5) / 2)
    assert seen["update_ratio"] == 0.2
    assert seen["reach"] == pytest.approx(0.2 * case.knob("train.steps"))
    assert seen["decay_share"] == pytest.approx(case.knob("train.lr") * case.knob("train.weight_decay") / 0.2)
    assert seen["least_update"] == pytest.approx(0.1 / 0.2)
    assert seen["attention_entropy_start"] == pytest.approx(0.8)
    assert seen["attention_entropy"] == 0.2
    assert seen["attention_logit"] == 60.0


def test_the_overlap_is_the_share_of_windows_that_were_read() -> None:
    rng = np.random.default_rng(0)
    known, new = (rng.integers(0, 50, 4000).astype(np.uint8) for _ in range(2))
    assert overlap(known, known[1000:2000]) == 1
    assert overlap(known, new) == 0
    half = np.concatenate([known[:1000], new[:1000]])
    assert overlap(known, half) == pytest.approx(0.5, abs=0.03)
    assert overlap(known, known[: WINDOW - 1]) == 0
