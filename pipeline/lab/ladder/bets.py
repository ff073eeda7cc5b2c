"""The forecasts of a ladder's top rung as bets of the ledger: placed before the runs, scored after them."""

from __future__ import annotations

from pipeline.lab.bets.bet import Bet, begin, has_begun, open_bets, place, read_bets, settle
from pipeline.lab.bets.question import NumberAnswer, Question, Target
from pipeline.lab.ladder.runs import Run
from pipeline.lab.scaling.forecast import Forecast


def target_of(name: str, run: Run) -> Target:
    """What the bet is on."""
    return Target(f"ladder {name}: loss at width {run.width}, {run.flops:.2g} FLOPs", run.identity)


def bet_on(name: str, run: Run, said: Forecast, naive: float) -> Bet:
    """The ladder's bet on a run of its top rung. One that waits for a run that has begun is kept as it was placed.

    Args:
        naive: the lowest loss so far, which a forecaster would say who does not think.
    """
    target = target_of(name, run)
    earlier = [bet for bet in read_bets() if bet.who == "ladder" and bet.target == target]
    answer = NumberAnswer(said.low, said.median, said.high)
    if earlier and (has_begun(target) or run.is_done or earlier[-1].answer == answer):
        return earlier[-1]
    text = f"Loss of the held-out top rung of ladder {name}: width {run.width}, {run.tokens:,} tokens?"
    question = Question(text, "number", unit="nats per token", naive=naive)
    return place(question, target, answer, already_run=run.is_done, who="ladder")


def begin_run(name: str, run: Run) -> None:
    """Note that a run of the top rung begins: a later bet on it is late."""
    begin(target_of(name, run))


def settle_run(name: str, run: Run, loss: float) -> list[str]:
    """Score every open bet on a run, the ladder's and the learner's; a sentence for each."""
    return [settle(bet, loss) for bet in open_bets(target_of(name, run))]
