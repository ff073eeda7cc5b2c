"""A forward pass as one HTML page that asks nothing of any network: the report's look, and what one does here alone."""

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
from pipeline.figures.style import formatted, short
from pipeline.lab.look.activations import Activation
from pipeline.lab.look.diagram import diagram
from pipeline.lab.look.forward_pass import ForwardPass
from pipeline.lab.look.heads import habits, most_decided
from pipeline.lab.look.logit_lens import Choice, Prediction

HERE = Path(__file__).parent
LENS_TOP = 5  # tokens of each layer's answer
CELLS = report.CELLS  # attention probabilities that the page carries for pointing at; beyond, it carries the images alone


def write(path: Path, looked: ForwardPass, head: tuple[int, int] | None = None) -> None:
    """Write the page, with a head (layer, head: from 1) chosen; without one the most decided, of least entropy."""
    write_text(path, page(looked, head))


def page(looked: ForwardPass, head: tuple[int, int] | None = None) -> str:
    """The whole page. What comes from the run is escaped, and only the page's own scripts are allowed to run."""
    environment = report.templates(HERE)
    environment.filters.update(said=formatted, short=short, share=_share, percent=_percent)
    styles = [(folder / name).read_text(encoding="utf-8") for folder, name in ((report.HERE, "report.css"), (HERE, "look.css"))]
    scripts = [(folder / name).read_text(encoding="utf-8") for folder, name in ((report.HERE, "report.js"), (HERE, "look.js"))]
    seen = looked.seen
    return environment.get_template("look.html.jinja").render(
        looked=looked,
        seen=seen,
        words=looked.words,
        longest=max(len(short(word, 9)) for word in looked.words),
        at=len(seen.ids) - 1,
        vocabulary=looked.seen.vocabulary,
        knows_nothing=math.log(looked.seen.vocabulary),
        network=_part(looked, "", "ids"),
        blocks=[_block(looked, number) for number in range(looked.model.depth)],
        images=[[pixels.data_uri(pixels.cells(map_.tolist(), _ROOT)) for map_ in line] for line in seen.maps],
        summaries=[[_looks(map_) for map_ in line] for line in seen.maps],
        chosen=head or most_decided(seen.maps),
        tokens=[_token(looked, place) for place in range(len(seen.ids))],
        lens=[{"after": after, "line": [_told(looked, one, LENS_TOP) for one in line]} for after, line in seen.lens.items()],
        told=[_told(looked, one) for one in seen.predictions],
        data=_data(looked),
        gradient=report.gradient(),
        style="\n".join(styles),
        scripts=scripts,
        hashes=[report.script_hash(script) for script in scripts],
    )


_ROOT = PowerNorm(0.5, vmin=0.0, vmax=1.0)  # colours grow with the root of a probability, so that small looks show too


# ------------------------------------------------------------------------------------------------------- the network


def _block(looked: ForwardPass, number: int) -> dict[str, Any]:
    name = f"blocks.{number}"
    inner = [part.name for part in looked.seen.within(name) if looked.seen.within(part.name)]
    own = next(one for one in looked.seen.activations if one.name == name)
    shape = f"[{', '.join(map(str, own.shape))}]"
    return {"name": name, "own": own, "parts": [_part(looked, part, shape) for part in (name, *inner)]}


def _part(looked: ForwardPass, name: str, reads: str) -> dict[str, Any]:
    """What ran within a part: its diagram, and a row for each activation."""
    within = looked.seen.within(name)
    if not name:
        reads = f"ids [1, {len(looked.seen.ids)}]"
    return {
        "name": name or "the network",
        "diagram": diagram(within, name, reads),
        "rows": [{"seen": one, "short": one.name.removeprefix(f"{name}."), "image": _image(one)} for one in within],
    }


def _image(activation: Activation) -> str:
    """Its numbers as colours: from minus to plus the largest, or from 0 where none is below."""
    numbers = activation.picture[np.isfinite(activation.picture)]
    top = float(np.abs(numbers).max()) if numbers.size else 1.0
    norm = Normalize(0.0 if activation.low >= 0 else -(top or 1.0), top or 1.0)
    return pixels.data_uri(pixels.cells(activation.picture.tolist(), norm))


# ------------------------------------------------------------------------------------------------------------- tokens


def _token(looked: ForwardPass, place: int) -> dict[str, Any]:
    """A token of the prompt, and how far its coming was a surprise: as a share of that of who knows nothing."""
    before = looked.seen.predictions[place - 1].follows if place else None
    share = min(1.0, before.surprise / math.log(looked.seen.vocabulary)) if before and math.isfinite(before.surprise) else 0.0
    title = f"surprise {formatted(before.surprise)} nats: rank {before.rank:,}" if before else "the first: nothing foretold it"
    return {"word": looked.words[place], "id": looked.seen.ids[place], "title": title, "share": round(share, 3)}


def _told(looked: ForwardPass, prediction: Prediction, most: int | None = None) -> dict[str, Any]:
    follows = prediction.follows
    return {
        "entropy": _finite(prediction.entropy),
        "top": [_choice(looked, one) for one in prediction.top[:most]],
        "follows": _choice(looked, follows) if follows else None,
    }


def _choice(looked: ForwardPass, choice: Choice) -> dict[str, Any]:
    return {
        "word": looked.word(choice.token),
        "id": choice.token,
        "p": _finite(choice.probability),
        "logit": _finite(choice.logit),
        "rank": choice.rank,
    }


def _finite(number: float) -> float | None:
    """Four digits; None for what is no number, which JSON lacks."""
    return float(f"{number:.4g}") if math.isfinite(number) else None


def _share(number: float | None) -> str:
    """A probability in as many places as fit beside others; look.js has the same."""
    return (
        "–" if number is None else f"{number:.3f}" if number >= 0.001 or number == 0 else f"{number:.0e}".replace("e-0", "e-")
    )


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"


def _looks(weights: np.ndarray) -> str:
    """Where a head looks on the whole, in words."""
    return ", ".join(f"{what} {share:.2f}" for what, share in habits(weights).items() if math.isfinite(share))


def _data(looked: ForwardPass) -> dict[str, Any]:
    """What the script works with."""
    maps = looked.seen.maps
    numbers = np.rint(65535 * np.nan_to_num(maps.astype(np.float64))).astype("<u2")
    broken = not np.isfinite(maps).all()
    carried = base64.b64encode(numbers.tobytes()).decode() if maps.size <= CELLS and not broken else None
    return {
        "words": looked.words,
        "knows_nothing": _finite(math.log(looked.seen.vocabulary)),
        "layers": maps.shape[0],
        "heads": maps.shape[1],
        "maps": carried,
        "lens": [
            {"after": after, "line": [_told(looked, one, LENS_TOP) for one in line]} for after, line in looked.seen.lens.items()
        ],
        "told": [_told(looked, one) for one in looked.seen.predictions],
    }
