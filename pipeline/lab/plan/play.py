"""The next run of a plan: its forecast and checkpoints are written, it is trained as an experiment, and both are judged."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import yaml

from pipeline.artifacts.writing import rounded, write_text
from pipeline.lab.bets.bet import begin, has_begun, open_bets, place, settle
from pipeline.lab.bets.question import NumberAnswer
from pipeline.lab.betting import experiment_bets
from pipeline.lab.dvc.base_params import BaseParams, base_params
from pipeline.lab.dvc.overrides import hydra_text
from pipeline.lab.dvc.run_dvc import run_dvc, shell_line
from pipeline.lab.experiments.command_check import check_command
from pipeline.lab.plan.checkpoints import Interval, as_json, checkpoints
from pipeline.lab.plan.forecast import forecast
from pipeline.lab.plan.form import Plan, run_file
from pipeline.lab.plan.shown import done_lines, outcome_lines, title
from pipeline.lab.plan.standing import loss_of, standing
from pipeline.lab.plan.steps import Course, Run
from pipeline.params.errors import UserError

MEASURE = "loss"
HEAD = (
    "# What {name} must be, written before it began: the stage diagnose compares it (plan.path), `rally plan show` lists it.\n"
)


def run_next(plan: Plan, *, dry_run: bool = False) -> int:
    """Do the next run of a plan.

    Returns:
        The exit status of DVC; 0 where nothing is left to do.

    Raises:
        UserError: an experiment has the name of a run, and other knobs; the card of the plan is not here.
    """
    course, base = standing(plan), base_params()
    run = course.next
    # Those of a run whose command was killed after its experiment was made.
    for line in settle_open({done.name: loss for done, loss in course.done}):
        print(line)
    if run is None:
        print(f"{plan.name}: all runs are done; `rally plan show {plan.name}` says what was found")
        return 0
    expected, words = forecast(plan, run, course.done), command(run, base)
    print(title(run))
    print(f"Forecast: {forecast_text(expected)}")
    check_command(words)
    if dry_run:
        print(shell_line(words))
        return 0
    _check_machine(plan)
    write_expected(run, expected)
    _bet(run, expected)
    if status := run_dvc(words):
        print(f"{run.name}: did not end; `rally plan run {plan.name}` does it again, from where the training stopped")
        return status
    _tell(plan, run, course)
    return 0


def _check_machine(plan: Plan) -> None:
    """Raise a UserError if a plan for a card would run on a CPU, where it would take days."""
    if plan.card is None:
        return
    import torch

    if not torch.cuda.is_available() and not torch.backends.mps.is_available():
        raise UserError(
            f"{plan.name}: is for a {plan.card:g} GB card, and there is none here; `rally plan --cpu --hours 0.2` plans without"
        )


def command(run: Run, base: BaseParams) -> list[str]:
    """The `dvc exp run` of a run; knobs of params.yaml that differ from the last commit are reset, as for a study."""
    reset = {knob: there for knob, (_, there) in base.changed_knobs.items()}
    knobs = {**reset, **run.knobs, "plan.path": run_file(run.plan, run.number).as_posix()}
    return [
        "dvc",
        "exp",
        "run",
        "-n",
        run.name,
        *(word for knob, value in knobs.items() for word in ("-S", f"{knob}={hydra_text(value)}")),
    ]


def expected_json(run: Run, expected: Interval) -> dict[str, Any]:
    """The content of the file of a run."""
    numbers = {name: rounded(getattr(expected, name), 5) for name in ("low", "median", "high")}
    return {
        "run": run.name,
        "stage": run.stage,
        "arm": run.arm,
        "knobs": {knob: value for knob, value in run.knobs.items() if knob.startswith(("model.", "train."))},
        "forecast": {"measure": MEASURE, **numbers, "because": expected.because},
        "checkpoints": [as_json(one) for one in checkpoints(run.knobs["train.steps"], expected)],
    }


def write_expected(run: Run, expected: Interval) -> None:
    """Write what a run must be, for the doctor."""
    text = yaml.safe_dump(expected_json(run, expected), sort_keys=False, allow_unicode=True, width=120)
    write_text(run_file(run.plan, run.number), HEAD.format(name=run.name) + text)


def forecast_text(expected: Interval) -> str:
    """Such as `a loss of 3.02 (80 %: 2.9 to 3.2), because …`."""
    return f"a loss of {expected.median:.3f} (80 %: {expected.low:.3f} to {expected.high:.3f}); {expected.because}"


def _bet(run: Run, expected: Interval) -> None:
    """Write the forecast into the ledger, unless a run that was interrupted has one already."""
    question, target = experiment_bets.question_of(run.name, MEASURE)
    if not open_bets(target) or not has_begun(target):
        answer = NumberAnswer(expected.low, expected.median, expected.high)
        place(question, target, answer, already_run=experiment_bets.is_known(run.name), who="plan")
    begin(target)


def settle_open(names: Mapping[str, float]) -> list[str]:
    """Score the forecasts of runs that have ended, by name; a line for each that was open."""
    ended = {experiment_bets.question_of(name, MEASURE)[1]: loss for name, loss in names.items()}
    return [settle(bet, ended[bet.target]) for bet in open_bets() if bet.who == "plan" and bet.target in ended]


def _tell(plan: Plan, run: Run, before: Course) -> None:
    """Score the forecast of a run, say which checkpoints it missed, what its stage found, and what is next."""
    loss = loss_of(run)
    if loss is None:
        print(f"{run.name}: DVC made no experiment of it; `dvc exp show` says what there is")
        return
    print(*settle_open({run.name: loss}), sep="\n")
    after = standing(plan)
    print(*done_lines(run, loss), sep="\n")
    print(*(line for one in after.outcomes[len(before.outcomes) :] for line in outcome_lines(one)), sep="\n")
    print(f"Next: {title(after.next)}" if after.next else "That was the last run of the plan.")
