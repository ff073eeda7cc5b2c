"""The network for some hours on a machine: a search of every depth, width and length by the loss that the law forecasts."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import product

from pipeline.lab.plan.law import FittedLaw
from pipeline.lab.plan.speed import Speed

EPOCHS = 4.0  # times that a text is read at most: until then repeated tokens are worth nearly as much as new ones
MLP = {True: 4.0, False: 2.0}  # hidden features relative to the width, by "on a card"
TABLE_SHARE = 0.3  # of the weights that the embedding may be, and the head as much
ASPECT = (24, 100)  # width / depth
VOCABULARIES = (512, 1024, 2048, 4096, 8192)
GRIDS = {  # by "on a card": depths, widths, features of a head, lengths
    True: ((2, 3, 4, 6, 8, 10, 12, 16), range(128, 1089, 64), 64, (256, 512)),
    False: ((1, 2, 3, 4, 6), (32, 48, 64, 96, 128, 192, 256), 32, (64, 128)),
}


@dataclass(frozen=True)
class Net:
    """The shape of a network.

    Attributes:
        mlp: hidden features, relative to the width.
    """

    depth: int
    width: int
    heads: int
    length: int
    vocabulary: int
    mlp: float

    @property
    def parameters(self) -> int:
        """Of attention, MLP, embedding and head; `rally budget` counts a few vectors more."""
        return round(self.depth * (4 + 2 * self.mlp) * self.width**2) + 2 * self.vocabulary * self.width

    @property
    def flops_per_token(self) -> float:
        """6N + 12LdT, where N leaves out the embedding."""
        return 6.0 * (self.parameters - self.vocabulary * self.width) + 12.0 * self.depth * self.width * self.length

    @property
    def table_share(self) -> float:
        """The share of its weights that the embedding is."""
        return self.vocabulary * self.width / self.parameters


@dataclass(frozen=True)
class Sized:
    """A network with what it can read in the time.

    Attributes:
        loss: by the law, nats per token.
    """

    net: Net
    tokens: float
    loss: float


def nets(vocabulary: int, *, on_card: bool) -> Iterator[Net]:
    """Every shape of the grid whose width fits its depth."""
    depths, widths, head, lengths = GRIDS[on_card]
    for depth, width, length in product(depths, widths, lengths):
        if ASPECT[0] <= width / depth <= ASPECT[1]:
            yield Net(depth, width, max(width // head, 1), length, vocabulary, MLP[on_card])


def tokens_in(net: Net, seconds: float, speed: Speed) -> float:
    """The tokens that a network reads in the time, at the middle of a range of speeds."""
    return seconds * speed.middle / (net.flops_per_token * (1 + (96 if speed.on_card else 80) / net.width))


def ranked(seconds: float, available: float | None, vocabulary: int, speed: Speed, law: FittedLaw) -> list[Sized]:
    """Every shape with the tokens that it reads in the time, the lowest forecast first; ties go to the shorter context.

    The law knows width and depth by their weights alone, and nothing of the length: of two lengths the shorter one reads more.

    Args:
        available: tokens of the training text; it is read EPOCHS times at most. None: unknown.
    """
    most = math.inf if available is None else EPOCHS * available
    found = []
    for net in nets(vocabulary, on_card=speed.on_card):
        tokens = min(tokens_in(net, seconds, speed), most)
        if net.table_share <= TABLE_SHARE or not speed.on_card:
            found.append(Sized(net, tokens, law.loss(net.parameters, tokens)))
    return sorted(found, key=lambda one: (one.loss, one.net.length))


def nearest(parameters: float, like: Net, among: Iterable[Net]) -> Net:
    """The shape with about so many weights, as deep for its width as another one, with its length."""
    aspect = like.width / like.depth

    def distance(net: Net) -> float:
        return abs(math.log(net.parameters / parameters)) + 0.3 * abs(math.log(net.width / net.depth / aspect))

    return min((net for net in among if net.length == like.length), key=distance)


def same_size(net: Net, *, on_card: bool) -> list[Net]:
    """A deeper and a wider shape with about as many weights (within a fifth), where the grid has them."""
    near = [
        other
        for other in nets(net.vocabulary, on_card=on_card)
        if other.length == net.length and abs(math.log(other.parameters / net.parameters)) < 0.2
    ]
    deeper = [other for other in near if other.depth > net.depth]
    wider = [other for other in near if other.depth < net.depth]
    closest = (min(side, key=lambda other: abs(other.parameters - net.parameters)) for side in (deeper, wider) if side)
    return list(closest)


def vocabulary_for(net: Net) -> int:
    """The largest vocabulary whose embedding is at most TABLE_SHARE of the weights of a network; the smallest if none is."""
    fits = [size for size in VOCABULARIES if Net(net.depth, net.width, net.heads, net.length, size, net.mlp).table_share <= 0.3]
    return max(fits, default=VOCABULARIES[0])
