"""The terminal side of sampling: text that appears token by token, and a conversation by prompts."""

from __future__ import annotations

import contextlib
import itertools
import math
import secrets
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.artifacts.paths import MODEL, SAMPLES, private_folder
from pipeline.artifacts.reading import read_json
from pipeline.lab.provenance.answers import of_trained
from pipeline.params.errors import UserError, printable
from pipeline.params.load import load

if TYPE_CHECKING:
    from pipeline.inference.trained import Subject


@dataclass(frozen=True)
class SamplingOptions:
    """How to draw tokens from what the model says.

    Raises:
        UserError: with one line for each number that cannot be used.
    """

    tokens: int
    temperature: float
    top_k: int
    top_p: float
    seed: int | None  # None: another one for each text

    def __post_init__(self) -> None:
        problems = []
        if not math.isfinite(self.temperature):
            problems.append(f"--temperature: {self.temperature} is not finite")
        if not 0 < self.top_p <= 1:
            problems.append(f"--top-p: {self.top_p} is not a share above 0 and up to 1")
        if problems:
            raise UserError(*problems)


def open_trained() -> Subject:
    """The model that train left, on the device of params.yaml.

    Raises:
        UserError: there is no model, or it is damaged.
    """
    weights = MODEL.with_suffix(".safetensors")
    if not weights.exists():
        raise UserError(f"{weights}: there is no trained model here; `dvc repro` trains one, `dvc pull` fetches a shared one")
    knobs = load().runtime
    from pipeline.engine.runtime.runtime import Runtime
    from pipeline.inference.trained import open_model

    return open_model(MODEL.parent, Runtime(knobs))


def stranger() -> str:
    """A line where the model that train left is of other knobs, code or data than are here; "" where it is of these."""
    origin = of_trained(load())
    return "" if origin else f"{MODEL.parent}: this model is of another run: {origin.says}; `dvc repro` trains that of this one"


def open_writer() -> Subject:
    """The model that train left, where it writes text; said on stderr where it is not of what is here.

    Raises:
        UserError: there is none, it is damaged, or it tells classes.
    """
    subject = open_trained()
    if line := stranger():
        print(line, file=sys.stderr)
    from pipeline.networks.transformer import GPT

    if not isinstance(subject.model, GPT):
        kind = read_json(MODEL.with_suffix(".json"), "task")["task"]
        raise UserError(
            f"task.kind: a model of kind {kind} tells classes and writes no text; its worst mistakes stand in {SAMPLES}"
        )
    return subject


def write(draw: SamplingOptions, prompt: str, subject: Subject | None = None) -> bool:
    """Print the prompt and what the model goes on with, as it comes; whether it was left to its end (no Ctrl-C)."""
    subject = subject or open_writer()
    from pipeline.evaluation.samples import stream

    prompt = prompt.encode(errors="replace").decode()  # what a terminal passes on need not be text
    if (begin := subject.tokenizer.drop_unknown(prompt)) != prompt:
        print(f"The tokenizer lacks characters of this prompt; the model reads {begin!r}.", file=sys.stderr)
    seed = secrets.randbits(32) if draw.seed is None else draw.seed
    pieces = stream(
        subject, prompt, tokens=draw.tokens, temperature=draw.temperature, top_k=draw.top_k, top_p=draw.top_p, seed=seed
    )
    try:
        for piece in itertools.chain([begin], pieces):
            print(printable(piece), end="", flush=True)
    except KeyboardInterrupt:
        return False
    finally:
        print(flush=True)
    return True


def converse(draw: SamplingOptions) -> None:
    """Ask for a prompt and write, again and again; an empty one or Ctrl-D ends it, Ctrl-C only what is being written."""
    subject = open_writer()
    if sys.stdin.isatty():
        print("What shall the text begin with? Ctrl-C stops a text, Ctrl-D or an empty line the program.")
    with _history():
        while prompt := _ask():
            try:
                write(draw, prompt, subject)
            except UserError as refusal:
                print(*map(printable, refusal.problems), sep="\n", file=sys.stderr)


def _ask() -> str:
    while True:
        try:
            return input("\n> " if sys.stdin.isatty() else "")
        except EOFError:
            return ""
        except KeyboardInterrupt:
            print()


@contextlib.contextmanager
def _history() -> Iterator[None]:
    """The prompts of earlier conversations under the arrow keys, where Python has readline."""
    try:
        import readline
    except ImportError:
        yield
        return
    file = private_folder("sample") / "history"
    with contextlib.suppress(OSError):
        readline.read_history_file(file)
    readline.set_history_length(1000)
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            file.parent.mkdir(parents=True, exist_ok=True)
            readline.write_history_file(file)
