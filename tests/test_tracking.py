"""`rally track`: a tracker's own reader finds in its folder what the files of an experiment say, each experiment once."""

from __future__ import annotations

import importlib
import importlib.util
import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from recorded import write
from test_show import experiment, lab  # noqa: F401 (a fixture)

from pipeline.lab.tracking.base import PROJECT, TrackedRun
from pipeline.lab.tracking.table import TRACKERS
from pipeline.lab.tracking.track import track
from pipeline.params.errors import UserError
from pipeline.progress import follower

TRAIN, VALIDATION = "step,loss,lr\n1,2.5,0.001\n2,nan,0.002\n3,1.25,0.001\n", "step,loss\n2,2.25\n3,1.5\n"
CURVES = {
    "train/loss": [(1, 2.5), (3, 1.25)],
    "train/lr": [(1, 0.001), (2, 0.002), (3, 0.001)],
    "validation/loss": [(2, 2.25), (3, 1.5)],
}
RUN = TrackedRun(
    "c0ffee" * 6 + "0000",
    "some/branch",
    1_700_000_000.0,
    {"seed": 1, "train.lr": 1e-3, "model.bias": True, "prepare.dataset": "plays", "train.none": None},
    {**CURVES, "train/wave": [(step, math.sin(step)) for step in range(1, 1501)]},
    {"loss": 1.5, "bits_per_byte": 0.625},
    {"commit": "c0ffee", "doctor": "healthy"},
)


class Seen(NamedTuple):
    """What a tracker's own reader finds of a run."""

    name: str
    curves: dict[str, list[tuple[int, float]]]
    knobs: dict[str, Any]
    scores: dict[str, float]


def by_tensorboard(folder: Path) -> Iterator[Seen]:
    from tensorboard.backend.event_processing.event_multiplexer import EventMultiplexer
    from tensorboard.plugins.hparams import plugin_data_pb2

    runs = EventMultiplexer(size_guidance={"scalars": 0, "tensors": 0}).AddRunsFromDirectory(str(folder)).Reload()
    for name, tags in runs.Runs().items():
        told = runs.GetAccumulator(name).SummaryMetadata("_hparams_/session_start_info").plugin_data.content
        given = plugin_data_pb2.HParamsPluginData.FromString(told).session_start_info.hparams
        knobs = {knob: getattr(value, str(value.WhichOneof("kind"))) for knob, value in given.items()}
        plots = {
            tag: [(one.step, float(one.tensor_proto.float_val[0])) for one in runs.Tensors(name, tag)]
            for tag in tags["tensors"]
            if not tag.startswith(("_hparams_", "about"))
        }
        yield Seen(name, *split(plots, knobs))


def by_mlflow(folder: Path) -> Iterator[Seen]:
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{folder}/mlflow.db")
    found = client.get_experiment_by_name(PROJECT)
    assert found
    for run in client.search_runs([found.experiment_id]):
        assert run.info.status == "FINISHED"
        plots = {
            name: [(one.step, one.value) for one in client.get_metric_history(run.info.run_id, name)]
            for name in run.data.metrics
        }
        yield Seen(str(run.info.run_name), *split(plots, run.data.params))


def by_trackio(folder: Path) -> Iterator[Seen]:
    from trackio import Api
    from trackio.sqlite_storage import SQLiteStorage

    for run in Api().runs(PROJECT):
        plots: dict[str, list[tuple[int, float]]] = {}
        for row in SQLiteStorage.get_logs(PROJECT, run.name, run_id=run.id, max_points=None):
            for name in row.keys() - {"step", "timestamp"}:
                plots.setdefault(name, []).append((row["step"], row[name]))
        yield Seen(run.name, *split(plots, {name: value for name, value in (run.config or {}).items() if name[0] != "_"}))


def split(plots: dict[str, Any], knobs: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any], dict[str, float]]:
    """(the curves, the knobs, the scores) of a run."""
    curves = {name: sorted(points) for name, points in plots.items() if not name.startswith("score/")}
    scores = {name[6:]: points[0][1] for name, points in plots.items() if name.startswith("score/")}
    return curves, knobs, scores


READERS: dict[str, Callable[[Path], Iterator[Seen]]] = {
    "tensorboard": by_tensorboard,
    "mlflow": by_mlflow,
    "trackio": by_trackio,
}


def read(name: str, folder: Path) -> list[Seen]:
    return sorted(READERS[name](folder), key=lambda run: run.name)


def installed(name: str) -> str:
    pytest.importorskip(TRACKERS[name].package, reason=f"the extra `{name}` is not installed")
    return name


@pytest.fixture(params=TRACKERS)
def name(request: pytest.FixtureRequest) -> str:
    """Of each tracker whose package is here."""
    return installed(request.param)


def near(points: dict[str, list[tuple[int, float]]]) -> Any:
    """The points of curves, to float32 (TensorBoard's)."""
    return {curve: [(step, pytest.approx(value, rel=1e-6)) for step, value in sorted(some)] for curve, some in points.items()}


def test_every_tracker_has_a_reader() -> None:
    assert READERS.keys() == TRACKERS.keys()


