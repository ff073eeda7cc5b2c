"""The quicker YAML of DVC: the same values and the same bytes as DVC's own."""

from __future__ import annotations

import importlib.util
import io
import shutil
import subprocess
import sys
from collections import OrderedDict
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from pipeline.lab.setup.dvc_yaml import LOCK, REPLACED, TEXTS, install

SETUP = Path(__file__).parents[1] / "pipeline/lab/setup"
VALUES: dict[str, Any] = {
    "numbers": [0, -1, 1e-05, 0.1, 3.0, 1e22, 10**20],
    "constants": [True, False, None],
    "texts that look like others": [
        "1",
        "1e3",
        "true",
        "null",
        "on",
        "0x1f",
        "1_000",
        "2026-12-02",
        "~",
        "",
        " a ",
        "a: b",
        "- a",
    ],
    "digests": ["d41d8cd98f00b204e9800998ecf8427e", "12345678901234567890123456789012", "1234e678901234567890123456789012.dir"],
    "marks": ["a\nb", "tab\there", "'quoted'", '"twice"', "\\", "%", "@", "`", "#", "!a", "&a", "*a", "x\x07"],
    "letters": ["Zürich", "日本", "😀", "\x85", "\xa0"],
    "nested": {"of": {"lists": [[1, 2], [], {"and": {}}]}},
}
ORDER = {"gone": 1, "z": 1, "a": 2}
LONG = {"cmd": " ".join(["python -m pipeline.train"] * 8)}


def own() -> ModuleType:
    """DVC's module as it is, whatever was done to the one that is imported."""
    spec = importlib.util.find_spec("dvc.utils.serialize._yaml")
    assert spec and spec.origin
    spec = importlib.util.spec_from_file_location("dvc.utils.serialize._yaml", spec.origin)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def quick() -> ModuleType:
    module = own()
    install(module)
    return module


def changed(module: ModuleType, lock: Path, text: str) -> bytes:
    """The bytes of a dvc.lock after DVC put a stage into it, as it does after a stage has run."""
    lock.parent.mkdir(exist_ok=True)
    lock.write_text(text, encoding="utf-8")
    with module.modify_yaml(str(lock)) as data:
        data.setdefault("stages", {})["plot"] = OrderedDict(cmd="python -m", deps=[OrderedDict(path="b", md5="1e5")], a=1)
        data["stages"].get("train", {}).pop("gone", None)
    return lock.read_bytes()


@pytest.mark.parametrize("comment", ["", "# by hand\n"])
@pytest.mark.parametrize("stage", [*({name: value} for name, value in VALUES.items()), VALUES, LONG, ORDER])
def test_dvc_lock_has_the_bytes_that_dvc_gives_it(tmp_path: Path, stage: dict[str, Any], comment: str) -> None:
    plain = own()
    text = comment + plain.dumps_yaml({"schema": "2.0", "stages": {"train": stage, "plot": {"cmd": "old"}}})
    assert changed(quick(), tmp_path / "one" / LOCK, text) == changed(plain, tmp_path / "two" / LOCK, text)


def test_a_dvc_lock_that_is_not_there_is_made(tmp_path: Path) -> None:
    for name, module in (("one", own()), ("two", quick())):
        (tmp_path / name).mkdir()
        with module.modify_yaml(str(tmp_path / name / LOCK)) as data:
            data["stages"] = OrderedDict(b=1, a=2)
    assert (tmp_path / "one" / LOCK).read_bytes() == (tmp_path / "two" / LOCK).read_bytes() == b"stages:\n  b: 1\n  a: 2\n"


def test_params_yaml_keeps_its_comments_when_dvc_changes_a_knob(tmp_path: Path) -> None:
    file = tmp_path / "params.yaml"
    file.write_text("train:   # a section\n  lr: 1.0e-3  # a knob\n")
    with quick().modify_yaml(str(file)) as data:
        data["train"]["steps"] = 2
    assert file.read_text() == "train:   # a section\n  lr: 1.0e-3  # a knob\n  steps: 2\n"


def test_a_text_is_parsed_once_and_what_one_caller_changes_no_other_sees(monkeypatch: pytest.MonkeyPatch) -> None:
    module, texts = own(), []
    parse = module.parse_yaml
    monkeypatch.setattr(module, "parse_yaml", lambda text, path, typ="safe": texts.append(text) or parse(text, path, typ))
    install(module)
    for _ in range(3):
        found = module.parse_yaml("a: [1]", "params.yaml")
        assert found == {"a": [1]}
        found["a"].append(2)
    assert texts == ["a: [1]"]
    for number in range(TEXTS):
        assert module.parse_yaml(f"a: {number}", "params.yaml") == {"a": number}
    assert module.parse_yaml("a: [1]", "params.yaml") == {"a": [1]}
    assert texts.count("a: [1]") == 2  # it was forgotten meanwhile


def test_what_is_not_yaml_is_refused_as_dvc_refuses_it() -> None:
    refusals = []
    for module in (own(), quick()):
        with pytest.raises(Exception, match=r"unable to read: 'dvc.lock', YAML file structure is corrupted") as refusal:
            module.parse_yaml("a: [", LOCK)
        refusals.append(str(refusal.value))
    assert refusals[0] == refusals[1]


def test_a_dvc_without_one_of_the_functions_keeps_the_others() -> None:
    for name in REPLACED:
        other = own()
        delattr(other, name)
        before = dict(vars(other))
        install(other)
        assert vars(other) == before


def test_libyaml_writes_dvc_lock_where_it_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("_ruamel_yaml")
    module = own()
    monkeypatch.setattr(module, "_dump", lambda data, stream: pytest.fail("pure Python"))
    install(module)
    stream = io.StringIO()
    stream.name = LOCK
    module._dump(OrderedDict(b=[1], a="x"), stream)
    assert stream.getvalue() == "b:\n- 1\na: x\n"


def test_every_dvc_of_the_environment_has_it(tmp_path: Path) -> None:
    for name in ("startup_hook.py", "dvc_yaml.py"):
        shutil.copy(SETUP / name, tmp_path / {"startup_hook.py": "rally_start.py", "dvc_yaml.py": "rally_dvc_yaml.py"}[name])
    program = "import rally_start, sys; from dvc.utils.serialize import load_yaml, parse_yaml, modify_yaml; "
    program += "print(parse_yaml.__module__, any(finder.__name__ == 'QuickYaml' for finder in sys.meta_path[:1]))"
    command = [sys.executable, "-S", "-c", f"import sys; sys.path[:] = {[str(tmp_path), *sys.path]!r}; {program}"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("rally_dvc_yaml False\n", "")
