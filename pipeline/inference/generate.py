"""Text generation with a key-value cache: one text as a stream, or a batch of texts at once."""

from __future__ import annotations

import codecs
import contextlib
import hashlib
import math
from collections.abc import Callable, Iterator

import torch
from jaxtyping import Float, Int
from threadpoolctl import ThreadpoolController
from torch import Tensor

from pipeline.inference.flat import FlatGPT, covers
from pipeline.inference.trained import TrainedModel
from pipeline.networks.attention import KVCache
from pipeline.networks.transformer import GPT
from pipeline.params.errors import UserError


def stream(
    trained: TrainedModel, prompt: str, *, tokens: int, temperature: float, top_k: int, top_p: float, seed: int
) -> Iterator[str]:
    """The continuation of a prompt, piece by piece, until a document ends or this many tokens are generated.

    A piece is whole characters: one that takes several tokens comes with the last of them. Equal arguments give equal
    text, whatever else is drawn.

    Args:
        prompt: characters that the tokenizer lacks are left out; an empty prompt begins a document.
        temperature: divides the logits; 0 always takes the likeliest token.
        top_k: sample from the k likeliest tokens only; 0 = all.
        top_p: sample from the likeliest tokens that together hold this probability; 0 < top_p <= 1.

    Raises:
        UserError: the model is not a language model, or its training diverged.
    """
    tokenizer = trained.tokenizer
    prompt = prompt.encode(errors="replace").decode()  # what a terminal passes on need not be text
    key = hashlib.blake2b(f"{seed} {temperature} {prompt}".encode(), digest_size=8).digest()
    generator = torch.Generator().manual_seed(int.from_bytes(key, "little") >> 1)  # on the CPU, whatever the device
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    start = [int(token) for token in tokenizer.encode(tokenizer.drop_unknown(prompt))] or [tokenizer.end or 0]
    continuation = _continuation(trained, start, lambda logits: choose(logits, temperature, top_k, top_p, generator))
    for _, token in zip(range(tokens), continuation, strict=False):
        if token == tokenizer.end:
            break
        if piece := decoder.decode(tokenizer.token_bytes(token)):
            yield piece
    if piece := decoder.decode(b"", final=True):
        yield piece


def generate_batch(
    trained: TrainedModel, start: Int[Tensor, "B 1"], *, tokens: int, temperature: float, generator: torch.Generator
) -> Int[Tensor, "B T"] | None:
    """The ids that follow each first token, `tokens` of them, also beyond the end of a document; the first is left out.

    Args:
        start: on the device of the model.
        tokens: at most the context length.
        temperature: above 0.

    Returns:
        None where the model is not a language model, or its logits are not finite.
    """
    model = trained.model
    if not isinstance(model, GPT):
        return None
    cache, unread, ids = model.new_cache(len(start)), start, list[Tensor]()
    with _one_thread():
        for _ in range(tokens):
            logits = _next_logits(trained, model, unread, cache)
            if not bool(logits.isfinite().all()):
                return None
            ids.append(_sample(logits / temperature, generator)[:, None])
            unread = ids[-1].to(trained.runtime.device)
    return torch.cat(ids, dim=1)


def _continuation(trained: TrainedModel, ids: list[int], choice: Callable[[Tensor], int]) -> Iterator[int]:
    """Endless tokens after others, each for the work of one position: the earlier ones are in the cache.

    A full cache cannot drop its first token, because its entries depend on the position of every token and on the tokens
    before it. It is rebuilt from the later half of the context, in one pass, every half a context.
    """
    model = trained.model
    if not isinstance(model, GPT):
        raise UserError(f"models/trained: a {type(model).__name__} does not generate text")
    length = model.knobs.context_length
    context, cache = ids[-length:], model.new_cache(1)
    unread, flat = context, FlatGPT(model) if covers(model, trained.runtime) else None
    with _one_thread_of_numpy():
        while True:
            with _one_thread():
                if flat and len(unread) == 1 and cache.length:
                    logits = torch.from_numpy(flat.logits(unread[0], cache))
                else:
                    logits = _next_logits(trained, model, torch.tensor([unread], device=trained.runtime.device), cache)[0]
                if not math.isfinite(float(logits.sum())):
                    raise UserError(
                        "models/trained: the logits are not finite (training diverged), so no text can be generated"
                    )
                token = choice(logits)
            yield token
            context, unread = [*context[-length + 1 :], token], [token]
            if cache.length == length:
                unread, cache = context[-(length // 2) :], model.new_cache(1)


def _next_logits(trained: TrainedModel, model: GPT, unread: Int[Tensor, "B t"], cache: KVCache) -> Float[Tensor, "B V"]:
    """The logits after the last of some tokens, on the CPU; the tokens are added to the cache."""
    with torch.inference_mode(), trained.runtime.autocast():
        logits: Float[Tensor, "B V"] = model(unread, cache=cache)[:, -1].float().cpu()
        return logits


@contextlib.contextmanager
def _one_thread() -> Iterator[None]:
    """One token of each text is too little work for two threads; they would wait for each other."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _one_thread_of_numpy() -> contextlib.AbstractContextManager[object]:
    """The same for numpy, whose second thread would spin while it waits."""
    return ThreadpoolController().select(internal_api="openblas").limit(limits=1)


def choose(logits: Float[Tensor, " V"], temperature: float, top_k: int, top_p: float, generator: torch.Generator) -> int:
    """Sample a token, or take the likeliest if the temperature is 0.

    Source: Holtzman et al., "The Curious Case of Neural Text Degeneration", 2019 (top-p).
    """
    if temperature == 0:
        return int(logits.argmax())
    logits = (logits - logits.max()) / temperature
    if 0 < top_k < len(logits):
        logits = _only(logits, logits.topk(top_k).indices)
    if top_p < 1:
        probabilities, tokens = logits.softmax(dim=-1).sort(descending=True, stable=True)
        before = probabilities.cumsum(dim=-1) - probabilities
        logits = _only(logits, tokens[before < top_p])
    return int(_sample(logits, generator))


def _only(logits: Float[Tensor, " V"], tokens: Tensor) -> Float[Tensor, " V"]:
    """The logits of some tokens; all others get -inf."""
    return torch.full_like(logits, -math.inf).index_copy_(0, tokens, logits[tokens])


def _sample(logits: Float[Tensor, "*B V"], generator: torch.Generator) -> Int[Tensor, "*B"]:
    """A token for each row, drawn with probability softmax(logits).

    Source: Gumbel, "Statistical Theory of Extreme Values", 1954: the maximum of logits plus Gumbel noise falls on each token
    with its probability.
    """
    exponential = torch.empty_like(logits).exponential_(generator=generator)
    return (logits - exponential.log_()).argmax(dim=-1)
