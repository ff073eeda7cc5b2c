"""A classifier's forward pass as one HTML page that works offline."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.colors import Normalize, PowerNorm

from pipeline.artifacts.writing import write_text
from pipeline.figures import heatmap_png as pixels
from pipeline.figures import report
from pipeline.figures.words import formatted, short
from pipeline.lab.look.classifier import ClassifierPass, LayerOutput

HERE = Path(__file__).parent


def write(path: Path, result: ClassifierPass, head: tuple[int, int] | None = None) -> None:
    """Write the page; the chosen head (layer, head: from 1) is framed."""
    write_text(path, page(result, head))


def page(result: ClassifierPass, head: tuple[int, int] | None = None) -> str:
    """The whole page. Everything that comes from the run is escaped, and there is no script."""
    environment = report.templates(HERE)
    environment.filters.update(said=formatted, short=short)
    styles = [(folder / name).read_text(encoding="utf-8") for folder, name in ((report.HERE, "report.css"), (HERE, "look.css"))]
    return environment.get_template("look_class.html.jinja").render(
        result=result,
        ranked=[{"name": name, "p": share} for name, share in result.ranked()],
        truth=None if result.truth is None else result.classes[result.truth],
        image=None if result.image is None else pixels.picture_uri(_in_colour(result.image)),
        saliency=None if result.image is None else _map(result.saliency, Normalize(0, 1)),
        tokens=[{"word": word, "share": float(share)} for word, share in zip(result.words, result.saliency, strict=False)],
        layers=[_layer(layer) for layer in result.layers],
        heads=[[_map(one, _scale(one, result)) for one in line] for line in result.maps],
        head=head,
        style="\n".join(styles),
    )


def _in_colour(image: np.ndarray) -> np.ndarray:
    """Three channels of bytes: grey is repeated, transparency is dropped."""
    return np.ascontiguousarray(
        np.broadcast_to(image[..., :3] if image.shape[2] >= 3 else image[..., :1], (*image.shape[:2], 3))
    )


def _layer(layer: LayerOutput) -> dict[str, Any]:
    """A layer with its features, all on one color scale that is symmetric about 0."""
    maps = [] if layer.features is None else list(layer.features)
    top = max((float(np.nanmax(np.abs(one), initial=0.0)) for one in maps), default=1.0) or 1.0
    return {"layer": layer, "features": [_map(one, Normalize(-top, top)) for one in maps]}


def _scale(weights: np.ndarray, result: ClassifierPass) -> Normalize:
    """For a text from 0 to 1, by the square root, so that small weights show; for an image up to the largest weight."""
    return PowerNorm(0.5, vmin=0.0, vmax=1.0 if result.image is None else float(np.nanmax(weights, initial=0.0)) or 1.0)


def _map(values: np.ndarray, norm: Normalize) -> str:
    return pixels.data_uri(pixels.cells(values.tolist(), norm))
