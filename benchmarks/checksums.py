"""The cost of checksums, over the files of the run in this folder and over a large text.

    python -m benchmarks.checksums [--size 2000000000] [--run-seconds 206]

For each stage: the bytes of the files whose checksums it writes when it ends, and of those that it compares with their
checksums when it reads them, every file once (weights apart, which have a checksum of their own). `--run-seconds` is the time
of `dvc repro` for all stages here. A text of `--size` bytes is written to the folder for temporary files and read in pieces.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.bench import machine, table
from pipeline.artifacts.checksums import seal, seal_folder, verified
from pipeline.artifacts.paths import READ_OUTS
from pipeline.params.entry_point import entry_point
from pipeline.params.yaml12 import read_yaml


@entry_point
def main() -> None:
    """Time the checksums alone; the files are in the system's cache, as they are right after a stage has written them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=2_000_000_000)
    parser.add_argument("--run-seconds", type=float, default=206.0)
    asked = parser.parse_args()
    rows: list[tuple[object, ...]] = []
    total = 0.0
    for stage, content in read_yaml(Path("dvc.yaml"))["stages"].items():
        outs = [out for out in map(Path, content["deps"]) if _left(out)]
        read = [file for out in outs for file in _files(out) if file.suffix not in (".safetensors", ".sha256")]
        written = [file for out in READ_OUTS.get(stage, ()) for file in _files(out)]
        reading = _fastest(lambda: [verified(file) for file in read])  # noqa: B023 (called at once)
        writing = _fastest(lambda: seal(stage)) if written else 0.0  # noqa: B023
        total += reading + writing
        rows.append((stage, _megabytes(written), f"{1000 * writing:.1f}", _megabytes(read), f"{1000 * reading:.1f}"))
    print(machine(), "", table(("stage", "writes, MB", "ms", "reads, MB", "ms"), rows), "", sep="\n")
    print(f"in total {total:.3f} s: {total / asked.run_seconds:.2%} of a run of {asked.run_seconds:g} s")
    with tempfile.TemporaryDirectory() as folder:
        text = Path(folder, "text")
        with text.open("wb") as file:
            for _ in range(0, asked.size, 1 << 20):
                file.write(b"a" * (1 << 20))
        seal_folder(Path(folder))
        took = _fastest(lambda: verified(text), 2)
        print(f"a text of {text.stat().st_size:,} bytes: {took:.2f} s, {text.stat().st_size / took / 1e9:.2f} GB per second")


def _left(out: Path) -> bool:
    return any(out in outs for outs in READ_OUTS.values())


def _files(out: Path) -> list[Path]:
    return [out] if out.is_file() else [file for file in out.rglob("*") if file.is_file()]


def _megabytes(files: list[Path]) -> str:
    return f"{sum(file.stat().st_size for file in files) / 1e6:.2f}"


def _fastest(work: Callable[[], object], times: int = 5) -> float:
    """CPU seconds: the same on a busy machine."""
    took = []
    for _ in range(times):
        start = time.process_time()
        work()
        took.append(time.process_time() - start)
    return min(took)


if __name__ == "__main__":
    main()
