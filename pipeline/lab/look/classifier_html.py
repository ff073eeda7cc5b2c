"""What a network makes of one example, as one HTML page in the report's look that asks nothing of any network."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.colors import Normalize, PowerNorm

from pipeline.artifacts.writing import write_text
from pipeline.figures import heatmap_png as pixels
from pipeline.figures import report
from pipeline.figures.style import formatted, short
from pipeline.lab.look.classifier import ClassifierPass, LayerSeen

HERE = Path(__file__).parent


def write(path: Path, told: ClassifierPass, head: tuple[int, int] | None = None) -> None:
    """Write the page; a head (layer, head: from 1) that was asked for is framed."""
    write_text(path, page(told, head))


def page(told: ClassifierPass, head: tuple[int, int] | None = None) -> str:
    """The whole page. What comes from the run is escaped, and there is no script."""
    environment = report.templates(HERE)
    environment.filters.update(said=formatted, short=short)
    styles = [(folder / name).read_text(encoding="utf-8") for folder, name in ((report.HERE, "report.css"), (HERE, "look.css"))]
    return environment.get_template("look_class.html.jinja").render(
        told=told,
        ranked=[{"name": name, "p": share} for name, share in told.ranked()],
        truth=None if told.truth is None else told.classes[told.truth],
        image=None if told.image is None else pixels.picture_uri(_in_colour(told.image)),
        saliency=None if told.image is None else _map(told.saliency, Normalize(0, 1)),
        tokens=[{"word": word, "share": float(share)} for word, share in zip(told.words, told.saliency, strict=False)],
        layers=[_layer(layer) for layer in told.layers],
        heads=[[_map(one, _looks(one, told)) for one in line] for line in told.maps],
        head=head,
        style="\n".join(styles),
    )


def _in_colour(image: np.ndarray) -> np.ndarray:
    """Three channels of bytes: of grey three alike, of colour and transparency the colour."""
    return np.ascontiguousarray(
        np.broadcast_to(image[..., :3] if image.shape[2] >= 3 else image[..., :1], (*image.shape[:2], 3))
    )


def _layer(layer: LayerSeen) -> dict[str, Any]:
    """A layer with its features, all on one scale, from minus to plus the largest of them."""
    maps = [] if layer.features is None else list(layer.features)
    top = max((float(np.nanmax(np.abs(one), initial=0.0)) for one in maps), default=1.0) or 1.0
    return {"seen": layer, "features": [_map(one, Normalize(-top, top)) for one in maps]}


def _looks(weights: np.ndarray, told: ClassifierPass) -> Normalize:
    """Of a text from 0 to 1, by the root, so that small looks show; of an image up to the most looked at patch."""
    return PowerNorm(0.5, vmin=0.0, vmax=1.0 if told.image is None else float(np.nanmax(weights, initial=0.0)) or 1.0)


def _map(values: np.ndarray, norm: Normalize) -> str:
    return pixels.data_uri(pixels.cells(values.tolist(), norm))
