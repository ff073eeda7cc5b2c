"""A challenger as a patch of the code: checked, and the code of both sides written into private folders.

Git applies the patch to the last commit in an index of its own, so that the working tree, HEAD and the user's index stay as
they are, and a kill leaves nothing but a folder in .rally/. The champion's code is that of the commit too: what is being edited
meanwhile takes no part.
"""

from __future__ import annotations

import ast
import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pipeline.artifacts.paths import private_folder
from pipeline.lab.dvc.git import REDIRECTING_VARIABLES
from pipeline.params.errors import UserError

# What a patch may change: how a network is built and trained. All else is the yardstick, or no part of a training.
OPEN = ("pipeline/networks/", "pipeline/engine/", "pipeline/tasks/augmentation.py")
CLOSED = {
    "pipeline/engine/sanity.py": "checks that a network does not see what it predicts",
    "pipeline/engine/input_dependence.py": "checks that a network does not see what it predicts",
    "tests/": "tests what the code does",
    "params.yaml": "holds the knobs; use -S for their values",
    "params.schema.json": "holds the knobs; use -S for their values",
    "pipeline/params/": "holds the knobs; use -S for their values",
    "dvc.yaml": "holds the stages",
    "pipeline/evaluation/": "measures",
    "pipeline/tokenizers/": "decides what a token is; use -S tokenize.… and --metric bits_per_byte",
    "pipeline/corpus/": "makes the data that both are scored on",
    "pipeline/tasks/": "computes the loss that both are scored by",
    "pipeline/lab/": "runs and judges the duel",
}
MEASURING = {"pipeline/engine/loop.py": ("validate", "_validation_is_due", "_is_due")}
"""Functions that measure, in files that a patch may change otherwise."""


@dataclass(frozen=True)
class Patch:
    """A patch that applies to the last commit.

    Attributes:
        sha256: of its file.
        files: those that it touches, from the top of the project.
        tree: the name that git gives to all files of the commit with the patch.
    """

    sha256: str
    files: tuple[str, ...]
    tree: str


