"""The command `rally`: the registration of its commands. Each one's options stand in the `command.py` of its room.

Commands import their rooms when they are called, so that help and error messages answer at once. A new command is a function
with options, a line below, and a line in tests/test_cli.py.
"""

from __future__ import annotations

import typer

from pipeline.lab import budget_command, chat, data_catalogue, import_command, play_command
from pipeline.lab.betting import command as betting
from pipeline.lab.claim_files import command as claim_files
from pipeline.lab.commands import NEGATIVE, PASS_ON, CommandGroup
from pipeline.lab.comparison import command as comparison
from pipeline.lab.doctor import command as doctor
from pipeline.lab.duel import command as duel
from pipeline.lab.experiments import command as experiments
from pipeline.lab.export import command as export
from pipeline.lab.export import upload_command
from pipeline.lab.ladder import command as ladder
from pipeline.lab.look import command as look
from pipeline.lab.plan import command as plan
from pipeline.lab.repair import command as repair
from pipeline.lab.sanity import command as sanity
from pipeline.lab.setup import command as setup
from pipeline.lab.sharing import command as sharing
from pipeline.lab.summary import command as summary
from pipeline.lab.tracking import command as tracking
from pipeline.lab.tuning import command as tuning
from pipeline.params.entry_point import entry_point

app = typer.Typer(
    cls=CommandGroup,
    help="Estimate, compare, inspect, diagnose and share trainings. To train: `dvc repro` trains the model of params.yaml,"
    " `dvc exp run -S train.lr=0.01` a variant of it.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,  # plain help answers in half the time
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@entry_point
def main() -> None:
    """The entry point: a UserError ends with plain lines and exit status 2."""
    app()


PANEL = "Before training"
app.command(rich_help_panel=PANEL)(data_catalogue.data)
app.command(rich_help_panel=PANEL)(budget_command.budget)
app.add_typer(plan.app, name="plan", rich_help_panel=PANEL)
app.command(rich_help_panel=PANEL)(sanity.check_model)
app.command(rich_help_panel=PANEL)(tuning.autotune)

PANEL = "Train and compare"
app.command(rich_help_panel=PANEL)(play_command.play)
app.command(rich_help_panel=PANEL, context_settings=NEGATIVE)(betting.bet)
app.command(rich_help_panel=PANEL, context_settings=PASS_ON)(experiments.show)
app.command(rich_help_panel=PANEL)(comparison.compare)
app.command(rich_help_panel=PANEL)(duel.duel)
app.command(rich_help_panel=PANEL)(ladder.ladder)
app.command("compile", rich_help_panel=PANEL)(summary.compile_)
app.add_typer(claim_files.app, name="claims", rich_help_panel=PANEL)

PANEL = "Look inside"
app.command(rich_help_panel=PANEL)(look.look)
app.command(rich_help_panel=PANEL)(chat.sample)
app.add_typer(doctor.app, name="doctor", rich_help_panel=PANEL)

PANEL = "Share"
app.command(rich_help_panel=PANEL)(sharing.share)
app.command(rich_help_panel=PANEL)(tracking.track)
app.command(rich_help_panel=PANEL)(export.export)
app.command(rich_help_panel=PANEL)(upload_command.upload)
app.command("import", rich_help_panel=PANEL)(import_command.import_)

PANEL = "Set up and repair"
app.command(rich_help_panel=PANEL)(setup.env)
app.command(rich_help_panel=PANEL, context_settings=PASS_ON)(experiments.check_params)
app.command(rich_help_panel=PANEL)(repair.repair)
app.command(hidden=True)(setup.setup)


if __name__ == "__main__":
    main()
