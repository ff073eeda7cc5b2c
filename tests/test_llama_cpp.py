"""llama.cpp itself reads an exported GGUF file: the same ids, the same probabilities, the same greedy text.

By the Python bindings xllamacpp, which carry a stock llama.cpp (`pip install xllamacpp`, 34 MB); skipped where they are not.
"""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, get_args

import pytest
import torch
from test_gguf import KINDS, imported, last_norm, left

from pipeline.inference.trained import TrainedModel
from pipeline.lab.export.gguf_model import _stop
from pipeline.lab.gguf.architectures import GGUF_ARCHITECTURES
from pipeline.lab.gguf.number_types import TypeName
from pipeline.networks.transformer import GPT

pytestmark = pytest.mark.slow
llama = pytest.importorskip("xllamacpp", reason="needs llama.cpp: `pip install xllamacpp` (34 MB) brings it")

TEXT = "the cat's 12 mats isn't\n\n  on it; "
GREEDY = 200  # tokens
LOOKED_AT = range(-20, 40)  # places, from the end of the prompt on, at which all probabilities are compared
# Largest difference of a log-probability. llama.cpp looks GELU up in a table of float16, and rounds what meets weights in f16
# or q8_0 to the type of these weights.
ALLOWED = {"f32": 5e-5, "gelu_tanh": 0.02, "f16": 0.05, "q8_0": 2.0}


class Served:
    """A file, open in llama.cpp; asked over loopback."""

    def __init__(self, path: Path, context: int) -> None:
        params = llama.CommonParams()
        params.model.path, params.n_ctx, params.n_batch, params.n_ubatch = str(path), context, context, context
        params.n_parallel, params.verbosity, params.warmup, params.fit_params = 1, 0, False, False
        params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 1
        params.cache_type_k = params.cache_type_v = llama.ggml_type.GGML_TYPE_F32  # float16 by default
        params.flash_attn_type = llama.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_DISABLED
        self.server = llama.Server(params)

    def ask(self, path: str, **words: Any) -> dict[str, Any]:
        request = urllib.request.Request(
            f"{self.server.listening_address}/{path}", json.dumps(words).encode(), {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            found: dict[str, Any] = json.load(answer)
        return found

    def ids(self, text: str) -> list[int]:
        return list(self.ask("tokenize", content=text, add_special=True)["tokens"])

    def greedy(self, ids: list[int], count: int) -> list[int]:
        answer = self.ask("completion", prompt=ids, n_predict=count, temperature=0, return_tokens=True, ignore_eos=True)
        return list(answer["tokens"])

    def log_probabilities(self, ids: list[int], vocabulary: int) -> torch.Tensor | None:
        """Of what comes next; None where that is a part of a character, of which nothing is said."""
        answer = self.ask("completion", prompt=ids, n_predict=1, temperature=0, n_probs=vocabulary, cache_prompt=False)
        if not (said := answer.get("completion_probabilities")):
            return None
        found = torch.full((vocabulary,), float("nan"))
        for one in said[0]["top_logprobs"]:
            found[one["id"]] = one["logprob"]
        return found


@contextmanager
def served(path: Path, made: TrainedModel) -> Iterator[Served]:
    assert isinstance(made.model, GPT)
    one = Served(path, made.model.knobs.context_length)
    yield one
    del one.server


def greedy(network: GPT, ids: list[int], count: int, stop: int) -> list[int]:
    """What the network says, without the end of a text, which a random network would soon reach."""
    all_ids = [*ids]
    with torch.inference_mode():
        for _ in range(count):
            logits = network(torch.tensor([all_ids]))[0, -1].clone()
            logits[stop] = -torch.inf
            all_ids.append(int(logits.argmax()))
    return all_ids[len(ids) :]


@pytest.mark.parametrize("tokenizer", KINDS)
@pytest.mark.parametrize("name", GGUF_ARCHITECTURES)
def test_ids_probabilities_and_two_hundred_greedy_tokens_are_the_same(name: str, tokenizer: str, tmp_path: Path) -> None:
    made = left(tmp_path, name, tokenizer, model__norm=last_norm(name), model__context_length=256)
    assert isinstance(made.model, GPT)
    with served(tmp_path / "given/given-f32.gguf", made) as one:
        ids = made.tokenizer.encode(TEXT).tolist()
        assert one.ids(TEXT) == ids
        ours = greedy(made.model, ids, GREEDY, _stop(made)[0])
        theirs = one.greedy(ids, GREEDY)
        apart = differences(one, made.model, ids, ours)
    assert len({*ours}) > 2 and len(theirs) == GREEDY
    allowed = ALLOWED.get(GGUF_ARCHITECTURES[name].activation[0], ALLOWED["f32"])
    assert max(apart) < allowed
    if ours != theirs:  # two tokens may be nearer to each other than the difference that a table for GELU makes
        at = next(number for number in range(GREEDY) if ours[number] != theirs[number])
        with torch.inference_mode():
            logits = made.model(torch.tensor([ids + ours[:at]]))[0, -1]
        assert allowed > ALLOWED["f32"] and float(logits[ours[at]] - logits[theirs[at]]) < 2 * max(apart)


@pytest.mark.parametrize("kind", get_args(TypeName)[1:])
@pytest.mark.parametrize("name", GGUF_ARCHITECTURES)
def test_fewer_bits_move_probabilities_by_what_they_must(name: str, kind: TypeName, tmp_path: Path) -> None:
    """Compared with our network of the rounded weights: what is left is how llama.cpp computes with them."""
    made = left(tmp_path, name, "bpe", kind, model__context_length=256)
    back = imported(tmp_path, made, kind)
    with served(tmp_path / f"given/given-{kind}.gguf", made) as one:
        ids = made.tokenizer.encode(TEXT).tolist()
        apart = differences(one, back, ids, greedy(back, ids, GREEDY, _stop(made)[0]))
    assert max(apart) < ALLOWED[kind]


def differences(one: Served, network: GPT, ids: list[int], written: list[int]) -> list[float]:
    """The largest difference of a log-probability, at some places of a text."""
    with torch.inference_mode():
        ours = network(torch.tensor([ids + written]))[0].log_softmax(dim=-1)
    found = []
    for at in (len(ids) + number for number in LOOKED_AT if len(ids) + number > 0):
        theirs = one.log_probabilities((ids + written)[:at], ours.shape[1])
        if theirs is not None:
            known = ~theirs.isnan()
            assert int(known.sum()) >= ours.shape[1] - 1
            found.append(float((theirs - ours[at - 1])[known].abs().max()))
    assert len(found) > 2
    return found
