"""`rally compare`: names stand for variants, and what cannot be answered is one line."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace

import pytest
from seeded import variant

from pipeline.lab.comparison import request
from pipeline.lab.experiments.read import WORKSPACE
from pipeline.lab.experiments.records import Experiment
from pipeline.params.errors import UserError

BASE = variant("base", [2.30, 2.31, 2.29])
SLOW = variant("slow", [2.10, 2.11, 2.12], train__lr=0.01)
DEEP = variant("deep", [2.20, 2.21, 2.22], model__depth=6, train__lr=0.01)
WAITS = variant("waits", {}, waits=[1], train__lr=0.3)
HERE = replace(BASE.experiments[0], name=WORKSPACE, commit="", baseline="")
ALL = (HERE, *(one for group in (BASE, SLOW, DEEP, WAITS) for one in group.experiments))


@pytest.fixture(autouse=True)
def known(monkeypatch: pytest.MonkeyPatch) -> None:
    def read(revisions: Sequence[str] = ()) -> list[Experiment]:
        return [one for one in ALL if one.name in (*revisions, "slow")] if revisions else list(ALL)

    monkeypatch.setattr(request, "read_experiments", read)
    monkeypatch.setattr(request, "commit_of", lambda name: SLOW.experiments[0].commit if name == "HEAD~1" else "")


def asked(
    capsys: pytest.CaptureFixture[str], *names: str, metric: str | None = None, one_knob: bool = False
) -> list[list[str]]:
    """[first, second, ruling] of each difference."""
    request.compare_named(names, metric, one_knob=one_knob, as_json=True, open_page=False)
    found = json.loads(capsys.readouterr().out)
    return [[one["first"], one["second"], one["ruling"]] for one in found["differences"]]


def test_without_names_all_variants_that_differ_in_one_knob_and_the_working_tree_is_no_variant_of_its_own(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert asked(capsys) == [["slow", "base", "worse"], ["slow", "deep", "worse"]]


def test_each_name_stands_for_the_variant_with_all_its_seeds(capsys: pytest.CaptureFixture[str]) -> None:
    assert asked(capsys, "base-seed3", "slow") == [["base", "slow", "better"]]
    assert asked(capsys, WORKSPACE, "slow-seed2") == [["base", "slow", "better"]]
    assert asked(capsys, BASE.experiments[1].commit[:12], "slow") == [["base", "slow", "better"]]
    assert asked(capsys, "base", "HEAD~1") == [["base", "slow", "better"]], "as `rally show` takes it"
    assert len(asked(capsys, "base", "slow", "deep")) == 3
    assert len(asked(capsys, "base", "slow", "deep", one_knob=True)) == 2


@pytest.mark.parametrize(
    ("names", "line"),
    [
        (["slwo", "base"], "slwo: there is no such experiment or branch. Did you mean 'slow'?"),
        (["base"], "base: a comparison needs two"),
        (["base", "base"], "base: a comparison needs two"),
        (["base", "base-seed2"], "base and base-seed2: differ in their seeds alone, so they are one variant"),
    ],
)
def test_what_cannot_be_compared_is_one_line(names: list[str], line: str) -> None:
    with pytest.raises(UserError) as refused:
        request.compare_named(names, None, one_knob=False, as_json=False, open_page=False)
    assert str(refused.value).startswith(line)
    assert "\n" not in str(refused.value)


def test_a_variant_that_waits_is_named_with_its_state(capsys: pytest.CaptureFixture[str]) -> None:
    request.compare_named(["base", "waits"], None, one_knob=False, as_json=False, open_page=False)
    out = capsys.readouterr().out
    assert "not comparable: waits has no bits_per_byte: it is queued" in " ".join(out.split())
