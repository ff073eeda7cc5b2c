"""Knobs of earlier versions: each old name and value is one line that says the new one, wherever a knob is read."""

from __future__ import annotations

import copy
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from small import knobs

from pipeline.lab.dvc.base_params import base_params
from pipeline.lab.dvc.overrides import check_overrides, expand_grid, hydra_text
from pipeline.lab.experiments.command_check import check_command
from pipeline.lab.studies.entries import read_entries
from pipeline.lab.studies.recipes import experiment_commands
from pipeline.params.errors import UserError
from pipeline.params.load import load, read_sections, with_knobs
from pipeline.params.model import Model
from pipeline.params.renamed import RENAMED, RENAMED_VALUES, with_new_names
from pipeline.params.schema import Params
from pipeline.params.suggestions import knob_names
from pipeline.params.training import Train
from pipeline.tasks.model_description import read_description

TOP = Path(__file__).parents[1]
BASE = read_sections(TOP / "params.yaml")
NAMES = knob_names(Params)
OLD_VALUES = [(knob, old, new) for knob, values in RENAMED_VALUES.items() for old, new in values.items()]
ENTRY = dict.fromkeys(("says", "costs", "reaches", "source", "predicts", "control"), "a")
TEXTS = {"notice": "a", "next": "rally play"}  # of a grid alone
GRID = {"seeds": [1, 2], "measure": "train_loss", "check": [{"optimum_moves_at_most": {"factor": 2}}]}


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with params.yaml and no studies."""
    shutil.copy(TOP / "params.yaml", tmp_path)
    (tmp_path / "studies").mkdir()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def base_value(knob: str) -> Any:
    section, _, name = knob.partition(".")
    return BASE[section][name]


def by_params_yaml(knob: str, value: Any) -> None:
    """An old params.yaml: the knob stands under its old name alone, which may be the new one."""
    sections = copy.deepcopy(BASE)
    section, _, name = RENAMED.get(knob, knob).partition(".")
    del sections[section][name]
    Path("params.yaml").write_text(yaml.safe_dump(with_knobs(sections, {knob: value})))
    load()


def by_check(knob: str, value: Any) -> None:
    check_command(["-S", f"{knob}={json.dumps(value)}"])


def by_override(knob: str, value: Any) -> None:
    check_overrides(expand_grid([f"{knob}={json.dumps(value)}"]))


def by_section(knob: str, value: Any) -> None:
    section, _, name = knob.partition(".")
    check_overrides(expand_grid([f"{section}={{{name}: {hydra_text(value)}}}"]))


def by_study(knob: str, value: Any) -> None:
    Path("studies/own.yaml").write_text(yaml.safe_dump({"own": {**ENTRY, "set": {knob: value}}}))
    experiment_commands("own", base=base_params())


def by_axis(knob: str, value: Any) -> None:
    grid = {**GRID, "vary": {"arm": {"one": {knob: value}, "other": {}}, "train.lr": [0.01, 0.1]}}
    Path("studies/own.yaml").write_text(yaml.safe_dump({"own": {**ENTRY, **TEXTS, "set": {}, **grid}}))
    sweep = read_entries()["own"].sweep
    assert sweep
    sweep.variants(BASE)


WAYS: list[Callable[[str, Any], None]] = [by_params_yaml, by_check, by_override, by_section, by_study, by_axis]


@pytest.mark.parametrize("way", WAYS)
def test_an_old_name_is_one_line_that_says_the_new_one(way: Callable[[str, Any], None], project: Path) -> None:
    for old, new in RENAMED.items():
        with pytest.raises(UserError) as caught:
            way(old, base_value(new))
        assert caught.value.problems == (f"{old} was renamed {new}",)
        shutil.copy(TOP / "params.yaml", project)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(("knob", "old", "new"), OLD_VALUES)
def test_an_old_value_is_one_line_that_says_the_new_one(
    knob: str, old: str, new: str, way: Callable[[str, Any], None], project: Path
) -> None:
    with pytest.raises(UserError) as caught:
        way(knob, old)
    assert caught.value.problems == (f"{knob}: '{old}' was renamed '{new}'",)


def test_several_at_once_are_all_named_and_other_problems_with_them(project: Path) -> None:
    sections = read_sections(Path("params.yaml"))
    for knob in ("sampling", "grad_clip"):
        del sections["train"][knob]
    sections["train"] |= {"draw": "replacement", "clip": 1.0, "loss": "squares", "lr": -1.0, "lrate": 1}
    Path("params.yaml").write_text(yaml.safe_dump(sections))
    with pytest.raises(UserError) as caught:
        load()
    *renamed, low, unknown = caught.value.problems
    assert sorted(renamed) == [
        "train.clip was renamed train.grad_clip",
        "train.draw was renamed train.sampling",
        "train.loss: 'squares' was renamed 'mse'",
        "train.sampling: 'replacement' was renamed 'with_replacement'",
    ]
    assert low == "train.lr: -1.0 is below 1e-08" and unknown.startswith("train.lrate: there is no such knob.")


def test_an_old_params_yaml_is_what_is_wrong_where_a_new_name_is_turned(project: Path) -> None:
    sections = read_sections(Path("params.yaml"))
    sections["train"]["clip"] = sections["train"].pop("grad_clip")
    with pytest.raises(UserError) as caught:
        check_overrides([["train.grad_clip=1.0"]], sections)
    assert caught.value.problems == ("train.clip was renamed train.grad_clip",)


def test_an_old_word_in_another_section_leads_to_the_new_name(project: Path) -> None:
    with pytest.raises(UserError, match=r"^clip: there is no such knob\. Did you mean 'train\.grad_clip'\?$"):
        by_override("clip", 1.0)


def test_the_new_names_are_knobs_and_the_old_ones_are_none() -> None:
    assert set(RENAMED.values()) <= set(NAMES) and not set(RENAMED) & set(NAMES)
    assert len(set(RENAMED.values())) == len(RENAMED)
    for knob, old, new in OLD_VALUES:
        section, _, name = knob.partition(".")
        kinds = {"task__kind": "classify", "prepare__dataset": "dyck"}
        assert getattr(getattr(knobs(**kinds, **{f"{section}__{name}": new}), section), name) == new and old != new


def as_before(section: str, values: dict[str, Any]) -> dict[str, Any]:
    """The knobs of a section as an earlier version wrote them."""
    names = {new: old for old, new in RENAMED.items()}
    before = {knob: {new: old for old, new in values.items()} for knob, values in RENAMED_VALUES.items()}
    return {
        names.get(f"{section}.{knob}", f".{knob}").rpartition(".")[2]: before.get(f"{section}.{knob}", {}).get(value, value)
        if isinstance(value, str)
        else value
        for knob, value in values.items()
    }


def test_a_model_of_an_earlier_version_is_read(tmp_path: Path) -> None:
    params = knobs(train__loss="mse", task__kind="classify", prepare__dataset="dyck")
    noted = {name: as_before(name, getattr(params, name).model_dump()) for name in ("model", "train")}
    assert {"mixer", "length"} <= noted["model"].keys() and (noted["train"]["loss"], noted["train"]["draw"]) == (
        "squares",
        "replacement",
    )
    about = {"task": "classify", "classes": ["a", "b"], "vocabulary": 9, "tokenizer": "0" * 64, "sha256": "0" * 64}
    (tmp_path / "model.json").write_text(json.dumps(about | noted))
    found = read_description(tmp_path)
    assert found.model == params.model and isinstance(found.model, Model)
    assert Train.model_validate(found.about["train"]) == params.train


def test_what_an_earlier_version_noted_comes_back_under_the_names_of_today() -> None:
    old = {name: as_before(name, values) if isinstance(values, dict) else values for name, values in BASE.items()}
    assert old != BASE and with_new_names(old) == BASE == with_new_names(BASE)
