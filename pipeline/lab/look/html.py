"""A language model's forward pass as one interactive HTML page that works offline."""

from __future__ import annotations

import base64
import math
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.colors import Normalize, PowerNorm

from pipeline.artifacts.writing import write_text
from pipeline.figures import heatmap_png as pixels
from pipeline.figures import report
from pipeline.figures.words import formatted, short
from pipeline.lab.look.activations import Activation
from pipeline.lab.look.diagram import diagram
from pipeline.lab.look.forward_pass import ForwardPass
from pipeline.lab.look.heads import attention_summary, lowest_entropy_head
from pipeline.lab.look.logit_lens import Prediction, TokenScore

HERE = Path(__file__).parent
LENS_TOP = 5  # tokens listed per layer
CELLS = (
    report.CELLS
)  # attention probabilities that the page holds, to be read under the pointer; with more, it holds the images alone


def write(path: Path, forward: ForwardPass, head: tuple[int, int] | None = None) -> None:
    """Write the page; the chosen head is `head` (layer, head: from 1), or else the one with the lowest entropy."""
    write_text(path, page(forward, head))


def page(forward: ForwardPass, head: tuple[int, int] | None = None) -> str:
    """The whole page. Everything that comes from the run is escaped, and only the page's own scripts may run."""
    environment = report.templates(HERE)
    environment.filters.update(said=formatted, short=short, share=_probability, percent=_percent)
    styles = [(folder / name).read_text(encoding="utf-8") for folder, name in ((report.HERE, "report.css"), (HERE, "look.css"))]
    scripts = [(folder / name).read_text(encoding="utf-8") for folder, name in ((report.HERE, "report.js"), (HERE, "look.js"))]
    record = forward.record
    return environment.get_template("look.html.jinja").render(
        forward=forward,
        record=record,
        words=forward.words,
        longest=max(len(short(word, 9)) for word in forward.words),
        at=len(record.ids) - 1,
        vocabulary=forward.record.vocabulary,
        uniform=math.log(forward.record.vocabulary),
        network=_part(forward, "", "ids"),
        blocks=[_block(forward, number) for number in range(forward.model.depth)],
        images=[[pixels.data_uri(pixels.cells(map_.tolist(), _ROOT)) for map_ in line] for line in record.maps],
        summaries=[[_summary(map_) for map_ in line] for line in record.maps],
        chosen=head or lowest_entropy_head(record.maps),
        tokens=[_token(forward, place) for place in range(len(record.ids))],
        lens=_lens(forward),
        predictions=[_prediction(forward, one) for one in record.predictions],
        data=_data(forward),
        gradient=report.gradient(),
        style="\n".join(styles),
        scripts=scripts,
        hashes=[report.script_hash(script) for script in scripts],
    )


_ROOT = PowerNorm(0.5, vmin=0.0, vmax=1.0)  # by the square root of a probability, so that small weights show too


# ------------------------------------------------------------------------------------------------------- the network


def _block(forward: ForwardPass, number: int) -> dict[str, Any]:
    name = f"blocks.{number}"
    inner = [part.name for part in forward.record.within(name) if forward.record.within(part.name)]
    own = next(one for one in forward.record.activations if one.name == name)
    shape = f"[{', '.join(map(str, own.shape))}]"
    return {"name": name, "own": own, "parts": [_part(forward, part, shape) for part in (name, *inner)]}


def _part(forward: ForwardPass, name: str, reads: str) -> dict[str, Any]:
    """A part: its diagram, and a row for each activation inside it."""
    within = forward.record.within(name)
    if not name:
        reads = f"ids [1, {len(forward.record.ids)}]"
    return {
        "name": name or "the network",
        "diagram": diagram(within, name, reads),
        "rows": [{"activation": one, "short": one.name.removeprefix(f"{name}."), "image": _image(one)} for one in within],
    }


def _image(activation: Activation) -> str:
    """Its values as colors, on a scale that is symmetric about 0, or starts at 0 if none is negative."""
    numbers = activation.picture[np.isfinite(activation.picture)]
    top = float(np.abs(numbers).max()) if numbers.size else 1.0
    norm = Normalize(0.0 if activation.low >= 0 else -(top or 1.0), top or 1.0)
    return pixels.data_uri(pixels.cells(activation.picture.tolist(), norm))


# ------------------------------------------------------------------------------------------------------------- tokens


def _token(forward: ForwardPass, place: int) -> dict[str, Any]:
    """A token of the prompt with its loss, as a share of ln V, that of uniform guessing."""
    before = forward.record.predictions[place - 1].actual if place else None
    share = (
        min(1.0, before.surprise / math.log(forward.record.vocabulary)) if before and math.isfinite(before.surprise) else 0.0
    )
    title = (
        f"loss {formatted(before.surprise)} nats, rank {before.rank:,}" if before else "the first token, which is not predicted"
    )
    return {"word": forward.words[place], "id": forward.record.ids[place], "title": title, "share": round(share, 3)}


def _prediction(forward: ForwardPass, prediction: Prediction, most: int | None = None) -> dict[str, Any]:
    actual = prediction.actual
    return {
        "entropy": _finite(prediction.entropy),
        "top": [_token_score(forward, one) for one in prediction.top[:most]],
        "actual": _token_score(forward, actual) if actual else None,
    }


def _lens(forward: ForwardPass) -> list[dict[str, Any]]:
    """The predictions after each layer."""
    lines = forward.record.lens.items()
    return [{"after": after, "line": [_prediction(forward, one, LENS_TOP) for one in line]} for after, line in lines]


def _token_score(forward: ForwardPass, choice: TokenScore) -> dict[str, Any]:
    return {
        "word": forward.word(choice.token),
        "id": choice.token,
        "p": _finite(choice.probability),
        "logit": _finite(choice.logit),
        "rank": choice.rank,
    }


def _finite(number: float) -> float | None:
    """Four digits; None for NaN and infinity, which JSON lacks."""
    return float(f"{number:.4g}") if math.isfinite(number) else None


def _probability(number: float | None) -> str:
    """A probability in at most five characters; look.js does the same."""
    return (
        "–" if number is None else f"{number:.3f}" if number >= 0.001 or number == 0 else f"{number:.0e}".replace("e-0", "e-")
    )


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"


def _summary(weights: np.ndarray) -> str:
    """Where a head attends, in words."""
    return ", ".join(f"{what} {share:.2f}" for what, share in attention_summary(weights).items() if math.isfinite(share))


def _data(forward: ForwardPass) -> dict[str, Any]:
    """The data of the script."""
    maps = forward.record.maps
    numbers = np.rint(65535 * np.nan_to_num(maps.astype(np.float64))).astype("<u2")
    broken = not np.isfinite(maps).all()
    carried = base64.b64encode(numbers.tobytes()).decode() if maps.size <= CELLS and not broken else None
    return {
        "words": forward.words,
        "uniform": _finite(math.log(forward.record.vocabulary)),
        "layers": maps.shape[0],
        "heads": maps.shape[1],
        "maps": carried,
        "lens": _lens(forward),
        "predictions": [_prediction(forward, one) for one in forward.record.predictions],
    }
