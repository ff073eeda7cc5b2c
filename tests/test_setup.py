"""./run, with a stand-in for Python that makes environments in milliseconds; and the line that puts stages in the right one."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
AT_START = {  # as pyproject.toml has them installed
    "path.pth": "rally_path.pth",
    "startup_hook.py": "rally_start.py",
    "dvc_yaml.py": "rally_dvc_yaml.py",
}

# What ./run asks of a Python: its version, whether it is whole, an environment, and packages in it. `install` notes each
# call of pip; the file `broken` beside it makes pip fail, the file `slow` makes it take a second.
STAND_IN = """#!/bin/sh
home={home}
case "$*" in
*version_info\\[:2\\]*) echo {version} ;;
*ensurepip*) exit {unfit} ;;
*"-m venv "*)
    for venv; do :; done
    mkdir -p "$venv/bin"
    : >"$venv/pyvenv.cfg"
    cp "$0" "$venv/bin/python"
    printf '#!/bin/sh\\necho $1 >>%s/calls\\n' "$home" >"$venv/bin/rally"
    chmod +x "$venv/bin/rally"
    echo venv {version} >>"$home/calls" ;;
*"-m pip install"*)
    [ ! -e "$home/slow" ] || sleep 1
    [ ! -e "$home/broken" ] || exit 1
    echo pip >>"$home/calls" ;;
