"""Embedding mixers: add information about the previous tokens to each embedding, before the first block.

Attention needs two layers to find the previous token; a mixer provides it at next to no cost, so that small models learn
pairs of tokens at once. What a mixer adds starts at 0.

An entry maps consecutive ids [B, T] and their embeddings [B, T, D] to embeddings [B, T, D]; `reach` is how many previous
tokens it reads. Before the first id it reads zeros.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812 (its customary name)
from jaxtyping import Float, Int
from torch import Tensor, nn

from pipeline.params.model import Model


class Mixer(nn.Module):
    """Embeddings unchanged."""

    reach = 0

    def __init__(self, model: Model, vocabulary: int) -> None:
        super().__init__()

    def forward(self, ids: Int[Tensor, "B T"], x: Float[Tensor, "B T D"]) -> Float[Tensor, "B T D"]:
        """The embeddings that the first block reads."""
        return x


class Smear(Mixer):
    """x[t] + share * x[t - 1], with a learned share per feature.

    Source: Olsson et al., "In-context Learning and Induction Heads", 2022 (smeared keys); Jordan et al.,
    "modded-nanogpt", 2024 (on embeddings).
    """

    reach = 1

    def __init__(self, model: Model, vocabulary: int) -> None:
        super().__init__(model, vocabulary)
        self.share = nn.Parameter(torch.zeros(model.width))

    def forward(self, ids: Int[Tensor, "B T"], x: Float[Tensor, "B T D"]) -> Float[Tensor, "B T D"]:
        return x + self.share * F.pad(x[:, :-1], (0, 0, 1, 0))


class Convolution(Mixer):
    """x[t] + Σ share[k] * x[t - k] for k = 1 .. 3: a causal depthwise convolution of 4 taps.

    Source: So et al., "Primer: Searching for Efficient Transformers for Language Modeling", 2021 (on queries, keys and
    values); Allen-Zhu, "Physics of Language Models: Part 4.1, Architecture Design and the Magic of Canon Layers", 2025 (on the
    stream, with a residual).
    """

    reach = 3

    def __init__(self, model: Model, vocabulary: int) -> None:
        super().__init__(model, vocabulary)
        self.shares = nn.ParameterList(torch.zeros(model.width) for _ in range(self.reach))

    def forward(self, ids: Int[Tensor, "B T"], x: Float[Tensor, "B T D"]) -> Float[Tensor, "B T D"]:
        padded, length = F.pad(x, (0, 0, self.reach, 0)), x.shape[1]
        for distance, share in enumerate(self.shares, start=1):
            x = torch.addcmul(x, padded[:, self.reach - distance : self.reach - distance + length], share)
        return x


class Bigrams(Mixer):
    """x[t] + table[id[t - 1], id[t]]: a learned vector for each pair of tokens.

    A row per pair if `ngram_table_size` rows suffice; otherwise pairs share rows by a hash, in which no two pairs with the
    same last token collide as long as there are no more tokens than rows.

    Source: Roy et al., "N-Grammer: Augmenting Transformers with latent n-grams", 2022; Jordan et al., "modded-nanogpt", 2024
    (its hash).
    """

    reach = 1

    def __init__(self, model: Model, vocabulary: int) -> None:
        super().__init__(model, vocabulary)
        self.vocabulary = vocabulary
        self.weight = nn.Parameter(torch.zeros(min(vocabulary**2, model.ngram_table_size), model.width))

    def forward(self, ids: Int[Tensor, "B T"], x: Float[Tensor, "B T D"]) -> Float[Tensor, "B T D"]:
        pairs = F.embedding(self.rows(ids[:, :-1], ids[:, 1:]), self.weight)
        return x + F.pad(pairs, (0, 0, 1, 0))

    def rows(self, before: Int[Tensor, "B T"], ids: Int[Tensor, "B T"]) -> Int[Tensor, "B T"]:
        """The index of the row of each pair."""
        if len(self.weight) == self.vocabulary**2:
            return before * self.vocabulary + ids
        return ((before * 36313) ^ (ids * 27191)) % len(self.weight)


class Ngrams(Bigrams):
    """Smear, bigrams and trigrams at once, so that the layers need not learn the statistics of the last three tokens.

    A small model spends most of a short training on these; with the tables it needs half as many steps, and they cost no
    matrix products, only memory.

    Source: Pagnoni et al., "Byte Latent Transformer: Patches Scale Better Than Tokens", 2024 (tables of hashed n-grams, added
    to the embeddings).
    """

    reach = 2

    def __init__(self, model: Model, vocabulary: int) -> None:
        super().__init__(model, vocabulary)
        self.share = nn.Parameter(torch.zeros(model.width))
        self.triples = nn.Parameter(torch.zeros(min(vocabulary**3, model.ngram_table_size), model.width))

    def forward(self, ids: Int[Tensor, "B T"], x: Float[Tensor, "B T D"]) -> Float[Tensor, "B T D"]:
        smeared = super().forward(ids, torch.addcmul(x, F.pad(x[:, :-1], (0, 0, 1, 0)), self.share))
        pairs = ids[:, :-1] * self.vocabulary + ids[:, 1:]
        # Fibonacci hashing: the odd number nearest to 2^64 / 1.618 (as signed) spreads neighbouring values.
        hashed = ((pairs[:, :-1] * self.vocabulary + ids[:, 2:]) * -7046029254386353131).bitwise_right_shift(33)
        triples = F.embedding(hashed % len(self.triples), self.triples)
        # Padded by 2 positions; by 1 for a single token, which has no previous ones.
        return smeared + F.pad(triples, (0, 0, x.shape[1] - triples.shape[1], 0))


MIXERS: dict[str, type[Mixer]] = {
    "none": Mixer,
    "smear": Smear,
    "convolution": Convolution,
    "bigrams": Bigrams,
    "ngrams": Ngrams,
}

# Entries that must not learn to copy in one block (tests/test_learning.py), and why.
CONTROL_MIXERS: dict[str, str] = {
    "none": "one block cannot know the token before another one, so it finds no copies; that takes two (Olsson et al., 2022)",
}
