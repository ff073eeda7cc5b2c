"""The house keeps its laws, and each law sees a breach that is planted for it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from laws import LAWS
from small import TOP


@pytest.mark.parametrize("law", LAWS)
def test_the_house_keeps_the_law(law: str) -> None:
    assert LAWS[law](TOP) == []


def added(file: str, text: str) -> Callable[[Path], None]:
    def plant(house: Path) -> None:
        path = house / file
        path.write_text((path.read_text(encoding="utf-8") if path.exists() else "") + text, encoding="utf-8")

    return plant


def replaced(file: str, old: str, new: str) -> Callable[[Path], None]:
    def plant(house: Path) -> None:
        text = (house / file).read_text(encoding="utf-8")
        assert old in text, f"nothing to plant in: {old}"
        (house / file).write_text(text.replace(old, new, 1), encoding="utf-8")

    return plant


def both(one: Callable[[Path], None], other: Callable[[Path], None]) -> Callable[[Path], None]:
    def plant(house: Path) -> None:
        one(house)
        other(house)

    return plant


BREACHES = [
    (
        "imports_run_down",
        added("pipeline/networks/norms.py", "\nfrom pipeline.engine.loop import fit\n"),
        "networks imports up",
    ),
    ("imports_run_down", added("pipeline/params/load.py", "\nimport pipeline.readings\n"), "the ground imports up"),
    (
        "imports_run_down",
        added("pipeline/corpus/sources/table.py", "\nfrom pipeline.tasks.base import Task\n"),
        "corpus stands beside",
    ),
    (
        "imports_run_down",
        added("pipeline/figures/style.py", "\nfrom pipeline.corpus.sources.table import TEXTS\n"),
        "figures stands beside",
    ),
    (
        "imports_run_down",
        added("pipeline/lab/studies/recipes.py", "\nfrom pipeline.train import main\n"),
        "imports a stage script",
    ),
    (
        "imports_run_down",
        added("pipeline/train.py", "\nfrom pipeline.lab.cli import app\n"),
        "a stage script does not ask the lab",
    ),
    (
        "no_circles",
        added("pipeline/networks/roles.py", "\ndef late() -> None:\n    from pipeline.networks import inits\n"),
        "imports itself",
    ),
    ("no_relative_imports", added("pipeline/networks/norms.py", "\nfrom .roles import Role\n"), "pipeline.networks.norms"),
    (
        "torch_stays_in_the_tower",
        added("pipeline/figures/style.py", "\ndef late() -> None:\n    import torch\n"),
        "imports torch",
    ),
    ("torch_stays_in_the_tower", added("pipeline/artifacts/paths.py", "\nfrom torch import nn\n"), "imports torch"),
    (
        "torch_stays_in_the_tower",
        added("pipeline/evaluation/ngrams.py", '\n"""No torch."""\nfrom pipeline.networks import norms\n'),
        "pipeline.evaluation.baselines: pipeline.networks.norms",
    ),
    ("torch_stays_in_the_tower", added("pipeline/engine/early_stopping.py", "\nimport torch\n"), "pipeline.doctor."),
    (
        "folders_have_no_circles",
        added("pipeline/corpus/store/labels.py", "\nfrom pipeline.corpus.sources import file_formats\n"),
        "pipeline/corpus: ",
    ),
    (
        "folders_are_run_whole",
        added("pipeline/corpus/store/unused.py", '"""Nobody imports me."""\n'),
        "tokenize runs a part of pipeline/corpus/store, and not pipeline.corpus.store.unused",
    ),
    (
        "folders_are_run_whole",
        added("pipeline/diagnose.py", "\ndef late() -> None:\n    from pipeline.engine import schedules\n"),
        "diagnose runs a part of pipeline/engine",
    ),
    ("rooms_are_small", added("pipeline/networks/norms.py", "\n" * 300), "pipeline/networks/norms.py has"),
    ("rooms_are_small", added("pipeline/networks/one_more.py", '"""The seventeenth."""\n'), "pipeline/networks has 17 files"),
    (
        "tests_read_the_stages",
        added("tests/test_loop.py", '\nSTAGES = ["prepare", "tokenize", "train", "evaluate"]\n'),
        "tests/test_loop.py",
    ),
    (
        "deps_are_what_runs",
        replaced("dvc.yaml", "      - pipeline/tokenize.py\n", ""),
        "runs pipeline/tokenize.py, which is no dep",
    ),
    (
        "deps_are_what_runs",
        added("pipeline/tokenize.py", "\ndef f() -> None:\n    import pipeline.readings\n"),
        "runs pipeline/readings.py",
    ),
    (
        "deps_are_what_runs",
        added("pipeline/engine/unused.py", '"""Nobody imports me."""\n'),
        "lists pipeline/engine/unused.py, which never runs",
    ),
    ("params_are_what_is_read", added("pipeline/prepare.py", "\ndef f(params):\n    return params.model\n"), "reads `model`"),
    ("params_are_what_is_read", replaced("dvc.yaml", "      - probe\n", "      - probe\n      - train\n"), "lists `train`"),
    ("run_cache_sees_all_knobs", replaced("params.yaml", "  generated_chars: ", "  size: "), "diagnose: lists `prepare`"),
    ("run_cache_sees_all_knobs", replaced("params.yaml", "  dpi: 120 ", "  nfiles: 120 "), "leaves `plot.nfiles` out"),
    (
        "commands_are_the_doors",
        replaced("dvc.yaml", "python -m pipeline.train", "python pipeline/train.py"),
        "python pipeline/train.py",
    ),
    (
        "cached_outs_are_ignored",
        replaced("metrics/.gitignore", "/sanity.json\n", ""),
        "metrics/sanity.json is not ignored (metrics/.gitignore)",
    ),
    (
        "cached_outs_are_ignored",
        replaced("plots/.gitignore", "/pictures\n", ""),
        "plots/pictures is not ignored (plots/.gitignore)",
    ),
    (
        "cached_outs_are_ignored",
        added("metrics/.gitignore", "/evaluate.json\n"),
        "metrics/evaluate.json is kept by git, and ignored",
    ),
    ("doors_check_before_they_import", added("pipeline/train.py", "\nimport torch\n"), "imports torch before"),
    (
        "doors_check_before_they_import",
        added("pipeline/probe.py", "\nfrom pipeline.probes import table\n"),
        "imports pipeline.probes before",
    ),
    (
        "packages_are_one_docstring",
        added("pipeline/engine/__init__.py", "\nfrom pipeline.engine import loop\n"),
        "pipeline/engine/__init__.py",
    ),
    (
        "tables_are_tested_whole",
        both(
            added("pipeline/networks/norms.py", '\nSTRANGERS: dict[str, int] = {"a": 1}\n'),
            added("tests/test_loop.py", '\ndef test_one_of_them() -> None:\n    assert STRANGERS["a"]\n'),
        ),
        "STRANGERS",
    ),
    (
        "files_are_opened_by_artifacts",
        replaced(
            "pipeline/corpus/store/text.py", "with opened(text_of(folder, split))", 'with text_of(folder, split).open("rb")'
        ),
        "pipeline.corpus.store.text",
    ),
    (
        "files_are_opened_by_artifacts",
        added("pipeline/tasks/lm.py", "\ndef late(path: Path) -> np.ndarray:\n    return np.load(path)\n"),
        "pipeline.tasks.lm",
    ),
    (
        "files_are_opened_by_artifacts",
        replaced("pipeline/figures/run.py", "read_text(SAMPLES)", 'SAMPLES.read_text(encoding="utf-8")'),
        "pipeline.figures.run",
    ),
    (
        "files_are_opened_by_artifacts",
        replaced("pipeline/corpus/store/images.py", "write_array(labels_of(", "np.save(labels_of("),
        "pipeline.corpus.store.images",
    ),
    ("tables_are_tested_whole", added("pipeline/networks/norms.py", '\nSTRANGERS: dict[str, int] = {"a": 1}\n'), "STRANGERS"),
]


@pytest.fixture
def copy_of_the_house(tmp_path: Path) -> Path:
    """What the laws read, somewhere where it may be broken."""
    for part in ("pipeline", "tests"):
        shutil.copytree(TOP / part, tmp_path / part, ignore=shutil.ignore_patterns("__pycache__"))
    for part in ("dvc.yaml", "params.yaml", *(f"{top}/.gitignore" for top in ("data", "models", "metrics", "plots"))):
        (tmp_path / part).parent.mkdir(exist_ok=True)
        shutil.copy(TOP / part, tmp_path / part)
    return tmp_path


@pytest.mark.parametrize(("law", "plant", "seen"), BREACHES, ids=lambda value: value if isinstance(value, str) else "")
def test_a_planted_breach_is_seen(law: str, plant: Callable[[Path], None], seen: str, copy_of_the_house: Path) -> None:
    plant(copy_of_the_house)
    assert any(seen in breach for breach in LAWS[law](copy_of_the_house))


def test_every_law_has_been_seen_to_fail() -> None:
    assert {law for law, _, _ in BREACHES} == set(LAWS)
