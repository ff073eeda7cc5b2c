"""`rally sample`: text from the trained model in the terminal, token by token, for one prompt or in a conversation."""

from __future__ import annotations

import contextlib
import itertools
import math
import secrets
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pipeline.artifacts.paths import private_folder
from pipeline.lab.project import enter_project
from pipeline.params.errors import UserError, encodable, printable

if TYPE_CHECKING:
    from pipeline.inference.trained import TrainedModel


@dataclass(frozen=True)
class SamplingOptions:
    """How tokens are sampled from the model's probabilities.

    Attributes:
        top_k: sample among the k most probable tokens; 0 for all.
        top_p: sample among the most probable tokens that hold this share of the probability.
        seed: None for another one for each text.

    Raises:
        UserError: with one line for each number that cannot be used.
    """

    tokens: int
    temperature: float
    top_k: int
    top_p: float
    seed: int | None

    def __post_init__(self) -> None:
        problems = []
        if not math.isfinite(self.temperature):
            problems.append(f"--temperature: {self.temperature} is not finite")
        if not 0 < self.top_p <= 1:
            problems.append(f"--top-p: {self.top_p} is not a share above 0 and up to 1")
        if problems:
            raise UserError(*problems)

    def drawn(self) -> dict[str, Any]:
        """What the functions that draw take; without a seed, another one each time."""
        return asdict(self) | {"seed": secrets.randbits(32) if self.seed is None else self.seed}


def sample(
    prompt: Annotated[
        str | None, typer.Option(help="The beginning of the text. Without it: ask for one prompt after another.")
    ] = None,
    tokens: Annotated[int, typer.Option(min=1, help="How many tokens to write.")] = 300,
    temperature: Annotated[float, typer.Option(min=0.0, help="0 takes the most probable token.")] = 0.8,
    top_k: Annotated[int, typer.Option(min=0, help="Sample among the k most probable tokens; 0 = all.")] = 0,
    top_p: Annotated[
        float, typer.Option(help="Sample among the most probable tokens that hold this share; 0 < share <= 1.")
    ] = 1.0,
    seed: Annotated[
        int | None, typer.Option(min=0, help="The same seed gives the same text. Default: another text each time.")
    ] = None,
    count: Annotated[
        int, typer.Option(min=1, help="How many texts to write at once; the second with seed + 1, and so on.")
    ] = 1,
) -> None:
    """Write text with the trained model, one or many at once."""
    enter_project()
    options = SamplingOptions(tokens=tokens, temperature=temperature, top_k=top_k, top_p=top_p, seed=seed)
    if count > 1:
        write_many(options, prompt or "", count)
    elif prompt is None:
        converse(options)
    elif not write(options, prompt):
        sys.exit(130)  # as a shell has it after Ctrl-C


def write(options: SamplingOptions, prompt: str, subject: TrainedModel | None = None) -> bool:
    """Print the prompt and its continuation as it is sampled.

    Args:
        subject: the model; None for the trained one.

    Returns:
        Whether the text was written to its end, without Ctrl-C.
    """
    from pipeline.lab.trained_model import open_language_model

    subject = subject or open_language_model()
    from pipeline.inference.generate import stream

    begin, pieces = _beginning(subject, prompt), stream(subject, prompt, **options.drawn())
    try:
        for piece in itertools.chain([begin], pieces):
            print(printable(piece), end="", flush=True)
    except KeyboardInterrupt:
        return False
    finally:
        print(flush=True)
    return True


def write_many(options: SamplingOptions, prompt: str, count: int) -> None:
    """Print many continuations of a prompt, each below a line with its seed."""
    from rich.console import Console
    from rich.progress import Progress

    from pipeline.inference.generate import texts
    from pipeline.lab.trained_model import open_language_model

    subject, drawn = open_language_model(), options.drawn()
    begin = _beginning(subject, prompt)
    with Progress(console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty()) as bar:
        task = bar.add_task("tokens of each text", total=options.tokens)
        written = texts(subject, prompt, count=count, advance=lambda: bar.advance(task), **drawn)
    for number, text in enumerate(written):
        print(f"--- seed {drawn['seed'] + number}\n{printable(begin + text)}")


def _beginning(subject: TrainedModel, prompt: str) -> str:
    """What the model reads of a prompt; it is said where it lacks some of it."""
    prompt = encodable(prompt)
    if (begin := subject.tokenizer.drop_unknown(prompt)) != prompt:
        print(f"The tokenizer lacks characters of this prompt; the model reads {begin!r}.", file=sys.stderr)
    return begin


def converse(options: SamplingOptions) -> None:
    """Ask for prompts and write; an empty prompt or Ctrl-D ends the program, Ctrl-C only the text that is being written."""
    from pipeline.lab.trained_model import open_language_model

    subject = open_language_model()
    if sys.stdin.isatty():
        print("Type the beginning of a text. Ctrl-C stops the text; Ctrl-D or an empty line ends the program.")
    with _history():
        while prompt := _ask():
            try:
                write(options, prompt, subject)
            except UserError as error:
                print(*map(printable, error.problems), sep="\n", file=sys.stderr)


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
