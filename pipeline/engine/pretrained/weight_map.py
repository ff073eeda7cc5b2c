"""Conversion of weights between Rally's names and layout and another library's, both ways by one table."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Int
from torch import Tensor

from pipeline.params.model import Model

Rows = Callable[[Model], Int[Tensor, " rows"]]
MakeTensor = Callable[[Model], Tensor]


class Misfit(Exception):  # noqa: N818 (the caller writes the message)
    """A weight of the other library that is missing, of another shape, or without a place in a network of these knobs."""

    def __init__(self, theirs: str, ours: str) -> None:
        super().__init__(theirs)
        self.theirs, self.ours = theirs, ours


@dataclass(frozen=True)
class TensorRow:
    """A tensor of the other library (`theirs`) as some rows of a tensor of Rally's (`ours`).

    Attributes:
        theirs, ours: the names; {} stands for the number of the block.
        rows: gives indices of rows of `ours`, in the order of `theirs`; None = all rows.
        inputs_first: theirs is a matrix [inputs, outputs].
        offset: theirs = ours - offset.
        default: the value of theirs if our network lacks the weight (a number, or a tensor made from the knobs); None: theirs
            has no such tensor either.
        padded: theirs may have more rows than ours, which reads the first of them.
        scale: theirs = ours / scale(knobs).
        absent: the value of ours if theirs lacks the tensor; None: it must be there.
        also: another name of theirs, in other versions.
    """

    theirs: str
    ours: str
    rows: Rows | None = None
    inputs_first: bool = False
    offset: float = 0.0
    default: float | MakeTensor | None = None
    padded: bool = False
    scale: Callable[[Model], float] = lambda model: 1.0
    absent: float | None = None
    also: str = ""

    def pack(self, ours: Tensor, model: Model) -> Tensor:
        """Theirs, from ours."""
        chosen = (ours if self.rows is None else ours[self.rows(model)]) / self.scale(model)
        return (chosen.mT if self.inputs_first else chosen).contiguous() - self.offset

    def unpack(self, theirs: Tensor, ours: Tensor, model: Model) -> None:
        """Write `theirs` into its rows of `ours`.

        Raises:
            Misfit: it has another shape.
        """
        rows = torch.arange(len(ours)) if self.rows is None else self.rows(model)
        converted = (theirs.mT if self.inputs_first else theirs).to(ours) * self.scale(model) + self.offset
        converted = converted[: len(rows)] if self.padded else converted
        if converted.shape != (len(rows), *ours.shape[1:]):
            raise Misfit(self.theirs, self.ours)
        ours[rows] = converted

    def default_tensor(self, weights: Mapping[str, Tensor], model: Model) -> Tensor | None:
        """Theirs if our network lacks the weight; None if theirs has no such tensor."""
        if self.default is None:
            return None
        if callable(self.default):
            return self.default(model)
        # As long as the outputs of the matrix that a bias belongs to; otherwise it is a weight of a norm.
        matrix = weights.get(self.ours.replace(".bias", ".weight"))
        rows = torch.arange(model.width if matrix is None else len(matrix)) if self.rows is None else self.rows(model)
        return torch.full((len(rows),), self.default - self.offset)

    def is_default(self, theirs: Tensor, weights: Mapping[str, Tensor], model: Model) -> bool:
        """Whether theirs equals the default, so that a network without the weight loses nothing."""
        default = self.default_tensor(weights, model)
        if default is None:
            embedding = weights["embedding.weight"]  # a tied head is a copy of it, if a file has it at all
            same = self.ours == "head.weight" and theirs.shape[1:] == embedding.shape[1:]
            return same and torch.equal(theirs[: len(embedding)].to(embedding), embedding)
        return theirs.shape[1:] == default.shape[1:] and torch.equal(theirs[: len(default)].to(default), default)


def expanded(rows: Sequence[TensorRow], depth: int) -> Iterator[TensorRow]:
    """The rows of a table for a whole network, {} replaced by the number of each block."""
    for row in rows:
        for layer in range(depth) if "{}" in row.theirs else [0]:
            yield replace(row, theirs=row.theirs.format(layer), ours=row.ours.format(layer), also=row.also.format(layer))


def pack(weights: Mapping[str, Tensor], rows: Sequence[TensorRow], model: Model) -> dict[str, Tensor]:
    """Our weights under their names and in their layout; each of them must have a place there."""
    packed = {}
    for row in expanded(rows, model.depth):
        ours = weights.get(row.ours)
        theirs = row.default_tensor(weights, model) if ours is None else row.pack(ours, model)
        if theirs is not None:
            packed[row.theirs] = theirs
    assert weights.keys() <= {row.ours for row in expanded(rows, model.depth)}, "a weight has no place in the other library"
    return packed


def unpack(theirs: Mapping[str, Tensor], weights: Mapping[str, Tensor], rows: Sequence[TensorRow], model: Model) -> None:
    """Copy their weights into ours, in place.

    Raises:
        Misfit: theirs lacks a weight, has one of another shape, or one without a place in ours that differs from its default.
    """
    left = dict(theirs)
    for row in expanded(rows, model.depth):
        # Weights that were saved from the inner model lack the first part of the name.
        names = (row.theirs, row.theirs.partition(".")[2], row.also)
        ours, found = weights.get(row.ours), next((left.pop(name) for name in names if name in left), None)
        if ours is not None and found is not None:
            row.unpack(found, ours, model)
        elif ours is not None and row.absent is not None:
            ours[torch.arange(len(ours)) if row.rows is None else row.rows(model)] = row.absent
        elif ours is not None or (found is not None and not row.is_default(found, weights, model)):
            raise Misfit(row.theirs, row.ours)
    if unread := [name for name in left if not name.endswith(BUFFERS)]:
        raise Misfit(unread[0], "")


BUFFERS = (".attn.bias", ".attn.masked_bias", ".attention.bias", ".attention.masked_bias", "rotary_emb.inv_freq")
"""Suffixes of the buffers that older versions saved beside the weights: masks and frequencies."""
