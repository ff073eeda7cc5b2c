"""A diverged training stops early, no other does, and its last good weights are kept."""

from __future__ import annotations

import json
import math
import signal
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
import yaml
from small import StopAfter, knobs, started
from test_checkpoint import forget_outs, lab, outs, train, wait_for_step  # noqa: F401 (lab is a fixture)

from pipeline.engine.early_stopping import ABOVE_UNIFORM, FIXED_COLUMNS, NOT_A_NUMBER, SPIKE, is_good, reason_to_stop
from pipeline.engine.loop import fit
from pipeline.engine.recorder import CURVE_COLUMNS

UNIFORM = math.log(64)
STEPS = 1000


def rows(losses: list[float], **dial: float) -> list[dict[str, float]]:
    """A curve of a hundred rows, or its beginning."""
    return [{"step": 10 * (place + 1), "loss": loss, "lr": 1.0, **dial} for place, loss in enumerate(losses)]


def falling(count: int, noise: float = 0.0) -> list[float]:
    """From blind guessing towards 2 nats."""
    random = np.random.default_rng(0)
    return [2 + (UNIFORM - 2) * math.exp(-place / 15) + noise * float(random.normal()) for place in range(count)]


def ends(losses: list[float], warmup: float = 0.0, **dial: float) -> tuple[int, str]:
    """At which row the training would have ended, and why; the number of rows where it would not."""
    curve = rows(losses, **dial)
    for count in range(1, len(curve) + 1):
        if reason := reason_to_stop(curve[:count], STEPS, warmup, UNIFORM):
            return count, reason
    return len(curve), ""


@pytest.mark.parametrize("noise", [0.0, 0.05, 0.3])
def test_a_loss_that_falls_is_let_be_however_noisy(noise: float) -> None:
    assert ends(falling(100, noise)) == (100, "")


def test_a_loss_that_learns_nothing_but_does_no_worse_than_guessing_is_let_be() -> None:
    random = np.random.default_rng(0)
    assert ends([UNIFORM + 0.02 + 0.02 * float(random.normal()) for _ in range(100)]) == (100, "")


def test_a_loss_that_stays_above_blind_guessing_ends_it_after_a_fifth() -> None:
    assert ends([UNIFORM + 1.0] * 100) == (20, ABOVE_UNIFORM)


def test_the_warm_up_is_waited_for() -> None:
    assert ends([UNIFORM + 1.0] * 100, warmup=0.5) == (70, ABOVE_UNIFORM)


def test_a_loss_above_blind_guessing_that_falls_is_let_be_however_slowly() -> None:
    assert ends([UNIFORM + 5.0 - 0.04 * place for place in range(100)]) == (100, "")
    random = np.random.default_rng(0)
    slow = [UNIFORM + 0.5 - 0.001 * place + 0.01 * float(random.normal()) for place in range(100)]
    assert ends([UNIFORM + 0.52, *slow]) == (101, "")
    assert ends([UNIFORM + 0.3, *slow])[1] == ABOVE_UNIFORM


def test_a_jump_that_does_not_come_back_ends_it_a_tenth_of_the_training_later() -> None:
    assert ends([*falling(50), *[UNIFORM - 0.2] * 50]) == (60, SPIKE)


def test_a_jump_that_comes_back_is_let_be() -> None:
    assert ends([*falling(50), *[UNIFORM - 0.2] * 8, *falling(100)[50:92]]) == (100, "")


def test_a_jump_to_what_is_still_far_better_than_guessing_is_let_be() -> None:
    assert ends([*falling(50), *[2.9] * 50]) == (100, "")


def test_where_a_dial_moves_the_text_a_loss_may_rise() -> None:
    assert ends([*falling(50), *[UNIFORM - 0.2] * 50], open=0.5) == (100, "")
    assert ends([*falling(50), *[UNIFORM + 0.2] * 50], open=0.5) == (60, ABOVE_UNIFORM)


def test_whatever_else_a_row_holds_is_a_dial() -> None:
    assert set(CURVE_COLUMNS) == FIXED_COLUMNS


def test_good_is_what_is_nearer_to_the_best_than_to_guessing() -> None:
    assert is_good(rows(falling(50)), UNIFORM)
    assert not is_good(rows([*falling(50), UNIFORM - 0.1]), UNIFORM)
    assert not is_good([], UNIFORM)


# ------------------------------------------------------------------------------------------------------ in a training

RUNS_AWAY = {"optimizer": "sgd", "momentum": 0.0, "lr": 100.0, "schedule": "constant", "weight_decay": 0.0}


def turned(lab: Path, **train: object) -> None:  # noqa: F811
    values = yaml.safe_load((lab / "params.yaml").read_text())
    values["train"] |= train
    (lab / "params.yaml").write_text(yaml.safe_dump(values, sort_keys=False))


def test_a_training_above_blind_guessing_ends_early_unless_it_is_told_to_go_on(tmp_path: Path) -> None:
    ended = []
    for stops in (True, False):
        params = knobs(**{f"train__{knob}": value for knob, value in RUNS_AWAY.items()}, train__steps=60)
        params = params.model_copy(
            update={"train": params.train.model_copy(update={"stop_if_diverged": stops, "log_points": 60})}
        )
        progress, task, runtime = started(params, tmp_path)
        fit(progress, task, params.train, params.seed, runtime, StopAfter())
        ended.append((progress.step < 60, progress.stopped, progress.diverged))
    assert ended == [(True, ABOVE_UNIFORM, True), (False, "", False)]


def test_a_loss_that_is_no_number_says_so(tmp_path: Path) -> None:
    params = knobs()
    progress, task, runtime = started(params, tmp_path)
    with torch.no_grad():
        next(progress.model.parameters()).fill_(math.nan)
    fit(progress, task, params.train, params.seed, runtime, StopAfter())
    assert (progress.stopped, progress.diverged) == (NOT_A_NUMBER, True)


@pytest.mark.slow
def test_what_was_good_is_left_to_start_from_also_after_a_kill(lab: Path) -> None:  # noqa: F811
    # The rate climbs from nothing to a hundred, so that it learns before it breaks.
    turned(
        lab, **RUNS_AWAY | {"schedule": "exponential", "min_lr_ratio": 1e-4, "lr": 100.0}, snapshots=[0.0, 1.0], log_points=60
    )
    process = train(lab)
    said = process.communicate(timeout=120)[1]
    assert process.returncode == 0, said
    metrics = json.loads((lab / "metrics/train.json").read_text())
    assert metrics["diverged"] and metrics["stopped"] in (ABOVE_UNIFORM, SPIKE, NOT_A_NUMBER)
    assert f"stopped early at step {metrics['step']} of 60: {metrics['stopped']}" in said
    about = json.loads((lab / "models/trained/good/model.json").read_text())
    assert f"the weights of step {about['step']}, before it diverged, are in models/trained/good" in said
    assert 0 < about["step"] < metrics["step"]
    weights = safetensors.torch.load_file(lab / "models/trained/good/model.safetensors")
    assert all(bool(torch.isfinite(weight).all()) for weight in weights.values())
    unbroken = outs(lab)
    forget_outs(lab)
    for path in sorted(lab.glob(".rally/**/*"), reverse=True):
        path.unlink() if path.is_file() else path.rmdir()
    process = train(lab)
    wait_for_step(lab, about["step"] + 1, process)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    forget_outs(lab)
    assert train(lab).wait(timeout=120) == 0
    assert outs(lab) == unbroken
    [good] = lab.glob(".rally/checkpoints/*/good/*")
    assert good.name.startswith(f"step-{about['step']:09d}")