def read_patch(path: Path) -> Patch:
    """Apply a patch to the last commit, in git alone.

    Raises:
        UserError: it is missing, does not apply, or changes the yardstick.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UserError(f"--patch {path}: {error.strerror}; give the file of a patch, such as `git diff > {path}`") from None
    top, inside = _git("rev-parse", "--show-toplevel").strip(), _git("rev-parse", "--show-prefix").strip()
    with tempfile.TemporaryDirectory() as folder:
        index = Path(folder) / "index"
        _git("read-tree", "HEAD", index=index)
        applied = _run("apply", "--cached", "--whitespace=nowarn", str(path.resolve()), index=index, folder=Path(top))
        if applied.returncode:
            why = (applied.stderr.decode(errors="replace").splitlines() or ["git gives no reason"])[0]
            raise UserError(f"--patch {path}: does not apply to the last commit: {why.removeprefix('error: ')}")
        changed = _git("diff", "--cached", "--raw", "-z", "--no-renames", "--no-abbrev", "HEAD", index=index).split("\0")
        tree = _git("write-tree", index=index).strip()
    modes = dict(zip(changed[1::2], (entry.split()[1] for entry in changed[:-1:2]), strict=True))
    if not modes:
        raise UserError(f"--patch {path}: changes nothing in the last commit")
    problems = [line for name, mode in sorted(modes.items()) for line in _problems(name, mode, inside, tree)]
    if problems:
        raise UserError(*(f"--patch {path}: {line}" for line in problems))
    files = tuple(sorted(name.removeprefix(inside) for name in modes))
    return Patch(hashlib.sha256(content).hexdigest(), files, tree)


def _problems(name: str, mode: str, inside: str, tree: str) -> Iterator[str]:
    """Why a patch may not touch a file as it does; nothing where it may."""
    if not name.startswith(inside):
        yield f"{name} lies outside of this project"
        return
    file = name.removeprefix(inside)
    if not may_change(file):
        why = next(
            (why for part, why in CLOSED.items() if _below(file, (part,))), "belongs neither to a network nor to its training"
        )
        yield f"touches {file}, which {why}; a challenger may change {', '.join(OPEN)}"
    elif mode not in ("100644", "000000") or not file.endswith(".py"):
        yield f"touches {file}, which would be no plain Python file; a challenger may change these alone"
    elif file in MEASURING and (altered := _altered(_git("show", f"HEAD:{name}"), tree, name, MEASURING[file])):
        yield f"changes {', '.join(altered)} in {file}, which measures both sides; leave it as it is"


def _below(file: str, parts: Iterable[str]) -> bool:
    """Whether a file is one of these, or lies in one of these folders."""
    return any(file == part or (part.endswith("/") and file.startswith(part)) for part in parts)


def _altered(before: str, tree: str, name: str, functions: tuple[str, ...]) -> list[str]:
    """Those of some functions of a file that a patch changes or removes."""
    after = _run("show", f"{tree}:{name}").stdout.decode(errors="replace")
    try:
        one, other = (_functions(text) for text in (before, after))
    except SyntaxError:
        return list(functions)
    return [function for function in functions if one.get(function) != other.get(function)]


def _functions(text: str) -> dict[str, str]:
    """name -> the code of each function, without its comments. The last one of a name is the one that counts."""
    return {node.name: ast.dump(node) for node in ast.parse(text).body if isinstance(node, ast.FunctionDef)}


def committed_tree() -> str:
    """The name that git gives to all files of the last commit."""
    return _git("rev-parse", "HEAD^{tree}").strip()


def may_change(file: str) -> bool:
    """Whether a patch may touch a file."""
    return file in OPEN or (_below(file, OPEN) and file not in CLOSED)


@contextmanager
def exported(*trees: str) -> Iterator[tuple[Path, ...]]:
    """A folder with the code of each tree, removed afterwards. One duel at a time: folders of killed ones are removed too."""
    rooms = private_folder("duel") / "code"
    shutil.rmtree(rooms, ignore_errors=True)
    try:
        yield tuple(_export(tree, rooms / tree[:12]) for tree in trees)
    finally:
        shutil.rmtree(rooms, ignore_errors=True)


def _export(tree: str, folder: Path) -> Path:
    """Write the code of a tree; the folder that stands for the top of the project."""
    folder.mkdir(parents=True, exist_ok=True)
    top, inside = Path(_git("rev-parse", "--show-toplevel").strip()), _git("rev-parse", "--show-prefix").strip()
    with tempfile.TemporaryDirectory() as temporary:
        index = Path(temporary) / "index"
        _git("read-tree", tree, index=index)
        names = _run("ls-files", "-z", "--full-name", "--", "pipeline", index=index).stdout
        done = _run("checkout-index", "-z", "--stdin", f"--prefix={folder}/", index=index, folder=top, stdin=names)
        if done.returncode:
            raise UserError(f"{folder}: git cannot write the code there: {done.stderr.decode(errors='replace').strip()}")
    return folder / inside


def _git(*words: str, index: Path | None = None) -> str:
    done = _run(*words, index=index)
    if done.returncode:
        raise UserError(f"git {words[0]}: {done.stderr.decode(errors='replace').strip()}")
    return done.stdout.decode(errors="surrogateescape")


def _run(
    *words: str, index: Path | None = None, folder: Path | None = None, stdin: bytes = b""
) -> subprocess.CompletedProcess[bytes]:
    """Git with an index of its own."""
    environment = {name: value for name, value in os.environ.items() if name not in REDIRECTING_VARIABLES}
    if index:
        environment["GIT_INDEX_FILE"] = str(index)
    return subprocess.run(["git", *words], cwd=folder, env=environment, input=stdin, capture_output=True, check=False)