esac
"""


@dataclass
class Checkout:
    """A folder with the files that ./run reads, and machines' Pythons on a PATH of its own."""

    home: Path
    root: Path

    def python(self, name: str, version: str, unfit: int = 0) -> None:
        stand_in = self.home / "bin" / name
        stand_in.parent.mkdir(exist_ok=True)
        stand_in.write_text(STAND_IN.format(home=self.home, version=version, unfit=unfit))
        stand_in.chmod(0o755)

    def start(self, *command: str, cwd: Path | None = None, **variables: str) -> subprocess.Popen[str]:
        environment = {"PATH": f"{self.home / 'bin'}:/usr/bin:/bin", **variables}
        return subprocess.Popen(
            [str(self.root / "run"), *command],
            cwd=cwd or self.root,
            env=environment,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def run(self, *command: str, cwd: Path | None = None, **variables: str) -> tuple[int, str, str]:
        process = self.start(*command, cwd=cwd, **variables)
        out, err = process.communicate(timeout=60)
        return process.returncode, out, err

    def calls(self) -> list[str]:
        """What was asked of the Pythons since the last question."""
        notes = self.home / "calls"
        lines = notes.read_text().splitlines() if notes.exists() else []
        notes.unlink(missing_ok=True)
        return lines


MADE = ["venv 3.11", "pip", "setup"]


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    root = tmp_path / "a checkout"
    (root / "pipeline/lab/setup").mkdir(parents=True)
    for name in (
        "run",
        "pyproject.toml",
        "constraints.txt",
        "params.yaml",
        *(f"pipeline/lab/setup/{name}" for name in AT_START),
    ):
        shutil.copy(ROOT / name, root / name)
    here = Checkout(tmp_path, root)
    here.python("python3.11", "3.11")
    return here


def test_the_first_call_makes_the_environment_and_the_second_finds_it(checkout: Checkout) -> None:
    status, out, err = checkout.run("echo", "it runs")
    assert (status, out, checkout.calls()) == (0, "it runs\n", MADE)
    assert err.startswith("Setting up Rally's environment in ") and err.count("\n") == 1
    assert checkout.run("echo", "it runs") == (0, "it runs\n", "")
    assert checkout.calls() == []


def test_the_command_runs_in_the_environment_and_where_it_was_called(checkout: Checkout, tmp_path: Path) -> None:
    venv = checkout.root / ".venv"
    _, out, _ = checkout.run("sh", "-c", "command -v python; echo $VIRTUAL_ENV; pwd", cwd=tmp_path)
    assert out.splitlines() == [str(venv / "bin" / "python"), str(venv), str(tmp_path)]


def test_the_exit_status_is_that_of_the_command(checkout: Checkout) -> None:
    assert checkout.run("sh", "-c", "exit 7")[0] == 7


@pytest.mark.parametrize("arguments", [(), ("--help",), ("-h",)])
def test_without_a_command_it_says_what_it_is_for_and_makes_nothing(checkout: Checkout, arguments: tuple[str, ...]) -> None:
    status, out, _ = checkout.run(*arguments)
    assert status == 0
    assert "./run dvc repro" in out and "./run pytest" in out
    assert not (checkout.root / ".venv").exists()


def test_a_set_up_that_failed_is_made_anew_by_the_next_call(checkout: Checkout) -> None:
    (checkout.home / "broken").touch()
    status, out, _ = checkout.run("echo", "it runs")
    assert (status, out, checkout.calls()) == (1, "", ["venv 3.11"])
    (checkout.home / "broken").unlink()
    assert checkout.run("echo", "it runs")[1] == "it runs\n"
    assert checkout.calls() == MADE


def test_an_update_that_failed_is_made_anew_by_the_next_call(checkout: Checkout) -> None:
    checkout.run("true")
    with (checkout.root / "constraints.txt").open("a") as file:
        file.write("# another\n")
    (checkout.home / "broken").touch()
    assert checkout.run("true")[0] == 1
    (checkout.home / "broken").unlink()
    checkout.calls()
    assert checkout.run("true")[0] == 0
    assert checkout.calls() == MADE


def test_a_set_up_that_was_killed_is_made_anew_by_the_next_call(checkout: Checkout) -> None:
    (checkout.home / "slow").touch()
    process = checkout.start("true")
    while not (checkout.home / "calls").exists():
        time.sleep(0.01)
    process.kill()
    process.communicate()
    assert (checkout.root / ".venv.lock").is_symlink(), "it was to be killed in the middle"
    assert checkout.run("echo", "it runs")[1] == "it runs\n"
    assert checkout.calls()[-3:] == MADE


def test_two_calls_at_once_make_one_environment(checkout: Checkout) -> None:
    (checkout.home / "slow").touch()
    processes = [checkout.start("echo", "it runs") for _ in range(2)]
    assert [process.communicate()[0] for process in processes] == ["it runs\n", "it runs\n"]
    assert checkout.calls() == MADE


@pytest.mark.parametrize("name", ["pyproject.toml", "constraints.txt"])
def test_a_changed_pin_is_brought_up_to_date_in_place(checkout: Checkout, name: str) -> None:
    checkout.run("true")
    checkout.calls()
    with (checkout.root / name).open("a") as file:
        file.write("# another\n")
    assert checkout.run("true")[2].startswith("Bringing Rally's environment in ")
    assert checkout.calls() == ["pip", "setup"]


def test_another_python_that_was_asked_for_makes_it_anew_and_stays(checkout: Checkout) -> None:
    checkout.python("python3.12", "3.12")
    checkout.run("true")
    assert checkout.calls() == MADE
    (old := checkout.root / ".venv" / "lib" / "python3.11").mkdir(parents=True)
    checkout.run("true", PYTHON="python3.12")
    assert not old.exists()
    assert checkout.calls() == ["venv 3.12", "pip", "setup"]
    checkout.run("true")
    checkout.run("true", PYTHON="python3.12")
    assert checkout.calls() == []


def test_a_checkout_that_was_moved_makes_it_anew(checkout: Checkout) -> None:
    checkout.run("true")
    checkout.calls()
    checkout.root = checkout.root.rename(checkout.home / "moved")
    checkout.run("true")
    assert checkout.calls() == MADE


def test_the_environment_of_another_clone_is_left_alone(checkout: Checkout) -> None:
    checkout.run("true")
    checkout.calls()
    first = checkout.root
    checkout.root = Path(shutil.copytree(first, checkout.home / "second", ignore=shutil.ignore_patterns(".venv")))
    status, _, err = checkout.run("true", RALLY_VENV=str(first / ".venv"))
    assert (status, err.count("\n")) == (2, 1)
    assert f"is the environment of {first};" in err
    assert (first / ".venv/rally.stamp").read_text()
    assert checkout.calls() == []
    shutil.copytree(first / ".venv", checkout.root / ".venv")  # as in a copy of the whole clone: its own from now on
    assert checkout.run("true")[0] == 0
    assert checkout.calls() == MADE
    (first / "run").unlink()  # the other clone is gone
    assert checkout.run("true", RALLY_VENV=str(first / ".venv"))[0] == 0
    assert checkout.calls() == MADE


def test_a_python_that_does_not_fit_is_passed_over(checkout: Checkout) -> None:
    checkout.python("python3.11", "3.11", unfit=1)
    checkout.python("python3.12", "3.12", unfit=127)
    checkout.python("python3.13", "3.13")
    checkout.run("true")
    assert checkout.calls()[0] == "venv 3.13"


def test_no_python_that_fits_is_one_line_and_leaves_nothing(checkout: Checkout) -> None:
    status, out, err = checkout.run("true", PYTHON="/no/such/python")
    assert (status, out, err.count("\n")) == (1, "", 1)
    assert "3.11 to 3.13" in err and "/no/such/python" in err
    assert sorted(path.name for path in checkout.root.iterdir()) == [
        "constraints.txt",
        "params.yaml",
        "pipeline",
        "pyproject.toml",
        "run",
    ]


def test_a_folder_that_somebody_else_made_is_left_alone(checkout: Checkout, tmp_path: Path) -> None:
    (tmp_path / "mine" / "bin").mkdir(parents=True)
    status, _, err = checkout.run("true", RALLY_VENV=str(tmp_path / "mine"))
    assert (status, err.count("\n")) == (1, 1)
    assert "was not created by ./run" in err
    assert (tmp_path / "mine" / "bin").exists()
    assert checkout.calls() == []


KILLED = {
    "DVC before it wrote a knob": {"params.yaml": ""},
    "DVC before it wrote what it has made": {"dvc.lock": ""},
    "DVC while it wrote what it has made": {"dvc.lock": "stages:\n  prepare:\n    cmd: pyth"},
    "git while it held the index": {".git/index.lock": ""},
    "DVC before it wrote": {".dvc/tmp/rwlock": ""},
    "DVC while it wrote": {".dvc/tmp/rwlock": '{"read": {"/a/'},
    "an experiment before it wrote": {".dvc/tmp/exps/rwlock": ""},
    "an experiment that was being written down": {".dvc/tmp/exps/rwlock": '{"read": {}, "write": {"workspace": {"pid": 1}}}'},
    "an experiment that was in DVC's list": {".git/refs/exps/stash": "COMMIT\n"},
    "an experiment that had begun": {".git/refs/exps/exec/EXEC_MERGE": "COMMIT\n"},
    "an experiment while it trained": {".dvc/tmp/exps/run/workspace/workspace.run": "{}"},
    "an experiment that was about to end": {".git/logs/HEAD": "0 1 me <m@e> 1 +0000\tcommit: dvc: commit experiment 1\n"},
    "an experiment of the queue": {".dvc/tmp/exps/tmpabc/dvc.yaml": ""},
    "an experiment in a copy": {".dvc/tmp/exps/standalone/tmpabc/dvc.yaml": ""},
}
IN_ORDER = {
    "nothing at all": {},
    "a list of locks": {".dvc/tmp/rwlock": '{"read": {}, "write": {}}'},
    "a HEAD that somebody took off": {".git/HEAD": "COMMIT\n"},
    "an experiment that ended": {".git/refs/exps/exec/EXEC_HEAD": "COMMIT\n", ".dvc/tmp/exps/run/1/1.run": "{}"},
}


@pytest.mark.parametrize(
    ("form", "left", "asked"),
    [
        (form, left, asked)
        for lefts, asked in ((KILLED, ["repair"]), (IN_ORDER, []))
        for left in lefts.values()
        for form in ("a repository", "a worktree")
        if form == "a repository" or any(name.startswith(".git/") for name in left)
    ],
)
def test_what_looks_left_behind_by_a_kill_is_mended_before_the_command(
    checkout: Checkout, left: dict[str, str], asked: list[str], form: str
) -> None:
    def git(*words: str) -> str:
        return subprocess.run(["git", *words], cwd=checkout.root, check=True, capture_output=True, text=True).stdout.strip()

    git("init", "-q")
    git("add", "-A")
    git("commit", "-qm", "first")
    if form == "a worktree":
        git("worktree", "add", "-q", str(checkout.home / "side"))
        checkout.root = checkout.home / "side"
    checkout.run("true")
    checkout.calls()
    for name, content in left.items():
        path = checkout.root / (git("rev-parse", "--git-path", name[5:]) if name.startswith(".git/") else name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content.replace("COMMIT", git("rev-parse", "HEAD")))
    # A hook that calls ./run has set this.
    assert checkout.run("echo", "it runs", cwd=checkout.home, GIT_DIR="/nowhere") == (0, "it runs\n", "")
    assert checkout.calls() == asked


@pytest.fixture
def with_dvc(checkout: Checkout) -> Checkout:
    """A checkout whose environment is made, with a DVC that notes its calls and does to .dvc/config what `old-config` holds."""
    checkout.run("true")
    checkout.calls()
    dvc = checkout.root / ".venv/bin/dvc"
    dvc.write_text(
        f'#!/bin/sh\necho "dvc $*" >>"{checkout.home}/calls"\n'
        f'[ ! -e "{checkout.home}/old-config" ] || cp "{checkout.home}/old-config" "{checkout.root}/.dvc/config"\n'
        f'[ ! -e "{checkout.home}/fails" ] || exit 7\n'
    )
    dvc.chmod(0o755)
    (checkout.root / ".dvc").mkdir()
    (checkout.root / ".dvc/config").write_text("[core]\n    remote = mine\n")
    (checkout.root / "studies").mkdir()
    return checkout


@pytest.mark.parametrize("folder", [".", "studies"])
@pytest.mark.parametrize(
    "words",
    [
        "dvc repro",
        "dvc exp run -S train.lr=1",
        "dvc exp run --queue -S train.lr=1",
        "dvc --wait-for-lock experiments run",
        "dvc exp save",
        "dvc exp apply x",
        "dvc queue start",
    ],
)
def test_what_dvc_is_to_do_is_looked_at_before_it_removes_or_overwrites_anything(
    with_dvc: Checkout, words: str, folder: str
) -> None:
    assert with_dvc.run(*words.split(), cwd=with_dvc.root / folder)[0] == 0
    assert with_dvc.calls() == ["check-params", words]
    (with_dvc.root / ".venv/bin/rally").write_text("#!/bin/sh\nexit 2\n")
    assert with_dvc.run(*words.split(), cwd=with_dvc.root / folder)[0] == 2
    assert with_dvc.calls() == []


@pytest.mark.parametrize("words", ["dvc exp show", "dvc queue status", "dvc push", "echo dvc repro", "dvc"])
def test_what_changes_nothing_costs_no_look(with_dvc: Checkout, words: str) -> None:
    assert with_dvc.run(*words.split())[0] == 0
    assert "check-params" not in with_dvc.calls()
    assert with_dvc.run("dvc", "repro", cwd=with_dvc.home)[0] == 0  # of another project
    assert "check-params" not in with_dvc.calls()


@pytest.mark.parametrize("fails", [False, True])
def test_an_older_experiment_takes_no_remote_away(with_dvc: Checkout, fails: bool) -> None:
    (with_dvc.home / "old-config").write_text("[core]\n")
    if fails:
        (with_dvc.home / "fails").touch()
    config = with_dvc.root / ".dvc/config"
    before = config.read_bytes()
    assert with_dvc.run("dvc", "exp", "apply", "x")[0] == (7 if fails else 0)
    assert config.read_bytes() == before
    with_dvc.run("dvc", "exp", "run")
    assert config.read_text() == "[core]\n", "whatever else DVC does with it is its own"


# ------------------------------------------------------------------------------------- python means this environment's


def install_at_start(venv: Path) -> None:
    for name, installed in AT_START.items():
        shutil.copy(ROOT / "pipeline/lab/setup" / name, next(venv.glob("lib/python3*/site-packages")) / installed)


@pytest.mark.parametrize("shell", [name for name in ("sh", "dash", "bash", "zsh") if shutil.which(name)])
def test_a_stage_finds_the_python_of_the_environment_though_nobody_activated_it(tmp_path: Path, shell: str) -> None:
    venv = tmp_path / "an environment"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", venv], check=True)
    install_at_start(venv)
    wrong = tmp_path / "wrong"
    wrong.mkdir()
    (wrong / "python").write_text("#!/bin/sh\nexit 1\n")
    (wrong / "python").chmod(0o755)

    start = f"import subprocess; subprocess.run(['{shell}', '-c', 'python -c \"import sys; print(sys.prefix)\"; echo $PATH'])"
    environment = {"PATH": f"{wrong}:/usr/bin:/bin"}
    command = [venv / "bin" / "python", "-c", start]
    found = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert found.stdout.splitlines() == [str(venv), f"{venv / 'bin'}:{wrong}:/usr/bin:/bin"]
    assert found.stderr == ""


def test_the_environment_that_the_tests_run_in_leads_the_path() -> None:
    if not any((Path(folder) / "rally_path.pth").exists() for folder in sys.path):
        pytest.skip("rally is not installed in this environment; ./run installs it")
    command = [sys.executable, "-c", "import os; print(os.environ['PATH'])"]
    seen = subprocess.run(command, capture_output=True, text=True, check=True)
    assert seen.stdout.split(os.pathsep)[0] == str(Path(sys.prefix) / "bin")


# ------------------------------------------------------------------------------------ DVC's site cache is the user's own


def is_writable_for_others(folder: Path) -> bool:
    return bool(folder.stat().st_mode & 0o022)


def python_of(venv: Path, *words: str, **variables: str) -> str:
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", venv], check=True)
    install_at_start(venv)
    done = subprocess.run(
        [venv / "bin" / "python", *words],
        env={"PATH": "/usr/bin:/bin", **variables},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr == ""
    return done.stdout.strip()


ASK = ("-c", "import os; print(os.environ.get('DVC_SITE_CACHE_DIR'))")


@pytest.mark.parametrize(
    ("variables", "place"),
    [
        ({"HOME": "home"}, "home/.cache/rally/dvc"),
        ({"HOME": "home", "XDG_CACHE_HOME": "xdg"}, "xdg/rally/dvc"),
        ({"HOME": "home", "RALLY_CACHE": "mine"}, "mine/dvc"),
        ({"HOME": "home", "DVC_SITE_CACHE_DIR": "set"}, "set"),
    ],
)
def test_dvc_keeps_its_site_cache_in_the_same_folder_of_the_user_with_and_without_run(
    checkout: Checkout, tmp_path: Path, variables: dict[str, str], place: str
) -> None:
    variables = {name: str(tmp_path / value) for name, value in variables.items()}
    assert python_of(tmp_path / "venv", *ASK, **variables) == str(tmp_path / place)
    assert not is_writable_for_others(tmp_path / place / "repo")  # DVC would make it so
    shutil.rmtree(tmp_path / place)
    assert checkout.run("sh", "-c", "echo $DVC_SITE_CACHE_DIR", **variables)[1].strip() == str(tmp_path / place)
    assert not is_writable_for_others(tmp_path / place / "repo")


def test_where_the_user_has_no_such_folder_dvc_does_what_it_does(checkout: Checkout, tmp_path: Path) -> None:
    (tmp_path / "full").touch()
    assert python_of(tmp_path / "venv", *ASK, RALLY_CACHE=str(tmp_path / "full")) == "None"
    assert checkout.run("sh", "-c", "echo ${DVC_SITE_CACHE_DIR-none}", RALLY_CACHE=str(tmp_path / "full"))[1] == "none\n"
