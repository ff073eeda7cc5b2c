"""-S: what DVC would make of it is what is checked, and what it would refuse or misread is one line."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from dvc.utils.hydra import apply_overrides

from pipeline.lab.dvc.overrides import check_overrides, expand_grid, params_overrides, with_overrides
from pipeline.params.errors import UserError
from pipeline.params.load import read_sections
from pipeline.params.parse import parse
from pipeline.params.schema import Params
from pipeline.params.yaml12 import read_yaml

PARAMS = Path(__file__).parents[1] / "params.yaml"
BASE = read_sections(PARAMS)


@pytest.mark.parametrize(
    "overrides",
    [
        ["train.lr=3e-4"],
        ["train.lr=1e-05", "train.lr=0.5"],
        ["model={depth: 2, width: 64}"],
        ["train.snapshots.1=0.005"],
        ["train.snapshots=[0,0.5,1]"],
        ["++train.lr=0.5"],
        ['evaluate.prompts=[\'a, b: "c"\',"it\'s"]'],
        ["probe.toy_text=a b"],
        ["probe.toy_text='on'", "model.causal=true"],
        ["train.steps=int(7.9)"],
        ["runtime.compile=auto"],
    ],
)
def test_knobs_are_turned_as_dvc_turns_them_in_params_yaml(overrides: list[str], tmp_path: Path) -> None:
    shutil.copy(PARAMS, tmp_path)
    apply_overrides(tmp_path / "params.yaml", overrides)
    assert with_overrides(BASE, overrides) == read_yaml(tmp_path / "params.yaml")
    assert check_overrides([overrides], BASE) == [parse(Params, read_yaml(tmp_path / "params.yaml"))]


@pytest.mark.parametrize(
    ("override", "line"),
    [
        ("lr=3e-4", "lr: there is no such knob. Did you mean 'train.lr'?"),
        ("+lr=3e-4", "lr: there is no such knob. Did you mean 'train.lr'?"),
        ("model={depth: 2, lr: 1}", "model.lr: there is no such knob. Did you mean 'train.lr'?"),
        ("seed.x=1", "seed.x: there is no such knob; seed is not a section"),
        ("train.snapshots.9=1", "train.snapshots.9: there is no such place; train.snapshots has 9 entries, numbered from 0"),
        ("train.snapshots.x=1", "train.snapshots.x: there is no such place; train.snapshots has 9 entries, numbered from 0"),
        ("~train.lr", "train.lr: is missing; params.yaml must contain every knob"),
        ("train=5", "train: 5 is not a section of knobs"),
        ("train.lr=", "train.lr: '' is not a number"),
        ("+train.lr=1", "-S +train.lr=1: Could not append to config. An item is already at 'train.lr'."),
        (
            "train.snapshots=[range(0,1,0.5)]",
            "-S train.snapshots=[range(0,1,0.5)]: only a whole knob can have several values",
        ),
        ("model.depth=glob(*)", "-S model.depth=glob(*): Glob override 'model.depth=glob(*)' is not supported."),
        (
            "probe.toy_text=a${seed}",
            "probe.toy_text: 'a${seed}': DVC's -S replaces ${…} and refuses ???; use other text",
        ),
        (
            "evaluate.prompts=['???']",
            "evaluate.prompts.0: '???': DVC's -S replaces ${…} and refuses ???; use other text",
        ),
    ],
)
def test_what_cannot_be_turned_is_one_line(override: str, line: str) -> None:
    with pytest.raises(UserError) as caught:
        check_overrides(expand_grid([override]), BASE)
    assert caught.value.problems == (line,)


@pytest.mark.parametrize("override", ["train.lr", "", "train[lr]=1", "train.lr=[1", "train.lr={a", "train.=1", "a b=1"])
def test_what_dvc_cannot_read_is_one_line_that_shows_it(override: str) -> None:
    with pytest.raises(UserError) as caught:
        check_overrides(expand_grid([override]), BASE)
    [line] = caught.value.problems
    assert line.startswith(f"-S {override}: DVC cannot read this; KNOB=VALUE, such as train.lr=0.01: ")
    assert "\n" not in line


@pytest.mark.parametrize("override", [f"seed={'9' * 5000}", f"seed={'9' * 5000},1"])
def test_a_number_of_thousands_of_digits_is_one_short_line(override: str) -> None:
    with pytest.raises(UserError) as caught:
        check_overrides(expand_grid([override]), BASE)
    [line] = caught.value.problems
    assert line.startswith("-S seed=999") and "5000 digits" in line and len(line) < 300


def test_every_value_of_a_knob_is_an_experiment() -> None:
    assert expand_grid(["seed=1,2", "train.lr=choice(0.1,0.2)"]) == [
        [f"seed={seed}", f"train.lr={lr}"] for seed in (1, 2) for lr in (0.1, 0.2)
    ]
    assert expand_grid(["train.lr=3e-4"]) == [["train.lr=3e-4"]]
    assert expand_grid([]) == [[]]


def test_a_knob_of_another_file_is_none_of_ours() -> None:
    asked = ["seed=1", "params.yaml:train.lr=1", "other.yaml:lr=1", "probe.toy_text='a:b=c'"]
    assert params_overrides(asked) == ["seed=1", "train.lr=1", "probe.toy_text='a:b=c'"]
