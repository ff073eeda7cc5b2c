"""Small labs of the three tasks, in which a stage is a command of its own, without DVC."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from campaign.server import TOP, Job, Server
from pipeline.artifacts.checksums import sha256_of
from pipeline.params.load import read_sections, with_knobs
from pipeline.params.yaml12 import read_yaml

SMALL: dict[str, dict[str, Any]] = {
    "prepare": {"dataset": "markov", "generated_chars": 5000},
    "tokenize": {"kind": "char"},
    "model": {
        "depth": 1, "width": 16, "heads": 2, "context_length": 12, "window": 5, "embedding_mixer": "none",
        "dropout": 0.1,
    },
    "train": {
        "steps": 6, "batch_size": 4, "log_points": 3, "validation_points": 2, "validation_examples": 8,
        "snapshots": [0.0, 1.0],
    },
    "evaluate": {"ngram_order": 2, "sample_tokens": 5, "prompts": ["a"], "temperatures": [0.0]},
    "probe": {"sequences": 4, "toy_text": "abab"},
    "plot": {"dpi": 50},
    "runtime": {
        "device": "cpu", "threads": 1, "workers": 1, "compile": False, "progress": "none", "checkpoint_seconds": 1e-6,
    },
}  # fmt: skip
KINDS: dict[str, dict[str, Any]] = {
    "language": {},
    "classify": {
        "task.kind": "classify", "prepare.dataset": "dyck", "prepare.generated_chars": 2000,
        "train.class_weights": "balanced",
    },
    "vision": {
        "task.kind": "vision", "prepare.dataset": "digits", "model.network": "mlp", "model.norm": "batch",
        "train.sampling": "epochs", "train.mixup": 0.2,
    },
}  # fmt: skip


def lab(folder: Path, kind: str, knobs: Mapping[str, Any] | None = None) -> Path:
    """A folder with the knobs and the code, and nothing made yet."""
    folder.mkdir(parents=True, exist_ok=True)
    values = read_yaml(TOP / "params.yaml")
    for section, small in SMALL.items():
        values[section] |= small
    (folder / "params.yaml").write_text(yaml.safe_dump(with_knobs(values, {**KINDS[kind], **(knobs or {})}), sort_keys=False))
    shutil.copy(TOP / "dvc.yaml", folder)
    (folder / "pipeline").symlink_to(TOP / "pipeline")
    return folder


def set_knobs(folder: Path, knobs: Mapping[str, Any]) -> None:
    path = folder / "params.yaml"
    path.write_text(yaml.safe_dump(with_knobs(read_sections(path), knobs), sort_keys=False))


def make(server: Server, folder: Path, *stages: str) -> None:
    """Run some stages, undisturbed."""
    for stage in stages:
        done = server.run(Job(f"pipeline.{stage}", str(folder)))
        assert done.status == 0, f"{stage}: {done.said}"


def copied(folder: Path, to: Path) -> Path:
    shutil.rmtree(to, ignore_errors=True)
    shutil.copytree(folder, to, symlinks=True)
    return to


def outs(folder: Path) -> dict[str, str]:
    """The checksum of every file that stages leave."""
    tops = [folder / "data", folder / "models", folder / "metrics", folder / "plots"]
    files = [path for top in tops for path in top.rglob("*") if path.is_file()]
    return {str(path.relative_to(folder)): sha256_of(path) for path in files}


def made_by(stage: str, folder: Path) -> dict[str, str]:
    """The same of one stage, as dvc.yaml says."""
    about = read_yaml(TOP / "dvc.yaml")["stages"][stage]
    places = [next(iter(out)) if isinstance(out, dict) else out for out in (*about.get("outs", ()), *about.get("metrics", ()))]
    places += [next(iter(out)) if isinstance(out, dict) else out for out in about.get("plots", ())]
    return {name: digest for name, digest in outs(folder).items() if any(Path(name).is_relative_to(place) for place in places)}


def forget(stage: str, folder: Path) -> None:
    """What DVC does before it runs a stage."""
    for name in made_by(stage, folder):
        (folder / name).unlink()


def begun(finished: Path, stage: str, folder: Path) -> Path:
    """A copy of a finished lab in which a stage is about to run, as DVC leaves it."""
    copied(finished, folder)
    forget(stage, folder)
    return folder


def leftovers(folder: Path) -> list[str]:
    """Temporary files that nobody will come back to."""
    return [str(path.relative_to(folder)) for path in folder.rglob("*unfinished*")]
