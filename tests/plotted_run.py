"""A finished run as the stages before `plot` leave it, made from formulas: what the tests of the pictures draw."""

from __future__ import annotations

import base64
import csv
import functools
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sealing import sealed

from pipeline.artifacts.paths import (
    DIAGNOSIS,
    EVALUATION,
    MISTAKES,
    READINGS,
    SAMPLES,
    SANITY,
    TRAIN_CURVE,
    TRAIN_METRICS,
    VALIDATION_CURVE,
)
from pipeline.artifacts.writing import write_json, write_text
from pipeline.readings import Axis, Reading, rounded_or_none, save

TOY = "the cat sat on the mat; the cat sat"
SAMPLES_TEXT = """# Samples

Generated after step 1,000, with seed 1; each begins with its prompt.

## `ROMEO:`

### Temperature 0

```text
ROMEO: the the the <b>the</b> the
the & the
```

### Temperature 0.8

````text
ROMEO: What light through ``` yonder
```
breaks?
````

## ``12+`34=``

The tokenizer lacks characters of this prompt; the model read none of it.

### Temperature 0

```text
12+34=46
```
"""

HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(2)> {{ 7 * 7 }} \u2028 https://example.org/"


def leave_run(root: Path, speed: float = 1.0, steps: int = 1000) -> None:
    """Write metrics/ of a run under `root`; `speed` is how fast it learned."""
    rows = []
    for step in range(5, steps + 1, 5):
        loss = 1.45 + 2.75 * math.exp(-speed * step / 90) + 0.03 * math.sin(step * 1.7)
        lr = 0.02 * min(1.0, (steps - step) / (0.8 * steps))
        rows.append(
            (
                step,
                step * 768,
                round(loss, 5),
                round(lr, 6),
                round(0.4 + 2 * math.exp(-step / 60) + 0.1 * math.cos(step), 4),
                0.0,
            )
        )
    _table(root / TRAIN_CURVE, ("step", "targets", "loss", "lr", "gradient_norm", "clipped"), rows)
    held = [_held_out(step, round(1.52 + 2.6 * math.exp(-speed * step / 95), 5)) for step in range(50, steps + 1, 50)]
    _table(root / VALIDATION_CURVE, ("step", "targets", "loss", "accuracy"), held)
    write_json(root / TRAIN_METRICS, {"step": steps, "steps": steps, "train_loss": rows[-1][2], "diverged": False})
    sanity = {"loss": 4.44, "uniform": 4.43, "logit_variance": 0.02, "start_excess": 0.0, "future": 0.0, "across_batch": 0.0}
    write_json(root / SANITY, sanity)
    write_json(root / EVALUATION, evaluation(held[-1][2]))
    write_text(root / SAMPLES, SAMPLES_TEXT)
    write_json(root / MISTAKES, {"mistakes": []})
    write_json(root / DIAGNOSIS, diagnosis())
    for reading in readings():
        save(reading, root / READINGS)
    sealed(root)


def evaluation(loss: float) -> dict[str, object]:
    """metrics/evaluate.json of a model with this loss on both splits."""
    rows = [("model", loss), ("uniform", 4.43), ("unigram", 3.32), ("bigram", 2.49), ("5-gram", 1.83)]
    scores: list[dict[str, object]] = []
    for split in ("validation", "test"):
        for name, nats in rows:
            row = {
                "name": name,
                "split": split,
                "loss": nats,
                "bits_per_byte": nats / math.log(2),
                "perplexity": math.exp(nats),
            }
            scores.append({**row, "accuracy": round(1 - nats / 5, 3)})
        scores.append({"name": "xz -9", "split": split, "bits_per_byte": 2.93})
    bits = loss / math.log(2)
    best = 1.83 / math.log(2)
    flat = {"loss": loss, "bits_per_byte": bits, "accuracy": 0.53, "test_bits_per_byte": bits, "margin": best - bits}
    return {**flat, "scores": scores}


def _held_out(step: int, loss: float) -> tuple[float, ...]:
    return step, step * 768, loss, round(1 - loss / 5, 4)


def leave_classified(root: Path, image: tuple[int, ...] = (), names: Sequence[str] = ("ham", "spam", "eggs")) -> None:
    """Write metrics/ of a classifier's run under `root`: of texts, or of images of this size."""
    leave_run(root)
    write_json(root / EVALUATION, classified(names))
    rows = [
        {"number": n, "truth": names[n % len(names)], "said": names[0], "probability": 0.99 - n / 50, "of_truth": 0.01}
        for n in range(6)
    ]
    for n, row in enumerate(rows):
        row |= {"pixels": base64.b64encode(bytes([40 * n] * math.prod(image))).decode()} if image else {"text": f"Text {n}."}
    write_json(root / MISTAKES, {"split": "validation", "image": list(image), "mistakes": rows})
    sealed(root)


