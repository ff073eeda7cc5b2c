"""What makes two runs the same run: parameters, code and data, as one digest."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipeline.artifacts.checksums import sha256_of
from pipeline.artifacts.paths import NONE
from pipeline.artifacts.reading import read_json
from pipeline.artifacts.writing import write_json
from pipeline.params.errors import UserError
from pipeline.params.yaml12 import read_yaml


def write_kept(path: Path, content: Mapping[str, Any]) -> None:
    """Keep a result in this clone, with its own checksum, so that it need not be computed again."""
    write_json(path, {"content": content, "sha256": digest(content)})


def read_kept(path: Path) -> dict[str, Any] | None:
    """A result that `write_kept` kept; None where there is none, or a damaged one, which is as good as none."""
    try:
        kept = read_json(path, "content", "sha256")
    except UserError:
        return None
    return kept["content"] if digest(kept["content"]) == kept["sha256"] else None


def digest(content: Any) -> str:
    """The sha256 of what JSON says, however it is laid out."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def tokenizer_digest(content: Mapping[str, Any]) -> str:
    """The sha256 of what decides the ids in a tokenizer.json, however it was saved.

    Other versions of the library lay merges out otherwise and leave out what is null or false. How texts are shortened and
    filled up (a call of transformers leaves both in the file), what is put around them, and how ids become text again, all
    that changes no id of a text.
    """
    model = {key: value for key, value in dict(content.get("model") or {}).items() if value not in (None, False, "", 0)}
    merges = model.get("merges", [])
    model["merges"] = [pair.split(" ") if isinstance(pair, str) else pair for pair in merges]
    added = [[token.get("id"), token.get("content"), token.get("special")] for token in content.get("added_tokens") or []]
    return digest([model, content.get("normalizer"), content.get("pre_tokenizer"), sorted(added, key=str)])


def identity(stage: str, params: Mapping[str, Any], places: Mapping[str, Path] | None = None) -> str:
    """The name of a run: a digest of the stage's parameters, data and code. Equal names promise equal results.

    What the code and the data are is what dvc.yaml says they are (its `deps`); a law of the house keeps that true.

    Args:
        stage: a stage of dvc.yaml.
        params: the values of the sections that the stage lists.
        places: where a dependency lies, by its name in dvc.yaml, if not there.
    """
    digest = hashlib.sha256(json.dumps(params, sort_keys=True, default=str).encode())
    for dependency in sorted(map(str, read_yaml(Path("dvc.yaml"))["stages"][stage]["deps"])):
        path = (places or {}).get(dependency) or _named_by(dependency, params)
        if path == NONE:
            continue
        if not path.exists():
            raise UserError(f"{dependency.strip('${}')}: there is no '{path}' here")
        digest.update(f"{dependency} {sha256_of(path)}\n".encode())
    return digest.hexdigest()[:32]


def _named_by(dependency: str, params: Mapping[str, Any]) -> Path:
    """A dependency of dvc.yaml as a path; ${section.knob} stands for what the knob says."""
    if not (knob := re.fullmatch(r"\$\{(\w+)\.(\w+)\}", dependency)):
        return Path(dependency)
    return Path(params.get(knob[1], {}).get(knob[2], NONE))
