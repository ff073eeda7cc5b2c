"""What a machine runs first: it makes or reuses a clone of the commit, and becomes the program that is named there. No torch.

It is sent as text and runs before there is a clone, so it imports the standard library alone, and platformdirs.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, NoReturn


def main() -> None:
    """Read the task from standard input; run its program with the same input in the clone, in this process."""
    text = sys.stdin.read()
    task = json.loads(text)
    for name in [name for name in os.environ if name.startswith("GIT_")] + ["DVC_ROOT", "PYTHONHOME"]:
        os.environ.pop(name, None)  # of a hook or a stage that all this was started from
    try:
        project = clone_of(task) / task["prefix"]
    except OSError as error:
        fail(f"{error.filename}: {error.strerror}")
    (again := tempfile.TemporaryFile()).write(text.encode())  # noqa: SIM115 (the program reads and closes it)
    again.seek(0)
    os.dup2(again.fileno(), 0)
    os.chdir(project)
    os.environ["PYTHONPATH"] = str(project)
    os.execv(sys.executable, [sys.executable, "-m", task["program"]])


def clone_of(task: dict[str, Any]) -> Path:
    """The clone of the task's commit in this machine's private folder; made if it is not there.

    Args:
        task: commit; repository and private: folders of the driver, which this machine may be able to read; remote: what to
            clone from where it is not.
    """
    commit, near = task["commit"], holds(task["repository"], task["commit"])
    if near:
        private, source = Path(task["private"]), task["repository"]
    elif task["remote"]:
        private, source = cache_folder(), task["remote"]
    else:
        fail(
            f"{task['repository']}: cannot be read on {os.uname().nodename}, or has no commit {commit[:7]}; push the commit, "
            "and name the git remote with --remote"
        )
    folder = private / commit[:16]
    private.mkdir(parents=True, exist_ok=True)
    with (private / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            for left in private.glob("*.unfinished"):  # of a process that was killed
                shutil.rmtree(left)
            unfinished = private / f"{commit[:16]}.unfinished"
            git("clone", "--quiet", "--no-checkout", *["--shared"] * near, source, str(unfinished))
            git("-C", str(unfinished), "checkout", "--quiet", "--detach", commit)
            unfinished.rename(folder)
    changed = git("-C", str(folder), "status", "--porcelain", "--untracked-files=no")
    if changed:
        fail(f"{folder}: is not as commit {commit[:7]} has it: {' '.join(changed.split()[1:2])} is changed; delete this folder")
    return folder


def holds(repository: str, commit: str) -> bool:
    """Whether this machine can read that repository, and the commit is in it."""
    words = ["git", "-C", repository, "cat-file", "-e", f"{commit}^{{commit}}"]
    return Path(repository).is_dir() and subprocess.run(words, stderr=subprocess.DEVNULL).returncode == 0


def cache_folder() -> Path:
    """Where this machine keeps clones if it cannot read the driver's folder."""
    import platformdirs

    return Path(os.environ.get("RALLY_CACHE") or platformdirs.user_cache_dir("rally")) / "fleet"


def git(*words: str) -> str:
    """What a git command prints."""
    environment = os.environ | {"GIT_TERMINAL_PROMPT": "0"}
    done = subprocess.run(["git", *words], capture_output=True, text=True, stdin=subprocess.DEVNULL, env=environment)
    if done.returncode:
        said = (done.stderr.strip().splitlines() or [f"status {done.returncode}"])[-1]
        fail(f"git {' '.join(words)} on {os.uname().nodename}: {said}")
    return done.stdout


def fail(problem: str) -> NoReturn:
    """End with a line for the driver."""
    print(json.dumps({"problems": [problem]}))
    sys.exit(1)


if __name__ == "__main__":
    main()
