"""`rally compare` and its options."""

from __future__ import annotations

from typing import Annotated

import typer

from pipeline.lab.project import enter_project


def compare(
    names: Annotated[
        list[str] | None,
        typer.Argument(help="Experiments or branches; each stands for its variant with all seeds. None: all of this commit."),
    ] = None,
    metric: Annotated[str | None, typer.Option(help="The score that decides. Default: bits_per_byte or accuracy.")] = None,
    one_knob: Annotated[bool, typer.Option("--one-knob", help="Only pairs that differ in a single knob.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")] = False,
    open_page: Annotated[bool, typer.Option("--open", help="Write results/compare.html, and open it.")] = False,
) -> None:
    """Say whether variants differ, or only their seeds.

    Experiments that differ in their seed alone are one variant. Each difference comes with an interval, the probability that it
    is an improvement, and the seeds that would tell if it is undecided. What cannot be compared is said, and why.
    """
    enter_project()
    from pipeline.lab.comparison.request import compare_named

    compare_named(names or [], metric, one_knob=one_knob, as_json=as_json, open_page=open_page)
