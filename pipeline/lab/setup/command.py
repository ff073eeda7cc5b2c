"""`rally env` and `rally setup`."""

from __future__ import annotations

from pathlib import Path

from pipeline.lab.commands import print_notes
from pipeline.lab.project import enter_project


def env() -> None:
    """Show versions and the speed of this machine, for bug reports."""
    enter_project()
    from pipeline.lab.setup.environment import report

    print(report())


def setup() -> None:
    """Make the pages of `dvc plots` work offline. ./run does this by itself."""
    enter_project()
    from pipeline.lab.dvc.remotes import unverified
    from pipeline.lab.setup import offline_plots

    offline_plots.install(Path.cwd())
    print_notes(unverified(Path.cwd()))
