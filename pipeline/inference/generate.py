"""Text generation with a key-value cache: one text as a stream, or a batch of texts at once."""

from __future__ import annotations

import codecs
import hashlib
import itertools
import math
from collections.abc import Callable, Iterator, Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor

from pipeline.inference.flat import FlatGPT, covers
from pipeline.inference.threads import Workers, one_thread_of_numpy, threads_for, threads_of_torch
from pipeline.inference.trained import TrainedModel
from pipeline.networks.attention import KVCache
from pipeline.networks.transformer import GPT
from pipeline.params.errors import UserError, encodable

MANY = 16  # texts of a thread: fewer do not pay for it


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
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    drawn = _draws(trained, prompt, [seed], temperature, top_k, top_p)
    for token in map(int, itertools.islice(drawn, tokens)):
        if token == trained.tokenizer.end:
            break
        if piece := decoder.decode(trained.tokenizer.token_bytes(token)):
            yield piece
    if piece := decoder.decode(b"", final=True):
        yield piece


def texts(
    trained: TrainedModel,
    prompt: str,
    *,
    count: int,
    tokens: int,
    temperature: float,
    top_k: int,
    top_p: float,
    seed: int,
    advance: Callable[[], None] = lambda: None,
) -> list[str]:
    """Many continuations at once: those that `stream` gives with `seed`, `seed + 1` and so on, up to rounding.

    A pass for one token of each text takes little longer than one for a single text.

    Args:
        advance: called after each token of the first texts, at most `tokens` times.

    Raises:
        UserError: the model is not a language model, or its training diverged.
    """
    parts = min(threads_for(trained.runtime.device), max(1, count // MANY))
    groups = [range(seed + count * part // parts, seed + count * (part + 1) // parts) for part in range(parts)]

    def write(seeds: range) -> list[str]:
        drawn = _draws(trained, prompt, seeds, temperature, top_k, top_p)
        return _until_the_end(trained, itertools.islice(drawn, tokens), advance if seeds == groups[0] else lambda: None)

    with Workers(trained.runtime.device) as workers:
        return list(itertools.chain.from_iterable(workers.each(write, groups)))


def _until_the_end(trained: TrainedModel, drawn: Iterator[Int[Tensor, " B"]], advance: Callable[[], None]) -> list[str]:
    """The texts of some tokens, up to where a document ends."""
    end, written, ended = trained.tokenizer.end, list[list[int]](), torch.tensor(False)
    for tokens in drawn:
        written.append(tokens.tolist())
        ended = ended | (tokens == (-1 if end is None else end))
        advance()
        if ended.all():
            break
    rows = zip(*written, strict=True)
    return [trained.tokenizer.decode(itertools.takewhile(lambda token: token != end, row)) for row in rows]


def _draws(
    trained: TrainedModel, prompt: str, seeds: Sequence[int], temperature: float, top_k: int, top_p: float
) -> Iterator[Int[Tensor, " B"]]:
    """The tokens that follow a prompt, endlessly: a text for each seed, whatever the other seeds are."""
    tokenizer = trained.tokenizer
    prompt = encodable(prompt)
    start = [int(token) for token in tokenizer.encode(tokenizer.drop_unknown(prompt))] or [tokenizer.end or 0]
    keys = [hashlib.blake2b(f"{seed} {temperature} {prompt}".encode(), digest_size=8).digest() for seed in seeds]
    # On the CPU, whatever the device.
    generators = [torch.Generator().manual_seed(int.from_bytes(key, "little") >> 1) for key in keys]
    ids = torch.tensor([start] * len(seeds))
    return _continuations(trained, ids, lambda logits: choose(logits, temperature, top_k, top_p, generators))


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
    cache, unread, ids, next_logits = model.new_cache(len(start)), start, list[Tensor](), _passes(trained, model)
    with threads_of_torch(1), one_thread_of_numpy():  # one token of each text is too little work for two
        for _ in range(tokens):
            logits = next_logits(unread, cache)
            if not bool(logits.isfinite().all()):
                return None
            logits = logits / temperature
            unread = _drawn(logits, torch.empty_like(logits).exponential_(generator=generator))[:, None]
            ids.append(unread)
    return torch.cat(ids, dim=1)


def _continuations(
    trained: TrainedModel, ids: Int[Tensor, "B T"], choice: Callable[[Float[Tensor, "B V"]], Int[Tensor, " B"]]
) -> Iterator[Int[Tensor, " B"]]:
    """Endless tokens after those of each text, each for the work of one position: the earlier ones are in the cache.

    A full cache cannot drop its first token, because its entries depend on the position of every token and on the tokens
    before it. It is rebuilt from the later half of the context, in one pass, every half a context.

    Raises:
        UserError: the model is not a language model, or its training diverged.
    """
    model = trained.model
    if not isinstance(model, GPT):
        raise UserError(f"models/trained: a {type(model).__name__} does not generate text")
    length, next_logits = model.knobs.context_length, _passes(trained, model)
    unread, cache, read = ids[:, -length:], model.new_cache(len(ids)), list[Int[Tensor, "B t"]]()
    with one_thread_of_numpy():
        while True:
            with threads_of_torch(1):
                logits = next_logits(unread, cache)
                if not math.isfinite(float(logits.sum())):
                    raise UserError(
                        "models/trained: the logits are not finite (training diverged), so no text can be generated"
                    )
                tokens = choice(logits)
            yield tokens
            read.append(unread)
            unread = tokens[:, None]
            if cache.length == length:
                unread = torch.cat((*read, unread), dim=1)[:, -(length // 2) :]
                read, cache = [], model.new_cache(len(ids))


def _passes(trained: TrainedModel, model: GPT) -> Callable[[Int[Tensor, "B t"], KVCache], Float[Tensor, "B V"]]:
    """What computes the logits after the last of some tokens, on the CPU, and adds the tokens to the cache."""
    flat = FlatGPT(model) if covers(model, trained.runtime) else None

    def next_logits(unread: Int[Tensor, "B t"], cache: KVCache) -> Float[Tensor, "B V"]:
        if flat and unread.shape[1] == 1 and cache.length:
            return torch.from_numpy(flat.logits(unread[:, 0].numpy(), cache))
        with torch.inference_mode(), trained.runtime.autocast():
            logits: Float[Tensor, "B V"] = model(unread.to(trained.runtime.device), cache=cache)[:, -1].float().cpu()
            return logits

    return next_logits


def choose(
    logits: Float[Tensor, "B V"], temperature: float, top_k: int, top_p: float, generators: Sequence[torch.Generator]
) -> Int[Tensor, " B"]:
    """Sample a token for each row with its own generator, or take the likeliest if the temperature is 0.

    Source: Holtzman et al., "The Curious Case of Neural Text Degeneration", 2019 (top-p).
    """
    if temperature == 0:
        return logits.argmax(dim=-1)
    likely = _likely(logits, temperature, top_k, top_p)
    exponential = torch.empty_like(likely)
    for row, generator in zip(exponential, generators, strict=True):
        row.exponential_(generator=generator)
    return _drawn(likely, exponential)


def _likely(logits: Float[Tensor, "*B V"], temperature: float, top_k: int, top_p: float) -> Float[Tensor, "*B V"]:
    """The logits from which a token is drawn: divided by the temperature, and -inf for tokens that are left out."""
    logits = (logits - logits.amax(dim=-1, keepdim=True)) / temperature
    if 0 < top_k < logits.shape[-1]:
        logits = _only(logits, logits.topk(top_k).indices)
    if top_p < 1:
        probabilities, tokens = logits.softmax(dim=-1).sort(descending=True, stable=True)
        left_out = probabilities.cumsum(dim=-1) - probabilities >= top_p
        logits = logits.scatter(-1, tokens, logits.gather(-1, tokens).masked_fill(left_out, -math.inf))
    return logits


def _only(logits: Float[Tensor, "*B V"], tokens: Int[Tensor, "*B k"]) -> Float[Tensor, "*B V"]:
    """The logits of some tokens; all others get -inf."""
    return torch.full_like(logits, -math.inf).scatter(-1, tokens, logits.gather(-1, tokens))


def _drawn(logits: Float[Tensor, "B V"], exponential: Float[Tensor, "B V"]) -> Int[Tensor, " B"]:
    """A token for each row, with probability softmax(logits), from a draw of the exponential distribution for each logit.

    Source: Gumbel, "Statistical Theory of Extreme Values", 1954: the maximum of logits plus Gumbel noise falls on each token
    with its probability.
    """
    return (logits - exponential.log_()).argmax(dim=-1)
