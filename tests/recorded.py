"""A small project as if DVC had run its stages: dvc.yaml, params.yaml, outs, and the matching dvc.lock."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import yaml
from sealing import sealed

SCORES, FINDING = "metrics/evaluate.json", "metrics/doctor.json"

STAGES = {
    "prepare": {"cmd": "p", "deps": ["${prepare.path}", "code/prepare.py"], "params": ["prepare"], "outs": ["data/raw"]},
    "train": {
        "cmd": "t",
        "deps": ["data/raw", "code/engine"],
        "params": ["seed", "train"],
        "outs": ["models/trained"],
        "metrics": ["metrics/train.json"],
    },
    "evaluate": {
        "cmd": "e",
        "deps": ["models/trained", "code/evaluate.py"],
        "params": ["seed", "evaluate"],
        "metrics": [{SCORES: {"cache": False}}],
    },
    "diagnose": {"cmd": "d", "deps": [SCORES], "params": ["train"], "metrics": [{FINDING: {"cache": False}}]},
}
KNOBS = {"seed": 1, "prepare": {"path": "own"}, "train": {"lr": 1e-05, "kinds": ["a", "b"]}, "evaluate": {"top": 0}}
FILES = {
    "own/a.txt": "one",
    "own/deep/b.txt": "two",
    "code/prepare.py": "p",
    "code/engine/loop.py": "l",
    "code/engine/parts/fast.py": "f",
    "code/engine/__pycache__/loop.pyc": "passing",
    "code/evaluate.py": "e",
    "data/raw/train.txt": "text",
    "models/trained/model.bin": "weights",
    "metrics/train.json": "{}",
    SCORES: '{"loss": 1.0}',
    FINDING: '{"finding": "healthy"}',
    ".dvcignore": "# not looked at\n__pycache__\n",
}


def md5(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def recorded(root: Path, path: str) -> dict[str, Any]:
    """The entry of a path in dvc.lock, by DVC's documentation and independent of its code."""
    place = root / path
    if place.is_file():
        return {"path": path, "hash": "md5", "md5": md5(place.read_bytes()), "size": place.stat().st_size}
    files = sorted(file for file in place.rglob("*") if file.is_file() and "__pycache__" not in file.parts)
    listed = [{"md5": md5(file.read_bytes()), "relpath": file.relative_to(place).as_posix()} for file in files]
    whole = md5(json.dumps(sorted(listed, key=lambda one: one["relpath"])).encode()) + ".dir"
    return {"path": path, "md5": whole, "size": sum(file.stat().st_size for file in files), "nfiles": len(files)}


def record(root: Path, *stages: str) -> None:
    """Write the entries of these stages to dvc.lock, as DVC does after a run; the others stay as they are."""
    values = yaml.safe_load((root / "params.yaml").read_text())
    lock = yaml.safe_load((root / "dvc.lock").read_text()) if (root / "dvc.lock").exists() else {"stages": {}}
    for name in stages or STAGES:
        stage: Any = STAGES[name]
        deps = [values["prepare"]["path"] if path.startswith("$") else path for path in stage["deps"]]
        outs = [
            next(iter(out)) if isinstance(out, dict) else out for out in (*stage.get("outs", ()), *stage.get("metrics", ()))
        ]
        lock["stages"][name] = {
            "cmd": stage["cmd"],
            "deps": [recorded(root, path) for path in deps],
            "params": {"params.yaml": {section: values[section] for section in stage["params"]}},
            "outs": [recorded(root, path) for path in outs],
        }
    (root / "dvc.lock").write_text(yaml.safe_dump(lock))


def write(root: Path, path: str, content: str) -> None:
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    (root / path).write_text(content)


def set_knobs(root: Path, **changes: Any) -> None:
    values = yaml.safe_load((root / "params.yaml").read_text())
    for name, value in changes.items():
        section, _, knob = name.partition("__")
        if knob:
            values[section][knob] = value
        else:
            values[section] = value
    (root / "params.yaml").write_text(yaml.safe_dump(values))


def leave_recorded_run(root: Path) -> Path:
    """A project in which every stage has run."""
    for path, content in FILES.items():
        write(root, path, content)
    (root / "params.yaml").write_text(yaml.safe_dump(KNOBS | {"runtime": {"threads": 1}}))
    (root / "dvc.yaml").write_text(yaml.safe_dump({"stages": STAGES}))
    sealed(root)
    record(root)
    return root
