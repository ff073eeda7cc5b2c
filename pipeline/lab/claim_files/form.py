"""The form of a claim file, notebook/claims/NAME.yaml: its parts, and how it is read and written."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pipeline.artifacts.writing import write_text
from pipeline.lab.studies.claims.base import Status
from pipeline.params.errors import UserError
from pipeline.params.names import suggest
from pipeline.params.yaml12 import MAX_BYTES, NOT_YAML, Yaml12Loader, load_yaml

FOLDER = Path("notebook/claims")
TAG = "tag:yaml.org,2002:"
WIDTH = 120  # characters of a line
HEAD = "# Written by `rally claims`, which judges the values again: change the study, not this file.\n"

Held = Literal["held", "refuted", "undecided", "edge"]
Kind = Literal["exploratory", "confirmatory"]


class Part(BaseModel):
    """A part of a claim file: strict types, no unknown words."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class Check(Part):
    """A claim or a control, and the verdict on it.

    Attributes:
        claim: as in a study: {kind: {argument: value}}.
        says: the same in words.
        verdict: a Status.
        at: the place that comes nearest to refuting it; "" where there is only one.
        effect, low, high: the number that decides, and its interval, with three digits; None where nothing is decided.
        n: the number of seeds.
    """

    claim: dict[str, dict[str, Any]]
    says: str
    verdict: Status = Field(strict=False)
    at: str = ""
    effect: float | None
    low: float | None
    high: float | None
    n: int


class Change(Part):
    """A change of a bound, a list of seeds or a knob of a claim.

    Attributes:
        at: the commit that was checked out, its first digits.
        seen: values of these seeds had been recorded before.
    """

    at: str
    changed: str
    before: Any
    after: Any
    seen: bool


class Scope(Part):
    """How far a claim reaches.

    Attributes:
        seeds: of the values.
        looked_at: other seeds, whose values were seen when a bound was chosen, or recorded here before.
        rounds: how often the values were judged, with seeds added in between.
        data: which draws of the data they share.
    """

    seeds: list[int]
    looked_at: list[int]
    rounds: int = 1
    data: str
    not_tested: str


class Rests(Part):
    """What a claim rests on, as digests.

    Attributes:
        study: file#name; "" of a claim on experiments.
        experiments: arm -> the commits of its experiments, in the order of the seeds.
        knobs: of params.yaml, those that the runs read and the study does not set.
        data: the same of the data, and the files that it is made of.
        code: path -> the code that the runs, and their data, are made by.
        measures, statistics: the code that makes numbers of runs, and verdicts of numbers.
        torch: its version.
    """

    study: str = ""
    experiments: dict[str, list[str]] = {}
    knobs: str = ""
    data: str = ""
    code: dict[str, str] = {}
    measures: str = ""
    statistics: str
    torch: str


class Runs(Part):
    """The runs that were judged, as the study describes them; see studies/sweeps.yaml.

    Attributes:
        seeds: of the study; those of the values are in the scope.
    """

    bench: str = ""
    set: dict[str, Any] = {}
    vary: dict[str, list[Any] | dict[Any, dict[str, Any]]]
    measure: list[str]
    draws: str
    seeds: list[int]
    seen: list[int]


class ClaimFile(Part):
    """A claim file.

    Attributes:
        question, predicts: what is asked, and what is claimed, in words.
        status: held where all checks hold and all controls fail as they should.
        kind: confirmatory if nobody had seen the seeds at the last change of the claim, else exploratory.
        held_out: of a share, how many examples all seeds share.
        values: measure -> for each place of the grid, the last axis changing fastest, the value of each seed.
    """

    question: str
    predicts: str
    status: Held
    kind: Kind
    checks: list[Check]
    controls: list[Check]
    history: list[Change]
    scope: Scope
    rests_on: Rests
    runs: Runs
    held_out: dict[str, int] = {}
    values: dict[str, list[list[float]]]

    @property
    def places(self) -> int:
        """The number of cells of the grid."""
        count = 1
        for way in self.runs.vary.values():
            count *= len(way)
        return count


