"""Files are whole or not there, equal content is equal bytes, and what is read again is held against its checksum."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.artifacts.checksums import check_sha256, sha256_of
from pipeline.artifacts.reading import load_json, read_json
from pipeline.artifacts.writing import atomic_write, rounded, write_json
from pipeline.params.errors import UserError
from pipeline.readings import Axis, Reading, load_all, over_training, rounded_or_none, save

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(content=st.dictionaries(st.text(), VALUES, max_size=4))
def test_what_is_written_as_json_is_what_is_read(content: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("json") / "content.json"
    write_json(path, content)
    assert read_json(path) == content
    first = path.read_bytes()
    write_json(path, dict(reversed(content.items())))
    assert path.read_bytes() == first


def test_a_list_of_plain_values_stands_on_one_line(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"values": [[1, 2.5, None], ["a", "b"]]})
    assert (tmp_path / "a.json").read_text().splitlines()[2:4] == ["  [1, 2.5, null],", '  ["a", "b"]']


def test_a_number_that_is_not_finite_is_never_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "a.json", {"loss": float("nan")})
    assert list(tmp_path.iterdir()) == []


def test_a_write_that_fails_leaves_what_was_there_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("old")

    def fail() -> None:
        with atomic_write(path) as file:
            file.write(b"half of the new")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert [(found.name, found.read_text()) for found in tmp_path.iterdir()] == [("file", "old")]


def test_a_damaged_file_is_told_from_the_one_that_was_written(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("content")
    expected = sha256_of(path)
    check_sha256(path, expected)
    path.write_text("contend")
    with pytest.raises(UserError, match="damaged"):
        check_sha256(path, expected)
    path.unlink()
    with pytest.raises(UserError, match="not found"):
        check_sha256(path, expected)


@pytest.mark.parametrize("content", ["", "{", "\x00\x01"])
def test_a_json_file_that_is_none_is_refused_in_one_line(content: str, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(content)
    with pytest.raises(UserError, match="damaged") as refusal:
        read_json(tmp_path / "a.json")
    assert len(refusal.value.problems) == 1


@pytest.mark.parametrize("content", ["[" * 100_000, '{"a": ' * 70 + "1" + "}" * 70, '{"a": 1' + "0" * 5000 + "}"])
def test_json_that_python_could_not_show_again_is_refused_in_one_line(content: str, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(content)
    with pytest.raises(ValueError):
        load_json(tmp_path / "a.json")
    with pytest.raises(UserError, match="is damaged"):
        read_json(tmp_path / "a.json")


def test_json_as_deep_as_a_report_is_read(tmp_path: Path) -> None:
    content = json.loads('{"a": [' * 20 + "1" + "]}" * 20)
    write_json(tmp_path / "a.json", content)
    assert load_json(tmp_path / "a.json") == content


def test_the_checksum_of_a_folder_follows_names_and_contents_and_no_caches(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("1")
    first = sha256_of(tmp_path)
    (tmp_path / "__pycache__").mkdir()
    (tmp_path / "__pycache__/a.pyc").write_text("compiled")
    assert sha256_of(tmp_path) == first
    (tmp_path / "a.py").rename(tmp_path / "b.py")
    assert sha256_of(tmp_path) != first


def test_rounding_keeps_so_many_significant_digits() -> None:
    assert [rounded(n) for n in (0.0, 1234567.0, -0.00012345678, 3.0)] == [0.0, 1234570.0, -0.000123457, 3.0]


def test_a_reading_comes_back_as_it_was_saved_with_gaps_for_what_is_not_finite(tmp_path: Path) -> None:
    values = rounded_or_none([[1.23456789, float("nan")], [float("inf"), 0.0]])
    axes = (Axis("block", ["a", "b"]), Axis("step", [0, 10]))
    reading = Reading("sizes", "heat", "RMS", "healthy is 1", axes, values, logarithmic=True)
    save(reading, tmp_path)
    found = load_all(tmp_path)
    assert found[0].values == [[1.235, None], [None, 0.0]]
    assert (found[0].name, found[0].axes[1].ticks, found[0].logarithmic) == ("sizes", [0, 10], True)


def test_readings_of_several_steps_become_one_with_a_line_a_step() -> None:
    block = Axis("block", [0, 1])
    each = [Reading("a", "lines", "RMS", "", (Axis("step", [step]), block), [[step, step + 1]]) for step in (0, 5)]
    both = over_training(each)
    assert both.values == [[0, 1], [5, 6]]
    assert list(both.axes[0].ticks) == [0, 5]


def test_a_reading_whose_values_do_not_fit_its_axes_is_a_bug() -> None:
    with pytest.raises(AssertionError, match="do not fit"):
        Reading("a", "lines", "", "", (Axis("s", [0]), Axis("x", [0, 1])), [[1, 2, 3]])
    assert json.dumps(rounded_or_none([[float("inf")]])) == "[[null]]"
