"""The headline of the report: what was trained on what, and how good it is, in sentences and a few numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pipeline.figures.classes.numbers import interval, percent
from pipeline.figures.run import Run
from pipeline.figures.words import formatted


@dataclass(frozen=True)
class Headline:
    """The top of the report: a title, a verdict, sentences and numbers."""

    title: str
    verdict: str
    good: bool
    sentences: tuple[str, ...]
    numbers: tuple[tuple[str, str], ...]
    """(name, value)."""


def headline(run: Run, knobs: Mapping[str, Mapping[str, Any]]) -> Headline:
    train = knobs["train"]
    step, steps = int(run.progress.get("step", 0)), int(run.progress.get("steps", train["steps"]))
    good, verdict = (_verdict_of_classes if run.classes else _verdict)(run)
    seen = next((int(count) for count in reversed(run.train.get("targets", [])) if count is not None), 0)
    read = f" on {_many(seen)} {run.target}s" if seen else ""
    built = _built(knobs["task"]["kind"], knobs["model"])
    sentences = [f"The model: {built}. Trained with {train['optimizer']} for {step:,} of {steps:,} steps{read}."]
    if run.classes and (score := run.score("model", "test")) is not None and score.calibration_error is not None:
        sentences.append(
            f"{len(run.classes)} classes. Confidence and accuracy differ by {100 * score.calibration_error:.1f} points on"
            " average (expected calibration error)."
        )
    if (above := run.evaluation.get("above_entropy")) is not None:
        sentences.append(
            f"The text is generated, so its entropy is known: the loss is {above:.4f} nats per token above it"
            " (on average over texts; a held-out split of finite size scatters around it)."
        )
    return Headline(
        title=f"{_dataset(knobs)}: {_counted(step, 'step')} of training",
        verdict=verdict,
        good=good,
        sentences=tuple(sentences),
        numbers=tuple((_numbers_of_classes if run.classes else _numbers)(run)),
    )


def _dataset(knobs: Mapping[str, Mapping[str, Any]]) -> str:
    name = knobs["prepare"]["dataset"]
    return "Your own images" if (knobs["task"]["kind"], name) == ("vision", "file") else str(_DATASETS.get(name, name))


def _built(kind: str, model: Mapping[str, Any]) -> str:
    """The network in a few words."""
    network = model["network"] if kind == "vision" else "transformer"
    if network == "linear":
        return "one linear layer"
    sizes = [_counted(model["depth"], "block"), f"width {model['width']}"]
    if network == "cnn":
        return f"a CNN with {', '.join(sizes)}, kernels of {model['kernel_size']} x {model['kernel_size']}"
    if network == "mlp":
        return f"an MLP with {', '.join(sizes)}"
    sizes.append(_counted(model["heads"], "head"))
    if kind == "vision":
        return f"a Transformer with {', '.join(sizes)}, patches of {model['patch_size']} x {model['patch_size']} pixels"
    return f"a Transformer with {', '.join(sizes)}, a context of {model['context_length']} tokens"


def _verdict(run: Run) -> tuple[bool, str]:
    """(whether the model beats the baselines, a sentence that says so)."""
    if run.diverged:
        return False, _stopped_early(run)
    rows, best = dict(run.ranking("test")), run.best_baseline("test")
    if "model" not in rows:
        return False, "The model has no score on the test split."
    bits = rows["model"]
    if best is None:
        return True, f"{bits:.3f} bits per byte on the test split."
    name, other = best
    if bits > rows.get("uniform", bits):
        return False, (
            f"{bits:.3f} bits per byte on the test split: worse than uniform guessing ({rows['uniform']:.3f})."
            " Training has hardly begun, or it diverged; then use a lower learning rate, or gradient clipping."
        )
    share = f" ({100 * abs(1 - bits / other):.0f} %)" if other else ""
    comparison = "better" if bits < other else "worse"
    sentence = (
        f"{bits:.3f} bits per byte on the test split: {comparison} than the {name} baseline by {abs(bits - other):.3f}{share}."
    )
    return bits < other, sentence


def _stopped_early(run: Run) -> str:
    return f"Training was stopped: {run.progress['stopped']}. Try a lower learning rate, or gradient clipping."


def _verdict_of_classes(run: Run) -> tuple[bool, str]:
    """The same of a classifier: accuracy next to that of the best baseline, and whether chance may explain the difference."""
    if run.diverged:
        return False, _stopped_early(run)
    model, best = run.score("model", "test"), run.best_baseline("test")
    if model is None or model.accuracy is None:
        return False, "The model has no score on the test split."
    accuracy = f"{percent(model.accuracy)} accuracy on the test split (95 % interval: {interval(model)})"
    if best is None:
        return True, f"{accuracy}."
    name, other = best
    points, baseline = 100 * abs(model.accuracy - other), f"the {name} baseline ({percent(other)})"
    low, high = model.accuracy_low or 0.0, model.accuracy_high or 1.0
    chance = " The difference may be chance: the interval includes the baseline." if low <= other <= high else ""
    if model.accuracy > other:
        return True, f"{accuracy}: better than {baseline} by {points:.1f} points.{chance}"
    if model.accuracy == other:
        return False, f"{accuracy}: equal to {baseline}.{chance}"
    return False, f"{accuracy}: worse than {baseline} by {points:.1f} points.{chance}"


def _numbers_of_classes(run: Run) -> list[tuple[str, str]]:
    if (model := run.score("model", "test")) is None or model.accuracy is None:
        return []
    numbers = [("accuracy, test", percent(model.accuracy))]
    if (best := run.best_baseline("test")) is not None:
        numbers.append((f"accuracy, {best[0]}", percent(best[1])))
    figures = (
        ("macro F1, test", model.macro_f1),
        ("calibration error, test", model.calibration_error),
        ("nats per example, test", model.loss),
    )
    return numbers + [(what, formatted(value)) for what, value in figures if value is not None]


def _numbers(run: Run) -> list[tuple[str, str]]:
    numbers = []
    if (model := run.score("model", "test")) is not None:
        figures = (
            ("bits per byte, test", model.bits_per_byte),
            ("nats per token, test", model.loss),
            ("perplexity, test", model.perplexity),
        )
        numbers += [(what, formatted(value, 4)) for what, value in figures if value is not None]
        if model.accuracy is not None:
            numbers.append(("accuracy, test", f"{100 * model.accuracy:.1f} %"))
    if numbers and (best := run.best_baseline("test")) is not None:
        numbers.append((f"bits per byte, {best[0]}", formatted(best[1], 4)))
    return numbers


_DATASETS = {"file": "Your own text", "url": "A downloaded text"}


def _counted(count: int, word: str) -> str:
    return f"{count:,} {word}" + ("" if count == 1 else "s")


def _many(count: int) -> str:
    """1234567 -> 1.23 million."""
    for size, word in ((10**9, "billion"), (10**6, "million"), (10**3, "thousand")):
        if count >= size:
            return f"{count / size:.3g} {word}"
    return str(count)
