"""Whose numbers are these? What dvc.lock says of the run that left a file, held against the knobs, code and data here.

A score lies in a file, the knobs in another, and nothing but dvc.lock ties the two: `rally show`, `doctor`, `sample`, `look`
and `export` ask here before they show one beside the other. DVC itself is not imported, which would take most of a second.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import subprocess
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from posixpath import normpath
from typing import Any, Protocol

import yaml

from pipeline.artifacts import MODEL, private, read_json, write_json
from pipeline.params import Params, Refusal, Yaml12Loader

PARAMS, STAGES, LOCK, IGNORED = "params.yaml", "dvc.yaml", "dvc.lock", ".dvcignore"
KEPT = 5_000  # commits of which it is kept what they say
SMALL = 2**26  # bytes, a tenth of a second: what is larger is known by its size and its number of files


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
        self._trees: dict[str, dict[str, tuple[str, str]]] = {}
        self.sums: dict[str, str | None] = {}  # DVC's md5 of a file or folder, by its object

    def __enter__(self) -> Repository:
        return self

    def __exit__(self, *exception: object) -> None:
        self._git.communicate()

    def read(self, name: str) -> tuple[str, bytes] | None:
        """(the object's name, its content), of any name that git knows; None where there is no such object, or more than one."""
        assert self._git.stdin and self._git.stdout
        if "\n" in name:
            return None
        try:
            self._git.stdin.write(name.encode() + b"\n")
            self._git.stdin.flush()
        except OSError:  # git has ended: this is no repository
            return None
        heading = self._git.stdout.readline().split()
        if len(heading) != 3 or not heading[2].isdigit():  # "… missing", "… ambiguous"
            return None
        content = self._git.stdout.read(int(heading[2]))
        self._git.stdout.read(1)
        return heading[0].decode(), content

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
    """(name, (mode, object)) of what stands in a tree: "mode name\\0" and the object's so many bytes for each."""
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


class Origin:
    """What dvc.lock says of the files in one place.

    Args:
        place: where dvc.lock, dvc.yaml, params.yaml and the files lie.
    """

    def __init__(self, place: Place) -> None:
        self.place = place
        self._doubt = ""
        self._reasons: dict[str, str] = {}
        locked = place.read(LOCK)
        self.lock, self.stages = _stages(locked, _is_record), _stages(place.read(STAGES), _is_stage)
        self.params = _mapping(place.read(PARAMS)) or {}
        if locked is None:
            self._doubt = f"there is no {LOCK}, so nothing says which knobs they are of"
        elif not self.lock or not self.stages or not self.params:
            damaged = LOCK if not self.lock else STAGES if not self.stages else PARAMS
            self._doubt = f"{damaged} cannot be read, so nothing says which knobs they are of"
        self.makers = {out["path"]: stage for stage, ran in self.lock.items() for out in ran["outs"]}

    def verdict(self, path: Path | str) -> Verdict:
        """Whether an out of a stage belongs to the knobs, code and data here, and is what the stage left."""
        name = str(path)
        if self._doubt:
            return Verdict(self._doubt, known=False)
        if name not in self.makers:
            stages = [stage for stage, told in self.stages.items() if name in set(_outs(told))]
            return Verdict(f"{LOCK} does not say that {stages[0] if stages else 'a stage'} ran", known=False)
        if reason := self._why_not(self.makers[name]):
            return Verdict(reason)
        [recorded] = [out for out in self.lock[self.makers[name]]["outs"] if out["path"] == name]
        if self.place.holds(name, recorded) is False:
            return Verdict(f"{name} is not what {self.makers[name]} left")
        return THESE

    def _why_not(self, stage: str) -> str:
        """Why what a stage left is of other knobs, code or data; "" where it is of these. Of several reasons the first."""
        if stage not in self._reasons:
            self._reasons[stage] = ""  # a circle, which DVC refuses, ends here
            self._reasons[stage] = next(self._differences(stage), "")
        return self._reasons[stage]

    def _differences(self, stage: str) -> Iterator[str]:
        if stage not in self.lock:
            yield f"{LOCK} does not say that {stage} ran"
            return
        ran, told = self.lock[stage], self.stages.get(stage)
        for dependency in ran["deps"]:
            if (maker := self.makers.get(dependency["path"])) and (reason := self._why_not(maker)):
                yield reason
        if told is None or told.get("cmd") != ran.get("cmd") or not _agree(ran, told):
            yield f"{STAGES} says otherwise of {stage} than when it ran"
        yield from _turned(stage, ran["params"].get(PARAMS, {}), self.params)
        for dependency in ran["deps"]:
            path, md5 = dependency["path"], dependency.get("md5")
            if maker := self.makers.get(path):
                [made] = [out for out in self.lock[maker]["outs"] if out["path"] == path]
                if made.get("md5") != md5:
                    yield f"{stage} has not run on the {path} that {maker} left"
            elif md5 and self.place.holds(path, dependency) is False:
                yield f"{path} has changed since {stage} ran"


def _stages(content: bytes | None, is_one: Callable[[Any], bool]) -> dict[str, Any]:
    """The stages of dvc.yaml or dvc.lock; none where the file is not there or is no such file."""
    stages = (_mapping(content) or {}).get("stages")
    return stages if isinstance(stages, dict) and all(map(is_one, stages.values())) else {}


def _is_record(ran: Any) -> bool:
    """Whether that is what dvc.lock says of a stage; what it has none of is written as none."""
    if not isinstance(ran, dict) or not isinstance(ran.setdefault("params", {}).get(PARAMS, {}), dict):
        return False
    entries = [*ran.setdefault("deps", []), *ran.setdefault("outs", [])]
    return all(isinstance(entry, dict) and isinstance(entry.get("path"), str) for entry in entries)


def _is_stage(told: Any) -> bool:
    """The same of dvc.yaml."""
    return isinstance(told, dict) and all(isinstance(told.setdefault(part, []), list) for part in ("deps", "params", "outs"))


def _outs(stage: Mapping[str, Any]) -> Iterator[str]:
    """The paths that dvc.yaml says a stage leaves."""
    for part in ("outs", "metrics"):
        for entry in stage.get(part) or []:
            yield entry if isinstance(entry, str) else next(iter(entry), "")


def _agree(ran: Mapping[str, Any], told: Mapping[str, Any]) -> bool:
    """Whether dvc.yaml lists the dependencies and knobs that dvc.lock has; those that a knob names are held by the knob."""
    listed, recorded = told["deps"], [dependency["path"] for dependency in ran["deps"]]
    fixed = {normpath(path) for path in listed if isinstance(path, str) and "${" not in path}
    sections = {section for section in told["params"] if isinstance(section, str)}
    return (
        fixed <= set(map(normpath, recorded))
        and len(listed) == len(recorded)
        and sections == set(ran["params"].get(PARAMS, {}))
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
    text = json.dumps(knobs[name], ensure_ascii=False, default=str) if not isinstance(knobs[name], str) else knobs[name]
    return text if 0 < len(text) <= 40 else f"{text[:39]}…" if text else "empty"


# ---------------------------------------------------------------------------------------------------------------- answers


def here(path: Path, small: int = SMALL) -> Verdict:
    """Whether a file in the working tree belongs to its knobs, code and data.

    Args:
        small: bytes up to which a file is read, to see whether it is the one that was recorded.
    """
    return Origin(Workspace(small=small)).verdict(path)


def of_trained(knobs: Params) -> Verdict:
    """Whether models/ is of the knobs, code and data here; without a dvc.lock, whether it is of the knobs that it notes."""
    verdict = here(MODEL.parent, small=8 * SMALL)
    if verdict.known:
        return verdict
    with contextlib.suppress(Refusal):
        noted = read_json(MODEL.with_suffix(".json"))
        standing = knobs.model_dump(mode="json")
        then = {key: noted[key] for key in ("seed", "model", "train") if key in noted} | {"task": {"kind": noted.get("task")}}
        turned = _turned("train", then, standing)
        return Verdict(next(turned, verdict.says), known=False)
    return verdict


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
    found: dict[str, dict[Path, Verdict]] = {}
    looked: dict[str, Any] = {}
    with Repository() as repository:
        for name in names:
            tree = repository.read(f"{name}^{{tree}}")
            if tree is None:
                found[name] = dict.fromkeys(paths, Verdict("git cannot read it", known=False))
                continue
            kept_of = known.get(tree[0], {})
            if not all(str(path) in kept_of for path in paths):
                origin = Origin(Revision(repository, tree[0]))
                verdicts = {str(path): origin.verdict(path) for path in paths}
                kept_of = {path: [verdict.says, verdict.known] for path, verdict in verdicts.items()}
            looked[tree[0]] = kept_of
            found[name] = {path: Verdict(*kept_of[str(path)]) for path in paths}
    if looked.keys() - known.keys():
        with contextlib.suppress(OSError):
            write_json(kept, {"code": code, "trees": dict([*(known | looked).items()][-KEPT:])})
    return found
