"""Mixers: what a token's embedding learns of its neighbour before the first block.

Attention has to find the token before in two steps (where is it, what is it); a mixer hands it over for next to
nothing, and small models learn their pairs of tokens at once. An entry is built with the width.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn


class Mixer(nn.Module):
    """Each embedding by itself."""

    def __init__(self, width: int) -> None:
        super().__init__()

    def forward(self, x: Float[Tensor, "B T D"], before: Float[Tensor, "B 1 D"]) -> Float[Tensor, "B T D"]:
        """Embeddings as the first block is to see them; `before` is the one before the first (zeros at the start)."""
        return x


class Smear(Mixer):
    """Each embedding plus a learned share, feature by feature, of the one before it; the share starts at 0.

    Source: Olsson et al., "In-context Learning and Induction Heads", 2022 (smeared keys); Jordan et al.,
    "modded-nanogpt", 2024 (on embeddings).
    """

    def __init__(self, width: int) -> None:
        super().__init__(width)
        self.share = nn.Parameter(torch.zeros(width))

    def forward(self, x: Float[Tensor, "B T D"], before: Float[Tensor, "B 1 D"]) -> Float[Tensor, "B T D"]:
        return x + self.share * torch.cat((before, x[:, :-1]), dim=1)


MIXERS: dict[str, type[Mixer]] = {
    "none": Mixer,
    "smear": Smear,
}
