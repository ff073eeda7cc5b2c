"""The project keeps the laws of laws.py, each law finds a breach that is planted for it, and house.py measures the layout."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from house import layout
from laws import LAWS
from small import TOP, stages

from tests.module_graph import closure, imports_of, modules


@pytest.mark.parametrize("law", LAWS)
def test_the_project_keeps_the_law(law: str) -> None:
    assert LAWS[law](TOP) == []


def added(file: str, text: str) -> Callable[[Path], None]:
    def plant(project: Path) -> None:
        path = project / file
        path.write_text((path.read_text(encoding="utf-8") if path.exists() else "") + text, encoding="utf-8")

    return plant


def replaced(file: str, old: str, new: str) -> Callable[[Path], None]:
    def plant(project: Path) -> None:
        text = (project / file).read_text(encoding="utf-8")
        assert old in text, f"nothing to plant in: {old}"
        (project / file).write_text(text.replace(old, new, 1), encoding="utf-8")

    return plant


def both(one: Callable[[Path], None], other: Callable[[Path], None]) -> Callable[[Path], None]:
    def plant(project: Path) -> None:
        one(project)
        other(project)

    return plant


BREACHES = [
    (
        "imports_run_down",
        added("pipeline/networks/norms.py", "\nfrom pipeline.engine.loop import fit\n"),
        "networks imports up",
    ),
    ("imports_run_down", added("pipeline/params/load.py", "\nimport pipeline.readings\n"), "the base imports up"),
    (
        "imports_run_down",
        added("pipeline/corpus/sources/table.py", "\nfrom pipeline.tasks.base import Task\n"),
        "corpus is outside the layers",
    ),
    (
        "imports_run_down",
        added("pipeline/figures/style.py", "\nfrom pipeline.corpus.sources.table import TEXTS\n"),
        "figures is outside the layers",
    ),
    (
        "imports_run_down",
        added("pipeline/lab/studies/recipes.py", "\nfrom pipeline.train import main\n"),
        "imports a stage script",
    ),
    (
        "imports_run_down",
        added("pipeline/train.py", "\nfrom pipeline.lab.cli import app\n"),
        "a stage script may not import the lab",
    ),
    (
        "no_import_cycles",
        added("pipeline/networks/roles.py", "\ndef late() -> None:\n    from pipeline.networks import inits\n"),
        "imports itself",
    ),
    ("no_relative_imports", added("pipeline/networks/norms.py", "\nfrom .roles import Role\n"), "pipeline.networks.norms"),
    (
        "torch_free_files_import_no_torch",
        added("pipeline/figures/style.py", "\ndef late() -> None:\n    import torch\n"),
        "imports torch",
    ),
    ("torch_free_files_import_no_torch", added("pipeline/artifacts/paths.py", "\nfrom torch import nn\n"), "imports torch"),
    (
        "torch_free_files_import_no_torch",
        added("pipeline/evaluation/ngrams.py", '\n"""No torch."""\nfrom pipeline.networks import norms\n'),
        "pipeline.evaluation.baselines: pipeline.networks.norms",
    ),
    ("torch_free_files_import_no_torch", added("pipeline/engine/early_stopping.py", "\nimport torch\n"), "pipeline.doctor."),
    (
        "no_cycles_between_folders",
        added("pipeline/corpus/store/labels.py", "\nfrom pipeline.corpus.sources import file_formats\n"),
        "pipeline/corpus: ",
    ),
    (
        "folders_are_run_as_a_whole",
        added("pipeline/corpus/store/unused.py", '"""Nobody imports me."""\n'),
        "tokenize runs only a part of pipeline/corpus/store, without pipeline.corpus.store.unused",
    ),
    (
        "folders_are_run_as_a_whole",
        added("pipeline/diagnose.py", "\ndef late() -> None:\n    from pipeline.engine import schedules\n"),
        "diagnose runs only a part of pipeline/engine",
    ),
    ("folders_and_files_are_small", added("pipeline/networks/norms.py", "\n" * 300), "pipeline/networks/norms.py has"),
    (
        "folders_and_files_are_small",
        added("pipeline/networks/one_more.py", '"""The seventeenth."""\n'),
        "pipeline/networks has 17 files",
    ),
    (
        "tests_read_the_stages",
        added("tests/test_loop.py", f"\nSTAGES = {list(stages())!r}\n"),
        "tests/test_loop.py",
    ),
    (
        "deps_are_what_runs",
        replaced("dvc.yaml", "      - pipeline/tokenize.py\n", ""),
        "runs pipeline/tokenize.py, which is not a dep",
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
    ("run_cache_sees_all_knobs", replaced("params.yaml", "  dpi: 120 ", "  nfiles: 120 "), "ignores `plot.nfiles`"),
    (
        "commands_run_the_stage_scripts",
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
        "metrics/evaluate.json is to be tracked by git, and ignored",
    ),
    ("stage_scripts_check_before_they_import", added("pipeline/train.py", "\nimport torch\n"), "imports torch before"),
    (
        "stage_scripts_check_before_they_import",
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
            "pipeline/corpus/store/text.py",
            "with open_verified(text_of(folder, split))",
            'with text_of(folder, split).open("rb")',
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
def copied_project(tmp_path: Path) -> Path:
    """A copy of all files that the laws read."""
    for part in ("pipeline", "tests"):
        shutil.copytree(TOP / part, tmp_path / part, ignore=shutil.ignore_patterns("__pycache__"))
    for part in ("dvc.yaml", "params.yaml", *(f"{top}/.gitignore" for top in ("data", "models", "metrics", "plots"))):
        (tmp_path / part).parent.mkdir(exist_ok=True)
        shutil.copy(TOP / part, tmp_path / part)
    return tmp_path


@pytest.mark.parametrize(("law", "plant", "message"), BREACHES, ids=lambda value: value if isinstance(value, str) else "")
def test_a_planted_breach_is_found(law: str, plant: Callable[[Path], None], message: str, copied_project: Path) -> None:
    plant(copied_project)
    assert any(message in breach for breach in LAWS[law](copied_project))


def test_every_law_has_a_planted_breach() -> None:
    assert {law for law, _, _ in BREACHES} == set(LAWS)


def test_the_layout_is_measured(copied_project: Path) -> None:
    before = layout(copied_project)
    assert before["circles between modules"] == before["circles between folders"] == "0"
    added("pipeline/networks/norms.py", "\nfrom pipeline.networks import roles\n" + "#\n" * 3000)(copied_project)
    added("pipeline/networks/roles.py", "\nfrom pipeline.networks import norms\n")(copied_project)
    replaced("dvc.yaml", "      - pipeline/tokenize.py\n", "")(copied_project)
    for remembered in (modules, imports_of, closure):
        remembered.cache_clear()
    after = layout(copied_project)
    assert after["largest file"].startswith("pipeline/networks/norms.py, 3")
    assert after["circles between modules"] == after["circles between folders"] == "2"
    deps = [int(columns["all deps in dvc.yaml"]) for columns in (before, after)]
    assert deps[0] - deps[1] == 1 and before.keys() == after.keys()
