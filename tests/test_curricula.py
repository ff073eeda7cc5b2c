"""Data schedules: a batch is a pure function of (seed, step) from the opened data, and nothing else changes."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from small import PART, StopAfter, assert_resumes, knobs, same, started, write_tokens

from pipeline.artifacts.paths import parts_of
from pipeline.artifacts.reading import read_json
from pipeline.artifacts.writing import write_json
from pipeline.engine.checkpoint import Progress
from pipeline.engine.curricula import CURRICULA, RAMPS, micro_batches, settings_at
from pipeline.engine.loop import fit, train_step, validate
from pipeline.engine.sampler import batch_of, document_starts, opened_subset, rows_with_replacement
from pipeline.figures import charts
from pipeline.params.schema import Params
from pipeline.tasks.base import Shape
from pipeline.tasks.lm import LanguageModelling

pytestmark = pytest.mark.shapes

DIALS: dict[str, dict[str, Any]] = {
    "length": {"model__context_length": 24, "train__length_start": 0.3, "train__length_growth": 1.0},
    "length of as many tokens": {"model__context_length": 24, "train__length_start": 0.3, "train__length_keeps": "tokens"},
    "batch": {"train__batch_size": 12, "train__batch_start": 0.2, "train__batch_growth": 1.0},
    "mixture": {"train__mixture_start": 0.2, "train__mixture_end": 0.9},
    **{name: {"train__curriculum": name, "train__curriculum_growth": 1.0} for name in CURRICULA if name != "none"},
}
ALL = {knob: value for dials in DIALS.values() for knob, value in dials.items() if knob != "train__length_keeps"}


def places(folder: Path, tokens: int = 400, mixed: bool = False) -> Path:
    """Tokens that say where they stand: the id of a training token is its place. Of a mixture the last 100 are the second."""
    write_tokens(folder, tokens)
    np.save(folder / "train.npy", np.arange(tokens, dtype=np.uint16))
    parts = np.load(parts_of(folder))
    parts["source"] = (parts["end"] > tokens - 100) if mixed else 0
    np.save(parts_of(folder), parts)
    write_json(folder / "meta.json", {"vocabulary": tokens})
    return folder


def a_task(params: Params, folder: Path) -> LanguageModelling:
    return LanguageModelling(folder, params.model, Shape.of(read_json(folder / "meta.json")))


def trained(params: Params, folder: Path) -> Progress:
    progress, task, runtime = started(params, folder)
    fit(progress, task, params.train, params.seed, runtime, StopAfter())
    return progress


# --------------------------------------------------------------------------------------------------- what holds for all


def test_with_the_dials_off_a_step_sees_what_it_saw_without_them_and_the_curve_has_no_column_more(tmp_path: Path) -> None:
    params = knobs(train__accumulation_steps=2)
    task = a_task(params, places(tmp_path))
    for step in range(12):
        plain = task.batch("train", rows_with_replacement(params.seed, step, 4, task.size("train")))
        seen = batch_of(task, params.train, params.seed, step)
        assert torch.equal(seen.inputs, plain.inputs) and torch.equal(seen.targets, plain.targets)
        assert list(micro_batches(slice(0, settings_at(task, params.train, step).batch), 2)) == [slice(0, 2), slice(2, 4)]
    write_tokens(tmp_path)
    assert list(trained(params, tmp_path).curve[0]) == ["step", "targets", "loss", "lr", "gradient_norm", "clipped"]


@pytest.mark.parametrize("dial", DIALS)
def test_a_run_that_is_interrupted_while_a_dial_moves_ends_where_an_unbroken_one_does(dial: str, tmp_path: Path) -> None:
    params = knobs(**DIALS[dial])
    write_tokens(tmp_path)
    if dial == "mixture":
        parts = np.load(parts_of(tmp_path))
        parts["source"] = parts["end"] > 200
        np.save(parts_of(tmp_path), parts)
    unbroken, _ = assert_resumes(params, tmp_path)
    assert {column for column, _, _ in charts.SCHEDULES} & set(unbroken.curve[0]), "nobody sees what moves"


def test_what_a_step_sees_hangs_on_seed_and_step_alone_not_on_the_steps_before(tmp_path: Path) -> None:
    params = knobs(**ALL)
    forwards, backwards = (a_task(params, places(tmp_path, mixed=True)) for _ in range(2))
    seen = [batch_of(forwards, params.train, 7, step).inputs for step in range(12)]
    assert all(torch.equal(batch_of(backwards, params.train, 7, step).inputs, seen[step]) for step in reversed(range(12)))
    assert not torch.equal(batch_of(forwards, params.train, 8, 3).inputs, seen[3])


def gradients_of(params: Params, step: int, folder: Path) -> tuple[torch.Tensor, list[int]]:
    """(the gradient of a step, the tokens of each of its micro-batches)."""
    progress, task, runtime = started(params, folder)
    progress.model.double()
    progress.step, held = step, list[int]()
    progress.model.embedding.register_forward_hook(lambda module, inputs, output: held.append(output[..., 0].numel()))
    train_step(progress, task, params.train, params.seed, runtime, lambda: False)
    dials = settings_at(task, params.train, step)
    assert sum(held) == dials.batch * dials.length
    return torch.cat([weight.grad.flatten() for weight in progress.model.parameters() if weight.grad is not None]), held


@pytest.mark.parametrize("step", [0, 5, 11])
@pytest.mark.parametrize("keeps", ["examples", "tokens"])
def test_micro_batches_of_a_growing_batch_change_no_gradient_and_hold_no_more_than_those_of_the_full_one(
    keeps: str, step: int, tmp_path: Path
) -> None:
    more = {"train__optimizer": "sgd", "model__init": "fan_in", "model__dropout": 0.2, "train__length_keeps": keeps}
    whole, _ = gradients_of(knobs(**ALL | more), step, tmp_path)
    for accumulation in (2, 6):
        parts, held = gradients_of(knobs(**ALL | more, train__accumulation_steps=accumulation), step, tmp_path)
        assert (whole - parts).norm() < 1e-12 * whole.norm()
        assert max(held) <= 12 // accumulation * 24


def test_tokens_are_counted_as_they_are_and_validation_reads_whole_windows_whatever_the_dials(tmp_path: Path) -> None:
    params = knobs(**ALL)
    progress = trained(params, tmp_path)
    task = a_task(params, tmp_path)
    all_dials = [settings_at(task, params.train, step) for step in range(12)]
    assert progress.targets == sum(dials.batch * dials.length for dials in all_dials) < 12 * 12 * 24
    assert [row["length"] for row in progress.curve] == [all_dials[row["step"] - 1].length for row in progress.curve]
    runtime = started(params, tmp_path)[2]
    plain = knobs(model__context_length=24, train__batch_size=12)
    losses = [validate(progress, task, some.train, runtime, lambda: False) for some in (params, plain)]
    assert losses[0] == pytest.approx(losses[1], abs=1e-6)
    few = opened_subset(task, "easy_first", 1, 0.2)
    for split in ("validation", "test"):
        assert few.size(split) == task.size(split)
        rows = np.arange(few.size(split))
        assert torch.equal(few.batch(split, rows).inputs, task.batch(split, rows).inputs)


# ---------------------------------------------------------------------------------------------------------- their shapes


@pytest.mark.parametrize("pace", RAMPS)
def test_a_pace_climbs_from_its_start_to_the_whole_and_from_the_whole_nowhere(pace: str) -> None:
    shares = [RAMPS[pace](0.25, p / 20) for p in range(21)]
    assert shares[0] == pytest.approx(0.25) and shares[-1] == 1.0
    assert all(earlier <= later for earlier, later in pairwise(shares))
    assert all(RAMPS[pace](1.0, p / 20) == 1.0 for p in range(21))


@pytest.mark.parametrize("keeps", ["examples", "tokens"])
def test_sequences_grow_by_eights_to_their_length_and_the_batch_keeps_examples_or_tokens(keeps: str, tmp_path: Path) -> None:
    params = knobs(
        model__context_length=44, train__steps=100, train__length_start=0.1, train__length_growth=0.6, train__length_keeps=keeps
    )
    task = a_task(params, places(tmp_path))
    dials = [settings_at(task, params.train, step) for step in range(100)]
    assert sorted({one.length for one in dials}) == [8, 16, 24, 32, 40, 44]
    assert [one.length for one in dials] == sorted(one.length for one in dials)
    assert dials[59].length == 40 and dials[60].length == 44
    for step in (0, 30, 99):
        batch = batch_of(task, params.train, 1, step)
        assert batch.inputs.shape == batch.targets.shape == (dials[step].batch, dials[step].length)
    if keeps == "examples":
        assert {one.batch for one in dials} == {4}
    else:
        assert all(4 * 44 - one.length < one.batch * one.length <= 4 * 44 for one in dials)


def test_the_batch_grows_to_its_size(tmp_path: Path) -> None:
    params = knobs(train__batch_size=32, train__batch_start=0.25, train__batch_growth=0.5, train__ramp="step", train__steps=10)
    task = a_task(params, places(tmp_path))
    assert [settings_at(task, params.train, step).batch for step in range(10)] == [8] * 5 + [32] * 5
    linear = knobs(train__batch_size=32, train__batch_start=0.001, train__batch_growth=1.0, train__steps=32)
    assert [settings_at(task, linear.train, step).batch for step in range(32)] == [1, *range(1, 32)]


# ---------------------------------------------------------------------------------------------------------- what is open


def open_parts(task: LanguageModelling, curriculum: str, share: float, seed: int = 1) -> list[int]:
    """The parts that may be drawn from, as the ids of the stream tell."""
    some = opened_subset(task, curriculum, seed, share)
    return np.unique(some.batch("train", np.arange(some.size("train"))).inputs.numpy() // PART).tolist()


@pytest.mark.parametrize("curriculum", [name for name in CURRICULA if name != "none"])
def test_every_example_is_drawn_from_what_is_open_and_all_of_it_can_be(curriculum: str, tmp_path: Path) -> None:
    params = knobs(train__curriculum=curriculum, train__curriculum_start=0.15, train__curriculum_growth=0.5, train__steps=40)
    task = a_task(params, places(tmp_path))
    sizes = []
    for step in range(40):
        share = settings_at(task, params.train, step).open
        allowed = open_parts(task, curriculum, share)
        batch = batch_of(task, params.train, params.seed, step)
        assert set((torch.cat([batch.inputs, batch.targets]).flatten() // PART).tolist()) <= set(allowed)
        sizes.append(len(allowed))
    assert sizes[0] == 6 and sizes[20:] == [40] * 20 and sizes == sorted(sizes)  # of 40 parts


def test_easy_and_hard_first_are_each_others_reverse_and_the_control_opens_as_much_and_knows_no_difficulty(
    tmp_path: Path,
) -> None:
    task = a_task(knobs(), places(tmp_path))
    difficulty = task.parts().difficulty
    for share in (0.1, 0.3, 0.6):
        easy, hard, control = (open_parts(task, name, share) for name in ("easy_first", "hard_first", "shuffled"))
        assert len(easy) == len(hard) == len(control) == 40 * share
        assert difficulty[easy].max() < np.delete(difficulty, easy).min()
        assert difficulty[hard].min() > np.delete(difficulty, hard).max()
        assert 9 < difficulty[control].mean() < 30  # of 0 .. 39
        assert control != open_parts(task, "shuffled", share, seed=2)
    assert set(open_parts(task, "shuffled", 0.1)) < set(open_parts(task, "shuffled", 0.3))


def test_what_is_open_keeps_its_own_order_so_that_at_the_end_the_training_goes_on_as_without_a_curriculum(
    tmp_path: Path,
) -> None:
    params = knobs(train__curriculum="hard_first", train__curriculum_growth=0.5)
    task = a_task(params, places(tmp_path))
    early = batch_of(task, params.train, 1, 2).inputs
    assert (early.diff(dim=1) > 0).all() and (early.diff(dim=1) > 1).any()
    for step in (6, 11):
        assert torch.equal(batch_of(task, params.train, 1, step).inputs, batch_of(task, knobs().train, 1, step).inputs)


# --------------------------------------------------------------------------------------------------------------- mixtures


def test_the_share_of_the_second_data_set_follows_its_dial_and_no_example_is_of_both(tmp_path: Path) -> None:
    params = knobs(train__batch_size=400, train__mixture_start=0.1, train__mixture_end=0.9, train__steps=100)
    task = a_task(params, places(tmp_path, mixed=True))
    for step, share in ((0, 0.1), (50, 0.5), (99, 0.89)):
        batch = batch_of(task, params.train, 1, step)
        of_second = torch.cat([batch.inputs, batch.targets[:, -1:]], dim=1) >= 300
        assert torch.equal(of_second.all(dim=1), of_second.any(dim=1))
        assert float(of_second[:, 0].float().mean()) == pytest.approx(share, abs=0.08)


def test_a_curriculum_opens_its_share_of_each_data_set_of_a_mixture(tmp_path: Path) -> None:
    task = a_task(knobs(), places(tmp_path, mixed=True))
    found = opened_subset(task, "easy_first", 1, 0.5).parts()
    assert found.tokens_per_source.tolist() == [150, 50]


# ---------------------------------------------------------------------------------------------------- where windows begin


def uneven(folder: Path, mixed: bool = False) -> Path:
    """Tokens that say where they stand, in documents of 1 to 30 tokens."""
    places(folder, mixed=mixed)
    ends = np.append(np.cumsum(np.resize([1, 30, 7, 12], 31)), 400)
    assert ends[-2] < 400
    parts = np.zeros(len(ends), np.load(parts_of(folder)).dtype)
    parts["end"], parts["source"] = ends, (ends > 300) if mixed else 0
    np.save(parts_of(folder), parts)
    return folder


def test_windows_begin_where_the_document_does_that_one_drawn_anywhere_falls_into(tmp_path: Path) -> None:
    task = a_task(knobs(), uneven(tmp_path))
    begins, drawn = np.append(0, np.load(parts_of(tmp_path))["end"][:-1]), np.arange(task.size("train"))
    expected = [max(begins[begins <= row]) for row in drawn]
    assert document_starts(drawn, task.parts()).tolist() == expected
    assert set(expected) == set(begins[begins < len(drawn)]), "every document that a window follows can be begun"
    for step in range(12):
        anywhere, moved = (batch_of(task, knobs(train__windows=name).train, 1, step) for name in ("anywhere", "documents"))
        assert moved.inputs[:, 0].tolist() == [expected[first] for first in anywhere.inputs[:, 0]]
        assert torch.equal(moved.inputs - moved.inputs[:, :1], torch.arange(12).expand(4, 12))
        assert torch.equal(moved.targets, moved.inputs + 1)


def test_windows_at_documents_keep_to_what_is_open_and_to_one_data_set(tmp_path: Path) -> None:
    (tmp_path / "mixed").mkdir()
    task, mixed = a_task(knobs(), uneven(tmp_path)), a_task(knobs(), uneven(tmp_path / "mixed", mixed=True))
    few = knobs(train__windows="documents", train__curriculum="shuffled", train__curriculum_start=0.2, train__batch_size=64)
    begins = set(np.append(0, np.load(parts_of(tmp_path))["end"][:-1]).tolist())
    drawn = batch_of(task, few.train, 1, 0).inputs
    assert set(drawn[:, 0].tolist()) < begins and len(set(drawn[:, 0].tolist())) > 3
    assert set(drawn.flatten().tolist()) <= set(places_of(opened_subset(task, "shuffled", 1, 0.2)))
    both = batch_of(mixed, knobs(train__windows="documents", train__batch_size=200).train, 1, 0)
    of_second = torch.cat([both.inputs, both.targets[:, -1:]], dim=1) >= mixed.parts().tokens_per_source[0]
    assert torch.equal(of_second.all(dim=1), of_second.any(dim=1)) and 50 < int(of_second[:, 0].sum()) < 150


def places_of(task: LanguageModelling) -> list[int]:
    """Where in the whole stream the tokens lie that may be read."""
    found = task.batch("train", np.arange(task.size("train")))
    return torch.cat([found.inputs, found.targets]).flatten().tolist()


def test_a_run_over_windows_at_documents_that_is_interrupted_ends_where_an_unbroken_one_does(tmp_path: Path) -> None:
    unbroken, _ = assert_resumes(knobs(train__windows="documents"), tmp_path)
    assert not same(unbroken.tensors(), trained(knobs(), tmp_path).tensors())
