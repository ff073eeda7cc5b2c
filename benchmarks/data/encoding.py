"""Tokenization speed and memory, and whether the exported tokenizer gives the same ids.

    python -m benchmarks.data.encoding --text FILE [--megabytes 10 100 1000] [--vocabulary 8192] [--workers 0]

The text is repeated up to the requested sizes. In every copy a share of its words is replaced by new ones, because a
tokenizer that caches words would otherwise be too fast. Byte pairs (BPE) are learned once, from the smallest size; only
encoding is timed. Memory is that of all processes together (each page counted once), sampled twenty times per second.
"""

from __future__ import annotations

import argparse
import itertools
import re
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np

from benchmarks.bench import Peak, machine, table
from pipeline.arrays import memory_mapped
from pipeline.artifacts.paths import SPLITS, ends_of, text_of, tokenizer_of, tokens_of
from pipeline.corpus.encode.encode import encode_split, learn
from pipeline.progress import follower

NEW_WORDS = 0.002  # share of the words of each copy that no other copy has: what English adds between 10 and 20 MB of a text
COMPARED = 10_000_000  # bytes that the library encodes too: it takes a hundred times the memory of its text


def copies(text: str) -> Iterator[bytes]:
    """The text again and again, each time with some new words."""
    words = re.split(r"(\w+)", text)
    places = np.arange(1, len(words), 2)
    letters = np.array(list("etaoinshrdlu"))
    for copy in itertools.count():
        rng = np.random.default_rng(copy)
        changed = words.copy()
        for place in rng.choice(places, round(NEW_WORDS * len(places)), replace=False):
            changed[place] = "".join(rng.choice(letters, 9))
        yield "".join(changed).encode()


def write_copies(path: Path, text: str, size: int) -> None:
    """Write a text of `size` bytes, a part of a character less at most: the text again and again, each time with new words."""
    with path.open("wb") as file:
        for copy in copies(text):
            left = size - file.tell()
            file.write(copy[:left].decode(errors="ignore").encode())
            if len(copy) >= left:
                break


def leave(folder: Path, text: str, size: int) -> None:
    """A folder as prepare leaves it: `size` bytes as the only document of the training split, next to nothing in the others."""
    folder.mkdir(parents=True)
    write_copies(text_of(folder, "train"), text, size)
    for split in SPLITS[1:]:
        text_of(folder, split).write_text("nearly nothing")
    for split in SPLITS:
        np.save(ends_of(folder, split), np.array([text_of(folder, split).stat().st_size]))


def same_as_the_library(raw: Path, tokens: Path) -> str:
    """Whether Hugging Face's tokenizers gives the same ids for the first megabytes with the exported file."""
    import tokenizers

    library = tokenizers.Tokenizer.from_file(str(tokenizer_of(tokens)))
    with text_of(raw, "train").open("rb") as file:
        text = file.read(COMPARED).decode(errors="ignore")
    text = text[: text.rindex("\n\n")]
    ids = np.array([token for part in re.split(r"(?<=\n\n)(?=\w)", text) for token in library.encode(part).ids])
    ours = memory_mapped(tokens_of(tokens, "train"))[: len(ids)]
    return "yes" if np.array_equal(ids, ours) else "NO"


def encoded(raw: Path, tokens: Path, workers: int) -> tuple[int, float, float]:
    """(tokens, seconds, megabytes at the peak) of encoding the training split."""
    start = time.perf_counter()
    with Peak(own=True) as peak:
        saved, target = tokenizer_of(tokens), tokens_of(tokens, "train")
        count, _ = encode_split(raw, "train", saved, target, workers, follower("none"))
    return count, time.perf_counter() - start, peak.apart


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--text", type=Path, required=True, help="a text of some megabytes")
    parser.add_argument("--megabytes", type=int, nargs="+", default=[10, 100, 1000])
    parser.add_argument("--vocabulary", type=int, default=8192)
    parser.add_argument("--workers", type=int, default=0, help="0 = as many as there are cores")
    asked = parser.parse_args()
    text, follow = asked.text.read_text(encoding="utf-8"), follower("none")
    rows: list[tuple[object, ...]] = []
    with tempfile.TemporaryDirectory() as place:
        tokens = Path(place, "tokens")
        tokens.mkdir()
        for megabytes in asked.megabytes:
            raw = Path(place, f"raw-{megabytes}")
            leave(raw, text, megabytes * 10**6)
            if not rows:
                learn(raw, "bpe", asked.vocabulary, asked.workers, follow)[0].save(tokenizer_of(tokens))
            with ProcessPoolExecutor(1, get_context("spawn")) as fresh:  # what this process held before is no matter there
                count, seconds, held = fresh.submit(encoded, raw, tokens, asked.workers).result()
            same = same_as_the_library(raw, tokens)
            speed = f"{megabytes / seconds:.1f}"
            rows.append((f"{megabytes:,} MB", f"{count:,}", seconds, speed, f"{held:.0f}", same))
            print(rows[-1], flush=True)
            text_of(raw, "train").unlink()
    header = ("text", "tokens", "seconds", "MB/s", "memory of all processes, MB", "same ids as the exported tokenizer")
    print(f"\n{machine()}; {asked.workers or 'all'} processes; a vocabulary of {asked.vocabulary:,}\n\n{table(header, rows)}")


if __name__ == "__main__":
    main()
