"""Points of a scaling law: the size, tokens, FLOPs and loss of trainings, from runs or from a CSV file. No torch."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from pipeline.params.errors import UserError, printable

FEWEST = 8  # points, below which five numbers are fitted to hardly more than five
DECADES = 1.0  # of compute, below which an exponent is a guess
SHOWN = 5  # problems of a file that are listed
MOST = 10_000  # points: each is fitted again in hundreds of bootstraps
MOST_BYTES = 1 << 24  # of a file with that many
DELIMITERS = ",;\t"
LONGEST = 100  # characters of a head or a cell in a message

# What the columns of a CSV file may be called, in lower case without blanks, _ and -.
COLUMNS: Mapping[str, tuple[str, ...]] = {
    "size": ("modelsize", "size", "parameters", "params", "n"),
    "flops": ("trainingflop", "trainingflops", "flops", "flop", "compute", "c"),
    "tokens": ("trainingtokens", "tokens", "d"),
    "loss": ("loss", "finalloss", "validationloss", "l"),
}
# Beyond these a number is a slip, and the fit would overflow or take it for the law: from, to.
RANGES: Mapping[str, tuple[float, float]] = {
    "size": (1.0, 1e15),
    "flops": (1.0, 1e30),
    "tokens": (1.0, 1e18),
    "loss": (1e-9, 1e3),
}


class Point(NamedTuple):
    """A training.

    Attributes:
        size: parameters.
        tokens: learned from, repeated ones counted each time.
        flops: of the training.
        loss: at its end, nats per token.
    """

    size: float
    tokens: float
    flops: float
    loss: float


Columns = tuple[Float[np.ndarray, " n"], Float[np.ndarray, " n"], Float[np.ndarray, " n"], Float[np.ndarray, " n"]]


def columns(points: Sequence[Point]) -> Columns:
    """The sizes, tokens, FLOPs and losses, each as an array."""
    size, tokens, flops, loss = np.array(points, dtype=np.float64).reshape(-1, 4).T
    return size, tokens, flops, loss


def check_enough(points: Sequence[Point]) -> None:
    """Refuse to fit a law to too little.

    Raises:
        UserError: fewer than FEWEST points, less than a decade of compute, fewer than three sizes, numbers of tokens or losses.
    """
    if len(points) < FEWEST:
        raise UserError(f"{len(points)} points: a law has up to five numbers; use {FEWEST} points or more")
    size, tokens, flops, loss = columns(points)
    decades = math.log10(flops.max() / flops.min())
    if decades < DECADES - 1e-9:
        raise UserError(
            f"the points span a factor of {10**decades:.3g} in compute: an exponent cannot be read from less than a factor of "
            f"{10**DECADES:.3g}; add smaller or larger budgets"
        )
    for name, values in (("size", size), ("number of tokens", tokens), ("loss", loss)):
        if len(np.unique(values)) < 3:
            raise UserError(f"the points have fewer than 3 different values of the {name}; a law needs more")


def read_points(path: Path) -> list[Point]:
    """The points of a CSV file with a head: the size, the FLOPs or tokens, and the loss.

    Where there are no tokens they are FLOPs / 6N, where there are no FLOPs they are 6ND. Cells end at a comma, a semicolon or a
    tab. No more than MOST_BYTES are read, so that a device or a dump of something else is refused at once.

    Raises:
        UserError: the file cannot be read, lacks a column, or holds what cannot be a point; with the line.
    """
    try:
        with path.open("rb") as file:
            content = file.read(MOST_BYTES + 1)
        if len(content) > MOST_BYTES:
            raise UserError(
                f"{path}: has more than {MOST_BYTES:,} bytes; use at most {MOST:,} rows, and only the columns needed"
            )
        text = content.decode("utf-8-sig")
    except OSError as error:
        raise UserError(f"{path}: {error.strerror or error}") from None
    except UnicodeDecodeError:
        raise UserError(f"{path}: is not text in UTF-8; save it as CSV") from None
    return parse_points(text, str(path))


def parse_points(text: str, name: str) -> list[Point]:
    """The points of a CSV text; see `read_points`.

    Args:
        name: of the text, for messages.

    Raises:
        UserError: it lacks a column, or holds what cannot be a point.
    """
    first = next((line for line in text.splitlines() if line.strip()), "")
    reader = csv.reader(io.StringIO(text), delimiter=max(DELIMITERS, key=first.count))
    try:
        rows = [(reader.line_num, row) for row in reader if any(cell.strip() for cell in row)]
    except csv.Error as error:
        raise UserError(f"{name}: is not CSV: {error}") from None
    if not rows:
        raise UserError(f"{name}: is empty; use a head such as params,tokens,loss and {FEWEST} rows or more")
    at = _places([_shown(cell) for cell in rows[0][1]], name)
    points, problems = list[Point](), list[str]()
    for number, row in rows[1:]:
        values = dict[str, float]()
        if any(cell.strip() for cell in row[len(rows[0][1]) :]):
            problems.append(
                f"{name}: line {number}: has {len(row)} cells, the head {len(rows[0][1])}; write decimals with a point"
            )
        for column, place in at.items():
            cell = row[place].strip() if place < len(row) else ""
            values[column] = value = _number(cell)
            least, most = RANGES[column]
            if not value > 0:
                problems.append(f"{name}: line {number}: {column} is '{_shown(cell)}'; use a number above 0")
            elif not least <= value <= most:
                problems.append(f"{name}: line {number}: {column} is '{_shown(cell)}'; use {least:g} to {most:g}")
        if "tokens" not in at:
            values["tokens"] = values["flops"] / (6 * values["size"]) if values["size"] else math.nan
        if "flops" not in at:
            values["flops"] = 6 * values["size"] * values["tokens"]
        points.append(Point(**values))
    if problems:
        more = [f"{name}: {len(problems) - SHOWN} more such cells"] if len(problems) > SHOWN else []
        raise UserError(*problems[:SHOWN], *more)
    if len(points) < FEWEST:
        raise UserError(f"{name}: has {len(points)} rows; a law has up to five numbers, use {FEWEST} rows or more")
    if len(points) > MOST:
        raise UserError(f"{name}: has {len(points):,} rows; use at most {MOST:,}, such as the last of each run")
    return points


def _number(cell: str) -> float:
    """The number of a cell; not a number where it is none."""
    try:
        return float(cell)
    except ValueError:
        return math.nan


def _shown(cell: str) -> str:
    """A cell of a file for a message: a quote that is never closed makes a cell of all that follows."""
    plain = printable(" ".join(cell.split()))
    return plain if len(plain) <= LONGEST else f"{plain[:LONGEST]}…"


def _places(head: Sequence[str], name: str) -> dict[str, int]:
    """Where each column stands.

    Raises:
        UserError: one is missing.
    """
    plain = ["".join(letter for letter in cell.casefold() if letter.isalnum()) for cell in head]
    at = {
        column: next(plain.index(known) for known in names if known in plain)
        for column, names in COLUMNS.items()
        if any(known in plain for known in names)
    }
    missing = [column for column in ("size", "loss") if column not in at]
    missing += [] if {"flops", "tokens"} & set(at) else ["flops or tokens"]
    if missing:
        there = _shown(", ".join(head))
        raise UserError(
            f"{name}: has no column for the {' and the '.join(missing)} (it has: {there});"
            f" name one {', one '.join(map(_example, missing))}"
        )
    return at


def _example(column: str) -> str:
    return {"size": "'Model Size'", "loss": "'loss'"}.get(column, "'Training FLOP' or 'Training Tokens'")
