"""The `rally` command: what is asked by hand, beside DVC's own commands.

Each verb imports its room when it is called, so that help and refusals answer at once.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
import typer.core

from pipeline.lab.project import top_folder
from pipeline.params.entry_point import entry_point
from pipeline.params.errors import UserError, printable
from pipeline.params.load import load
from pipeline.params.names import suggest
from pipeline.params.parse import parse
from pipeline.params.schema import Params

# What people type that is no verb: the command that does it.
NO_VERBS = {
    **dict.fromkeys(("prepare", "tokenize", "train", "evaluate", "probe", "diagnose"), "`dvc repro {}` runs that stage"),
    **dict.fromkeys(("run", "repro", "reproduce", "resume"), "`dvc repro` trains, and goes on where it stopped"),
    **dict.fromkeys(("plot", "plots"), "`dvc repro plot` draws plots/report.html, `dvc plots diff` several experiments"),
    "report": "`dvc repro plot` writes plots/report.html",
    **dict.fromkeys(("compare", "diff"), "`rally show` compares all experiments; two of them `dvc metrics diff ONE OTHER`"),
    **dict.fromkeys(("list", "ls", "exp", "experiments", "table", "status"), "`rally show` lists all experiments"),
    **dict.fromkeys(("study", "studies", "sweep", "grid", "recipe"), "`rally play` lists studies, `rally play NAME` runs one"),
    **dict.fromkeys(("generate", "write", "chat", "prompt", "infer", "predict"), "`rally sample` lets the model write"),
    **dict.fromkeys(("tune", "tune_device", "autotune"), "`rally tune-device` finds what is fastest on this machine"),
    **dict.fromkeys(("queue", "start"), "`dvc queue start` runs what waits in the queue"),
    "apply": "`dvc exp apply NAME` brings an experiment back",
    **dict.fromkeys(("remove", "rm", "delete"), "`dvc exp remove NAME` removes an experiment"),
    **dict.fromkeys(("push", "pull", "share"), "`dvc exp push origin NAME` and `dvc push` share what there is"),
    **dict.fromkeys(("test", "tests"), "`pytest` runs the tests"),
    **dict.fromkeys(("version", "info"), "`rally env` says what is installed"),
    **dict.fromkeys(("install", "init", "update"), "`./run` makes and updates the environment by itself"),
}


class Verbs(typer.core.TyperGroup):
    """Verbs, which answer to a word that is none of them with the command that was likely meant."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:  # typer brings a click of its own, whose types are private
        word, verbs = args[0], tuple(self.list_commands(ctx))
        if word not in verbs and not word.startswith("-"):
            if word == "help":
                typer.echo(ctx.get_help())
                ctx.exit()
            hint = NO_VERBS[word].format(word) if word in NO_VERBS and ctx.parent is None else suggest(word, verbs)
            raise UserError(f"{ctx.command_path} {word}: there is no such command. {hint}")
        return super().resolve_command(ctx, args)


