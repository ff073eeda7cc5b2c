"""Published scaling laws, what they advise at a given compute, and the points behind them, which are fetched. No torch."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from pipeline.artifacts.paths import cache_folder
from pipeline.artifacts.writing import write_bytes
from pipeline.lab.scaling.forecast import Advice
from pipeline.lab.scaling.law import Law
from pipeline.lab.scaling.points import Point, columns, parse_points
from pipeline.params.errors import UserError
from pipeline.progress import say

PUBLISHED: Mapping[str, Law] = {
    "Hoffmann et al. 2022": Law(1.69, 406.4, 0.34, 410.7, 0.28),
    "Besiroglu et al. 2024": Law(1.8172, 482.01, 0.3478, 2085.43, 0.3658),
}
SMALLEST, LARGEST = 1.4e18, 1.3e22  # FLOPs of the published runs

# What a refit of 240 of the 245 published points advises: tokens per parameter with the 80 % interval of 200 bootstraps.
# Made by `fit_law` from the sizes, FLOPs and losses of the file below.
TABLE = tuple(
    Advice(10.0**decade, *row)
    for decade, row in {
        12: (38.0, 18.4, 96.7),
        14: (33.5, 19.9, 66.7),
        16: (29.4, 21.3, 45.2),
        18: (25.9, 22.9, 31.0),
        19: (24.3, 23.4, 26.1),
        20: (22.8, 20.8, 25.3),
        21: (21.4, 17.5, 26.5),
        22: (20.1, 14.6, 27.0),
        24: (17.6, 10.0, 29.0),
    }.items()
)

# Epoch's reading of figure 4 of Hoffmann et al. Its repository has no licence, so it is fetched and never shipped.
COMMIT = "92258837425e1b5f2851d624287f0120583a3d0e"
URL = f"https://raw.githubusercontent.com/epoch-research/analyzing-chinchilla/{COMMIT}/data/svg_extracted_data.csv"
BYTES, ROWS = 23_224, 245
# The least and the largest of size, FLOPs and loss, as a notebook of that repository prints them.
ENDS = (
    (57334197.40687078, 16183346310.7305),
    (1.3972367362937152e18, 1.2956022673438285e22),
    (2.0773942450664395, 5.005581996196243),
)
OUTLIERS = 5  # of the highest losses, which Besiroglu et al. leave out


def fetch_points(url: str = URL) -> list[Point]:
    """The published points, from the cache or else from their repository at a fixed commit.

    The checksum of the file was never published. It is recognized by its size, its number of rows and the ends of its columns.

    Raises:
        UserError: they cannot be fetched, or are other points.
    """
    place = cached_copy()
    if not place.exists():
        content = _fetched(url)
        _check(content, url)
        write_bytes(place, content)
        say(f"{place}: {len(content):,} bytes, sha256 {hashlib.sha256(content).hexdigest()}")
    return parse_points(_check(place.read_bytes(), str(place)), str(place))


def _fetched(url: str) -> bytes:
    import requests

    from pipeline.corpus.sources.published.download import TIMEOUT, error_reason

    try:
        answer = requests.get(url, timeout=TIMEOUT)
        answer.raise_for_status()
    except requests.HTTPError as error:
        raise UserError(f"{url}: the server answers {error.response.status_code}; {_ELSE}") from None
    except requests.RequestException as error:
        raise UserError(f"{url}: cannot be fetched ({error_reason(error)}); {_ELSE}") from None
    return answer.content


_ELSE = "if you have the file, use --points FILE"


def _check(content: bytes, name: str) -> str:
    """The text of the file.

    Raises:
        UserError: it is another file.
    """
    if len(content) != BYTES:
        raise UserError(f"{name}: has {len(content):,} bytes, and the published points have {BYTES:,}; {_ELSE}")
    text = content.decode("utf-8", "replace")
    points = parse_points(text, name)
    size, _, flops, loss = columns(points)
    found = [(values.min(), values.max()) for values in (size, flops, loss)]
    if len(points) != ROWS or not np.allclose(found, ENDS, rtol=1e-6):
        raise UserError(f"{name}: these are not the {ROWS} published points; {_ELSE}")
    return text


def cached_copy() -> Path:
    """Where the fetched points are kept."""
    return cache_folder() / "downloads" / f"chinchilla-{COMMIT[:12]}.csv"
