"""What learned what, and how good it is, in plain words and a few numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pipeline.figures.run import Run
from pipeline.figures.style import said


@dataclass(frozen=True)
class Headline:
    """The top of the page: a title, what that means in sentences, and the numbers that tell it."""

    title: str
    verdict: str
    good: bool
    sentences: tuple[str, ...]
    numbers: tuple[tuple[str, str], ...]
    """(what, how much)."""


def headline(run: Run, knobs: Mapping[str, Mapping[str, Any]]) -> Headline:
    model, train = knobs["model"], knobs["train"]
    step, steps = int(run.progress.get("step", 0)), int(run.progress.get("steps", train["steps"]))
    good, verdict = _verdict(run)
    sizes = (_counted(model["depth"], "block"), f"{model['width']} wide", _counted(model["heads"], "head"))
    built = f"{', '.join(sizes)}, {model['length']} tokens of context"
    seen = next((int(tokens) for tokens in reversed(run.train.get("targets", [])) if tokens is not None), 0)
    read = f" and read {_many(seen)} tokens" if seen else ""
    sentences = [f"The model: {built}. It took {step:,} of {steps:,} steps with {train['optimizer']}{read}."]
    if (above := run.evaluation.get("above_entropy")) is not None:
        sentences.append(
            f"This text is generated, so the best loss that its source allows is known: the model is {above:.4f} nats a token"
            " above it (on average; a held-out part of any size scatters around its source)."
        )
    return Headline(
        title=f"What {_OWN.get(knobs['prepare']['dataset'], knobs['prepare']['dataset'])} taught in {_counted(step, 'step')}",
        verdict=verdict,
        good=good,
        sentences=tuple(sentences),
        numbers=tuple(_numbers(run)),
    )


def _verdict(run: Run) -> tuple[bool, str]:
    """Whether it is good news, and the news."""
    if run.diverged:
        why = run.progress["stopped"]
        return False, f"The training was given up: {why}. Try a lower learning rate, or clipping."
    rows, best = dict(run.ranking("test")), run.best_baseline("test")
    if "model" not in rows:
        return False, "The model has no score on unseen text."
    bits = rows["model"]
    if best is None:
        return True, f"It predicts unseen text at {bits:.3f} bits a byte."
    name, other = best
    if bits > rows.get("uniform", bits):
        return False, (
            f"It predicts unseen text worse than blind guessing does ({bits:.3f} bits a byte, not {rows['uniform']:.3f}):"
            " the training has hardly begun, or it ran away; then a lower learning rate, or clipping, would do."
        )
    share = f" ({100 * abs(1 - bits / other):.0f} %)" if other else ""
    if bits < other:
        said = f"{other - bits:.3f}{share} fewer than {name}, the best of the simpler things beside it"
        return True, f"It predicts unseen text at {bits:.3f} bits a byte: {said}."
    return (
        False,
        f"It needs {bits:.3f} bits a byte for unseen text, {bits - other:.3f}{share} more than {name}, a simpler thing.",
    )


def _numbers(run: Run) -> list[tuple[str, str]]:
    numbers = []
    if (model := run.score("model", "test")) is not None:
        figures = (
            ("bits a byte, test", model.bits_per_byte),
            ("nats a token, test", model.loss),
            ("perplexity, test", model.perplexity),
        )
        numbers += [(what, said(value, 4)) for what, value in figures if value is not None]
        if model.accuracy is not None:
            numbers.append(("next token right, test", f"{100 * model.accuracy:.1f} %"))
    if numbers and (best := run.best_baseline("test")) is not None:
        numbers.append((f"bits a byte, {best[0]}", said(best[1], 4)))
    return numbers


_OWN = {"file": "your own text", "url": "a text from elsewhere"}


def _counted(count: int, word: str) -> str:
    return f"{count:,} {word}" + ("" if count == 1 else "s")


def _many(count: int) -> str:
    """1234567 -> 1.23 million."""
    for size, word in ((10**9, "billion"), (10**6, "million"), (10**3, "thousand")):
        if count >= size:
            return f"{count / size:.3g} {word}"
    return str(count)
