"""The readers of every file that one stage leaves and another reads, put to damaged files by the thousand in one process.

`trials` runs in a child of the server, in a lab in which all stages have run.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import pickle
import random
import signal
import traceback
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from campaign.damages import damaged, rot
from pipeline import arrays
from pipeline.artifacts import paths
from pipeline.artifacts.paths import CARD, RAW, SANITY, TOKENS, images_of, labels_of, meta_of, parts_of, tokens_of
from pipeline.artifacts.reading import read_json
from pipeline.params.errors import UserError

SECONDS = 5.0  # of the CPU, of one reading; honest ones take milliseconds


class TooLong(BaseException):
    """A reading did not end."""


class Reader(NamedTuple):
    """Who reads a file.

    Attributes:
        kind: of task in whose lab it lies.
        file: its path there; of a pattern the first.
        read: what comes of it, to be compared; numbers, bytes or whatever pickle holds.
    """

    kind: str
    file: str
    read: Callable[[], Any]


def _texts(split: str) -> Any:
    from pipeline.corpus.encode.encode import evenly_spread
    from pipeline.corpus.store.text import document_chunks

    return list(document_chunks(paths.RAW, split, 1 << 14)), list(evenly_spread(paths.RAW, split))


def _baseline_texts() -> Any:
    from pipeline.evaluation.baselines import xz_scores
    from pipeline.evaluation.contamination import overlaps

    return xz_scores(paths.RAW, ("validation",)), overlaps(paths.TOKENS, ("validation", "test"))


def _array(path: Path) -> Any:
    return arrays.memory_mapped(path).tobytes(), str(arrays.memory_mapped(path).dtype)


def _tokenizer() -> Any:
    from pipeline.tokenizers import table

    found = table.load(paths.tokenizer_of(paths.TOKENS))
    return found.kind, found.vocabulary, [found.token_bytes(token) for token in range(found.vocabulary)]


def _model() -> Any:
    from pipeline.engine.runtime.runtime import Runtime
    from pipeline.inference.trained import open_model
    from pipeline.params.load import load

    subject = open_model(paths.MODEL.parent, Runtime(load().runtime))
    return {name: weight.detach().numpy().tobytes() for name, weight in subject.model.named_parameters()}, subject.step


def _snapshots() -> Any:
    from pipeline.engine.runtime.runtime import Runtime
    from pipeline.inference.trained import open_snapshots
    from pipeline.params.load import load

    found = open_snapshots(paths.MODEL.parent, Runtime(load().runtime), sequences=1, toy_text="ab")
    return [
        ({name: weight.detach().numpy().tobytes() for name, weight in one.model.named_parameters()}, one.step, one.updates)
        for one in found
    ]


def _run() -> Any:
    from pipeline.figures.run import read_run

    return repr(read_run())


def _download() -> Any:
    from pipeline.corpus.sources.published import download
    from pipeline.progress import follower

    wanted = hashlib.sha256(DOWNLOADED).hexdigest()
    place = paths.cache_folder() / "downloads" / wanted
    if not place.exists():  # the reader before this one found it damaged, and removed it
        place.write_bytes(Path("downloaded").read_bytes())
    return download.download_file("http://127.0.0.1:9/nobody", wanted, follower("none"), pause=0).read_bytes()


DOWNLOADED = bytes(range(256)) * 40

READERS: dict[str, Reader] = {
    "data/raw/*.txt": Reader("language", "data/raw/train.txt", lambda: _texts("train")),
    "data/raw/*.txt, of baselines": Reader("language", "data/raw/validation.txt", _baseline_texts),
    "data/raw/*.ends.npy": Reader("classify", "data/raw/train.ends.npy", lambda: _texts("train")),
    "data/raw/*.labels.npy": Reader("classify", "data/raw/train.labels.npy", lambda: _array(labels_of(RAW, "train"))),
    "data/raw/*.images.npy": Reader("vision", "data/raw/test.images.npy", lambda: _array(images_of(RAW, "test"))),
    "data/raw/card.json": Reader("classify", "data/raw/card.json", lambda: read_json(CARD, "sources")),
    "data/tokens/*.npy": Reader("language", "data/tokens/train.npy", lambda: _array(tokens_of(TOKENS, "train"))),
    "data/tokens/*.labels.npy": Reader("classify", "data/tokens/train.labels.npy", lambda: _array(labels_of(TOKENS, "train"))),
    "data/tokens/*.images.npy": Reader("vision", "data/tokens/test.images.npy", lambda: _array(images_of(TOKENS, "test"))),
    "data/tokens/train.parts.npy": Reader("language", "data/tokens/train.parts.npy", lambda: _array(parts_of(TOKENS))),
    "data/tokens/tokenizer.json": Reader("language", "data/tokens/tokenizer.json", _tokenizer),
    "data/tokens/meta.json": Reader("language", "data/tokens/meta.json", lambda: read_json(meta_of(TOKENS), "vocabulary")),
    "models/trained/model.safetensors": Reader("language", "models/trained/model.safetensors", _model),
    "models/trained/model.json": Reader("language", "models/trained/model.json", _model),
    "models/trained/snapshots/*.safetensors": Reader(
        "language", "models/trained/snapshots/step-000000000.safetensors", _snapshots
    ),
    "models/trained/snapshots/snapshots.json": Reader("language", "models/trained/snapshots/snapshots.json", _snapshots),
    "metrics/train.csv": Reader("language", "metrics/train.csv", _run),
    "metrics/validation.csv": Reader("language", "metrics/validation.csv", _run),
    "metrics/train.json": Reader("language", "metrics/train.json", _run),
    "metrics/sanity.json": Reader("language", "metrics/sanity.json", lambda: read_json(SANITY)),
    "metrics/evaluate.json": Reader("vision", "metrics/evaluate.json", _run),
    "metrics/samples.md": Reader("language", "metrics/samples.md", _run),
    "metrics/mistakes.json": Reader("vision", "metrics/mistakes.json", _run),
    "metrics/readings/*.json": Reader("language", "metrics/readings/*.json", _run),
    "metrics/doctor.json": Reader("language", "metrics/doctor.json", _run),
    "data/raw/checksums.sha256": Reader("language", "data/raw/checksums.sha256", lambda: _texts("train")),
    "data/tokens/checksums.sha256": Reader("language", "data/tokens/checksums.sha256", _tokenizer),
    "models/trained/checksums.sha256": Reader("language", "models/trained/checksums.sha256", _model),
    "metrics/train.sha256": Reader("language", "metrics/train.sha256", _run),
    "metrics/evaluate.sha256": Reader("language", "metrics/evaluate.sha256", _run),
    "downloads": Reader("language", f"cache/downloads/{hashlib.sha256(DOWNLOADED).hexdigest()}", _download),
}


def _digest(result: Any) -> str:
    return hashlib.sha256(pickle.dumps(result)).hexdigest()


def _ended(read: Callable[[], Any], undamaged: str) -> tuple[str, str]:
    """(how a reading ends, what was seen)."""

    def too_long(*_: object) -> None:
        raise TooLong

    signal.signal(signal.SIGVTALRM, too_long)
    signal.setitimer(signal.ITIMER_VIRTUAL, SECONDS)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            found = _digest(read())
    except UserError as refusal:
        return ("refused in words", "") if str(refusal).strip() else ("unclear", "a refusal without words")
    except (TooLong, MemoryError) as error:
        return "hung", type(error).__name__
    except Exception:
        return "tracebacks", traceback.format_exc(limit=-2)
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
    return ("right", "") if found == undamaged else ("silent", "another result, without a word")


def trials(name: str, first: str, last: str) -> None:
    """Print, as JSON, how the trials of these numbers ended: counts, and some that were not well."""
    reader = READERS[name]
    path = next(Path().glob(reader.file))
    content, ended, faults = path.read_bytes(), Counter[str](), list[str]()
    undamaged = _digest(reader.read())
    for number in range(int(first), int(last)):
        changed, what = damaged(content, random.Random(f"{name} {number}"))
        if path.exists():
            rot(path, changed)
        else:
            path.write_bytes(changed)
        end, seen = _ended(reader.read, undamaged)
        ended[end] += 1
        if end not in ("right", "refused in words") and len(faults) < 5:
            faults.append(f"{path}, trial {number} ({what}): {end}: {seen}")
    print(json.dumps({"ended": ended, "faults": faults}))
