"""Files of a commit, read from git's objects, as DVC would hash them."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from posixpath import normpath
from typing import Any

from pipeline.lab.provenance.dvc_files import md5_in_dvc_file
from pipeline.lab.provenance.hashing import DVCIGNORE, ignore_patterns, is_ignored, md5, md5_of_folder


class GitObjects:
    """Git's objects, each read once: a `git cat-file --batch` for as long as the block lasts."""

    def __init__(self, root: Path = Path()) -> None:
        self._git = subprocess.Popen(
            ["git", "cat-file", "--batch"], cwd=root, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        prefix = subprocess.run(["git", "rev-parse", "--show-prefix"], cwd=root, capture_output=True, text=True, check=False)
        self._prefix = prefix.stdout.strip().rstrip("/")  # the project's folder in the repository
        self._trees: dict[str, dict[str, tuple[str, str]]] = {}
        self.sums: dict[str, str | None] = {}  # DVC's md5 of a file or folder, by its object

    def __enter__(self) -> GitObjects:
        return self

    def __exit__(self, *exception: object) -> None:
        self._git.communicate()

    def read(self, name: str) -> tuple[str, bytes] | None:
        """(hash, content) of an object, by any name that git knows; None where there is none or more than one."""
        assert self._git.stdin and self._git.stdout
        if "\n" in name:
            return None
        try:
            self._git.stdin.write(name.encode(errors="surrogateescape") + b"\n")
            self._git.stdin.flush()
        except OSError:  # git has ended: this is not a repository
            return None
        heading = self._git.stdout.readline().split()
        if len(heading) != 3 or not heading[2].isdigit():  # "… missing", "… ambiguous"
            return None
        content = self._git.stdout.read(int(heading[2]))
        self._git.stdout.read(1)
        return heading[0].decode(), content

    def project(self, commit: str) -> str | None:
        """The hash of the project's tree in a commit."""
        found = self.read(f"{commit}:{self._prefix}" if self._prefix else f"{commit}^{{tree}}")
        return found[0] if found else None

    def tree(self, name: str) -> dict[str, tuple[str, str]]:
        """name -> (mode, hash) of the entries of a folder."""
        if name not in self._trees:
            found = self.read(name)
            self._trees[name] = dict(_entries(found[1], len(name) // 2)) if found else {}
        return self._trees[name]


class Commit:
    """The files of a commit. What git does not keep of it (data, models) is not known.

    Args:
        tree: the hash of the project's tree, from `GitObjects.project`.
    """

    def __init__(self, objects: GitObjects, tree: str) -> None:
        self.objects, self.tree = objects, tree
        self.ignored = ignore_patterns(self.read(DVCIGNORE))

    def _find(self, path: str) -> tuple[str, str] | None:
        """(mode, hash) of a path."""
        found = ("40000", self.tree)
        for part in normpath(path).split("/"):
            inside = self.objects.tree(found[1]) if found[0] == "40000" else {}
            if part not in inside:
                return None
            found = inside[part]
        return found

    def read(self, path: str) -> bytes | None:
        found = self._find(path)
        content = self.objects.read(found[1]) if found else None
        return content[1] if content else None

    def matches(self, path: str, recorded: Mapping[str, Any]) -> bool | None:
        if found := self._find(path):
            md5 = self._md5(*found)
        elif pointer := self.read(f"{normpath(path)}.dvc"):  # what `dvc add` keeps
            md5 = md5_in_dvc_file(pointer)
        else:
            md5 = None
        return None if md5 is None else md5 == recorded.get("md5")

    def _md5(self, mode: str, name: str) -> str | None:
        sums = self.objects.sums
        if name not in sums:
            if mode == "40000":
                parts = {path: self._md5(*entry) for path, entry in self._below(name)}
                whole = {path: md5 for path, md5 in parts.items() if md5 is not None}
                sums[name] = md5_of_folder(whole) if len(whole) == len(parts) else None
            else:
                found = self.objects.read(name) if mode.startswith("100") else None  # not a link or a submodule
                sums[name] = md5(found[1]) if found else None
        return sums[name]

    def _below(self, tree: str) -> Iterator[tuple[str, tuple[str, str]]]:
        for name, entry in self.objects.tree(tree).items():
            if is_ignored(name, self.ignored):
                continue
            if entry[0] == "40000":
                yield from ((f"{name}/{path}", found) for path, found in self._below(entry[1]))
            else:
                yield name, entry


def _entries(content: bytes, width: int) -> Iterator[tuple[str, tuple[str, str]]]:
    """(name, (mode, hash)) of each entry of a tree: mode, blank, name, a zero byte and `width` bytes of the hash."""
    at = 0
    while at < len(content):
        end = content.index(b"\0", at)
        mode, _, name = content[at:end].partition(b" ")
        at = end + 1 + width
        yield name.decode(errors="surrogateescape"), (mode.decode(), content[end + 1 : at].hex())
