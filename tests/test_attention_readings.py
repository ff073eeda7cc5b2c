"""What the probes read of attention, held to the formula, to closed forms, and to heads whose weights were set by hand."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from string import ascii_letters

import numpy as np
import pytest
import torch
from subjects import subject
from torch import Tensor

from pipeline.inference.trained import TrainedModel
from pipeline.networks.attention import ATTENTIONS
from pipeline.probes.attention.entropy import attention_entropy
from pipeline.probes.attention.induction import induction, previous_token, repeated
from pipeline.probes.attention.logit import attention_logit
from pipeline.probes.attention.sink import attention_sink
from pipeline.readings import Reading

pytestmark = pytest.mark.shapes

PLAIN = {"model__embedding_mixer": "none", "model__position": "none", "model__norm": "none"}
HEADS = ("1.1", "1.2", "2.1", "2.2")


def numbers(reading: Reading | None) -> dict[str, float]:
    assert reading is not None
    assert reading.axes[0].name == "head"
    return {str(name): line[0] for name, line in zip(reading.axes[0].ticks, reading.values, strict=True)}


def by_hand(made: TrainedModel, ids: Tensor) -> dict[str, tuple[Tensor, Tensor]]:
    """(scores, probabilities) [B, T, T] of each head of a network without positions and norms."""
    found, x = {}, made.model.embedding(ids)
    future = torch.ones(ids.shape[1], ids.shape[1]).triu(1).bool()
    with torch.no_grad():
        for layer, block in enumerate(made.model.blocks, start=1):
            q, k, _ = torch.einsum("btd,ed->bte", x, block.attention.project.weight).double().chunk(3, dim=-1)
            for head, place in enumerate((slice(0, 8), slice(8, 16)), start=1):
                scores = torch.einsum("bqd,bkd->bqk", q[..., place], k[..., place]) / 8**0.5
                weights = scores.exp().masked_fill(future, 0)
                found[f"{layer}.{head}"] = scores, weights / weights.sum(dim=-1, keepdim=True)
            x = block(x, made.model.position, None, None)
    return found


def test_the_entropy_is_that_of_what_is_given_beyond_the_first_key(tmp_path: Path) -> None:
    made = subject(tmp_path, **PLAIN)
    with torch.no_grad():
        for block in made.model.blocks:
            block.attention.project.weight *= 2
    wanted = {}
    for head, (_, maps) in by_hand(made, made.batch.inputs).items():
        rows = []
        for example in maps.tolist():
            for query in range(2, len(example)):
                others = example[query][1 : query + 1]
                shares = [other / sum(others) for other in others]
                rows.append(-sum(share * math.log(share) for share in shares if share) / math.log(len(shares)))
        wanted[head] = sum(rows) / len(rows)
    assert numbers(attention_entropy(made)) == pytest.approx(wanted, rel=1e-3)
    assert min(wanted.values()) < 0.9


def test_the_largest_score_is_taken_over_what_a_query_sees_and_before_a_cap_or_a_bias(tmp_path: Path) -> None:
    text = "".join(np.random.default_rng(1).permutation(list(ascii_letters)).tolist() * 8)
    made = subject(tmp_path, text=text, **PLAIN)
    scores = {head: found for head, (found, _) in by_hand(made, made.batch.inputs).items()}
    wanted = {head: float(found.tril().abs().max()) for head, found in scores.items()}
    assert any(float(found.abs().max()) > wanted[head] for head, found in scores.items()), "some are larger, but hidden"
    assert numbers(attention_logit(made)) == pytest.approx(wanted, rel=1e-3)
    capped = subject(tmp_path / "capped", text=text, **PLAIN, model__attention_softcap=0.1)
    biased = subject(tmp_path / "biased", text=text, **{**PLAIN, "model__position": "alibi"})
    for other in (capped, biased):
        found = numbers(attention_logit(other))
        assert {head: found[head] for head in ("1.1", "1.2")} == pytest.approx(
            {head: wanted[head] for head in ("1.1", "1.2")}, rel=1e-3
        )


def test_sinks_and_previous_tokens_are_means_over_queries(tmp_path: Path) -> None:
    made = subject(tmp_path, **PLAIN)
    sinks = {head: float(maps[:, 1:, 0].mean()) for head, (_, maps) in by_hand(made, made.batch.inputs).items()}
    assert numbers(attention_sink(made)) == pytest.approx(sinks, rel=1e-3)
    _, ids = repeated(made.tokenizer.vocabulary, made.tokenizer.end, 12)
    before = {
        head: float(torch.stack([maps[:, query, query - 1] for query in range(1, 12)]).mean())
        for head, (_, maps) in by_hand(made, ids).items()
    }
    assert numbers(previous_token(made)) == pytest.approx(before, rel=1e-3)


@pytest.mark.parametrize("name", ATTENTIONS)
def test_heads_that_look_at_all_alike_have_the_closed_forms(tmp_path: Path, name: str) -> None:
    """Queries of nothing ask for nothing: what a head sees is looked at evenly."""
    made = subject(tmp_path, model__attention=name, model__window=5)
    with torch.no_grad():
        for block in made.model.blocks if name != "average" else ():
            block.attention.project.weight.zero_()
    assert numbers(attention_entropy(made)) == dict.fromkeys(HEADS, pytest.approx(1))
    seen = [min(query + 1, 5) if name == "window" else query + 1 for query in range(12)]
    first = [1 / count for query, count in enumerate(seen) if query and (name != "window" or query < 5)]
    assert numbers(attention_sink(made)) == dict.fromkeys(HEADS, pytest.approx(sum(first) / len(first), rel=1e-3))
    before = [1 / count for count in seen[1:]]
    assert numbers(previous_token(made)) == dict.fromkeys(HEADS, pytest.approx(sum(before) / len(before), rel=1e-3))
    lengths, _ = repeated(made.tokenizer.vocabulary, made.tokenizer.end, 12)
    after = [1 / seen[size + place] if size - 1 < seen[size + place] else 0 for size in lengths for place in range(size - 1)]
    assert numbers(induction(made)) == dict.fromkeys(HEADS, pytest.approx(sum(after) / len(after), rel=1e-3))
    if name == "average":
        assert attention_logit(made) is None, "nothing is compared"
    else:
        assert numbers(attention_logit(made)) == dict.fromkeys(HEADS, 0)


def test_a_head_that_finds_copies_by_construction_scores_one_and_is_no_previous_token_head(tmp_path: Path) -> None:
    """Each token brings along which one stood before it (a table of pairs); a head asks for the token that it is itself."""
    knobs = {"model__embedding_mixer": "bigrams", "model__position": "none", "model__norm": "none"}
    made = subject(tmp_path, **knobs, model__width=64, model__heads=1, model__depth=1)
    size = made.tokenizer.vocabulary
    weights = dict(made.model.named_parameters())
    with torch.no_grad():
        for weight in weights.values():
            weight.zero_()
        weights["embedding.weight"][:, :size] = torch.eye(size)
        for before in range(size):
            weights["mixer.weight"][before * size : (before + 1) * size, 32 + before] = 1
        project = weights["blocks.0.attention.project.weight"]
        project[:size, :size] = 30 * 64**0.5 * torch.eye(size)  # queries: what the token is
        project[64 : 64 + size, 32 : 32 + size] = torch.eye(size)  # keys: what stood before
    assert numbers(induction(made)) == {"1.1": pytest.approx(1, abs=1e-3)}
    assert numbers(previous_token(made))["1.1"] < 0.4
    assert numbers(attention_logit(made)) == {"1.1": pytest.approx(30, rel=1e-3)}


def test_a_head_that_looks_one_back_by_construction_scores_one_and_finds_no_copies(tmp_path: Path) -> None:
    knobs = {"model__embedding_mixer": "none", "model__position": "learned", "model__norm": "none"}
    made = subject(tmp_path, **knobs, model__heads=1, model__depth=1)
    weights = dict(made.model.named_parameters())
    with torch.no_grad():
        for weight in weights.values():
            weight.zero_()
        weights["position.weight"][:, :12] = torch.eye(12)
        project = weights["blocks.0.attention.project.weight"]
        project[:11, 1:12] = 30 * 16**0.5 * torch.eye(11)  # a query asks for the place before
        project[16:28, :12] = torch.eye(12)
    assert numbers(previous_token(made)) == {"1.1": pytest.approx(1, abs=1e-3)}
    assert numbers(induction(made))["1.1"] < 0.2
    assert numbers(attention_entropy(made))["1.1"] == pytest.approx(0, abs=1e-3)


@pytest.mark.parametrize(("vocabulary", "end", "length"), [(65, 64, 64), (1024, None, 128), (6, 5, 40), (3, None, 8)])
def test_blocks_are_repeated_at_distances_that_tell_nothing(vocabulary: int, end: int | None, length: int) -> None:
    lengths, ids = repeated(vocabulary, end, length)
    assert ids.shape == (16, length)
    assert len(set(lengths)) > 1
    for size, example in zip(lengths, ids.tolist(), strict=True):
        assert 2 * size <= length
        assert example[:size] == example[size : 2 * size]
        assert len(set(example[:size])) == size, "a token of a block stands in it once, so that one place follows its copy"
        assert end not in example
        assert max(example) < vocabulary
    assert torch.equal(ids, repeated(vocabulary, end, length)[1])


def test_a_context_too_short_for_two_copies_is_asked_for_none(tmp_path: Path) -> None:
    made = subject(tmp_path, model__context_length=4, model__window=2)
    assert induction(made) is None
    assert len(numbers(previous_token(replace(made)))) == 4
