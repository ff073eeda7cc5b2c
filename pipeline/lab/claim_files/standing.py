"""Where a claim file stands today: what its values say, and what of all that it rests on is another now."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipeline.lab.claim_files import form
from pipeline.lab.claim_files.definition import DATA, Definition, definitions, differences
from pipeline.lab.claim_files.digests import TRAINED, Digests, torch_version
from pipeline.lab.claim_files.form import ClaimFile, Rests
from pipeline.lab.claim_files.judging import judged
from pipeline.lab.dvc.base_params import base_params, changed_knobs, knobs_of, sections_of
from pipeline.lab.dvc.git import GitRepository, join_names, short_hash
from pipeline.lab.provenance.dvc_files import LOCK, parse_stages, recorded_run
from pipeline.lab.provenance.workspace import Workspace
from pipeline.params.errors import UserError


@dataclass(frozen=True)
class Reason:
    """Why a file is no longer what the project says.

    Attributes:
        kind: "data", "code", "claim" or "verdict"; "file" of one that cannot be read.
        about: knobs, rooms, bounds.
    """

    kind: str
    about: tuple[str, ...]

    def text(self) -> str:
        """Such as `stale: code (pipeline/engine)`."""
        return f"{KINDS[self.kind]} ({', '.join(self.about)})"


KINDS = {
    "data": "stale: data",
    "code": "stale: code",
    "claim": "stale: claim",
    "verdict": "verdict changed",
    "file": "not readable",
}
STATISTICS, BY_HAND = "statistics", "the file was edited"


@dataclass(frozen=True)
class Standing:
    """A claim file as it stands today.

    Attributes:
        file: as it is; None where it cannot be read.
        today: its values judged by today's statistics; None where they cannot be.
        reasons: none where all is as it was.
        note: what makes nothing stale, such as another version of torch.
    """

    name: str
    file: ClaimFile | None
    today: ClaimFile | None
    reasons: tuple[Reason, ...] = ()
    note: str = ""

    @property
    def status(self) -> str:
        """What the values say today."""
        return self.today.status if self.today else self.file.status if self.file else "unknown"

    @property
    def is_stale(self) -> bool:
        return bool(self.reasons)


@dataclass
class Project:
    """What claim files are compared with: the studies, the base parameters and the code of the working directory."""

    studies: Mapping[str, Definition] = field(default_factory=definitions)
    base: Mapping[str, Any] = field(default_factory=lambda: base_params().sections)
    digests: Digests = field(default_factory=Digests)

    def standing(self, name: str) -> Standing:
        """Where a claim file stands; it is said, not raised, that it cannot be read or judged."""
        try:
            file = form.read(name)
        except UserError as error:
            return Standing(name, None, None, (Reason("file", error.problems),))
        reasons, today = [], None
        try:
            reasons += self._reasons(name, file)
            today = judged(file)
        except UserError as error:
            return Standing(name, file, None, (*reasons, Reason("file", error.problems)))
        verdicts = [[check.verdict for check in (*one.checks, *one.controls)] for one in (file, today)]
        if today.status != file.status or verdicts[0] != verdicts[1]:
            same = file.rests_on.statistics == self.digests.statistics()
            reasons.append(Reason("verdict", (BY_HAND if same else STATISTICS,)))
        here = torch_version()
        note = f"made with torch {file.rests_on.torch}; here {here}" if file.rests_on.torch != here else ""
        return Standing(name, file, today, tuple(reasons), note)

    def _reasons(self, name: str, file: ClaimFile) -> list[Reason]:
        if file.rests_on.experiments:
            return list(self._of_experiments(file.rests_on.experiments))
        if name not in self.studies:
            return [Reason("claim", (f"there is no study {name}",))]
        study = self.studies[name]
        now, then, found = self.digests.rests(study, self.base), file.rests_on, differences(file, study)
        about: dict[str, list[str]] = {"data": [], "code": _changed(then, now), "claim": []}
        for one in found:
            about["data" if one.part == "data" else "claim"].append(one.name)
        # The digests hold what the study sets, too: they say something of params.yaml only where that is the same.
        knobs = then.knobs != now.knobs and not any(one.part in ("knobs", "data") for one in found)
        data = then.data != now.data and not any(one.part == "data" or one.name == "draws" for one in found)
        if (knobs or data) and (added := self._added_knobs(name, study, then)):
            about["code"].append(f"{join_names(added)} in params.yaml")  # new code reads them; a sample shows what they change
        elif knobs:
            about["claim"].append("knobs of params.yaml")
        elif data:
            about["data"].append("knobs of params.yaml, or the file at prepare.path")
        return [Reason(kind, tuple(names)) for kind, names in about.items() if names]

    def _added_knobs(self, name: str, study: Definition, then: Rests) -> list[str]:
        """The knobs that params.yaml has got since the file was committed; [] where anything else of it differs.

        That its parameters are those of the commit is not believed, but seen by their digest.
        """
        git, path = GitRepository(Path()), form.path_of(name)
        commit = git.raw("log", "-1", "--format=%H", "HEAD", "--", str(path)).strip()
        before = _params_at(commit) if commit else None
        if before is None or any(changed_knobs(self.base, before)):
            return []
        old, new, rests = knobs_of(before), knobs_of(self.base), self.digests.rests(study, before)
        if not old <= new or (rests.knobs, rests.data) != (then.knobs, then.data):
            return []
        return sorted(knob for knob in new - old if knob.partition(".")[0] in (*TRAINED, *DATA, "probe"))

    def _of_experiments(self, experiments: Mapping[str, list[str]]) -> list[Reason]:
        git, workspace = GitRepository(Path()), Workspace()
        gone, changed = [], dict[str, None]()
        for arm, commits in experiments.items():
            for commit in commits:
                if not (lock := git.raw("show", "--end-of-options", f"{commit}:./{LOCK}")):
                    gone.append(f"{arm}: commit {short_hash(commit)} is not in this clone")
                for run in parse_stages(lock.encode(), recorded_run).values():
                    code = [entry for entry in run.deps if entry["path"].startswith("pipeline/")]
                    changed |= dict.fromkeys(
                        entry["path"] for entry in code if workspace.matches(entry["path"], entry) is False
                    )
        reasons = [Reason("data", tuple(gone))] if gone else []
        return [*reasons, *([Reason("code", tuple(changed))] if changed else [])]


@functools.cache  # many claims are of one commit
def _params_at(commit: str) -> dict[str, Any] | None:
    """The sections of params.yaml in a commit; None where it has none."""
    return sections_of(GitRepository(Path()).raw("show", f"{commit}:./params.yaml"))


def _changed(then: Rests, now: Rests) -> list[str]:
    rooms = [room for room in dict.fromkeys((*then.code, *now.code)) if then.code.get(room) != now.code.get(room)]
    return [*rooms, *(["how the measures are computed"] if then.measures != now.measures else [])]
