"""Time, memory and exactness of the head and the cross-entropy with their gradients: ours, in chunks, and PyTorch's two.

    python -m benchmarks.loss [--rounds 9] [--threads 1] [--device cpu]

2,048 targets (16 windows of 128 tokens), width 128, bfloat16 as in training. Times are the least of some rounds in turn.
Memory is the peak of a process that does nothing else, above that of the head alone. The error is that of the head's gradient,
relative to the same bfloat16 numbers in float64.
"""

from __future__ import annotations

import argparse
import multiprocessing
import re
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F  # noqa: N812 (its customary name)
from torch import Tensor

from benchmarks.bench import machine, table
from pipeline.tasks.base import Loss
from pipeline.tasks.cross_entropy import cross_entropy, wide
from pipeline.tasks.objective import in_chunks

TARGETS, WIDTH, CHUNK = 2048, 128, 256
SIZES = (1024, 2048, 16384)


class Head:
    """Features, a head and targets; `gradient` of a loss is that of the head's weights."""

    def __init__(self, vocabulary: int, device: str) -> None:
        generator = torch.Generator().manual_seed(0)
        self.features = torch.randn(TARGETS, WIDTH, generator=generator).to(device, torch.bfloat16).requires_grad_()
        self.weight = torch.nn.Parameter((0.3 * torch.randn(vocabulary, WIDTH, generator=generator)).to(device))
        self.targets = torch.randint(0, vocabulary, (TARGETS,), generator=generator).to(device)
        self.holder = torch.nn.ParameterList([self.weight])

    def gradient(self, way: Callable[[Head], Tensor]) -> Tensor:
        of_weight, _ = torch.autograd.grad(way(self) / TARGETS, (self.weight, self.features))
        return of_weight

    def logits(self, features: Tensor) -> Tensor:
        return F.linear(features, self.weight.bfloat16())

    def exact(self) -> Tensor:
        weight = self.weight.bfloat16().double().detach().requires_grad_()
        logits = F.linear(self.features.double().detach(), weight)
        return torch.autograd.grad(F.cross_entropy(logits, self.targets), weight)[0]


def _chunks(head: Head) -> Tensor:
    def part(features: Tensor, rows: slice) -> Loss:
        total = F.cross_entropy(wide(head.logits(features)), head.targets[rows], reduction="sum")
        return Loss(total, torch.tensor(len(features)), None, None)

    return in_chunks(part, head.features, CHUNK, head.holder).minimized


def _linear(head: Head) -> Tensor:
    options = torch.nn.LinearCrossEntropyOptions(batch_chunk_size=CHUNK)
    return F.linear_cross_entropy(head.features, head.weight.bfloat16(), head.targets, reduction="sum", options=options)


WAYS: dict[str, Callable[[Head], Tensor]] = {
    "the head alone": lambda head: head.logits(head.features).float().sum(),
    "`F.cross_entropy`": lambda head: F.cross_entropy(wide(head.logits(head.features)), head.targets, reduction="sum"),
    "ours (tasks/cross_entropy.py)": lambda head: cross_entropy(head.logits(head.features), head.targets),
    "ours in chunks of 256 (`runtime.loss_chunk_size`)": _chunks,
    "`F.linear_cross_entropy`, chunks of 256": _linear,
}


def peak(way: str, vocabulary: int, threads: int, device: str) -> float:
    """Peak memory in MB of a process of its own."""
    torch.set_num_threads(threads)
    head = Head(vocabulary, device)
    head.gradient(WAYS[way])
    if device != "cpu":
        return torch.cuda.max_memory_allocated() / 1e6
    status = Path("/proc/self/status")
    if not status.exists():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024) / 1e6
    # On Linux ru_maxrss of a process starts with the peak of the one that started it.
    return int(re.findall(r"VmHWM:\s*(\d+)", status.read_text())[0]) * 1024 / 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    clock = time.process_time if asked.device == "cpu" and asked.threads == 1 else time.perf_counter  # others' work is no part
    print(f"{machine()}\n{asked.threads} threads\n")
    for vocabulary in SIZES:
        head = Head(vocabulary, asked.device)
        least = dict.fromkeys(WAYS, float("inf"))
        for _ in range(asked.rounds):
            for name, way in WAYS.items():
                start = clock()
                head.gradient(way)
                if asked.device != "cpu":
                    torch.cuda.synchronize()
                least[name] = min(least[name], 1000 * (clock() - start))
        exact, alone = head.exact(), least["the head alone"]
        with multiprocessing.get_context("spawn").Pool(1, maxtasksperchild=1) as pool:
            peaks = {name: pool.apply(peak, (name, vocabulary, asked.threads, asked.device)) for name in WAYS}
        rows: list[tuple[object, ...]] = []
        for name, way in WAYS.items():
            off = float((head.gradient(way).double() - exact).norm() / exact.norm())
            own = least[name] - alone
            cells = (
                ("–", "–", "–") if own == 0 else (f"{own:.1f}", f"{peaks[name] - peaks['the head alone']:.0f}", f"{off:.1e}")
            )
            rows.append((name, f"{least[name]:.1f}", *cells))
        columns = (f"vocabulary {vocabulary:,}", "head and loss, ms", "loss, ms", "memory, MB", "error of the gradient")
        print(f"{table(columns, rows)}\n")


if __name__ == "__main__":
    main()
