"""What does the model write? Text that it goes on with, token by token, and a page of samples from fixed prompts."""

from __future__ import annotations

import codecs
import contextlib
import functools
import hashlib
import math
import re
from collections.abc import Callable, Iterator

import torch
from jaxtyping import Float
from torch import Tensor

from pipeline.inference.trained import Subject
from pipeline.networks.transformer import GPT
from pipeline.params.errors import UserError, printable
from pipeline.params.stages import Evaluate


def stream(
    subject: Subject, prompt: str, *, tokens: int, temperature: float, top_k: int, top_p: float, seed: int
) -> Iterator[str]:
    """What the model writes after a prompt, piece by piece, until a document ends or so many tokens are written.

    A piece is whole characters: one that takes several tokens comes with the last of them. Equal arguments give equal
    text, whatever else is drawn.

    Args:
        prompt: characters that the tokenizer lacks are left out; without any the model begins a document.
        temperature: divides the logits; 0 always takes the likeliest token.
        top_k: draw among the k likeliest tokens only; 0 = all.
        top_p: draw among the likeliest tokens that hold this share of the probability; 0 < share <= 1.

    Raises:
        UserError: the model writes no text, or its training diverged.
    """
    tokenizer = subject.tokenizer
    prompt = prompt.encode(errors="replace").decode()  # what a terminal passes on need not be text
    key = hashlib.blake2b(f"{seed} {temperature} {prompt}".encode(), digest_size=8).digest()
    generator = torch.Generator().manual_seed(int.from_bytes(key, "little") >> 1)  # the CPU's, on every device
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    begin = [int(token) for token in tokenizer.encode(tokenizer.drop_unknown(prompt))] or [tokenizer.end or 0]
    writing = _continued(subject, begin, lambda logits: choose(logits, temperature, top_k, top_p, generator))
    for _, token in zip(range(tokens), writing, strict=False):
        if token == tokenizer.end:
            break
        if piece := decoder.decode(tokenizer.token_bytes(token)):
            yield piece
    if piece := decoder.decode(b"", final=True):
        yield piece


def _continued(subject: Subject, ids: list[int], choice: Callable[[Tensor], int]) -> Iterator[int]:
    """Endless tokens after others, each for one position's work: what came before is in the cache.

    A full cache cannot move on by one token, for what it holds hangs on every token's position and on those that would
    have to be forgotten. It is begun anew with the later half of the context, all at once, every half a context.
    """
    model = subject.model
    if not isinstance(model, GPT):
        raise UserError(f"models/trained: a {type(model).__name__} writes no text")
    length = model.knobs.context_length
    context, cache = ids[-length:], model.new_cache(1)
    unread = context
    while True:
        with torch.inference_mode(), subject.runtime.autocast(), _one_thread():
            logits = model(torch.tensor([unread], device=subject.runtime.device), cache=cache)[0, -1].float().cpu()
            if not math.isfinite(float(logits.sum())):
                raise UserError(
                    "models/trained: what the model says are no numbers (its training diverged), so it writes no text"
                )
            token = choice(logits)
        yield token
        context, unread = [*context[-length + 1 :], token], [token]
        if cache.length == length:
            unread, cache = context[-(length // 2) :], model.new_cache(1)


@contextlib.contextmanager
def _one_thread() -> Iterator[None]:
    """One token is too little work for two threads; they would wait for each other."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def choose(logits: Float[Tensor, " V"], temperature: float, top_k: int, top_p: float, generator: torch.Generator) -> int:
    """Draw a token, or take the likeliest if the temperature is 0.

    Source: Holtzman et al., "The Curious Case of Neural Text Degeneration", 2019 (top-p); Gumbel, "Statistical Theory of
    Extreme Values", 1954: the maximum of logits plus Gumbel noise falls on each token with its probability.
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
    waiting = torch.empty_like(logits).exponential_(generator=generator)
    return int((logits - waiting.log_()).argmax())


def _only(logits: Float[Tensor, " V"], tokens: Tensor) -> Float[Tensor, " V"]:
    return torch.full_like(logits, -math.inf).index_copy_(0, tokens, logits[tokens])


# --------------------------------------------------------------------------------------------------- a page of samples


def page(subject: Subject, evaluate: Evaluate, seed: int) -> str:
    """samples.md: what the model writes after each prompt at each temperature."""
    tokens, top_k, top_p = evaluate.sample_tokens, evaluate.top_k, evaluate.top_p
    write = functools.partial(stream, subject, tokens=tokens, top_k=top_k, top_p=top_p, seed=seed)
    parts = [f"# Samples\n\nWritten by the model after step {subject.step:,}, with seed {seed}; each begins with its prompt.\n"]
    for prompt in evaluate.prompts:
        parts.append(f"## {inline(prompt)}\n")
        if (begin := subject.tokenizer.drop_unknown(prompt)) != prompt:
            read = inline(begin) if begin else "none of it"
            parts.append(f"The tokenizer lacks characters of this prompt; the model read {read}.\n")
        for temperature in evaluate.temperatures:
            parts.append(f"### Temperature {temperature:g}\n")
            try:
                parts.append(fenced(begin + "".join(write(prompt, temperature=temperature))) + "\n")
            except UserError as refusal:
                parts.append(f"{refusal}\n")
    return "\n".join(parts)


def fenced(text: str) -> str:
    """Text as a block of code that nothing in it can end, with characters that would not show made visible."""
    fence = "`" * max(3, _longest_run(text) + 1)
    return f"{fence}text\n{printable(text)}\n{fence}"


def inline(text: str) -> str:
    """Text as code within a line."""
    ticks = "`" * (_longest_run(text) + 1)
    pad = " " if text.startswith("`") or text.endswith("`") else ""
    return f"{ticks}{pad}{printable(text).replace(chr(10), '⏎').replace(chr(9), ' ')}{pad}{ticks}"


def _longest_run(text: str) -> int:
    return max(map(len, re.findall("`+", text)), default=0)
