"""What does a study stand on? The knobs of the last commit, so that no knob which somebody left turned gets into it unseen."""

from __future__ import annotations

import tempfile
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipeline.lab.dvc.git import git, listed, paths, shortened
from pipeline.params.errors import UserError
from pipeline.params.load import read_sections, with_knobs
from pipeline.params.renamed import with_new_names

PARAMS = Path("params.yaml")
OWN = ("runtime",)  # sections of whoever runs it: they change no result, so they are taken as they stand


@dataclass(frozen=True)
class BaseParams:
    """The sections of knobs that a study stands on, and what they were taken from.

    Attributes:
        sections: of params.yaml, of which the study then turns some.
        turned: knobs that params.yaml has otherwise than the commit: (here, in the commit).
        as_is: params.yaml is used as it stands here.
        commit: the last one; empty where there is none.
        changed: files of the code that are otherwise than in it, or unknown to it.
    """

    sections: Mapping[str, Any]
    turned: Mapping[str, tuple[Any, Any]] = field(default_factory=dict)
    as_is: bool = False
    commit: str = ""
    changed: tuple[str, ...] = ()

    def said(self, own: Collection[str] = ()) -> list[str]:
        """Lines that say what the study stands on, where that is not plainly the commit.

        Args:
            own: knobs that the study turns itself.
        """
        if not self.commit:
            return [f"{PARAMS}: is in no commit that could be asked; the study stands on it as it is here"]
        differing = [f"{knob} {here} (commit: {there})" for knob, (here, there) in self.turned.items() if knob not in own]
        lines = []
        if differing and self.as_is:
            lines.append(f"{PARAMS}: the study uses what differs from commit {shortened(self.commit)}: {listed(differing)}")
        elif differing:
            lines.append(
                f"{PARAMS}: differs from commit {shortened(self.commit)}, on which the study stands. Not used: "
                f"{listed(differing)}. --as-is uses them; `git checkout {PARAMS}` sets them back"
            )
        if self.changed:
            lines.append(f"the code differs from commit {shortened(self.commit)}: {listed(self.changed)}")
        return lines

    def as_json(self) -> dict[str, Any]:
        """What stands in a result: the commit, the code that differed from it, and every knob."""
        turned = {knob: {"here": str(here), "commit": str(there)} for knob, (here, there) in self.turned.items()}
        return {
            "commit": self.commit or None,
            "changed": list(self.changed),
            "knobs": dict(self.sections),
            "params_yaml": turned,
            "as_is": self.as_is,
        }


def base_params(*, as_is: bool = False) -> BaseParams:
    """The knobs of the last commit where it has them, else those of params.yaml; `runtime` always as it stands there.

    Args:
        as_is: all knobs as they stand in params.yaml.
    """
    here = read_sections(PARAMS)
    commit = (git("rev-parse", "--verify", "--quiet", "HEAD") or "").strip()
    text = git("show", f"HEAD:./{PARAMS}") if commit else None
    there = _sections(text) if text else None
    if there is None:
        return BaseParams(here)
    turned = dict(_differing(here, there))
    sections = here if as_is else with_knobs(here, {knob: there for knob, (_, there) in turned.items()})
    return BaseParams(sections, turned, as_is, commit, changed_code())


def changed_code() -> tuple[str, ...]:
    """Files of the code that are otherwise than in the last commit, or that it does not know."""
    changed = paths("diff", "--name-only", "--relative", "-z", "HEAD", "--", "pipeline", "dvc.yaml")
    return (*changed, *(path for path in paths("ls-files", "-oz", "--exclude-standard", "--", "pipeline", "dvc.yaml")))


def _sections(text: str) -> dict[str, Any] | None:
    with tempfile.TemporaryDirectory() as folder:
        (copy := Path(folder) / PARAMS.name).write_text(text, encoding="utf-8", errors="surrogateescape")
        try:
            return with_new_names(read_sections(copy))
        except UserError:
            return None


def _differing(here: Mapping[str, Any], there: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, tuple[Any, Any]]]:
    """Knobs of both that differ. One that the commit does not know came with changed code, and is what it is here."""
    for name, one in here.items():
        if name not in there or f"{above}{name}" in OWN:
            continue
        other = there[name]
        if isinstance(one, dict) and isinstance(other, dict):
            yield from _differing(one, other, f"{above}{name}.")
        elif one != other:
            yield f"{above}{name}", (one, other)
