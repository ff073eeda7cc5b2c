"""The file of a plan, notebook/plans/NAME.yaml: written once, read as strictly as params.yaml."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import Field, model_validator

from pipeline.artifacts.writing import write_text
from pipeline.lab.dvc.exp_names import is_valid_name
from pipeline.params.errors import UserError, printable
from pipeline.params.knobs import Section, problem
from pipeline.params.names import suggest
from pipeline.params.parse import parse
from pipeline.params.yaml12 import read_yaml

FOLDER = Path("notebook/plans")
LONGEST_NAME = 40
MOST_RUNS = 100  # of one kind in a stage
# Knobs from which times, forecasts and checkpoints are computed: every size has all of them.
COUNTED = (
    "model.depth",
    "model.width",
    "model.context_length",
    "train.batch_size",
    "train.accumulation_steps",
    "train.steps",
)
TIERS = ("point", "game", "set")
HEAD = """# A plan of experiments by `rally plan`. It does not change: what was done is read from the experiments themselves.
#   rally plan show {name}    what is done, what held, what is next
#   rally plan run {name}     the next run
"""

HOW_TO_MAKE = "`rally plan --card 12 --hours 2 --name first` makes one, --cpu in place of --card 12 one without a card"

Positive = Annotated[float, Field(gt=0)]
Count = Annotated[int, Field(ge=1)]
Knobs = dict[str, Any]


class Tier(Section):
    """A size of network, and how long it is trained.

    Attributes:
        set: knob -> value.
        tokens: that it reads.
        bytes: of memory that `rally budget` says it needs.
        seconds: of a run: at the fastest, in the middle, at the slowest; equal where measured.
    """

    set: Knobs
    parameters: Count
    tokens: Count
    steps: Count
    bytes: Count
    seconds: Annotated[list[Positive], Field(min_length=3, max_length=3)]

    @model_validator(mode="after")
    def its_run_can_be_computed(self) -> Tier:
        if missing := [knob for knob in COUNTED if knob not in self.set]:
            raise problem("set", f"has no {missing[0]}")
        _check_counts(self.set)
        return self


class Option(Section):
    """A variant that a stage tries.

    Attributes:
        set: knob -> value.
        times: knob -> factor on what was found so far.
        time_scale: of the weight decay, as a share of the run: 1 / (lr · weight decay · steps); 0: no decay. None: not set.
    """

    label: Annotated[str, Field(pattern=r"^[ -~]{1,60}$")]
    set: Knobs = Field(default_factory=dict)
    times: dict[str, Positive] = Field(default_factory=dict)
    time_scale: Annotated[float, Field(ge=0)] | None = None

    @model_validator(mode="after")
    def its_counts_can_be_computed(self) -> Option:
        _check_counts(self.set)
        return self


def _check_counts(knobs: Knobs) -> None:
    """Refuse a value of COUNTED that is no whole number above 0."""
    for knob in COUNTED:
        if type(value := knobs.get(knob, 1)) is not int or value < 1:
            raise problem("set", f"{knob} is {value!r}; use a whole number above 0")


class Stage(Section):
    """A question of the search, answered before the next one is asked.

    Attributes:
        options: what is tried. What was found so far is one of the arms, unless the stage has no predecessor.
        again: how many of the best are run with further seeds.
        seeds: those seeds.
        wins_by: nats by which an option must be better to be taken; None: the noise between seeds, where it is known.
        extends: the knob whose range is widened once where the best value is at an end of it; "": none.
        of: a stage whose best options are the arms, in place of `options`, at another size.
        best: of them, how many.
        lower: the knob whose next lower value comes second, after the best; "": the options in the order of their losses.
    """

    name: Annotated[str, Field(pattern=r"^[a-z][a-z-]*$")]
    question: str
    tier: str
    options: list[Option] = Field(default_factory=list)
    again: Annotated[int, Field(ge=0, le=MOST_RUNS)] = 0
    seeds: list[Annotated[int, Field(ge=0)]] = Field(default_factory=list)
    wins_by: Annotated[float, Field(ge=0)] | None = None
    extends: str = ""
    of: str = ""
    best: Annotated[int, Field(ge=0, le=MOST_RUNS)] = 0
    lower: Literal["", "train.lr"] = ""

    @model_validator(mode="after")
    def it_can_be_done(self) -> Stage:
        if self.tier not in TIERS:
            raise problem("tier", f"there is no size '{self.tier}'. {suggest(self.tier, TIERS)}")
        if not self.options and not self.of and self.name not in ("check", "set"):
            raise problem("options", "is empty, so that nothing is tried; give one, or leave the stage out")
        return self


class Plan(Section):
    """A plan.

    Attributes:
        hours: of the longest run.
        card: GB of memory; None: a CPU.
        data: knob -> value.
        levels: losses of baselines in nats per token, by name, as far as they were known.
        speed: where the times come from, in words.
        law: where the forecasts come from, in words.
        base: knob -> value of every run.
        notes: what fits no budget, and other things to know.
    """

    name: str
    hours: Positive
    card: Positive | None
    data: Knobs
    vocabulary: Count
    levels: dict[str, float]
    speed: str
    law: str
    base: Knobs
    point: Tier
    game: Tier
    set: Tier
    stages: Annotated[list[Stage], Field(min_length=1)]
    notes: list[str]

    @model_validator(mode="after")
    def stages_are_distinct_and_end(self) -> Plan:
        if not isinstance(self.data.get("prepare.dataset"), str):
            raise problem("data", "has no prepare.dataset")
        names = [stage.name for stage in self.stages]
        if len(set(names)) < len(names):
            raise problem("stages", f"two have one name: {', '.join(names)}")
        for at, stage in enumerate(self.stages):
            if stage.of and stage.of not in names[:at]:
                raise problem("stages", f"{stage.name} takes the best of '{stage.of}', which is not a stage before it")
        return self

    def tier(self, name: str) -> Tier:
        """One of its three sizes."""
        return {"point": self.point, "game": self.game, "set": self.set}[name]


def path_of(name: str) -> Path:
    """The file of a plan."""
    return FOLDER / f"{name}.yaml"


def run_file(plan: str, number: int) -> Path:
    """The file of one of its runs: what it must be, for the doctor."""
    return FOLDER / plan / f"{number:02d}.yaml"


def can_be_named(name: str) -> bool:
    """Whether a plan can be called so: its file and its experiments are named after it."""
    return len(name) <= LONGEST_NAME and is_valid_name(name) and bool(re.fullmatch(r"[A-Za-z][A-Za-z0-9-]*", name))


def check_free(name: str) -> None:
    """Raise a UserError if a new plan cannot be called so."""
    if not can_be_named(name):
        raise UserError(
            f"--name: '{printable(name[:LONGEST_NAME])}' cannot name experiments; use up to {LONGEST_NAME} letters, digits and"
            " -, a letter first, and not only a to f and digits"
        )
    path = path_of(name)
    if path.exists() or path.is_symlink() or path.with_suffix("").exists():
        raise UserError(f"--name {name}: is in use ({path}); use another name, or remove it and its folder of runs")
    if FOLDER.exists() and not FOLDER.is_dir():
        raise UserError(f"{FOLDER}: is not a folder, and plans are written there; move it away")


def write(plan: Plan) -> Path:
    """Write a new plan.

    Raises:
        UserError: the name is in use.
    """
    check_free(plan.name)
    path = path_of(plan.name)
    write_text(path, HEAD.format(name=plan.name) + yaml_text(plan))
    return path


def yaml_text(plan: Plan) -> str:
    """A plan as YAML, without what is as usual."""
    content = plan.model_dump(mode="json", exclude_defaults=True)
    return yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=120)


def read(name: str) -> Plan:
    """The plan of a name.

    Raises:
        UserError: there is none, or its file was altered into something that cannot be done.
    """
    path = path_of(name)
    if not can_be_named(name) or not path.is_file():
        known = tuple(plans())
        there = suggest(name, known) if known else f"There is none yet; {HOW_TO_MAKE}"
        raise UserError(f"rally plan: there is no plan '{printable(name[:LONGEST_NAME])}'. {there}")
    content = read_yaml(path)
    if not isinstance(content, dict):
        raise UserError(f"{path}: holds no plan; `git checkout {path}` brings it back")
    try:
        plan = parse(Plan, content)
    except UserError as error:
        # A plan is parsed as params.yaml is, whose words for what is missing are of that file.
        there, here = "params.yaml must contain every knob", f"`git checkout {path}` brings it back"
        raise UserError(*(f"{path}: {line.replace(there, here)}" for line in error.problems)) from None
    if plan.name != name:
        raise UserError(f"{path}: its name is {plan.name!r}, not that of the file; its experiments have the one or the other")
    return plan


def plans() -> list[str]:
    """The names of all plans, in order."""
    return sorted(file.stem for file in FOLDER.glob("*.yaml") if can_be_named(file.stem) and file.is_file())
