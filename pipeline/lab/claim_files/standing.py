"""Where a claim file stands today: what its values say, and what of all that it rests on is another now."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipeline.lab.claim_files import form
from pipeline.lab.claim_files.definition import DATA, Definition, Difference, definitions, differences, is_idle, value_at
from pipeline.lab.claim_files.digests import Digests, torch_version
from pipeline.lab.claim_files.form import ClaimFile, Rests
from pipeline.lab.claim_files.judging import judged
from pipeline.lab.dvc.base_params import base_params, changed_knobs, knobs_of, sections_of
from pipeline.lab.dvc.git import GitRepository, short_hash
from pipeline.lab.provenance.dvc_files import LOCK, parse_stages, recorded_run
from pipeline.lab.provenance.workspace import Workspace
from pipeline.params.errors import UserError
from pipeline.params.load import with_knobs


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
        now, then = self.digests.rests(study, self.base), file.rests_on
        before = self._base_then(name, study, then, now)
        about: dict[str, list[str]] = {"data": [], "code": _changed(then, now), "claim": []}
        found = self._changes(file, study, before)
        for one in found:
            about["data" if one.part == "data" else "claim"].append(one.name)
        if before is not None:
            new = knobs_of(self.base) - knobs_of(before)  # new code reads them; a sample shows what they change
            for knob in self._read_of(study, before):
                kind = "code" if knob in new else "data" if knob.partition(".")[0] in DATA else "claim"
                about[kind].append(f"{knob} in params.yaml")
        # The digests hold what the study sets, too: they say something of params.yaml only where that is the same.
        elif then.knobs != now.knobs and not any(one.part in ("knobs", "data") for one in found):
            about["claim"].append("knobs of params.yaml")
        elif then.data != now.data and not any(one.part == "data" or one.name == "draws" for one in found):
            about["data"].append("knobs of params.yaml, or the file at prepare.path")
        return [Reason(kind, tuple(names)) for kind, names in about.items() if names]

    def changes(self, name: str, file: ClaimFile, study: Definition) -> list[Difference]:
        """What a study says otherwise than the file of its claim; a knob that moved from or to params.yaml does not."""
        now = self.digests.rests(study, self.base)
        return self._changes(file, study, self._base_then(name, study, file.rests_on, now))

    def _changes(self, file: ClaimFile, study: Definition, before: Mapping[str, Any] | None) -> list[Difference]:
        found = differences(file, study)
        if before is None:
            return found

        def is_same(knob: str) -> bool:
            values = [runs.set.get(knob, value_at(base, knob)) for runs, base in ((file.runs, before), (study.runs, self.base))]
            return bool(values[0] == values[1])

        return [one for one in found if not (one.is_set and is_same(one.name))]

    def _base_then(self, name: str, study: Definition, then: Rests, now: Rests) -> Mapping[str, Any] | None:
        """The parameters that a claim rests on: those of today, or of the commit of its file.

        Its digests must say so: None where it rests on others, as where the study itself has changed.
        """
        if _parameters(now) == _parameters(then):
            return self.base
        git, path = GitRepository(Path()), form.path_of(name)
        commit = git.raw("log", "-1", "--format=%H", "HEAD", "--", str(path)).strip()
        before = _params_at(commit) if commit else None
        if before is None or not knobs_of(before) <= knobs_of(self.base):
            return None
        return before if _parameters(self.digests.rests(study, before)) == _parameters(then) else None

    def _read_of(self, study: Definition, before: Mapping[str, Any]) -> list[str]:
        """The new and changed knobs of params.yaml that the runs of a study read: each alone changes its digests."""
        rests = _parameters(self.digests.rests(study, before))
        values = {knob: here for knob, (here, _) in changed_knobs(self.base, before)}
        for knob in sorted(knobs_of(self.base) - knobs_of(before)):
            values[knob] = value_at(self.base, knob)
        return [
            knob
            for knob, value in values.items()
            if _parameters(self.digests.rests(study, with_knobs(before, {knob: value}))) != rests
            and not is_idle(knob, study.runs.set, self.base)
        ]

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


def _parameters(rests: Rests) -> tuple[str, str]:
    return rests.knobs, rests.data


def _changed(then: Rests, now: Rests) -> list[str]:
    rooms = [room for room in dict.fromkeys((*then.code, *now.code)) if then.code.get(room) != now.code.get(room)]
    return [*rooms, *(["how the measures are computed"] if then.measures != now.measures else [])]
