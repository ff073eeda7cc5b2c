"""What a plan searches, in which order, and what share of its time each part has."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pipeline.lab.plan.form import Option, Stage, Tier

SET_SHARE, GAME_SHARE = 0.35, 0.15  # of the time of all runs; the rest is for the search at the point
POINT_RUNS, GAME_RUNS = 27, 6  # of the full menu
SHORT, SHORTEST = 45 * 60.0, 120.0  # seconds of the longest run, below which a plan has the short menu, and the shortest
SHORT_POINT, SHORT_GAME = 0.12, 0.2  # of the longest run, that a run has in the short menus
CHECK_STEPS = 200


def point_seconds(seconds: float) -> float:
    """Seconds of a run of the search, where the longest run has so many."""
    if seconds < SHORT:
        return seconds * SHORT_POINT if seconds >= SHORTEST else seconds * 0.5
    return seconds / SET_SHARE * (1 - SET_SHARE - GAME_SHARE) / POINT_RUNS


def game_seconds(seconds: float) -> float:
    """Seconds of a run that confirms."""
    return seconds * SHORT_GAME if seconds < SHORT else seconds / SET_SHARE * GAME_SHARE / GAME_RUNS


def recorded(steps: int) -> dict[str, Any]:
    """The knobs of what a run of so many steps records, so that its checkpoints can be judged."""
    early = [step / steps for step in (10, 100, 1000) if step < 0.1 * steps]
    shares = [0.0, *early, 0.1, 0.25, 0.5, 1.0]
    rows = min(steps, max(200, steps // 5))
    return {
        "train.snapshots": [float(f"{share:.6g}") for share in shares],
        "train.log_points": rows,
        "train.validation_points": min(20, steps),
    }


def stages(seconds: float, point: Tier, others: list[Option], *, on_card: bool) -> Iterator[Stage]:
    """The stages of a plan whose longest run has so many seconds.

    Args:
        others: shapes of about the size of the point.
    """
    rates = [0.005, 0.01, 0.02, 0.04, 0.08]
    if seconds < SHORTEST:
        yield _rates([0.01, 0.03], again=0)
    elif seconds < SHORT:
        yield _check(point)
        yield _rates([0.01, 0.02, 0.04], again=0)
        yield _warm_up([0.05])
        yield _confirm(2, [2])
    else:
        yield _check(point)
        if on_card:
            yield _precision(point)
        yield _rates(rates, again=3)
        yield _batch(point)
        yield _decay()
        yield _schedule()
        if others:
            yield _shape(others)
        yield _stability()
        yield _confirm(2, [4, 5, 6])
    yield Stage(name="set", question="Does the forecast hold at the size that it was made for?", tier="set")


def _check(point: Tier) -> Stage:
    question = "Does one short run meet the first checkpoints at all?"
    return Stage(name="check", question=question, tier="point", options=[_short("first", point)])


def _short(label: str, point: Tier, **more: Any) -> Option:
    steps = min(CHECK_STEPS, point.steps)
    return Option(label=label, set={"train.steps": steps, **recorded(steps), **more})


def _precision(point: Tier) -> Stage:
    question = "Does bfloat16 cost anything? It must be within .02 nats of float32 after 200 steps."
    return Stage(
        name="precision",
        question=question,
        tier="point",
        options=[_short("bfloat16", point), _short("float32", point, **{"train.precision": "float32"})],
        wins_by=0.02,
    )


def _rates(rates: list[float], again: int) -> Stage:
    return Stage(
        name="lr",
        question="Which learning rate? (Muon; factor 2; one seed each, then two more for the best three)"
        if again
        else "Which learning rate? (Muon)",
        tier="point",
        options=[Option(label=f"{rate:g}", set={"train.lr": rate}) for rate in rates],
        again=again,
        seeds=[2, 3] if again else [],
        extends="train.lr" if len(rates) > 2 else "",  # of two, the better one is always at an end
    )


def _batch(point: Tier) -> Stage:
    """Equal tokens; the rate grows with the square root of the batch, and Adam remembers as many tokens."""
    options = []
    for factor, beta2 in ((0.25, 0.99), (0.5, 0.985), (2.0, 0.96), (4.0, 0.95)):
        sequences = round(point.set["train.batch_size"] * factor)
        steps = max(round(point.steps / factor), 1)
        parts = max(round(point.set.get("train.accumulation_steps", 1) * factor), 1)
        tokens = sequences * point.set["model.context_length"]
        options.append(
            Option(
                label=f"{tokens // 1024}k tokens per step",
                set={
                    "train.batch_size": sequences,
                    "train.accumulation_steps": parts,
                    "train.steps": steps,
                    "train.beta2": beta2,
                    **recorded(steps),
                },
                times={"train.lr": round(factor**0.5, 4)},
            )
        )
    return Stage(name="batch", question="How many tokens per step? (equal tokens in all)", tier="point", options=options)


def _decay() -> Stage:
    options = [Option(label="none", set={"train.weight_decay": 0.0})]
    options += [Option(label=f"time scale {scale:g}", time_scale=scale) for scale in (0.1, 0.3, 1.0)]
    question = "How much weight decay? (as a time scale, 1 / (lr · decay · steps); never alone)"
    return Stage(name="decay", question=question, tier="point", options=options)


def _warm_up(shares: list[float]) -> Stage:
    options = [Option(label=f"warm-up {share:.0%}", set={"train.warmup_ratio": share}) for share in shares]
    return Stage(name="warm-up", question="Does a warm-up help?", tier="point", options=options)


def _schedule() -> Stage:
    options = [Option(label=f"warm-up {share:.0%}", set={"train.warmup_ratio": share}) for share in (0.01, 0.05)]
    options += [Option(label=f"decay over {share:.0%}", set={"train.cooldown_ratio": share}) for share in (0.2, 0.5)]
    return Stage(name="schedule", question="Which warm-up and which decay of the rate?", tier="point", options=options)


def _shape(others: list[Option]) -> Stage:
    return Stage(name="shape", question="Deeper or wider at about the same size?", tier="point", options=others)


def _stability() -> Stage:
    options = [
        Option(label="clip at 1", set={"train.grad_clip": 1.0}),
        Option(label="z-loss", set={"train.z_loss": 1e-4}),
    ]
    return Stage(name="stability", question="Does clipping or a z-loss help, or cost anything?", tier="point", options=options)


def _confirm(best: int, seeds: list[int]) -> Stage:
    """The best rate and the next lower one: eight times the weights or the steps lower the best rate (studies/scale.yaml)."""
    question = "Does the best rate stay the best at half the size, or is it the next lower one, on seeds that chose nothing?"
    return Stage(name="confirm", question=question, tier="game", of="lr", best=best, lower="train.lr", seeds=seeds)