def path_of(name: str) -> Path:
    """The file of a claim."""
    return FOLDER / f"{name}.yaml"


def names() -> tuple[str, ...]:
    """The claims that have a file."""
    return tuple(sorted(path.stem for path in FOLDER.glob("*.yaml")))


def read(name: str) -> ClaimFile:
    """A claim file.

    Raises:
        UserError: there is none of this name, or it is not one.
    """
    path = path_of(name)
    if name not in (known := names()):
        raise UserError(f"{FOLDER}: there is no '{name}'. {suggest(name, known) if known else '`rally claims add` makes one'}")
    if not path.is_file():
        raise UserError(f"{path}: is not a file; remove it")
    if path.stat().st_size > MAX_BYTES:
        raise UserError(f"{path}: has {path.stat().st_size:,} bytes; at most {MAX_BYTES:,} are read")
    restore = f"`git checkout {path}` restores it"
    try:
        content = load_yaml(path.read_text(encoding="utf-8"))
    except NOT_YAML as error:
        mark = getattr(error, "problem_mark", None)
        raise UserError(f"{path}{f', line {mark.line + 1}' if mark else ''}: is not YAML; {restore}") from None
    if not isinstance(content, dict):
        raise UserError(f"{path}: {'is empty' if content is None else 'holds no claim'}; {restore}")
    try:
        found = ClaimFile.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the file"
        raise UserError(f"{path}: {where}: {first['msg'].lower()}; {restore}") from None
    if not found.scope.seeds or len({*found.scope.seeds}) < len(found.scope.seeds):
        raise UserError(f"{path}: scope.seeds: {found.scope.seeds} are not one seed or more, each once; {restore}")
    if not found.runs.measure:
        raise UserError(f"{path}: runs.measure: names no measure; {restore}")
    for measure in found.runs.measure:
        rows = found.values.get(measure, [])
        if len(rows) != found.places or any(len(row) != len(found.scope.seeds) for row in rows):
            raise UserError(
                f"{path}: values.{measure}: are not {found.places} places with {len(found.scope.seeds)} seeds each; {restore}"
            )
    return found


# --------------------------------------------------------------------------------------------------------------- writing


class Inline(dict[Any, Any]):
    """A mapping on one line."""


class InlineList(list[Any]):
    """A list on one line."""


class Writer(yaml.SafeDumper):
    """YAML 1.2, as it is read."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


Writer.yaml_implicit_resolvers = Yaml12Loader.yaml_implicit_resolvers
Writer.add_representer(Inline, lambda writer, found: writer.represent_mapping(f"{TAG}map", found.items(), flow_style=True))
Writer.add_representer(InlineList, lambda writer, found: writer.represent_sequence(f"{TAG}seq", found, flow_style=True))


def write(name: str, file: ClaimFile) -> Path:
    """Write a claim file; equal content gives equal bytes."""
    content = file.model_dump(exclude_defaults=True)
    for check in (*content["checks"], *content["controls"]):
        check |= {"claim": Inline(check["claim"]), "verdict": check["verdict"].value}
    content["history"] = [Inline(change) for change in content["history"]]
    for part, word in (("scope", "seeds"), ("scope", "looked_at"), ("runs", "seeds"), ("runs", "seen"), ("runs", "measure")):
        content[part][word] = InlineList(content[part][word])
    content["runs"]["vary"] = {
        axis: InlineList(way) if isinstance(way, list) else {label: Inline(knobs) for label, knobs in way.items()}
        for axis, way in content["runs"]["vary"].items()
    }
    content["values"] = {measure: [InlineList(row) for row in rows] for measure, rows in file.values.items()}
    text = yaml.dump(content, Dumper=Writer, sort_keys=False, allow_unicode=True, width=WIDTH)
    write_text(path := path_of(name), HEAD + text)
    return path
