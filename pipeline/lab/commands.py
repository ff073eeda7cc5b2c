"""What all commands of `rally` share: the group with its panels, renamed commands, hints for unknown ones, the option -S."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer
import typer.core
import typer.exceptions

from pipeline.params.errors import UserError
from pipeline.params.names import suggest

if TYPE_CHECKING:
    from pipeline.params.schema import Params

RENAMED = {
    "mend": "repair",
    "check": "check-params",
    "sanity": "check-model",
    "tune-device": "autotune",
    "doctor trial": "doctor benchmark",
}
"""Commands that had another name once: the old name -> the new one."""

# Words that people type and that are not commands: the command that does it.
HINTS = {
    **dict.fromkeys(("prepare", "tokenize", "train", "evaluate", "probe", "diagnose"), "`dvc repro {}` runs that stage"),
    **dict.fromkeys(("run", "repro", "reproduce", "resume"), "`dvc repro` trains, and goes on where it stopped"),
    **dict.fromkeys(("plot", "plots"), "`dvc repro plot` draws plots/report.html, `dvc plots diff` several experiments"),
    "report": "`dvc repro plot` writes plots/report.html",
    **dict.fromkeys(("diff", "vs", "versus"), "`rally compare ONE OTHER` says whether they differ, or only their seeds"),
    **dict.fromkeys(("list", "ls", "exp", "experiments", "table", "status"), "`rally show` lists all experiments"),
    **dict.fromkeys(("study", "studies", "sweep", "grid", "recipe"), "`rally play` lists studies, `rally play NAME` runs one"),
    **dict.fromkeys(("generate", "write", "chat", "prompt", "infer", "predict"), "`rally sample` writes text with the model"),
    **dict.fromkeys(("tune", "tune_device"), "`rally autotune` finds the fastest settings of this machine"),
    **dict.fromkeys(("queue", "start"), "`dvc queue start` runs the experiments in the queue"),
    "apply": "`dvc exp apply NAME` restores an experiment",
    **dict.fromkeys(("remove", "rm", "delete"), "`dvc exp remove NAME` removes an experiment"),
    **dict.fromkeys(
        ("push", "publish"), "`rally share` sends experiments and their data, `rally upload` a model to the Hugging Face hub"
    ),
    **dict.fromkeys(("pull", "fetch"), "`dvc pull` takes the data of the commit, `dvc exp pull origin NAME` an experiment"),
    **dict.fromkeys(("test", "tests"), "`pytest` runs the tests"),
    **dict.fromkeys(("version", "info"), "`rally env` lists what is installed"),
    **dict.fromkeys(("install", "init", "update"), "`./run` makes and updates the environment by itself"),
}

PASS_ON = {"allow_extra_args": True, "ignore_unknown_options": True}
"""Context settings of a command that hands its words on to DVC."""

NEGATIVE = {"ignore_unknown_options": True}
"""Context settings of a command whose words may be negative numbers."""

SetParam = Annotated[
    list[str] | None,
    typer.Option("-S", "--set-param", metavar="KNOB=VALUE", help="Override a knob of params.yaml; repeat it for more."),
]

On = Annotated[
    str,
    typer.Option(
        "--on",
        metavar="ENGINE",
        help="Who trains: pool (processes here), submitit, slurm, slurm:PARTITION, ray://HOST:PORT, ray:HOST:PORT.",
    ),
]
Remote = Annotated[
    str, typer.Option("--remote", help="Of --on: the git remote to clone from, for machines that cannot read this folder.")
]


class CommandGroup(typer.core.TyperGroup):
    """Commands by panel; an unknown word is answered with the command that was probably meant.

    Typer draws panels with rich alone, which takes longer to import than all the rest of `rally --help`.
    """

    def format_commands(self, ctx: Any, formatter: Any) -> None:  # typer brings a click of its own, whose types are private
        panels: dict[str, list[tuple[str, Any]]] = {}
        for name, command in self.commands.items():
            if not command.hidden:
                panel = getattr(command, "rich_help_panel", None)
                panels.setdefault(panel if isinstance(panel, str) else "Commands", []).append((name, command))
        width = max(len(name) for commands in panels.values() for name, _ in commands)
        for panel, commands in panels.items():
            rows = [(f"{name:<{width}}", command.get_short_help_str(formatter.width - width - 4)) for name, command in commands]
            with formatter.section(panel):
                formatter.write_dl(rows)

    def make_context(self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any) -> Any:
        if not args:  # the help, whole
            return super().make_context(info_name, args, parent, **extra)
        with refused_in_one_line(lambda: ""):
            return super().make_context(info_name, args, parent, **extra)

    def invoke(self, ctx: Any) -> Any:
        with refused_in_one_line(lambda: f"{_path(ctx)} {ctx.invoked_subcommand or ''}".strip()):
            return super().invoke(ctx)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        word, commands = args[0], tuple(name for name, command in self.commands.items() if not command.hidden)
        if word not in self.commands and not word.startswith("-"):
            if word == "help":
                typer.echo(ctx.get_help())
                ctx.exit()
            path = f"{_path(ctx)} {word}".strip()
            if path in RENAMED:
                raise UserError(f"rally {path} was renamed rally {RENAMED[path]}")
            hint = HINTS[path].format(word) if path in HINTS else suggest(word, commands)
            raise UserError(f"rally {path}: there is no such command. {hint}")
        return super().resolve_command(ctx, args)


@contextlib.contextmanager
def refused_in_one_line(entered: Callable[[], str]) -> Iterator[None]:
    """A block in which words that typer refuses are a UserError, instead of a usage, a hint and a message of its own.

    Args:
        entered: the words behind `rally` that led to the command, where the error does not know it.

    Raises:
        UserError: an option is unknown, a value is wrong or missing, a word is too much.
    """
    try:
        yield
    except typer.exceptions.TyperException as error:
        ctx = getattr(error, "ctx", None)
        command = f"rally {_path(ctx) if ctx else entered()}".strip()
        said = " ".join(error.format_message().split()).rstrip(".").replace("Value error, ", "")
        raise UserError(f"{command}: {said[:1].lower()}{said[1:]}; `{command} -h` says what it takes") from None


def _path(ctx: Any) -> str:
    """The words behind `rally` that lead to a command."""
    return str(ctx.command_path).removeprefix(ctx.find_root().command_path).strip()


def print_notes(lines: Iterable[str]) -> None:
    """Print lines that are not results to stderr."""
    for line in lines:
        print(line, file=sys.stderr)


def params_with(overrides: Sequence[str]) -> Params:
    """The knobs of params.yaml with -S overrides of one experiment.

    Raises:
        UserError: a knob cannot be used, or has several values.
    """
    from pipeline.lab.dvc.overrides import check_overrides, expand_grid
    from pipeline.params.load import load

    if not overrides:
        return load()  # in half of the time: DVC's grammar of -S is not needed
    checked = check_overrides(expand_grid(overrides))
    if len(checked) > 1:
        raise UserError(f"-S: these are {len(checked)} experiments (a knob has several values); one at a time")
    return checked[0]