def classified(names: Sequence[str], right: float = 0.9) -> dict[str, object]:
    """metrics/evaluate.json of a classifier that has so many right, beside a majority and a logistic regression."""
    scores: list[dict[str, object]] = []
    for split in ("validation", "test"):
        for name, share in (("model", right), ("majority", 0.4), ("logistic", 0.8)):
            ends = {"accuracy": share, "accuracy_low": share - 0.03, "accuracy_high": min(1.0, share + 0.03)}
            row = {"name": name, "split": split, "loss": 1 - share, "macro_f1": share - 0.01, "calibration_error": 0.04}
            scores.append({**row, **ends})
    counts = [[90 if row == column else 5 for column in range(len(names))] for row in range(len(names))]
    per_class = [
        {"class": name, "split": "test", "precision": 0.9, "recall": 0.8, "f1": 0.85 - n / 100, "count": 100}
        for n, name in enumerate(names)
    ]
    bins = [[0.35, 0.2, 3], [0.7, 0.6, 40], [0.99, 0.97, 257]]
    flat = {"loss": 0.1, "accuracy": right, "macro_f1": right - 0.01, "calibration_error": 0.04, "margin": right - 0.8}
    return {
        **flat,
        "test_accuracy": right,
        "scores": scores,
        "classes": list(names),
        "confusion": {"test": counts, "validation": counts},
        "per_class": per_class,
        "reliability": {"test": bins, "validation": bins},
    }


def diagnosis() -> dict[str, Any]:
    """metrics/doctor.json of a run in which one sign is sick and one is odd."""
    rows: list[tuple[str, float, float | None, float | None, str, str]] = [
        ("start_excess", 0.01, -0.1, 0.3, "healthy", "loss"),
        ("gradient_ratio", 3e-5, 0.01, 100.0, "sick", "gradient_norm"),
        ("effective_rank", 1.4, 2.0, None, "odd", "activation_rms"),
        ("clipped", 0.0, None, 0.1, "healthy", "loss"),
    ]
    signs = [
        {**dict(zip(("name", "value", "low", "high", "status", "picture"), row, strict=True)), "says": f"{row[0]} is {row[1]}."}
        for row in rows
    ]
    cause = {"name": "no residuals", "weight": 3.0, "says": "Nothing passes the blocks by.", "knob": "model.residual"}
    cause |= {"command": "dvc exp run -S model.residual=pre", "tells": "If the gradient reaches the first block, that was it."}
    finding = {"name": "signal dies", "weight": 3.1, "says": "The gradient fades on its way.", "picture": "gradient_norm"}
    finding |= {"evidence": ["gradient_ratio", "effective_rank"], "causes": [cause]}
    return {"finding": "signal dies", "findings": [finding], "signs": signs}


@functools.cache
def readings() -> tuple[Reading, ...]:
    """Readings of every form, as the first probes make them."""
    steps = Axis("step", [0, 20, 100, 300, 1000])
    blocks = Axis("block", ["embedding", *(f"block {block}" for block in range(4))])
    grow = [[(1 + step / 200) ** (block / 4) * (0.8 + 0.1 * block) for block in range(5)] for step in steps.ticks]  # type: ignore[operator]
    tokens = list(TOY)
    weights = [[[_attention(query, layer, head) for query in range(len(tokens))] for head in range(4)] for layer in range(4)]
    axes = (Axis("layer", range_(4)), Axis("head", range_(4)), Axis("query", tokens), Axis("key", tokens))
    over = [[math.sin(step / 4) * block for step in range(30)] for block in range(4)]
    return (
        Reading(
            "activation_rms",
            "lines",
            "root mean square",
            "Size of the residual stream after each block. Healthy: last over first within 0.5 to 4.",
            (steps, blocks),
            rounded_or_none(grow),
        ),
        Reading(
            "gradient_norm",
            "lines",
            "gradient norm (L2)",
            "Gradient of each block on one fixed batch.",
            (steps, blocks),
            rounded_or_none([[value / 10 for value in line] for line in grow]),
            logarithmic=True,
        ),
        Reading(
            "attention", "maps", "attention weight", "Who looks at whom; every row sums to 1.", axes, rounded_or_none(weights)
        ),
        Reading(
            "weight_drift",
            "heat",
            "change",
            "How far each block has moved.",
            (Axis("block", range_(4)), Axis("step", range_(30))),
            rounded_or_none(over),
        ),
        Reading(
            "embeddings",
            "points",
            "",
            "Vectors of held-out examples. Healthy: a heap for each class.",
            (Axis("class", ["red", "<green>", "none"]), Axis("example", range_(3)), Axis("direction", ["first", "second"])),
            [[[0.0, 1.0], [0.1, 1.1], [0.2, 0.9]], [[3.0, -1.0], [3.5, -1.5], [None, None]], [[None, None]] * 3],
            about="prediction",
        ),
    )


def gappy(name: str = "with_gaps") -> Reading:
    """Lines of which one has a hole, one is a lone point and one is not there at all."""
    nan = math.nan
    values = rounded_or_none([[1.0, nan, 3.0, 4.0], [nan, 2.0, nan, nan], [nan] * 4])
    return Reading(
        name, "lines", "units", "Gaps stay gaps.", (Axis("kind", ["holed", "lone", "absent"]), Axis("x", [0, 1, 2, 3])), values
    )


def range_(count: int) -> list[float | int | str]:
    return list(range(count))


def _attention(query: int, layer: int, head: int) -> list[float]:
    sharp = [math.exp(-abs(query - head - key) / (0.5 + layer)) if key <= query else 0.0 for key in range(len(TOY))]
    return [value / sum(sharp) for value in sharp]


def _table(path: Path, header: tuple[str, ...], rows: list[tuple[float, ...]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows([header, *rows])


def change(path: Path, **values: object) -> None:
    """Set some values of a JSON file in metrics/."""
    path.write_text(json.dumps({**json.loads(path.read_text(encoding="utf-8")), **values}), encoding="utf-8")
    sealed(path.parent.parent)
