"""What stands beside the stages' outs survives them; tests/test_tools_page.py gets the trained model by its name."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from test_journey import clone, commit, run

from pipeline.params.yaml12 import read_yaml

TOP = Path(__file__).parent.parent
FOLDERS = ("data", "models", "metrics", "plots")


@pytest.mark.parametrize("folder", FOLDERS)
def test_a_folder_of_outs_is_a_folder_of_the_repository_with_a_page_that_names_each(folder: str) -> None:
    page = (TOP / folder / "README.md").read_text(encoding="utf-8")
    outs = [
        Path(next(iter(out)) if isinstance(out, dict) else out)
        for stage in read_yaml(TOP / "dvc.yaml")["stages"].values()
        for out in (*stage.get("outs", ()), *stage.get("metrics", ()))
    ]
    names = [out.name for out in outs if out.parts[0] == folder]
    assert names
    assert all(out.parts[0] in FOLDERS and len(out.parts) == 2 for out in outs)
    assert not [name for name in names if name not in page and f"*{Path(name).suffix}" not in page]


def kept(folder: Path) -> dict[str, bytes]:
    """The pages in the folders of outs, and what a user put beside the outs."""
    files = [path for top in FOLDERS for path in (folder / top).glob("*") if path.is_file()]
    mine = [path for path in files if path.name == "README.md" or path.stem in ("mine", "teacher")]
    teacher = (folder / "models/teacher").rglob("*")
    return {str(path.relative_to(folder)): path.read_bytes() for path in (*mine, *teacher) if path.is_file()}


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clone with a finished run, whose model was copied into models/ and is in DVC's care."""
    folder = clone(tmp_path_factory.mktemp("outs") / "lab")
    run(folder, "dvc", "repro", "--quiet")
    shutil.copytree(folder / "models/trained", folder / "models/teacher")
    run(folder, "dvc", "add", "models/teacher")
    commit(folder)
    for top in FOLDERS:
        (folder / top / "mine.txt").write_text("mine")
    return folder


@pytest.mark.slow
def test_readmes_and_the_users_own_files_beside_the_outs_survive_all_that_removes_outs(lab: Path) -> None:
    before = kept(lab)
    assert {*(f"{top}/README.md" for top in FOLDERS), *(f"{top}/mine.txt" for top in FOLDERS)} < before.keys()
    assert {"models/teacher.dvc", "models/teacher/model.safetensors"} < before.keys()
    for words in (
        ["dvc", "repro", "--force", "--quiet"],
        ["dvc", "exp", "run", "-n", "taught", "-S", "train.teacher=models/teacher", "-S", "train.distill_weight=0.5", "train"],
        ["dvc", "exp", "run", "--temp", "-n", "further", "-S", "train.init_from=models/teacher", "train"],
        ["dvc", "exp", "apply", "further"],
        ["rally", "repair"],
        ["dvc", "checkout", "--force"],
    ):
        run(lab, *words)
        assert kept(lab) == before, words
    shutil.rmtree(lab / "models/teacher")
    shutil.rmtree(lab / "models/trained")
    run(lab, "dvc", "checkout")
    assert kept(lab) == before
    assert (lab / "models/trained/model.safetensors").exists()
