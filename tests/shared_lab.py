"""A small lab to share: two stages that copy, an experiment, a git repository to push to; and its clones."""

from __future__ import annotations

import configparser
import os
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import dvc.cli
import pytest

from pipeline.lab.cli import main

PIPELINE = """stages:
  train:
    cmd: sh make.sh
    deps: [make.sh]
    params: [seed]
    outs: [models]
    metrics: [{metrics.json: {cache: false}}]
  score:
    cmd: cp models/large scores.bin
    deps: [models]
    outs: [scores.bin]
"""
# A folder with a file of 300 kB and a file of a few bytes, other ones for each seed; it says that it ran.
MAKE = """set -e
seed=$(sed 's/seed: //' params.yaml)
mkdir -p models
yes "line of seed $seed" | head -c 300000 >models/large
echo "$seed" >models/small
printf '{"seed": %s}' "$seed" >metrics.json
echo ran >>"$RALLY_RUNS"
"""


@dataclass
class Clone:
    """A clone of the lab, in this process."""

    root: Path
    hub: Path

    def git(self, *words: str) -> str:
        return subprocess.run(["git", *words], cwd=self.root, capture_output=True, text=True, check=True).stdout.strip()

    def dvc(self, *words: str) -> int:
        """The exit status of `dvc WORDS`."""
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(self.root)
            return int(dvc.cli.main([*words] if os.environ.get("LOUD") else [*words, "-q"]))

    def rally(self, *words: str) -> int:
        """The exit status of `rally WORDS`."""
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(self.root)
            patch.setattr("sys.argv", ["rally", *words])
            with pytest.raises(SystemExit) as ended:
                main()
        return int(ended.value.code or 0)

    def configure(self, options: Mapping[str, str], *, private: bool = False) -> None:
        """What `dvc remote add -d team URL` and `dvc remote modify` write, in a hundredth of the time."""
        file = self.root / (".dvc/config.local" if private else ".dvc/config")
        config = configparser.ConfigParser(interpolation=None)
        config.read(file)
        for section, values in {"'remote \"team\"'": options, **({} if private else {"core": {"remote": "team"}})}.items():
            config.read_dict({section: values})
        with file.open("w") as written:
            config.write(written)

    def commit(self, message: str) -> None:
        self.git("add", "-A")
        self.git("commit", "-q", "-m", message)

    def files(self) -> dict[str, bytes]:
        """The outs that are here."""
        names = ("models/large", "models/small", "scores.bin")
        return {name: (self.root / name).read_bytes() for name in names if (self.root / name).exists()}

    def clone(self, name: str) -> Clone:
        """What a colleague gets from the git repository, with an own cache."""
        root = self.root.parent / name
        subprocess.run(["git", "clone", "-q", "-b", "main", str(self.hub), str(root)], check=True)
        return Clone(root, self.hub)

    def references_there(self) -> list[str]:
        """What the git repository has, without the folders of DVC's names."""
        lines = subprocess.run(["git", "show-ref"], cwd=self.hub, capture_output=True, text=True).stdout.splitlines()
        return sorted(line.rpartition("/")[2] for line in lines)


def make_lab(folder: Path) -> Clone:
    """A lab that ran, with the experiment `faster`, and an empty bare repository as its origin."""
    lab = Clone(folder / "lab", folder / "hub.git")
    lab.root.mkdir(parents=True)
    lab.git("init", "-q", "-b", "main")
    subprocess.run(["git", "init", "-q", "--bare", "-b", "main", str(lab.hub)], check=True)
    lab.git("remote", "add", "origin", str(lab.hub))
    assert lab.dvc("init") == 0
    for name, text in {"params.yaml": "seed: 1\n", "dvc.yaml": PIPELINE, "make.sh": MAKE}.items():
        (lab.root / name).write_text(text)
    (lab.root / ".gitignore").write_text("/models\n/scores.bin\n")
    assert lab.dvc("repro") == 0
    lab.commit("first run")
    assert lab.dvc("exp", "run", "-n", "faster", "-S", "seed=2") == 0
    lab.git("checkout", "-q", ".")
    assert lab.dvc("checkout") == 0
    return lab


def copy_of(lab: Clone, folder: Path) -> Clone:
    """The lab in another folder, with its own cache and git repository."""
    shutil.copytree(lab.root.parent, folder, symlinks=True, dirs_exist_ok=True)
    copied = Clone(folder / "lab", folder / "hub.git")
    copied.git("remote", "set-url", "origin", str(copied.hub))
    return copied


def runs() -> int:
    """How often the stage `train` ran, in all clones."""
    path = Path(os.environ["RALLY_RUNS"])
    return len(path.read_text().splitlines()) if path.exists() else 0
