"""The training curves of experiments: git has what dvc.lock says of them, and DVC's cache the files."""

from __future__ import annotations

import csv
import io
import math
import re
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

from pipeline.artifacts.paths import TRAIN_CURVE
from pipeline.lab.experiments.records import Experiment
from pipeline.lab.provenance.commits import Commit, GitObjects
from pipeline.lab.provenance.dvc_files import LOCK
from pipeline.readings import Curve

CACHE = Path(".dvc/cache")  # where the settings of DVC name no other


def curve_of(experiment: Experiment) -> Curve:
    """The training curve of one experiment; of many, `curves_of` is faster."""
    return curves_of([experiment])[0]


def curves_of(experiments: Iterable[Experiment], file: Path = TRAIN_CURVE) -> list[Curve]:
    """The curves of experiments, of their training if no other file is named, {} where there is none.

    There is none before the training ends, of what failed, and where only git's part of an experiment was brought from
    elsewhere: `dvc fetch` brings the other.
    """
    cache = _cache()
    with GitObjects() as objects:
        return [_parsed(_content(one, objects, cache, file)) for one in experiments]


def _content(one: Experiment, objects: GitObjects, cache: Path, curve: Path) -> bytes | None:
    if not one.commit:
        return curve.read_bytes() if curve.is_file() else None
    if not one.has_result or (tree := objects.project(one.commit)) is None:
        return None
    commit = Commit(objects, tree)
    if (kept := commit.read(str(curve))) is not None:  # where git keeps it
        return kept
    md5 = _md5_in_lock((commit.read(LOCK) or b"").decode(errors="replace"), curve)
    file = cache / "files/md5" / md5[:2] / md5[2:]
    return file.read_bytes() if md5 and file.is_file() else None


def _md5_in_lock(lock: str, curve: Path) -> str:
    """The md5 that dvc.lock has of a curve as an out; "" where it has none.

    It is found as text, because to parse 200 of these files takes four seconds.
    """
    for stage in re.split(r"^  (?=\S)", lock, flags=re.MULTILINE):
        outs = stage.partition("\n    outs:\n")[2]
        if found := re.search(rf"path: {re.escape(str(curve))}\n(?:      \w+: .*\n)*?      md5: (\w{{32}})\n", outs):
            return found[1]
    return ""


def _cache() -> Path:
    """DVC's cache: a setting may name another folder, which worktrees share."""
    if not any(
        "[cache]" in file.read_text(encoding="utf-8")
        for name in ("config", "config.local")
        if (file := Path(".dvc", name)).is_file()
    ):
        return CACHE
    done = subprocess.run([sys.executable, "-m", "dvc", "cache", "dir"], capture_output=True, text=True, check=False)
    return Path(done.stdout.strip()) if done.returncode == 0 and done.stdout.strip() else CACHE


def _parsed(content: bytes | None) -> Curve:
    rows = list(csv.reader(io.StringIO((content or b"").decode(errors="replace"))))
    return (
        {name: [_number(row[place]) if place < len(row) else None for row in rows[1:]] for place, name in enumerate(rows[0])}
        if rows
        else {}
    )


def _number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None
