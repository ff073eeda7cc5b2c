"""The doctor on small image classifiers, through all stages from images to diagnosis: healthy ones, and spoilt ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from small import TOP

from pipeline import diagnose, evaluate, prepare, probe, tokenize, train
from pipeline.artifacts.paths import DIAGNOSIS
from pipeline.artifacts.reading import read_json
from pipeline.params.load import with_knobs
from pipeline.params.yaml12 import read_yaml

pytestmark = pytest.mark.slow

DIGITS = {
    "task.kind": "vision",
    "prepare.dataset": "digits",
    "model.width": 32,
    "model.depth": 2,
    "train.steps": 150,
    "train.batch_size": 32,
    "train.snapshots": [0.0, 0.2, 0.5, 1.0],
    "evaluate.worst_mistakes": 2,
    "runtime.progress": "none",
    "runtime.device": "cpu",
    "runtime.threads": 1,
}


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Runs every stage up to the diagnosis, with some knobs overridden; returns the diagnosis."""

    def through(**turned: Any) -> dict[str, Any]:
        for folder in ("data/own", "data/none"):
            (tmp_path / folder).mkdir(parents=True)
        values = with_knobs(read_yaml(TOP / "params.yaml"), DIGITS | {name.replace("__", "."): turned[name] for name in turned})
        (tmp_path / "params.yaml").write_text(yaml.safe_dump(values))
        for name in ("dvc.yaml", "pipeline"):  # by which a run is known: its code
            (tmp_path / name).symlink_to(TOP / name)
        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv("DVC_ROOT", str(tmp_path))
        for stage in (prepare, tokenize, train, evaluate, probe, diagnose):
            stage.main()
        return read_json(DIAGNOSIS)

    return through


@pytest.mark.parametrize("network", ["cnn", "mlp"])
def test_a_healthy_run_over_images_is_healthy(network: str, run: Any) -> None:
    assert run(model__network=network)["finding"] == "healthy"


SPOILT: dict[str, tuple[dict[str, Any], set[str], str]] = {
    "thirty times the learning rate": ({"train__lr": 0.9}, {"unstable", "diverged"}, "learning rate too high"),
    "random labels": ({"prepare__label_noise": 1.0}, {"learns nothing"}, "wrong labels"),
    "deep, without residuals": (
        {"model__depth": 16, "model__residual": "none", "model__downsample": "none", "train__steps": 100},
        {"worse than a linear model", "predicts one class", "learns nothing"},
        "no residual connections",
    ),
}


@pytest.mark.parametrize("name", SPOILT)
def test_what_was_spoilt_is_found_and_its_cause_is_among_the_first(name: str, run: Any) -> None:
    changes, findings, cause = SPOILT[name]
    told = run(**changes)
    assert findings & {finding["name"] for finding in told["findings"]}
    assert cause in [one["name"] for finding in told["findings"] for one in finding["causes"]][:3]
