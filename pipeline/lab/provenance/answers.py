"""Whether scores and models belong to the parameters, code and data here: of the workspace and of many commits."""

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
from pipeline.lab.provenance.origin import Origin, changed_knobs
from pipeline.lab.provenance.verdict import MATCHES, Verdict
from pipeline.lab.provenance.workspace import LARGE, SMALL, Workspace
from pipeline.params.errors import UserError
from pipeline.params.renamed import with_new_names
from pipeline.params.schema import Params

KEPT = 5_000  # commits of which it is kept what they say


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
        noted = with_new_names(read_json(MODEL.with_suffix(".json")))
        standing = knobs.model_dump(mode="json")
        then = {key: noted[key] for key in ("seed", "model", "train") if key in noted} | {"task": {"kind": noted.get("task")}}
        return Verdict(says, known=False) if (says := next(changed_knobs("train", then, standing), "")) else MATCHES
    return MATCHES  # what cannot be read is refused by whoever opens it


def other_run(knobs: Params) -> str:
    """A line that says of which other knobs, code or data models/trained is; "" where it belongs to these."""
    origin = of_trained(knobs)
    return "" if origin else f"{MODEL.parent}: this model is of another run: {origin.says}; `dvc repro` trains that of this one"


def of_commits(names: Iterable[str], paths: Sequence[Path]) -> dict[str, dict[Path, Verdict]]:
    """The same of the files of many commits: name -> path -> verdict; what a commit says is kept, for it never changes.

    Args:
        names: as git knows them.
    """
    # What was kept by other code than this is worth nothing.
    kept, code = private_folder("provenance.json"), sha256_of(Path(__file__).parent)
    known: dict[str, Any] = {}
    with contextlib.suppress(OSError, ValueError):
        told = json.loads(kept.read_text(encoding="utf-8"))
        known = told["trees"] if isinstance(told, dict) and told.get("code") == code else {}
    names, found, looked = list(names), dict[str, dict[Path, Verdict]](), dict[str, Any]()
    if not names:
        return found
    with GitObjects() as repository:
        for name in names:
            if (tree := repository.project(name)) is None:
                found[name] = dict.fromkeys(paths, Verdict("git cannot read it", known=False))
                continue
            kept_of = known.get(tree, {})
            if not all(str(path) in kept_of for path in paths):
                origin = Origin(Commit(repository, tree))
                verdicts = {str(path): origin.verdict(path) for path in paths}
                kept_of = {path: [verdict.says, verdict.known] for path, verdict in verdicts.items()}
            looked[tree] = kept_of
            found[name] = {path: Verdict(*kept_of[str(path)]) for path in paths}
    if looked.keys() - known.keys():
        with contextlib.suppress(OSError):
            write_json(kept, {"code": code, "trees": dict([*(known | looked).items()][-KEPT:])})
    return found
