"""Digests: of a run (its parameters, code and data), of a tokenizer, and of cached results."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pipeline.artifacts.checksums import sha256_of
from pipeline.artifacts.paths import NONE
from pipeline.artifacts.reading import read_json
from pipeline.artifacts.writing import write_json
from pipeline.params.errors import UserError
from pipeline.params.yaml12 import read_yaml


def write_cached(path: Path, content: Mapping[str, Any]) -> None:
    """Cache a result in this clone, with its own checksum."""
    write_json(path, {"content": content, "sha256": digest(content)})


def read_cached(path: Path) -> dict[str, Any] | None:
    """A result of `write_cached`; None if it is missing or damaged."""
    try:
        kept = read_json(path, "content", "sha256")
    except UserError:
        return None
    return kept["content"] if digest(kept["content"]) == kept["sha256"] else None


def digest(content: Any) -> str:
    """The SHA-256 of content as canonical JSON."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def tokenizer_digest(content: Mapping[str, Any]) -> str:
    """The SHA-256 of the parts of a tokenizer.json that determine the ids, whatever version of the library saved it.

    Versions differ in the layout of merges, and some leave out null and false. Truncation and padding (which a call of
    transformers leaves in the file), the post-processor and the decoder do not change the ids of a text.
    """
    model = {key: value for key, value in dict(content.get("model") or {}).items() if value not in (None, False, "", 0)}
    merges = model.get("merges", [])
    model["merges"] = [pair.split(" ") if isinstance(pair, str) else pair for pair in merges]
    added = [[token.get("id"), token.get("content"), token.get("special")] for token in content.get("added_tokens") or []]
    return digest([model, content.get("normalizer"), content.get("pre_tokenizer"), sorted(added, key=str)])


def run_identity(
    stage: str,
    params: Mapping[str, Any],
    places: Mapping[str, Path] | None = None,
    checksum: Callable[[Path], str] = sha256_of,
) -> str:
    """The identity of a run: a digest of the stage's parameters, data and code. Equal identities mean equal results.

    Code and data are the stage's deps in dvc.yaml, which a test keeps complete.

    Args:
        stage: a stage of dvc.yaml.
        params: the values of the sections that the stage lists.
        places: other paths for dependencies, by their names in dvc.yaml.
        checksum: of a dependency; a cached one for many runs at once.

    Returns:
        32 hexadecimal digits.

    Raises:
        UserError: a dependency is missing.
    """
    digest = hashlib.sha256(json.dumps(params, sort_keys=True, default=str).encode())
    for dependency in sorted(map(str, read_yaml(Path("dvc.yaml"))["stages"][stage]["deps"])):
        path = (places or {}).get(dependency) or _path_of(dependency, params)
        if path == NONE:
            continue
        if not path.exists():
            raise UserError(f"{dependency.strip('${}')}: '{path}' does not exist")
        digest.update(f"{dependency} {checksum(path)}\n".encode())
    return digest.hexdigest()[:32]


def _path_of(dependency: str, params: Mapping[str, Any]) -> Path:
    """The path of a dependency in dvc.yaml; ${section.knob} stands for the value of the knob."""
    if not (knob := re.fullmatch(r"\$\{(\w+)\.(\w+)\}", dependency)):
        return Path(dependency)
    return Path(params.get(knob[1], {}).get(knob[2], NONE))
