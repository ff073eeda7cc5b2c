"""The base parameters of a study: those of the last commit, so that no override left in params.yaml gets into it unseen."""

from __future__ import annotations

import tempfile
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipeline.lab.dvc.git import git, git_paths, join_names, short_hash
from pipeline.params.errors import UserError
from pipeline.params.load import read_sections, with_knobs
from pipeline.params.renamed import with_new_names

PARAMS = Path("params.yaml")
NOT_FROM_COMMIT = ("runtime",)  # sections that describe the machine and change no result: always those of params.yaml


@dataclass(frozen=True)
class BaseParams:
    """The parameters that a study starts from, before its own overrides.

    Attributes:
        sections: of params.yaml.
        changed_knobs: knobs that differ between params.yaml and the commit: (here, in the commit).
        as_is: params.yaml is used as it is here.
        commit: the last one; empty where there is none.
        changed_code: files of the code that differ from the commit, or that it does not have.
    """

    sections: Mapping[str, Any]
    changed_knobs: Mapping[str, tuple[Any, Any]] = field(default_factory=dict)
    as_is: bool = False
    commit: str = ""
    changed_code: tuple[str, ...] = ()

    def notes(self, overridden: Collection[str] = ()) -> list[str]:
        """Lines for the user where the study does not simply start from the commit.

        Args:
            overridden: knobs that the study sets itself.
        """
        if not self.commit:
            return [f"{PARAMS}: is not in any commit; the study uses it as it is here"]
        knobs = [
            f"{knob} {here} (commit: {there})" for knob, (here, there) in self.changed_knobs.items() if knob not in overridden
        ]
        lines = []
        if knobs and self.as_is:
            lines.append(f"{PARAMS}: differs from commit {short_hash(self.commit)}. Used: {join_names(knobs)}")
        elif knobs:
            lines.append(
                f"{PARAMS}: differs from commit {short_hash(self.commit)}, from which the study starts. Not used: "
                f"{join_names(knobs)}. Use --as-is to use them, `git checkout {PARAMS}` to undo them"
            )
        if self.changed_code:
            lines.append(f"the code differs from commit {short_hash(self.commit)}: {join_names(self.changed_code)}")
        return lines

    def as_json(self) -> dict[str, Any]:
        """For a result: the commit, the code that differed from it, and every knob."""
        changed = {knob: {"here": str(here), "commit": str(there)} for knob, (here, there) in self.changed_knobs.items()}
        return {
            "commit": self.commit or None,
            "changed": list(self.changed_code),
            "knobs": dict(self.sections),
            "params_yaml": changed,
            "as_is": self.as_is,
        }


def base_params(*, as_is: bool = False) -> BaseParams:
    """The parameters of the last commit, else (no commit has them) those of params.yaml; `runtime` always from params.yaml.

    Args:
        as_is: all parameters from params.yaml.
    """
    here = read_sections(PARAMS)
    commit = (git("rev-parse", "--verify", "--quiet", "HEAD") or "").strip()
    text = git("show", f"HEAD:./{PARAMS}") if commit else None
    there = sections_of(text) if text else None
    if there is None:
        return BaseParams(here)
    changed = dict(changed_knobs(here, there))
    sections = here if as_is else with_knobs(here, {knob: there for knob, (_, there) in changed.items()})
    return BaseParams(sections, changed, as_is, commit, changed_code_files())


def changed_code_files() -> tuple[str, ...]:
    """Files of the code that differ from the last commit, or that it does not have."""
    changed = git_paths("diff", "--name-only", "--relative", "-z", "HEAD", "--", "pipeline", "dvc.yaml")
    return (*changed, *git_paths("ls-files", "-oz", "--exclude-standard", "--", "pipeline", "dvc.yaml"))


def sections_of(text: str) -> dict[str, Any] | None:
    """The sections of the text of a params.yaml, by today's names; None where it is none."""
    with tempfile.TemporaryDirectory() as folder:
        (copy := Path(folder) / PARAMS.name).write_text(text, encoding="utf-8", errors="surrogateescape")
        try:
            return with_new_names(read_sections(copy))
        except UserError:
            return None


def changed_knobs(here: Mapping[str, Any], there: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, tuple[Any, Any]]]:
    """Knobs of both that differ. One that only params.yaml has came with changed code, and keeps its value."""
    for name, one in here.items():
        if name not in there or f"{prefix}{name}" in NOT_FROM_COMMIT:
            continue
        other = there[name]
        if isinstance(one, dict) and isinstance(other, dict):
            yield from changed_knobs(one, other, f"{prefix}{name}.")
        elif one != other:
            yield f"{prefix}{name}", (one, other)


def knobs_of(sections: Mapping[str, Any], prefix: str = "") -> set[str]:
    """The names of all knobs in some sections, apart from those that describe the machine.

    >>> sorted(knobs_of({"seed": 1, "train": {"lr": 0.1}, "runtime": {"threads": 2}}))
    ['seed', 'train.lr']
    """
    found = set[str]()
    for name, value in sections.items():
        if f"{prefix}{name}" in NOT_FROM_COMMIT:
            continue
        found |= knobs_of(value, f"{prefix}{name}.") if isinstance(value, dict) else {f"{prefix}{name}"}
    return found
