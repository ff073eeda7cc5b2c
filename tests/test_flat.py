"""The flat way of continuing texts: the modules' numbers, for every entry of every table that it covers, and no others."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from small import VOCABULARY, knobs

from pipeline.engine.runtime.runtime import Runtime
from pipeline.inference.flat import ACTIVATIONS as FLAT_ACTIVATIONS
from pipeline.inference.flat import NORMS as FLAT_NORMS
from pipeline.inference.flat import FlatGPT, covers
from pipeline.inference.generate import generate_batch, stream, texts
from pipeline.inference.trained import TrainedModel
from pipeline.networks.activations import ACTIVATIONS
from pipeline.networks.attention import ATTENTIONS, KVCache
from pipeline.networks.mixers import MIXERS
from pipeline.networks.norms import NORMS
from pipeline.networks.positions import POSITIONS
from pipeline.networks.residuals import RESIDUALS
from pipeline.networks.transformer import GPT
from pipeline.tasks.base import Shape
from pipeline.tasks.lm import LanguageModelling
from pipeline.tokenizers.char import CharTokenizer

COUNTS = (1, 3)  # of texts at once
ALPHABET = "abcdefghijk"
TABLES: dict[str, Any] = {
    "activation": ACTIVATIONS,
    "norm": NORMS,
    "position": POSITIONS,
    "attention": ATTENTIONS,
    "residual": RESIDUALS,
    "embedding_mixer": MIXERS,
}
LEFT_TO_MODULES = {
    "norm": {"dyt"},
    "position": {"alibi"},
    "attention": {"window", "average"},
    "residual": set(RESIDUALS) - {"pre"},
}
OTHERS: dict[str, dict[str, Any]] = {
    "a head for two": {"heads": 4, "kv_heads": 2},
    "one key for all": {"heads": 4, "kv_heads": 1},
    "normalized queries": {"qk_norm": True},
    "a part of each head rotated": {"position": "rotary", "rotary_share": 0.5},
    "soft cap": {"attention_softcap": 2.0},
    "biases": {"bias": True, "norm": "layer"},
    "tied": {"tie_embeddings": True},
    "muP": {"init": "mup", "base_width": 8},
    "dropout, which only training has": {"dropout": 0.5},
}


def written_by(**model: Any) -> TrainedModel:
    """A tiny network with random weights, far from its first ones."""
    params = knobs(**{f"model__{name}": value for name, value in model.items()})
    task, tokenizer = LanguageModelling(Path(), params.model, Shape(VOCABULARY)), CharTokenizer(ALPHABET, has_end=False)
    network = task.build(torch.Generator().manual_seed(1))
    with torch.no_grad():
        for weight in network.parameters():
            weight.add_(torch.randn(weight.shape, generator=torch.Generator().manual_seed(2)), alpha=0.3)
    return TrainedModel(network, task, tokenizer, Runtime(params.runtime), step=0)


def assert_equal(trained: TrainedModel, count: int) -> None:
    """The logits, and the cache that they leave, token by token; in the middle, the modules take some."""
    model = trained.model
    assert isinstance(model, GPT) and covers(model, trained.runtime)
    flat, caches = FlatGPT(model), [model.new_cache(count) for _ in range(2)]

    def by_modules(tokens: np.ndarray, cache: KVCache) -> np.ndarray:
        with torch.inference_mode():
            return model(torch.from_numpy(tokens)[:, None], cache=cache)[:, -1].numpy()

    ids = np.random.default_rng(0).integers(0, VOCABULARY, (model.knobs.context_length, count))
    for place, tokens in enumerate(ids):
        expected = by_modules(tokens, caches[1])
        found = by_modules(tokens, caches[0]) if place in (3, 4) else flat.logits(tokens, caches[0])
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)
    for ours, theirs in zip(*(cache.keys + cache.values for cache in caches), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)
    assert caches[0].length == caches[1].length and torch.equal(caches[0].recent_ids, caches[1].recent_ids)


@pytest.mark.parametrize("count", COUNTS)
@pytest.mark.parametrize(("knob", "name"), [(knob, name) for knob, table in TABLES.items() for name in table])
def test_every_entry_is_computed_as_its_module_does_or_is_left_to_it(knob: str, name: str, count: int) -> None:
    trained = written_by(**{knob: name})
    if name in LEFT_TO_MODULES.get(knob, ()):
        assert not covers(trained.model, trained.runtime)
    else:
        assert_equal(trained, count)


@pytest.mark.parametrize("count", COUNTS)
@pytest.mark.parametrize("name", OTHERS)
def test_other_knobs_are_covered_too(name: str, count: int) -> None:
    assert_equal(written_by(**OTHERS[name]), count)


@pytest.mark.parametrize("module", FLAT_NORMS)
def test_every_norm_that_is_written_out_is_one_of_the_table(module: type) -> None:
    assert module in NORMS.values()


@pytest.mark.parametrize("function", FLAT_ACTIVATIONS)
def test_every_activation_that_is_written_out_is_one_of_the_table(function: Any) -> None:
    assert function in [activation.function for activation in ACTIVATIONS.values()]


@pytest.mark.parametrize("temperature", [0.0, 0.8])
def test_texts_longer_than_the_context_are_the_same_either_way(temperature: float, monkeypatch: pytest.MonkeyPatch) -> None:
    trained = written_by()
    ask = {"tokens": 60, "temperature": temperature, "top_k": 0, "top_p": 1.0, "seed": 3}

    def written() -> list[str]:
        return ["".join(stream(trained, "abc", **ask)), *texts(trained, "abc", count=3, **ask)]

    flat = written()
    assert flat[0] == flat[1] and [len(text) for text in flat] == [60] * 4
    monkeypatch.setattr("pipeline.inference.generate.covers", lambda *_: False)
    assert written() == flat


def test_the_ids_of_a_batch_are_the_same_either_way(monkeypatch: pytest.MonkeyPatch) -> None:
    trained = written_by(embedding_mixer="ngrams")

    def drawn() -> list[list[int]]:
        generator, start = torch.Generator().manual_seed(1), torch.arange(5)[:, None]
        ids = generate_batch(trained, start, tokens=12, temperature=0.8, generator=generator)
        assert ids is not None
        return ids.tolist()

    flat = drawn()
    monkeypatch.setattr("pipeline.inference.generate.covers", lambda *_: False)
    assert drawn() == flat


@pytest.mark.parametrize("how", ["hook", "forward", "precision", "half"])
def test_a_network_that_was_changed_from_outside_is_left_to_its_modules(how: str) -> None:
    trained = written_by()
    model, runtime = trained.model, trained.runtime
    assert isinstance(model, GPT)
    if how == "hook":
        model.blocks[0].attention.register_forward_hook(lambda *_: None)
    elif how == "forward":
        model.final_norm.forward = lambda x: 2 * x  # type: ignore[method-assign]
    elif how == "precision":
        runtime.precision = "bfloat16"
    else:
        model.head.bfloat16()
    assert not covers(model, runtime)
