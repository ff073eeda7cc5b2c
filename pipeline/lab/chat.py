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
from pipeline.lab.provenance.check import other_run
from pipeline.params.errors import UserError, printable
from pipeline.params.load import load

if TYPE_CHECKING:
    from pipeline.inference.trained import TrainedModel


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


def open_writer() -> TrainedModel:
    """The model in models/trained, if it is a language model; a warning on stderr where it is of another run.

    Raises:
        UserError: there is none, it is damaged, or it is a classifier.
    """
    params = load()
    from pipeline.inference.trained import open_trained

    trained = open_trained(params.runtime)
    if line := other_run(params):
        print(line, file=sys.stderr)
    if not trained.is_language_model:
        kind = read_json(MODEL.with_suffix(".json"), "task")["task"]
        raise UserError(
            f"task.kind: a model of kind {kind} classifies and generates no text; its worst mistakes are in {SAMPLES}"
        )
    return trained


def write(draw: SamplingOptions, prompt: str, subject: TrainedModel | None = None) -> bool:
    """Print the prompt and what the model goes on with, as it comes; whether it was left to its end (no Ctrl-C)."""
    subject = subject or open_writer()
    from pipeline.inference.generate import stream

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
