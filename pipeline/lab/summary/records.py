"""All that a page is compiled from, read and ready: the same for the terminal, the page, markdown and JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from pipeline.lab.bets.bet import Bet
from pipeline.lab.experiments.records import Knob
from pipeline.lab.statistics.intervals import Interval
from pipeline.lab.summary.settings import Setting

UNDECIDED = "undecided"


@dataclass(frozen=True)
class Place:
    """One place of a played grid.

    Attributes:
        label: such as "train.lr 0.01"; "" of a grid with a single place.
        values: measure -> its mean and interval; None where a training diverged.
    """

    label: str
    values: Mapping[str, Interval | None]
    diverged: int = 0


@dataclass(frozen=True)
class Grid:
    """A study that was played: results/NAME.json.

    Attributes:
        verdicts: (claim, status, sentence) of each.
        seeds: those that were played.
        own_seeds: they are those of the study in studies/, so that `--seeds` adds to them.
        is_known: studies/ has a grid of this name.
        costs: of the study, such as "21 trainings, 64 s".
    """

    name: str
    question: str
    places: tuple[Place, ...]
    seeds: tuple[int, ...]
    verdicts: tuple[tuple[str, str, str], ...]
    own_seeds: bool = True
    is_known: bool = True
    costs: str = ""


@dataclass(frozen=True)
class ClaimLine:
    """A file of notebook/claims as it stands.

    Attributes:
        status: held, refuted, undecided, edge or unknown.
        stale: why it is no longer what the project says; "" where it is.
    """

    name: str
    status: str
    kind: str
    seeds: int
    says: str
    stale: str = ""


@dataclass(frozen=True)
class DuelLine:
    """A line of notebook/duels.jsonl.

    Attributes:
        date: the day.
        change: what the challenger has that its champion had not.
        gain: mean and interval of the pairs, in units of the metric; None where no pair has both scores.
    """

    date: str
    champion: str
    change: str
    metric: str
    pairs: int
    gain: Interval | None
    verdict: str


@dataclass(frozen=True)
class Treatment:
    """The experiment that the doctor proposes for the first finding of a run.

    Attributes:
        experiment: the name of the run.
        symptom, cause: in the doctor's words.
        knob: what it changes; "" where no knob does.
        command: as the doctor gives it.
    """

    experiment: str
    symptom: str
    cause: str
    knob: str
    command: str


@dataclass(frozen=True)
class Notebook:
    """What was played and found.

    Attributes:
        base: the knobs that commands need not name, as all experiments share them.
        finding_counts: symptom -> in how many experiments the doctor named it first, the most frequent first.
    """

    settings: Sequence[Setting] = ()
    grids: Sequence[Grid] = ()
    claims: Sequence[ClaimLine] = ()
    bets: Sequence[Bet] = ()
    treatments: Sequence[Treatment] = ()
    finding_counts: Mapping[str, int] = field(default_factory=dict)
    base: Mapping[str, Knob] = field(default_factory=dict)
    duels: Sequence[DuelLine] = ()
    notes: Sequence[str] = ()

    @property
    def is_empty(self) -> bool:
        """Whether nothing was played; claims and bets that came with the project do not count."""
        return not self.settings and not self.grids
