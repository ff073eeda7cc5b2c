"""Text generation speed: with Rally's KV cache, with Hugging Face's, and without any.

    python -m benchmarks.sampling [--tokens 1024] [--rounds 5] [--against FOLDER]

The network is nanogpt-cpu's, with a context that holds the whole text and random weights: its output does not affect the
speed. `no cache` is nanoGPT's own method, a full forward pass over all text so far for every token. `transformers` is its
GPT-2 with its cache and the same weights, loaded from the folder that `rally export` would write. Each uses one thread, which
is the fastest for one token at a time; they take turns, decode greedily, and must all generate the same text. Last, 64 texts at
once (`rally sample --count 64`), with all threads; `--against` compares them with one text by the code of another commit, of
which FOLDER is a checkout.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import torch

from benchmarks.bench import ANCHOR, TOP, machine, table
from pipeline.engine.runtime.runtime import Runtime
from pipeline.inference.generate import stream, texts
from pipeline.inference.trained import TrainedModel
from pipeline.lab.export.transformers_text import stock_architecture, write
from pipeline.params.load import read_sections, with_knobs
from pipeline.params.machine import cores
from pipeline.params.parse import parse
from pipeline.params.schema import Params
from pipeline.tasks.base import Shape
from pipeline.tasks.lm import LanguageModelling
from pipeline.tokenizers.byte import ByteTokenizer

PROMPT = "ROMEO:"
OURS = "KV cache of Rally"
MANY = 64  # texts at once
ANOTHER = """
import sys, time, torch
from benchmarks.sampling import with_our_cache, writer
tokens = int(sys.argv[1])
subject = writer(tokens)
torch.set_num_threads(1)
with_our_cache(subject, 8)
start, used = time.perf_counter(), time.process_time()
with_our_cache(subject, tokens)
print(time.perf_counter() - start, time.process_time() - used)
"""


def writer(tokens: int) -> TrainedModel:
    """The network to write with, over bytes."""
    knobs = ANCHOR | {"model.context_length": tokens + len(PROMPT), "runtime.threads": 1, "runtime.device": "cpu"}
    params = parse(Params, with_knobs(read_sections(TOP / "params.yaml"), knobs))
    task, tokenizer = LanguageModelling(Path(), params.model, Shape(256)), ByteTokenizer(has_end=False)
    model = task.build(torch.Generator().manual_seed(1))
    with torch.no_grad():
        for weight in model.parameters():  # far from what it began with, so that a token has one likeliest successor
            weight.add_(torch.randn(weight.shape, generator=torch.Generator().manual_seed(2)), alpha=0.1)
    return TrainedModel(model, task, tokenizer, Runtime(params.runtime), step=0)


def with_our_cache(subject: TrainedModel, tokens: int) -> bytes:
    written = stream(subject, PROMPT, tokens=tokens, temperature=0, top_k=0, top_p=1.0, seed=1)
    return "".join(written).encode()


def uncached(subject: TrainedModel, tokens: int) -> bytes:
    ids = torch.tensor([list(PROMPT.encode())])
    with torch.inference_mode():
        for _ in range(tokens):
            ids = torch.cat((ids, subject.model(ids)[:, -1:].argmax(dim=-1)), dim=1)
    return bytes(ids[0, len(PROMPT) :].tolist()).decode(errors="replace").encode()


def of_transformers(subject: TrainedModel) -> Callable[[TrainedModel, int], bytes]:
    from transformers import AutoModelForCausalLM

    assert isinstance(subject.task, LanguageModelling)
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder), subject, *stock_architecture(subject.task.model))
        theirs: Any = AutoModelForCausalLM.from_pretrained(folder)  # from_pretrained has put it into its evaluation mode

    def generate(_: TrainedModel, tokens: int) -> bytes:
        ids = torch.tensor([list(PROMPT.encode())])
        with torch.inference_mode():
            written = theirs.generate(ids, max_new_tokens=tokens, min_new_tokens=tokens, do_sample=False, pad_token_id=0)
        return bytes(written[0, len(PROMPT) :].tolist()).decode(errors="replace").encode()

    return generate


class Taken(NamedTuple):
    """Seconds of a text or many, and seconds of all processors, which other work on the machine changes less."""

    wall: float
    cpu: float


def many_at_once(subject: TrainedModel, tokens: int) -> Taken:
    """MANY texts with all threads."""
    torch.set_num_threads(cores())
    start, used = time.perf_counter(), time.process_time()
    texts(subject, PROMPT, count=MANY, tokens=tokens, temperature=1.0, top_k=0, top_p=1.0, seed=1)
    torch.set_num_threads(1)
    return Taken(time.perf_counter() - start, time.process_time() - used)


def of_another_commit(folder: Path, tokens: int) -> Taken:
    """One text by the code in a folder."""
    ran = subprocess.run([sys.executable, "-c", ANOTHER, str(tokens)], cwd=folder, check=True, capture_output=True, text=True)
    return Taken(*map(float, ran.stdout.split()))


def compared(many: list[Taken], others: list[Taken]) -> str:
    """How many times the tokens of one text by another commit many at once make: the median round."""
    wall, cpu = (statistics.median(MANY * b[at] / a[at] for a, b in zip(many, others, strict=True)) for at in (0, 1))
    return f"{MANY} at once make {wall:.1f} times the tokens of one by that commit, {cpu:.1f} times for each second of a CPU"


def row(name: str, found: list[float], subject: float) -> tuple[object, ...]:
    """A row of the table: its speeds, and how many times as fast the subject of the table is."""
    middle = statistics.median(found)
    return name, f"{middle:,.0f}", f"{min(found):,.0f} … {max(found):,.0f}", f"{subject / middle:.2g}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tokens", type=int, default=1024)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--against", type=Path)
    asked = parser.parse_args()
    subject = writer(asked.tokens)
    torch.set_num_threads(1)
    ways = {OURS: with_our_cache, "KV cache of transformers": of_transformers(subject), "no cache": uncached}
    speeds: dict[str, list[float]] = {name: [] for name in ways}
    written: dict[str, bytes] = {}
    many, others = list[Taken](), list[Taken]()
    for way in ways.values():
        way(subject, 8)
    for _ in range(asked.rounds):
        for name, way in ways.items():
            start = time.perf_counter()
            written[name] = way(subject, asked.tokens)
            speeds[name].append(asked.tokens / (time.perf_counter() - start))
        many.append(many_at_once(subject, asked.tokens))
        if asked.against:
            others.append(of_another_commit(asked.against, asked.tokens))
    assert len(set(written.values())) == 1, "they generated different texts"
    ours = statistics.median(speeds[OURS])
    rows = [row(name, found, ours) for name, found in speeds.items()]
    rows.append(row(f"{MANY} texts at once, {cores()} threads", [MANY * asked.tokens / each.wall for each in many], ours))
    print(f"{machine()}; one thread; {asked.tokens:,} tokens, {asked.rounds} rounds; all generated the same text\n")
    print(table(("method", "tokens/s, median", "range", "speed-up of Rally's KV cache"), rows))
    if others:
        print(f"\n{compared(many, others)}")


if __name__ == "__main__":
    main()
