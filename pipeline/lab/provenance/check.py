"""Whether scores and models belong to the parameters, code and data: of the working tree, and of many commits."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from pipeline.artifacts.checksums import sha256_of
from pipeline.artifacts.paths import MODEL, private_folder
from pipeline.artifacts.reading import read_json
from pipeline.artifacts.writing import write_json
from pipeline.lab.provenance.commits import Commit, GitObjects
from pipeline.lab.provenance.match import MATCHES, Match
from pipeline.lab.provenance.origin import Origin, changed_knobs
from pipeline.lab.provenance.workspace import LARGE, SMALL, Workspace
from pipeline.params.errors import UserError
from pipeline.params.renamed import of_today
from pipeline.params.schema import Params

MAX_CACHED = 5_000  # commits


def match_here(path: Path, small: int = SMALL) -> Match:
    """Whether a file in the working tree belongs to its parameters, code and data.

    Args:
        small: bytes up to which a file is read, to see whether it is the recorded one.
    """
    return Origin(Workspace(small=small)).match(path)


def match_of_trained(params: Params) -> Match:
    """Whether models/trained belongs to the parameters, code and data here; without a dvc.lock, to the parameters it notes."""
    match = match_here(MODEL.parent, LARGE)
    if match.known:
        return match
    with contextlib.suppress(UserError):
        noted = of_today(read_json(MODEL.with_suffix(".json")))
        now = params.model_dump(mode="json")
        then = {key: noted[key] for key in ("seed", "model", "train") if key in noted} | {"task": {"kind": noted.get("task")}}
        return Match(why, known=False) if (why := next(changed_knobs("train", then, now), "")) else MATCHES
    return MATCHES  # a model that cannot be read is refused where it is opened


def other_run(params: Params) -> str:
    """A line that says of which other parameters, code or data models/trained is; "" where it belongs to these."""
    match = match_of_trained(params)
    if match:
        return ""
    return f"{MODEL.parent}: this model is of another run: {match.mismatch}; `dvc repro` trains that of this one"


def matches_of_commits(names: Iterable[str], paths: Sequence[Path]) -> dict[str, dict[Path, Match]]:
    """Whether files of commits belong to the parameters, code and data of the same commit: name -> path -> match.

    The answers are cached, because those of a commit never change.

    Args:
        names: as git knows them.
    """
    # Answers of other code are not valid.
    file, code = private_folder("provenance.json"), sha256_of(Path(__file__).parent)
    cached: dict[str, Any] = {}
    with contextlib.suppress(OSError, ValueError):
        content = json.loads(file.read_text(encoding="utf-8"))
        cached = content["trees"] if isinstance(content, dict) and content.get("code") == code else {}
    names, found, used = list(names), dict[str, dict[Path, Match]](), dict[str, Any]()
    if not names:
        return found
    with GitObjects() as objects:
        for name in names:
            if (tree := objects.project(name)) is None:
                found[name] = dict.fromkeys(paths, Match("git cannot read it", known=False))
                continue
            answers = cached.get(tree, {})
            if not all(str(path) in answers for path in paths):
                origin = Origin(Commit(objects, tree))
                matches = {str(path): origin.match(path) for path in paths}
                answers = {path: [match.mismatch, match.known] for path, match in matches.items()}
            used[tree] = answers
            found[name] = {path: Match(*answers[str(path)]) for path in paths}
    if used.keys() - cached.keys():
        with contextlib.suppress(OSError):
            write_json(file, {"code": code, "trees": dict([*(cached | used).items()][-MAX_CACHED:])})
    return found