def test_a_run_is_read_back_with_all_its_numbers(name: str, tmp_path: Path) -> None:
    tracker = TRACKERS[name](tmp_path)
    assert tracker.written() == set()
    tracker.write(RUN)
    assert [RUN.key.startswith(key) for key in TRACKERS[name](tmp_path).written()] == [True]
    (seen,) = read(name, tmp_path)
    assert "branch" in seen.name
    assert seen.curves == near(dict(RUN.curves))
    assert seen.scores == pytest.approx(dict(RUN.scores))
    for knob, value in RUN.knobs.items():
        assert str(seen.knobs[knob]) in (str(value), str(float(value)) if isinstance(value, int) else "null")


def test_what_breaks_off_is_written_whole_by_the_next_call(name: str, tmp_path: Path) -> None:
    class BreaksOff(list[tuple[int, float]]):
        def __iter__(self) -> Iterator[tuple[int, float]]:
            yield 1, 2.5
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        TRACKERS[name](tmp_path).write(replace(RUN, curves={**CURVES, "train/wave": BreaksOff()}))
    tracker = TRACKERS[name](tmp_path)
    assert tracker.written() == set()
    tracker.write(RUN)
    assert [seen.curves for seen in read(name, tmp_path)] == [near(dict(RUN.curves))]


@pytest.mark.usefixtures("lab")
def test_each_experiment_is_written_once(name: str, tmp_path: Path) -> None:
    folder, quiet = tmp_path.with_name(f"{tmp_path.name}-tracked"), follower("none")  # not in the tree that git resets
    write(tmp_path, "metrics/train.csv", TRAIN)
    write(tmp_path, "metrics/validation.csv", VALIDATION)
    experiment(tmp_path, "first", 1.5, train={"lr": 0.001})
    done = track(name, [], folder, quiet)
    assert (done.written, done.known) == (1, 0)
    assert done.left_out == ("main: its curves are not in the cache; `dvc exp pull` or `dvc fetch` brings them",)
    write(tmp_path, "metrics/train.csv", TRAIN)
    experiment(tmp_path, "second", 1.0)
    experiment(tmp_path, "lost", None, "diverged")
    done = track(name, [], folder, quiet)
    assert (done.written, done.known, len(done.left_out)) == (1, 1, 2)
    assert (track(name, ["first"], folder, quiet).written, track(name, ["second"], folder, quiet).known) == (0, 1)
    first, second = read(name, folder)
    assert first.name.startswith("first") and first.curves == near(CURVES) and first.scores["loss"] == 1.5
    assert float(first.knobs["train.lr"]) == 0.001 and second.scores["loss"] == 1.0


@pytest.mark.usefixtures("lab")
def test_the_working_tree_is_written_where_it_is_named_and_once(name: str, tmp_path: Path) -> None:
    folder, quiet = tmp_path.with_name(f"{tmp_path.name}-tracked"), follower("none")  # not in the tree that git resets
    write(tmp_path, "metrics/train.csv", TRAIN)
    assert [track(name, ["workspace"], folder, quiet).written for _ in range(2)] == [1, 0]
    write(tmp_path, "metrics/train.csv", TRAIN + "4,1,0.001\n")
    assert track(name, ["workspace"], folder, quiet).written == 1
    assert len(read(name, folder)) == 2


@pytest.mark.usefixtures("lab")
def test_a_folder_that_it_cannot_use_is_one_line_and_stays_as_it_was(name: str, tmp_path: Path) -> None:
    folder = tmp_path.with_name(f"{tmp_path.name}-tracked")
    write(tmp_path, "metrics/train.csv", TRAIN)
    for damaged in ("mlflow.db", f"{PROJECT}.db"):
        write(folder, damaged, "this is no database, but some text")
    if name == "tensorboard":  # it makes folders, and here it cannot
        (folder / "taken").touch()
        folder = folder / "taken"
    with pytest.raises(UserError, match=r"tracked.*; --folder names another one$") as refused:
        track(name, ["workspace"], folder, follower("none"))
    assert len(refused.value.problems) == 1 and "\n" not in str(refused.value)
    assert (tmp_path.with_name(f"{tmp_path.name}-tracked") / "mlflow.db").read_text() == "this is no database, but some text"


# ------------------------------------------------------------------------------------------------- without their packages


@pytest.mark.parametrize("tracker", TRACKERS)
@pytest.mark.usefixtures("lab")
def test_without_its_package_the_extra_is_named(
    tracker: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found = importlib.util.find_spec
    missing = TRACKERS[tracker].package
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *more: None if name == missing else found(name, *more))
    with pytest.raises(UserError, match=rf"^--to {missing}: needs the package {missing}; `pip install -e '\.\[{missing}\]'`"):
        track(tracker, [], tmp_path / "tracked", follower("none"))
    assert not (tmp_path / "tracked").exists()


@pytest.mark.parametrize("tracker", TRACKERS)
def test_its_extra_pins_one_release(tracker: str) -> None:
    import tomllib

    extras = tomllib.loads(Path(__file__).parents[1].joinpath("pyproject.toml").read_text())["project"]["optional-dependencies"]
    (requirement,) = extras[TRACKERS[tracker].package]
    assert requirement.startswith(f"{TRACKERS[tracker].package}==")
    assert f"rally[{tracker}" not in str(extras["dev"])
