"""`rally track`: writes experiments into the folder of a tracker, each once."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.artifacts.paths import TRAIN_CURVE, VALIDATION_CURVE, exclusive_lock
from pipeline.identity import digest
from pipeline.lab.experiments.curves import curves_of
from pipeline.lab.experiments.read import WORKSPACE, read_experiments
from pipeline.lab.experiments.records import Experiment
from pipeline.lab.tracking.base import TrackedRun, Tracker, batches
from pipeline.lab.tracking.table import TRACKERS
from pipeline.params.errors import UserError
from pipeline.progress import Follow
from pipeline.readings import Curve

CURVES = {"train": TRAIN_CURVE, "validation": VALIDATION_CURVE}
AT_ONCE = 16  # experiments whose curves are in memory together
BYTES = 8  # of a number, for the progress bar


@dataclass(frozen=True)
class Tracked:
    """What came of it: how many runs were written and were there before, and lines about those that are left out."""

    written: int
    known: int
    left_out: tuple[str, ...]
    look: str


def track(to: str, names: Sequence[str], folder: Path, follow: Follow, *, all_commits: bool = False) -> Tracked:
    """Write the experiments of this commit (or of all), or those of these names, except those that are there.

    Args:
        to: a name in TRACKERS.
        names: also "workspace" for the working tree, which is left out otherwise.

    Raises:
        UserError: there is no such experiment, or the tracker's package is missing.
    """
    TRACKERS[to].check_package()
    found = [one for one in read_experiments(names, all_commits=all_commits) if one.name != WORKSPACE or names]
    here, left_out = [one for one in found if one.has_result], [_why_not(one) for one in found if not one.has_result]
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{folder}: {error.strerror}; --folder names another one") from None
    tracker = TRACKERS[to](folder)
    written = known = 0
    with exclusive_lock(folder / ".lock"), follow(f"writing {len(here)} runs", None) as advance:
        with _errors_of(tracker):
            keys = tracker.written()
        for some in batches(here, AT_ONCE):
            new = [one for one in some if not one.commit or not _has(keys, one.commit)]
            known += len(some) - len(new)
            for one, curves in zip(new, _curves(new), strict=True):
                if not curves:
                    left_out.append(f"{one.name}: its curves are not in the cache; `dvc exp pull` or `dvc fetch` brings them")
                    continue
                run = _run(one, curves)
                if _has(keys, run.key):
                    known += 1
                    continue
                with _errors_of(tracker):
                    tracker.write(run)
                keys.add(run.key)
                written += 1
                advance(BYTES * run.points)
    return Tracked(written, known, tuple(left_out), tracker.look.replace("FOLDER", str(folder)))


@contextlib.contextmanager
def _errors_of(tracker: Tracker) -> Iterator[None]:
    """A block whose errors of a folder become one line."""
    try:
        yield
    except tracker.errors() as error:
        reason = getattr(error, "strerror", None) or (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise UserError(f"{tracker.folder}: {tracker.package} cannot use it ({reason}); --folder names another one") from None


def _has(keys: set[str], key: str) -> bool:
    """Whether a key is there; a tracker may keep its beginning alone."""
    return any(key.startswith(known) for known in keys if known)


def _why_not(one: Experiment) -> str:
    return f"{one.name}: {one.missing or 'has no result'}"


def _curves(experiments: Sequence[Experiment]) -> Iterator[dict[str, list[tuple[int, float]]]]:
    files = {kind: curves_of(experiments, path) for kind, path in CURVES.items()}
    for place in range(len(experiments)):
        yield {
            f"{kind}/{column}": points
            for kind, curves in files.items()
            for column, points in _points(curves[place]).items()
            if points
        }


def _points(curve: Curve) -> dict[str, list[tuple[int, float]]]:
    """The columns of a curve by step, without what is not finite or was not measured."""
    steps = curve.get("step", [])
    return {
        column: [
            (int(step), value) for step, value in zip(steps, values, strict=True) if step is not None and value is not None
        ]
        for column, values in curve.items()
        if column != "step"
    }


def _run(one: Experiment, curves: Mapping[str, list[tuple[int, float]]]) -> TrackedRun:
    about = {"commit": one.commit, "baseline": one.baseline, "doctor": one.finding, "diverged": "yes" if one.diverged else ""}
    content = [dict(one.knobs), {name: list(points) for name, points in curves.items()}, dict(one.scores), one.code]
    return TrackedRun(
        key=one.commit or digest(content)[:40],
        name=one.name,
        seconds=one.created.timestamp() if one.created else 0.0,
        knobs=one.knobs,
        curves=curves,
        scores=one.scores,
        about={key: value for key, value in about.items() if value},
    )
