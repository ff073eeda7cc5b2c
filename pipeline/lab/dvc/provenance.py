"""Whose numbers are these? What dvc.lock says of the run that left a file, held against the knobs, code and data here.

A score lies in a file, the knobs in another, and nothing but dvc.lock ties the two: `rally show`, `doctor`, `sample`, `look`
and `export` ask here before they show one beside the other. DVC itself is not imported, which would take most of a second.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import subprocess
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from posixpath import normpath
from typing import Any, Protocol, TypeVar, runtime_checkable

import yaml

from pipeline.artifacts.paths import MODEL, private
from pipeline.artifacts.reading import read_json
from pipeline.artifacts.writing import write_json
from pipeline.params.errors import UserError
from pipeline.params.renamed import of_today
from pipeline.params.schema import Params
from pipeline.params.yaml12 import Yaml12Loader

PARAMS, STAGES, LOCK, IGNORED = "params.yaml", "dvc.yaml", "dvc.lock", ".dvcignore"
KEPT = 5_000  # commits of which it is kept what they say
SMALL = 2**26  # bytes, a tenth of a second: what is larger is known by its size and its number of files
LARGE = 2**29  # the same where one waits for torch anyway


@dataclass(frozen=True)
class Verdict:
    """Whether a file belongs to the knobs, code and data beside it.

    Attributes:
        says: why not, as a clause (`seed is 2, and was 1 when train ran`); "" where it belongs to them.
        known: False where nothing says whose the file is, such as without a dvc.lock.
    """

    says: str = ""
    known: bool = True

    def __bool__(self) -> bool:
        """Whether it belongs to them."""
        return not self.says


THESE = Verdict()


# ------------------------------------------------------------------------------------------------------ where a run lies


@runtime_checkable
class Place(Protocol):
    """Where a run lies: the working tree, or a commit."""

    def read(self, path: str) -> bytes | None:
        """The content of a file; None where there is none."""

    def holds(self, path: str, recorded: Mapping[str, Any]) -> bool | None:
        """Whether a file or folder is the one that DVC recorded (md5, size, nfiles); None where one cannot tell.

        A folder's md5 is DVC's: of the JSON that lists its files, each by its md5.
        """


class Workspace:
    """The working tree."""

    def __init__(self, root: Path = Path(), small: int = SMALL) -> None:
        self.root, self.small = root, small
        self.ignored = _patterns(self.read(IGNORED))

    def read(self, path: str) -> bytes | None:
        try:
            return (self.root / path).read_bytes()
        except (OSError, ValueError):  # a ValueError: a path that no file can have
            return None

    def holds(self, path: str, recorded: Mapping[str, Any]) -> bool | None:
        try:
            return self._holds(self.root / path, recorded)
        except OSError:  # it went while it was looked at, or cannot be read
            return False

    def _holds(self, place: Path, recorded: Mapping[str, Any]) -> bool:
        is_folder = place.is_dir()
        files = dict(self._files(place)) if is_folder else {"": place}
        size = sum(file.stat().st_size for file in files.values())
        if size != recorded.get("size", size) or (is_folder and len(files) != recorded.get("nfiles", len(files))):
            return False
        if size > self.small:
            return True
        sums = {name: _md5(file.read_bytes()) for name, file in files.items()}
        return (_md5_of_folder(sums) if is_folder else sums[""]) == recorded.get("md5")

    def _files(self, folder: Path) -> Iterator[tuple[str, Path]]:
        """(name, path) of every file of a folder that DVC counts."""
        for top, below, names in os.walk(folder, followlinks=True):
            below[:] = [name for name in below if not _is_ignored(name, self.ignored)]
            for name in names:
                if not _is_ignored(name, self.ignored):
                    path = Path(top, name)
                    yield path.relative_to(folder).as_posix(), path


class Repository:
    """Git's objects, each read once: a `git cat-file --batch` for as long as the block lasts."""

    def __init__(self, root: Path = Path()) -> None:
        self._git = subprocess.Popen(
            ["git", "cat-file", "--batch"], cwd=root, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        asked = subprocess.run(["git", "rev-parse", "--show-prefix"], cwd=root, capture_output=True, text=True, check=False)
        self._prefix = asked.stdout.strip().rstrip("/")  # where the project lies in it
        self._trees: dict[str, dict[str, tuple[str, str]]] = {}
        self.sums: dict[str, str | None] = {}  # DVC's md5 of a file or folder, by its object

    def __enter__(self) -> Repository:
        return self

    def __exit__(self, *exception: object) -> None:
        self._git.communicate()

    def read(self, name: str) -> tuple[str, bytes] | None:
        """(the object's name, its content), of any name that git knows; None where it knows none or more than one."""
        assert self._git.stdin and self._git.stdout
        if "\n" in name:
            return None
        try:
            self._git.stdin.write(name.encode(errors="surrogateescape") + b"\n")
            self._git.stdin.flush()
        except OSError:  # git has ended: this is no repository
            return None
        heading = self._git.stdout.readline().split()
        if len(heading) != 3 or not heading[2].isdigit():  # "… missing", "… ambiguous"
            return None
        content = self._git.stdout.read(int(heading[2]))
        self._git.stdout.read(1)
        return heading[0].decode(), content

    def project(self, commit: str) -> str | None:
        """The project's tree in a commit."""
        found = self.read(f"{commit}:{self._prefix}" if self._prefix else f"{commit}^{{tree}}")
        return found[0] if found else None

    def tree(self, name: str) -> dict[str, tuple[str, str]]:
        """name -> (mode, object) of what a folder holds."""
        if name not in self._trees:
            found = self.read(name)
            self._trees[name] = dict(_entries(found[1], len(name) // 2)) if found else {}
        return self._trees[name]


class Revision:
    """A commit. What git does not keep of it (data, models) cannot be looked at there."""

    def __init__(self, repository: Repository, tree: str) -> None:
        self.repository, self.tree = repository, tree
        self.ignored = _patterns(self.read(IGNORED))

    def _find(self, path: str) -> tuple[str, str] | None:
        """(mode, object) of a path."""
        found = ("40000", self.tree)
        for part in normpath(path).split("/"):
            inside = self.repository.tree(found[1]) if found[0] == "40000" else {}
            if part not in inside:
                return None
            found = inside[part]
        return found

    def read(self, path: str) -> bytes | None:
        found = self._find(path)
        content = self.repository.read(found[1]) if found else None
        return content[1] if content else None

    def holds(self, path: str, recorded: Mapping[str, Any]) -> bool | None:
        if found := self._find(path):
            md5 = self._md5(*found)
        elif pointer := self.read(f"{normpath(path)}.dvc"):  # what `dvc add` keeps
            md5 = _of_pointer(pointer)
        else:
            md5 = None
        return None if md5 is None else md5 == recorded.get("md5")

    def _md5(self, mode: str, name: str) -> str | None:
        sums = self.repository.sums
        if name not in sums:
            if mode == "40000":
                parts = {path: self._md5(*entry) for path, entry in self._below(name)}
                whole = {path: md5 for path, md5 in parts.items() if md5 is not None}
                sums[name] = _md5_of_folder(whole) if len(whole) == len(parts) else None
            else:
                found = self.repository.read(name) if mode.startswith("100") else None  # no link, no repository in it
                sums[name] = _md5(found[1]) if found else None
        return sums[name]

    def _below(self, tree: str) -> Iterator[tuple[str, tuple[str, str]]]:
        for name, entry in self.repository.tree(tree).items():
            if _is_ignored(name, self.ignored):
                continue
            if entry[0] == "40000":
                yield from ((f"{name}/{path}", found) for path, found in self._below(entry[1]))
            else:
                yield name, entry


def _entries(content: bytes, width: int) -> Iterator[tuple[str, tuple[str, str]]]:
    """(name, (mode, object)) of what stands in a tree: mode, blank, name, a zero byte and the object's so many bytes each."""
    at = 0
    while at < len(content):
        end = content.index(b"\0", at)
        mode, _, name = content[at:end].partition(b" ")
        at = end + 1 + width
        yield name.decode(errors="surrogateescape"), (mode.decode(), content[end + 1 : at].hex())


def _patterns(content: bytes | None) -> list[str]:
    """The names that .dvcignore leaves out, wherever they stand; Rally's names nothing by its place."""
    lines = [line.strip() for line in (content or b"").decode(errors="replace").splitlines()]
    return [line for line in lines if line and not line.startswith("#")] + [".dvc", ".git", IGNORED]


def _is_ignored(name: str, patterns: Sequence[str]) -> bool:
    return any(fnmatch(name, pattern) for pattern in patterns)


def _md5(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def _md5_of_folder(files: Mapping[str, str]) -> str:
    listed = [{"md5": files[name], "relpath": name} for name in sorted(files)]
    return _md5(json.dumps(listed, sort_keys=True).encode()) + ".dir"


def _of_pointer(content: bytes) -> str | None:
    """The md5 in the file that `dvc add` wrote."""
    told = _mapping(content)
    outs = told.get("outs") if told else None
    return outs[0].get("md5") if isinstance(outs, list) and outs and isinstance(outs[0], dict) else None


# ------------------------------------------------------------------------------------------------------------- the question


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """Yaml12Loader by libyaml, seven times as fast; for files that programs wrote."""


_Loader.yaml_implicit_resolvers = Yaml12Loader.yaml_implicit_resolvers
_Loader.yaml_constructors = Yaml12Loader.yaml_constructors


def _mapping(content: bytes | None) -> dict[str, Any] | None:
    """What stands in a YAML file; None where that is no mapping."""
    try:
        told = yaml.load((content or b"").decode(), Loader=_Loader)  # noqa: S506 (a SafeLoader)
    except (ValueError, yaml.YAMLError, RecursionError):
        return None
    return told if isinstance(told, dict) else None


@dataclass(frozen=True)
class Ran:
    """What dvc.lock says of a stage."""

    command: Any
    reads: Sequence[Mapping[str, Any]]  # path, md5, size, nfiles of each dependency
    left: Mapping[str, Mapping[str, Any]]  # path -> the same of each out
    knobs: Mapping[str, Any]


@dataclass(frozen=True)
class Stage:
    """What dvc.yaml says of a stage."""

    command: Any
    reads: Sequence[Any]  # paths, some by a knob that names them
    leaves: Sequence[str]
    sections: Collection[str]


class Origin:
    """What dvc.lock says of the files in one place.

    Args:
        place: where dvc.lock, dvc.yaml, params.yaml and the files lie.
        among_themselves: whether files are asked of that need only be of one run, whatever the knobs and the code are now.
    """

    def __init__(self, place: Place, *, among_themselves: bool = False) -> None:
        self.place, self.among_themselves = place, among_themselves
        self._reasons: dict[str, str] = {}
        locked = place.read(LOCK)
        self.ran, self.stages = _entries_of(locked, _ran), _entries_of(place.read(STAGES), _stage)
        self.knobs = _mapping(place.read(PARAMS)) or {}
        damaged = [name for name, told in ((LOCK, self.ran), (STAGES, self.stages), (PARAMS, self.knobs)) if not told]
        self._doubt = ""
        if locked is None:
            self._doubt = f"there is no {LOCK}, so nothing says which knobs it is of"
        elif damaged:
            self._doubt = f"{damaged[0]} cannot be read, so nothing says which knobs it is of"
        self._maker = {path: name for name, stage in self.stages.items() for path in stage.leaves}
        self._maker |= {path: name for name, ran in self.ran.items() for path in ran.left}

    def verdict(self, path: Path | str) -> Verdict:
        """Whether an out of a stage belongs to the knobs, code and data here, and is what the stage left."""
        name = str(path)
        maker = self._maker.get(name, "")
        if self._doubt or maker not in self.ran:
            return Verdict(self._doubt or _silent(maker), known=False)
        # First, for what dvc.lock says of the run is nothing that holds of another file.
        if name not in self.ran[maker].left or self.place.holds(name, self.ran[maker].left[name]) is False:
            return Verdict(f"{name} is not what {maker} left")
        return Verdict(self._why_not(maker))

    def turned(self, stage: str) -> str:
        """A clause where knobs have changed since a stage, or one before it, ran; "" where not, or where nothing says so."""
        if self._doubt or stage not in self.ran:
            return ""
        before = dict.fromkeys(maker for entry in self.ran[stage].reads if (maker := self._maker.get(entry["path"])))
        reasons = (self.turned(maker) for maker in before if maker != stage)
        return next(filter(None, reasons), "") or next(_turned(stage, self.ran[stage].knobs, self.knobs), "")

    def _why_not(self, stage: str) -> str:
        """Why what a stage left is of other knobs, code or data; "" where it is of these. Of several reasons the first."""
        if stage not in self._reasons:
            self._reasons[stage] = ""  # a circle, which DVC refuses, ends here
            self._reasons[stage] = next(self._differences(stage), "")
        return self._reasons[stage]

    def _differences(self, stage: str) -> Iterator[str]:
        if (ran := self.ran.get(stage)) is None:
            yield _silent(stage)
            return
        made = [entry for entry in ran.reads if entry["path"] in self._maker]
        yield from filter(None, (self._why_not(self._maker[entry["path"]]) for entry in made))
        for entry in made:
            path, maker = entry["path"], self._maker[entry["path"]]
            if self.ran[maker].left.get(path, {}).get("md5") != entry.get("md5"):
                yield f"{stage} has not run on the {path} that {maker} left"
        if self.among_themselves:
            return
        if stage not in self.stages or not _agree(ran, self.stages[stage]):
            yield f"{STAGES} says otherwise of {stage} than when it ran"
        yield from _turned(stage, ran.knobs, self.knobs)
        for entry in ran.reads:
            if entry["path"] not in self._maker and entry.get("md5") and self.place.holds(entry["path"], entry) is False:
                yield f"{entry['path']} has changed since {stage} ran"


def _silent(stage: str) -> str:
    return f"{LOCK} does not say that {stage or 'a stage'} ran"


Told = TypeVar("Told")


def _entries_of(content: bytes | None, read: Callable[[dict[str, Any]], Told]) -> dict[str, Told]:
    """The stages of dvc.yaml or dvc.lock; none where the file is not there or holds something else."""
    stages = (_mapping(content) or {}).get("stages")
    try:
        return {name: read(told) for name, told in stages.items()} if isinstance(stages, dict) else {}
    except (AttributeError, KeyError, TypeError):  # no mapping, no path or no list where there should be one
        return {}


def _ran(told: dict[str, Any]) -> Ran:
    reads, left = told.get("deps") or [], told.get("outs") or []
    knobs = (told.get("params") or {}).get(PARAMS) or {}
    if not all(isinstance(entry["path"], str) for entry in (*reads, *left)) or not isinstance(knobs, dict):
        raise TypeError
    return Ran(told.get("cmd"), reads, {entry["path"]: entry for entry in left}, knobs)


def _stage(told: dict[str, Any]) -> Stage:
    leaves = [entry if isinstance(entry, str) else next(iter(entry)) for part in OUTS for entry in told.get(part) or []]
    sections = {section for section in told.get("params") or [] if isinstance(section, str)}
    return Stage(told.get("cmd"), list(told.get("deps") or []), leaves, sections)


OUTS = ("outs", "metrics", "plots")


def _agree(ran: Ran, stage: Stage) -> bool:
    """Whether dvc.yaml says of a stage what dvc.lock does; a dependency that a knob names changes with the knob."""
    fixed = {normpath(path) for path in stage.reads if isinstance(path, str) and "${" not in path}
    return (
        ran.command == stage.command
        and fixed <= {normpath(entry["path"]) for entry in ran.reads}
        and len(stage.reads) == len(ran.reads)
        and set(stage.sections) == set(ran.knobs)
    )


def _turned(stage: str, then: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[str]:
    """A clause where knobs are others than a stage ran with."""
    before = flat(then)
    after = flat({key: value for key in then if (value := _at(now, key)) is not None})
    names = [name for name in (*before, *(after.keys() - before.keys())) if before.get(name) != after.get(name)]
    if names:
        first = names[0]
        more = f" (and {len(names) - 1} more)" if len(names) > 1 else ""
        yield f"{first} is {_said(after, first)}, and was {_said(before, first)} when {stage} ran{more}"


def _at(knobs: Mapping[str, Any], name: str) -> Any:
    """A section or knob, by its name with dots."""
    value: Any = knobs
    for part in name.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return value


def flat(knobs: Mapping[str, Any], before: str = "") -> dict[str, Any]:
    """Every knob by its name with dots."""
    found: dict[str, Any] = {}
    for key, value in knobs.items():
        found |= flat(value, f"{before}{key}.") if isinstance(value, dict) else {f"{before}{key}": value}
    return found


def _said(knobs: Mapping[str, Any], name: str) -> str:
    if name not in knobs:
        return "no knob"
    value = knobs[name]
    text = value if isinstance(value, str) and value.isprintable() else json.dumps(value, default=str)
    return text if 0 < len(text) <= 40 else f"{text[:39]}…" if text else "empty"


# ---------------------------------------------------------------------------------------------------------------- answers


def here(path: Path, small: int = SMALL) -> Verdict:
    """Whether a file in the working tree belongs to its knobs, code and data.

    Args:
        small: bytes up to which a file is read, to see whether it is the one that was recorded.
    """
    return Origin(Workspace(small=small)).verdict(path)


def of_trained(knobs: Params) -> Verdict:
    """Whether models/trained is of the knobs, code and data here; without a dvc.lock, whether of the knobs that it notes."""
    verdict = here(MODEL.parent, LARGE)
    if verdict.known:
        return verdict
    with contextlib.suppress(UserError):
        noted = of_today(read_json(MODEL.with_suffix(".json")))
        standing = knobs.model_dump(mode="json")
        then = {key: noted[key] for key in ("seed", "model", "train") if key in noted} | {"task": {"kind": noted.get("task")}}
        return Verdict(says, known=False) if (says := next(_turned("train", then, standing), "")) else THESE
    return THESE  # what cannot be read is refused by whoever opens it


def of_commits(names: Iterable[str], paths: Sequence[Path]) -> dict[str, dict[Path, Verdict]]:
    """The same of the files of many commits: name -> path -> verdict; what a commit says is kept, for it never changes.

    Args:
        names: as git knows them.
    """
    # What was kept by other code than this is worth nothing.
    kept, code = private("origin.json"), _md5(Path(__file__).read_bytes())
    known: dict[str, Any] = {}
    with contextlib.suppress(OSError, ValueError):
        told = json.loads(kept.read_text(encoding="utf-8"))
        known = told["trees"] if isinstance(told, dict) and told.get("code") == code else {}
    names, found, looked = list(names), dict[str, dict[Path, Verdict]](), dict[str, Any]()
    if not names:
        return found
    with Repository() as repository:
        for name in names:
            if (tree := repository.project(name)) is None:
                found[name] = dict.fromkeys(paths, Verdict("git cannot read it", known=False))
                continue
            kept_of = known.get(tree, {})
            if not all(str(path) in kept_of for path in paths):
                origin = Origin(Revision(repository, tree))
                verdicts = {str(path): origin.verdict(path) for path in paths}
                kept_of = {path: [verdict.says, verdict.known] for path, verdict in verdicts.items()}
            looked[tree] = kept_of
            found[name] = {path: Verdict(*kept_of[str(path)]) for path in paths}
    if looked.keys() - known.keys():
        with contextlib.suppress(OSError):
            write_json(kept, {"code": code, "trees": dict([*(known | looked).items()][-KEPT:])})
    return found
