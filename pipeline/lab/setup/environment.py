"""Versions, machine and speed as lines to paste into a bug report, without names of folders, hosts or users."""

from __future__ import annotations

import os
import platform
import subprocess
import time
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING

from pipeline.params.errors import UserError
from pipeline.params.load import load
from pipeline.params.machine import cores

if TYPE_CHECKING:
    import torch

    from pipeline.engine.runtime.runtime import Runtime

PACKAGES = ("torch", "dvc", "numpy", "pydantic", "PyYAML", "tokenizers", "safetensors", "matplotlib", "rich", "typer")
SIDES = {"cpu": 1024}  # of the square matrices; elsewhere 4096, which hides the launch of a kernel
SECONDS = 0.6  # per precision


def report() -> str:
    """Markdown lines: versions, the machine, and GFLOP/s of matrix products in each precision."""
    lines = {
        "rally": f"{_installed('rally')}, {_commit()}",
        "python": f"{platform.python_version()} ({platform.python_implementation()})",
        "system": f"{platform.system()} {platform.release()}, {platform.machine()}",
        "packages": ", ".join(f"{name} {_installed(name)}" for name in PACKAGES),
        "processor": f"{_processor()}, {cores()} of {os.cpu_count()} cores usable, {_memory_gib():.1f} GiB of memory",
        **_torch_lines(),
    }
    return "\n".join(f"- {name}: {text}" for name, text in lines.items())


def _installed(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "(not installed)"


def _commit() -> str:
    try:
        commit = _output("git", "rev-parse", "--short=10", "HEAD")
        return f"commit {commit}" + (", with changes" if _output("git", "status", "--porcelain") else "")
    except (OSError, subprocess.CalledProcessError):
        return "no git commit"


def _output(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def _processor() -> str:
    try:
        from pipeline.engine.runtime.tuned import processor_name
    except (ImportError, OSError):  # torch cannot be imported, which _torch_lines reports
        return platform.processor() or platform.machine()
    return processor_name()


def _memory_gib() -> float:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30


def _torch_lines() -> dict[str, str]:
    try:
        import torch
    except (ImportError, OSError) as error:  # perhaps the reason for the bug report
        return {"torch": f"cannot be imported: {error}"}
    from pipeline.engine.runtime.runtime import PRECISIONS, Runtime

    try:
        params = load()
        runtime = Runtime(params.runtime, params.train.precision)
    except UserError as refusal:
        return {"params.yaml": "; ".join(refusal.problems)}
    device = runtime.device
    name = f" ({torch.cuda.get_device_name(device)}, CUDA {torch.version.cuda})" if device.type == "cuda" else ""
    measured = [precision for precision in PRECISIONS if (precision, device.type) != ("float16", "cpu")]  # CPUs emulate it
    speeds = (f"{precision} {_gigaflops(device, PRECISIONS[precision])}" for precision in measured)
    return {
        "a run takes": f"{runtime}{name}; {_tuned(runtime)}",
        "matrix products, GFLOP/s": ", ".join(speeds),
    }


def _tuned(runtime: Runtime) -> str:
    if runtime.tuned is None:
        return "not tuned (`rally autotune` measures what is fastest)"
    return f"tuned on {runtime.tuned.measured_on}"


def _gigaflops(device: torch.device, dtype: torch.dtype) -> str:
    """Measured for SECONDS after a warm-up; the best of ten parts, because the machine may be busy."""
    import torch

    try:
        side = SIDES.get(device.type, 4096)
        left, right = (torch.ones(side, side, device=device, dtype=dtype) for _ in range(2))
        (left @ right)[0, 0].item()  # waits for the device
    except RuntimeError:
        return "(not supported)"
    best, end = 0.0, time.perf_counter() + SECONDS
    while (start := time.perf_counter()) < end:
        products = 0
        while (elapsed := time.perf_counter() - start) < SECONDS / 10:
            (left @ right)[0, 0].item()
            products += 1
        best = max(best, products / elapsed)
    return f"{best * 2 * side**3 / 1e9:,.0f}"
