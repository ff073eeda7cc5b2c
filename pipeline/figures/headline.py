"""What learned what, and how good it is, in plain words and a few numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pipeline.figures.classes import between, percent
from pipeline.figures.run import Run
from pipeline.figures.style import formatted


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
    train = knobs["train"]
    step, steps = int(run.progress.get("step", 0)), int(run.progress.get("steps", train["steps"]))
    good, verdict = (_verdict_of_classes if run.classes else _verdict)(run)
    seen = next((int(count) for count in reversed(run.train.get("targets", [])) if count is not None), 0)
    read = f" and saw {_many(seen)} {run.target}s" if seen else ""
    built = _built(knobs["task"]["kind"], knobs["model"])
    sentences = [f"The model: {built}. It took {step:,} of {steps:,} steps with {train['optimizer']}{read}."]
    if run.classes and (told := run.score("model", "test")) is not None and told.calibration_error is not None:
        sentences.append(
            f"It tells {len(run.classes)} classes apart. How sure it is misses how often it is right by"
            f" {100 * told.calibration_error:.1f} points on average (expected calibration error)."
        )
    if (above := run.evaluation.get("above_entropy")) is not None:
        sentences.append(
            f"This text is generated, so the best loss that its source allows is known: the model is {above:.4f} nats a token"
            " above it (on average; a held-out part of any size scatters around its source)."
        )
    return Headline(
        title=f"What {_learned_from(knobs)} taught in {_counted(step, 'step')}",
        verdict=verdict,
        good=good,
        sentences=tuple(sentences),
        numbers=tuple((_numbers_of_classes if run.classes else _numbers)(run)),
    )


def _learned_from(knobs: Mapping[str, Mapping[str, Any]]) -> str:
    name = knobs["prepare"]["dataset"]
    return "your own images" if (knobs["task"]["kind"], name) == ("vision", "file") else str(_OWN.get(name, name))


def _built(kind: str, model: Mapping[str, Any]) -> str:
    """The network in a few words: those of its knobs that its kind has."""
    network = model["network"] if kind == "vision" else "transformer"
    if network == "linear":
        return "one linear layer"
    sizes = [_counted(model["depth"], "block"), f"{model['width']} wide"]
    if network == "cnn":
        return f"a CNN of {', '.join(sizes)}, kernels of {model['kernel_size']} x {model['kernel_size']}"
    if network == "mlp":
        return f"an MLP of {', '.join(sizes)}"
    sizes.append(_counted(model["heads"], "head"))
    if kind == "vision":
        return f"a Transformer of {', '.join(sizes)}, patches of {model['patch_size']} x {model['patch_size']} pixels"
    return f"{', '.join(sizes)}, {model['context_length']} tokens of context"


def _verdict(run: Run) -> tuple[bool, str]:
    """Whether it is good news, and the news."""
    if run.diverged:
        return False, _given_up(run)
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
        fewer = f"{other - bits:.3f}{share} fewer than {name}, the best of the simpler things beside it"
        return True, f"It predicts unseen text at {bits:.3f} bits a byte: {fewer}."
    return (
        False,
        f"It needs {bits:.3f} bits a byte for unseen text, {bits - other:.3f}{share} more than {name}, a simpler thing.",
    )


def _given_up(run: Run) -> str:
    return f"The training was given up: {run.progress['stopped']}. Try a lower learning rate, or clipping."


def _verdict_of_classes(run: Run) -> tuple[bool, str]:
    """Whether it is good news, and the news: accuracy beside the best of the simpler things, and what chance makes of it."""
    if run.diverged:
        return False, _given_up(run)
    model, best = run.score("model", "test"), run.best_baseline("test")
    if model is None or model.accuracy is None:
        return False, "The model has no score on unseen examples."
    told = f"{percent(model.accuracy)} of unseen examples right (95 % interval: {between(model)})"
    if best is None:
        return True, f"It tells {told}."
    name, other = best
    apart, beside = 100 * abs(model.accuracy - other), f"{name}, the best of the simpler things beside it"
    low, high = model.accuracy_low or 0.0, model.accuracy_high or 1.0
    chance = " So few examples cannot tell the two apart." if low <= other <= high else ""
    if model.accuracy > other:
        return True, f"It tells {told}: {apart:.1f} points more than {beside} ({percent(other)}).{chance}"
    if model.accuracy == other:
        return False, f"It tells {told}: as many as {beside}.{chance}"
    return False, f"It tells {told}: {apart:.1f} points fewer than {beside} ({percent(other)}).{chance}"


def _numbers_of_classes(run: Run) -> list[tuple[str, str]]:
    if (model := run.score("model", "test")) is None or model.accuracy is None:
        return []
    numbers = [("right, test", percent(model.accuracy))]
    if (best := run.best_baseline("test")) is not None:
        numbers.append((f"right, {best[0]}", percent(best[1])))
    figures = (
        ("macro F1, test", model.macro_f1),
        ("calibration error, test", model.calibration_error),
        ("nats an example, test", model.loss),
    )
    return numbers + [(what, formatted(value)) for what, value in figures if value is not None]


def _numbers(run: Run) -> list[tuple[str, str]]:
    numbers = []
    if (model := run.score("model", "test")) is not None:
        figures = (
            ("bits a byte, test", model.bits_per_byte),
            ("nats a token, test", model.loss),
            ("perplexity, test", model.perplexity),
        )
        numbers += [(what, formatted(value, 4)) for what, value in figures if value is not None]
        if model.accuracy is not None:
            numbers.append(("next token right, test", f"{100 * model.accuracy:.1f} %"))
    if numbers and (best := run.best_baseline("test")) is not None:
        numbers.append((f"bits a byte, {best[0]}", formatted(best[1], 4)))
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