app = typer.Typer(
    cls=Verbs,
    help="What one asks Rally by hand; `dvc` does the rest (dvc repro, dvc exp run -S train.lr=0.01).",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,  # plain help answers in half the time
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

Exports = Literal["auto", "transformers", "onnx"]
PASS_ON = {"allow_extra_args": True, "ignore_unknown_options": True}


@entry_point
def main() -> None:
    """The entry point: a UserError ends with plain lines and exit status 2."""
    app()


def enter_project() -> None:
    """Stand in the top folder of the project, from wherever in it the command was called.

    Raises:
        UserError: this is no folder of a project.
    """
    os.chdir(top_folder(Path.cwd()))


def say(lines: list[str]) -> None:
    """Print what one should know and need not act on, where it is no result."""
    for line in lines:
        print(line, file=sys.stderr)


@app.command()
def setup() -> None:
    """Make the pages of `dvc plots` open offline. ./run does this by itself."""
    enter_project()
    from pipeline.lab.setup import offline_plots as offline

    offline.install(Path.cwd())


@app.command()
def mend() -> None:
    """Put right what a killed git or DVC left behind. ./run does this by itself."""
    enter_project()
    from pipeline.lab.repair.repair import repair

    for line in repair(Path.cwd()):
        print(line)


@app.command()
def sample(
    prompt: Annotated[
        str | None, typer.Option(help="What the text begins with. Without it: ask for one after another.")
    ] = None,
    tokens: Annotated[int, typer.Option(min=1, help="How many tokens to write.")] = 300,
    temperature: Annotated[float, typer.Option(min=0.0, help="0 takes the likeliest token, 1 draws as the model says.")] = 0.8,
    top_k: Annotated[int, typer.Option(min=0, help="Draw among the k likeliest tokens only; 0 = all.")] = 0,
    top_p: Annotated[float, typer.Option(help="Draw among the likeliest tokens that hold this share; 0 < share <= 1.")] = 1.0,
    seed: Annotated[
        int | None, typer.Option(min=0, help="The same seed writes the same text. Without it: another each time.")
    ] = None,
) -> None:
    """Let the trained model write, token by token."""
    enter_project()
    from pipeline.lab.chat import SamplingOptions, converse, write

    draw = SamplingOptions(tokens=tokens, temperature=temperature, top_k=top_k, top_p=top_p, seed=seed)
    if prompt is None:
        converse(draw)
    elif not write(draw, prompt):
        sys.exit(130)  # as a shell has it after Ctrl-C


@app.command()
def look(
    prompt: Annotated[str | None, typer.Option(help="The text to read. Without it: the toy text of params.yaml.")] = None,
    image: Annotated[
        str | None, typer.Option(metavar="N|FILE", help="An image: the number of a held-out one (0, without it), or a file.")
    ] = None,
    ids: Annotated[str | None, typer.Option(metavar="'3 1 4'", help="Token ids in its place; they need no text.")] = None,
    step: Annotated[str, typer.Option(help="A step of which a snapshot was kept, or last.")] = "last",
    untrained: Annotated[bool, typer.Option("--untrained", help="The network of params.yaml as it is drawn.")] = False,
    set_param: Annotated[
        list[str] | None, typer.Option("-S", "--set-param", metavar="KNOB=VALUE", help="Draw it with this knob turned.")
    ] = None,
    vocabulary: Annotated[
        int | None, typer.Option(min=1, help="With --ids: how many different tokens, where no text has been tokenized.")
    ] = None,
    head: Annotated[str | None, typer.Option(metavar="LAYER.HEAD", help="Draw the attention map of this head.")] = None,
    page: Annotated[Path | None, typer.Option(help="Write all of it as one HTML page that needs no network.")] = None,
    show_it: Annotated[
        bool, typer.Option("--open", help="Show the page in a browser (look.html, if --page names none).")
    ] = False,
) -> None:
    """Show everything that happens in one forward pass.

    Every intermediate activation by name, the diagram of the network with its shapes, attention, logit lens, next token; of
    what tells classes the example, the classes, what the answer hangs on, layers and heads.
    """
    called_from = Path.cwd()
    enter_project()
    from pipeline.lab.look.classifier import ClassifierPass
    from pipeline.lab.look.forward_pass import look
    from pipeline.lab.look.request import Request

    if image is not None and not image.isdigit():
        image = os.path.relpath(called_from / image)
    asked = Request(prompt, ids, step, untrained, tuple(set_param or ()), vocabulary, image)
    looked = look(asked)
    from rich.console import Console

    from pipeline.lab.look import classifier_html as look_class_page
    from pipeline.lab.look import classifier_terminal as look_class_text
    from pipeline.lab.look import html as look_page
    from pipeline.lab.look import terminal as look_text

    chosen = look_text.head_named(head, looked.maps)
    if page is None and not show_it:
        console = Console(highlight=False)
        if isinstance(looked, ClassifierPass):
            look_class_text.show(looked, console, chosen)
        else:
            look_text.show(looked, console, chosen)
        return
    target = called_from / (page or Path("look.html"))
    if isinstance(looked, ClassifierPass):
        look_class_page.write(target, looked, chosen)
    else:
        look_page.write(target, looked, chosen)
    print(printable(os.path.relpath(target, called_from)) + ": the forward pass on one page")
    if show_it:
        typer.launch(target.as_uri())


@app.command()
def export(
    folder: Annotated[Path, typer.Argument(help="Where to write it: a new folder, or one written so before.")] = Path(
        "exported"
    ),
    to: Annotated[
        Exports, typer.Option(help="auto is transformers where it has a class that fits, and ONNX where it has none.")
    ] = "auto",
) -> None:
    """Write the trained model for transformers to load, or as ONNX."""
    called_from = Path.cwd()
    enter_project()
    from pipeline.lab.export.export import export

    what = export(target := called_from / folder, to)
    print(printable(f"{os.path.relpath(target, called_from)}: {what}"))


@app.command("import")
def import_(
    folder: Annotated[Path, typer.Argument(help="A copy of models/trained, or a folder of Hugging Face's.")],
) -> None:
    """Print the command that trains on from a model in a folder."""
    target = Path.cwd() / folder
    enter_project()
    from pipeline.lab.dvc.run_dvc import shell_line
    from pipeline.lab.import_command import adopt

    command, notes = adopt(Path(os.path.relpath(target)) if target.is_relative_to(Path.cwd()) else target)
    for note in notes:
        print(printable(note), file=sys.stderr)
    print(shell_line(command))


@app.command()
def env() -> None:
    """Say what is installed and how fast it is, for a bug report."""
    enter_project()
    from pipeline.lab.setup.environment import report

    print(report())


@app.command()
def tune_device(
    forget: Annotated[
        bool, typer.Option("--forget", help="Measure nothing; let `auto` mean again what it means untuned.")
    ] = False,
    compiling: Annotated[
        bool, typer.Option("--compile", help="Measure torch.compile too where it hardly pays, on a CPU: half a minute more.")
    ] = False,
) -> None:
    """Measure how a training is fastest on this machine.

    It tries threads, precisions and attention kernels with steps of the training that params.yaml describes, for less than a
    minute. What it finds is what `auto` means from then on, in every clone of yours on this machine.
    """
    enter_project()
    params = load()
    from pipeline.lab.tuning import tune as tuning

    tuning.forget(params) if forget else tuning.tune(params, compiling=compiling)


@app.command()
def play(
    name: Annotated[str | None, typer.Argument(help="An entry of studies/. Without it: list them all.")] = None,
    set_param: Annotated[
        list[str] | None, typer.Option("-S", "--set-param", metavar="KNOB=VALUE", help="One more knob; repeat it for more.")
    ] = None,
    experiment: Annotated[str | None, typer.Option("-n", "--name", help="What to call the experiment.")] = None,
    queue: Annotated[bool, typer.Option("--queue", help="Put it in DVC's queue; `dvc queue start` runs it.")] = False,
    as_is: Annotated[bool, typer.Option("--as-is", help="Stand on params.yaml as it is, not on the last commit's.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check it and print the command, no more.")] = False,
) -> None:
    """Run a recipe of studies/ as an experiment, or a whole grid.

    An experiment is a `dvc exp run`, which is checked and printed before it runs. A grid is trained in this process, and ends
    with a verdict. Both stand on the knobs of the last commit: what params.yaml has otherwise is named and not used. Without a
    name: list what there is.
    """
    enter_project()
    from pipeline.lab.dvc import run_dvc
    from pipeline.lab.dvc.base_params import base_params
    from pipeline.lab.studies import entries, recipes

    if name is None:
        print(entries.listing(entries.read_entries()))
        return
    if (entry := entries.find_entry(name, entries.read_entries())).sweep:
        if experiment or queue:
            raise UserError(f"{name}: varies knobs, so it is no experiment of DVC's: -n and --queue have no place there")
        base = recipes.apply_entry(base_params(as_is=as_is), entry, set_param or [])
        from pipeline.lab.studies import report as findings

        say(base.notes(recipes.overridden_knobs(entry, set_param or [])))
        findings.run_study(name, entry.sweep, base, dry_run=dry_run)
        return
    base = base_params(as_is=as_is)
    commands = recipes.experiment_commands(name, set_param or [], experiment=experiment, queue=queue, base=base)
    say(base.notes(recipes.overridden_knobs(entry, set_param or [])))
    if dry_run:
        print(*map(run_dvc.shell_line, commands), sep="\n")
        return

    for command in commands:
        guard.check_command(command)
    sys.exit(run_dvc.run_dvc(*commands))


@app.command()
def budget(
    name: Annotated[str | None, typer.Argument(help="An entry of studies/. Without it: params.yaml as it stands.")] = None,
    set_param: Annotated[
        list[str] | None, typer.Option("-S", "--set-param", metavar="KNOB=VALUE", help="A knob to turn; repeat it for more.")
    ] = None,
    for_card: Annotated[
        float | None,
        typer.Option("--card", min=0.5, metavar="GB", help="The card that it is to fit on. Without it: this machine."),
    ] = None,
    vocabulary: Annotated[
        int | None, typer.Option(min=1, help="How many different tokens, where no text has been tokenized yet.")
    ] = None,
    clock: Annotated[bool, typer.Option("--measure/--no-measure", help="Take 20 steps to see how long they take.")] = True,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """Say what a training takes, and on which cards it fits.

    Parameters, FLOPs, memory and time; and if it does not fit, the cheapest changes with which it does.
    """
    enter_project()
    from pipeline.lab.studies.recipes import params_with

    params = params_with(set_param or [], name)
    from pipeline.lab.budget import estimate as budget
    from pipeline.lab.budget import report as budget_page
    from pipeline.lab.stand_ins.data_shape import data_of

    drawn_up = budget.draw_up(params, data_of(params, vocabulary), for_card=for_card, clock=clock)
    budget_page.show(drawn_up, as_json=as_json)


doctor = typer.Typer(cls=Verbs, help="Say whether the run is healthy, and if not why.", rich_markup_mode=None)
app.add_typer(doctor, name="doctor")


@doctor.callback(invoke_without_command=True)
def doctor_(
    context: typer.Context,
    all_signs: Annotated[bool, typer.Option("--all", help="Every sign, the healthy ones too.")] = False,
) -> None:
    """Say whether the run is healthy, and if not why.

    Each finding comes with its evidence, its likeliest causes, and the experiment that would tell, as a command to paste.
    Ends with status 1 where the diagnosis is of other knobs, code or data than are here.
    """
    enter_project()
    if context.invoked_subcommand is None:
        from pipeline.lab.doctor.show import show

        sys.exit(0 if show(all_signs=all_signs) else 1)


@doctor.command()
def trial(
    seeds: Annotated[int, typer.Option(min=1, help="How often every fault is put into a run of every task.")] = 3,
    healthy: Annotated[int, typer.Option(min=0, help="Healthy runs of every task.")] = 10,
    fault: Annotated[
        list[str] | None, typer.Option("--fault", help="Only this fault; repeat it for more. Without it: all of them.")
    ] = None,
    fit: Annotated[bool, typer.Option("--fit", help="Print the ranges that the first half of the tasks speaks for.")] = False,
) -> None:
    """Test the doctor on runs of which one knows what they have; all of them are language models.

    Some 400 trainings of seconds, most of them spoilt on purpose, in less than half an hour of two cores. What was trained is
    kept: a trial that was interrupted goes on, and one that is held again with other thresholds trains nothing.
    """
    enter_project()
    from pipeline.lab.dvc.base_params import base_params

    parse(Params, dict((base := base_params()).sections))
    say(base.notes())
    from pipeline.lab.doctor import benchmark as doctor_trial

    doctor_trial.run_benchmark(base, seeds=seeds, healthy=healthy, only=fault or [], fit=fit)


@app.command()
def sanity(
    set_param: Annotated[
        list[str] | None, typer.Option("-S", "--set-param", metavar="KNOB=VALUE", help="A knob to turn; repeat it for more.")
    ] = None,
    overfit: Annotated[
        bool, typer.Option("--overfit", help="Also let it learn one batch of random labels by heart: seconds more.")
    ] = False,
) -> None:
    """Look whether the network is sound before it is trained.

    Its loss at the start, its mask, its batch, its cache: what every training looks at. Ends with status 1 where it is not.
    """
    enter_project()
    from pipeline.lab.studies.recipes import params_with

    params = params_with(set_param or [])
    from rich.console import Console

    from pipeline.lab.sanity import check as soundness

    console = Console()
    is_sound = soundness.at_start(params, console)
    is_sound &= not overfit or soundness.overfit(params, console)
    sys.exit(0 if is_sound else 1)


@app.command()
def data(name: Annotated[str | None, typer.Argument(help="Describe this one.")] = None) -> None:
    """List the data sets, or describe one."""
    enter_project()
    from pipeline.lab import data_catalogue

    for line in data_catalogue.description(name) if name else data_catalogue.listing():
        print(line)


@app.command(context_settings=PASS_ON)
def check(context: typer.Context) -> None:
    """Check the knobs of params.yaml, with those that -S turns. ./run does this by itself.

    Words that follow may be a whole command of DVC's (dvc exp run -n NAME …, dvc exp apply NAME, dvc queue start): then also
    whether the name is free, git knows all code, and nothing would be lost.
    """
    enter_project()

    guard.check_command(context.args)


@app.command(context_settings=PASS_ON)
def show(context: typer.Context) -> None:
    """Show all experiments in one table, tasks apart.

    Those of this commit; -A shows those of all. No score stands beside knobs that it is not of: there is a dash, and a line
    below says why. It is made of a `dvc exp show`, which is printed; further options are passed on to it.
    """
    enter_project()
    from pipeline.lab.experiments import table as experiments

    sys.exit(experiments.show(context.args))


if __name__ == "__main__":
    main()
