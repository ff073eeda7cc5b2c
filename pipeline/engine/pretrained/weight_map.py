"""How weights go from our names and order to those of another library, and back, by one description of both."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Int
from torch import Tensor

from pipeline.params.model import Model

Rows = Callable[[Model], Int[Tensor, " rows"]]
Fill = Callable[[Model], Tensor]


class Misfit(Exception):  # noqa: N818 (an answer, which the caller words)
    """A weight that the other side has, or has otherwise, and a network of these knobs has no place for."""

    def __init__(self, theirs: str, ours: str) -> None:
        super().__init__(theirs)
        self.theirs, self.ours = theirs, ours


@dataclass(frozen=True)
class TensorRow:
    """A tensor of theirs as some rows of one of ours.

    Attributes:
        theirs, ours: the names; {} stands for the number of the block.
        rows: which rows of ours, in their order; None = all, as they are.
        inputs_first: theirs is a matrix [inputs, outputs].
        less: what is taken from ours to make theirs.
        fill: what theirs holds where our network has no such weight (a number, or a tensor made of the knobs); None =
            then theirs has none either.
        longer: theirs may have more rows than ours, which reads the first of them.
    """

    theirs: str
    ours: str
    rows: Rows | None = None
    inputs_first: bool = False
    less: float = 0.0
    fill: float | Fill | None = None
    longer: bool = False

    def packed(self, ours: Tensor, model: Model) -> Tensor:
        """Theirs, of ours."""
        chosen = ours if self.rows is None else ours[self.rows(model)]
        return (chosen.mT if self.inputs_first else chosen).contiguous() - self.less

    def unpack(self, theirs: Tensor, ours: Tensor, model: Model) -> None:
        """Write theirs to where it belongs in ours.

        Raises:
            Misfit: it is of another shape.
        """
        rows = torch.arange(len(ours)) if self.rows is None else self.rows(model)
        back = (theirs.mT if self.inputs_first else theirs).to(ours) + self.less
        back = back[: len(rows)] if self.longer else back
        if back.shape != (len(rows), *ours.shape[1:]):
            raise Misfit(self.theirs, self.ours)
        ours[rows] = back

    def filled(self, weights: Mapping[str, Tensor], model: Model) -> Tensor | None:
        """Theirs where our network has no such weight."""
        if self.fill is None:
            return None
        if callable(self.fill):
            return self.fill(model)
        # As long as the outputs of the matrix that it stands beside; beside none, it is a norm's.
        beside = weights.get(self.ours.replace(".bias", ".weight"))
        rows = torch.arange(model.width if beside is None else len(beside)) if self.rows is None else self.rows(model)
        return torch.full((len(rows),), self.fill - self.less)

    def is_filled(self, theirs: Tensor, weights: Mapping[str, Tensor], model: Model) -> bool:
        """Whether theirs is what it would be if a network without such a weight were packed, so that nothing is lost."""
        fill = self.filled(weights, model)
        if fill is None:
            embedding = weights["embedding.weight"]  # of which a tied head is a copy, where a file holds it at all
            same = self.ours == "head.weight" and theirs.shape[1:] == embedding.shape[1:]
            return same and torch.equal(theirs[: len(embedding)].to(embedding), embedding)
        return theirs.shape[1:] == fill.shape[1:] and torch.equal(theirs[: len(fill)].to(fill), fill)


def expanded(pieces: Sequence[TensorRow], depth: int) -> Iterator[TensorRow]:
    """The pieces of a whole network, with the numbers of its blocks."""
    for piece in pieces:
        for layer in range(depth) if "{}" in piece.theirs else [0]:
            yield replace(piece, theirs=piece.theirs.format(layer), ours=piece.ours.format(layer))


def pack(weights: Mapping[str, Tensor], pieces: Sequence[TensorRow], model: Model) -> dict[str, Tensor]:
    """Our weights as theirs; every one of ours has a place there."""
    packed = {}
    for piece in expanded(pieces, model.depth):
        ours = weights.get(piece.ours)
        theirs = piece.filled(weights, model) if ours is None else piece.packed(ours, model)
        if theirs is not None:
            packed[piece.theirs] = theirs
    assert weights.keys() <= {piece.ours for piece in expanded(pieces, model.depth)}, "a weight of ours has no place there"
    return packed


def unpack(theirs: Mapping[str, Tensor], weights: Mapping[str, Tensor], pieces: Sequence[TensorRow], model: Model) -> None:
    """Fill our weights, in place, from theirs.

    Raises:
        Misfit: theirs lacks one, has one of another shape, or holds in one for which we have no place what is not its fill.
    """
    left = dict(theirs)
    for piece in expanded(pieces, model.depth):
        # Weights that were saved from the model inside lack the first part of the name.
        name = piece.theirs if piece.theirs in left else piece.theirs.partition(".")[2]
        ours, found = weights.get(piece.ours), left.pop(name, None)
        if ours is not None and found is not None:
            piece.unpack(found, ours, model)
        elif ours is not None or (found is not None and not piece.is_filled(found, weights, model)):
            raise Misfit(piece.theirs, piece.ours)
    if unread := [name for name in left if not name.endswith(BUFFERS)]:
        raise Misfit(unread[0], "")


BUFFERS = (".attn.bias", ".attn.masked_bias", ".attention.bias", ".attention.masked_bias", "rotary_emb.inv_freq")
"""Names' ends of what older versions kept beside the weights: masks and frequencies."""
