"""DVC's hashes of files and folders, and what .dvcignore leaves out of them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from fnmatch import fnmatch

DVCIGNORE = ".dvcignore"


def ignore_patterns(content: bytes | None) -> list[str]:
    """The names that .dvcignore leaves out in any folder; Rally's has no paths."""
    lines = [line.strip() for line in (content or b"").decode(errors="replace").splitlines()]
    return [line for line in lines if line and not line.startswith("#")] + [".dvc", ".git", DVCIGNORE]


def is_ignored(name: str, patterns: Sequence[str]) -> bool:
    return any(fnmatch(name, pattern) for pattern in patterns)


def md5(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def md5_of_folder(files: Mapping[str, str]) -> str:
    listed = [{"md5": files[name], "relpath": name} for name in sorted(files)]
    return md5(json.dumps(listed, sort_keys=True).encode()) + ".dir"
