"""Every knob: read as DVC reads it, described where it stands, and refused in plain lines when it is wrong."""

from __future__ import annotations

import copy
import json
import re
import shutil
import tempfile
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml
from dvc.utils.hydra import apply_overrides
from dvc.utils.serialize import parse_yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pydantic.fields import FieldInfo
from wrong_params import MISSING, WRONG, Wrong

from pipeline.params.errors import ParamsError, UserError, printable
from pipeline.params.json_schema import comments
from pipeline.params.knobs import Section
from pipeline.params.load import load, read_sections, with_knobs
from pipeline.params.names import KnownName, names_in, suggest
from pipeline.params.parse import parse
from pipeline.params.schema import OF_KINDS, Params
from pipeline.params.suggestions import OTHER_NAMES, knob_names
from pipeline.params.yaml12 import load_yaml, read_yaml

ROOT = Path(__file__).parents[1]
YAML_FILES = ["params.yaml", "dvc.yaml", *(f"studies/{path.name}" for path in sorted(ROOT.glob("studies/*.yaml")))]
STANDING: dict[str, Any] = read_yaml(ROOT / "params.yaml")

# -------------------------------------------------------------------------------------------------- read as DVC reads it

SCALARS = """
1e-3 1e-05 1E5 1e+3 1e5 -1e-3 1.5E3 1.0e-10 1e400 .5 5. -.5 +.5 .5e3 .5e-3 1.e5 1e 1e+ e5 1.5.2 0.0 -0.0 0e0 0.
0 00 -0 +1 -1 012 08 0o17 0O17 0o8 0x1F 0X1F 0xFg +0x1F -0x1F +0o7 0b101 0b2 1_000 1_0.5 _1 -_1 1__0 0_ 0x1_F 0o1_7 .1_0
on off yes no y n On NO true True TRUE tRue false False ~ null Null NULL nULL
.inf -.inf +.inf .Inf .INF .iNF inf .nan .NaN .NAN -.nan nan NaN
1:30 190:20:30 2001-01-01 2001-12-14t21:59:43Z 1,000 -- . .. __ '1e-3' "1" 'on' !!str [1e-3,on] a#b a:b data/own
""".split()


def read(text: str) -> Any:
    return load_yaml(f"knob: {text}\n")["knob"]


def is_the_same(ours: Any, theirs: Any) -> bool:
    """Equal and of one type, all the way down."""
    if isinstance(ours, list) and isinstance(theirs, list):
        return len(ours) == len(theirs) and all(map(is_the_same, ours, theirs))
    if isinstance(ours, float) and isinstance(theirs, float):
        return repr(ours) == repr(theirs)  # nan is nan, and -0.0 is not 0.0
    return type(ours) is type(theirs) and ours == theirs


@pytest.mark.parametrize("text", SCALARS)
def test_a_scalar_is_read_as_dvc_reads_it(text: str) -> None:
    theirs = parse_yaml(f"knob: {text}\n", "params.yaml")["knob"]
    assert is_the_same(read(text), theirs)


@settings(max_examples=400, deadline=None)
@given(st.text("0123456789.eE+-_xobaFfINnrul:~", min_size=1, max_size=9))
@example("-_")
def test_whatever_dvc_can_read_is_read_as_dvc_reads_it(text: str) -> None:
    try:
        theirs = parse_yaml(f"knob: {text}\n", "params.yaml")["knob"]
    except Exception:  # ruamel lets many kinds out; what DVC cannot read never comes to a stage
        return
    assert is_the_same(read(text), theirs)


@pytest.mark.parametrize("turned", ["seed=9", "train.lr=3e-4", "model.norm=rms", "prepare.url='https://example.org/a'"])
def test_turning_a_knob_by_dvc_changes_its_line_of_params_yaml_and_no_other(turned: str, tmp_path: Path) -> None:
    shutil.copy(ROOT / "params.yaml", tmp_path)
    apply_overrides(tmp_path / "params.yaml", [turned])
    before, after = ((folder / "params.yaml").read_text().splitlines() for folder in (ROOT, tmp_path))
    changed = [line for line, other in zip(before, after, strict=True) if line != other]
    assert [line.partition(":")[0].strip() for line in changed] == [turned.partition("=")[0].rpartition(".")[2]]


def test_what_dvc_writes_for_a_turned_knob_is_read_as_the_number_that_it_is() -> None:
    assert read("1e-05") == 1e-5
    assert read("1e-3") == 1e-3


# ----------------------------------------------------------------------------------------------- described where it stands


def knobs_of(section: type[Section], prefix: str = "") -> dict[str, FieldInfo]:
    """Every knob by its full name."""
    found: dict[str, FieldInfo] = {}
    for name, field in section.model_fields.items():
        inner = field.annotation
        if isinstance(inner, type) and issubclass(inner, Section):
            found |= knobs_of(inner, f"{prefix}{name}.")
        else:
            found[f"{prefix}{name}"] = field
    return found


KNOBS, COMMENTS = knobs_of(Params), comments((ROOT / "params.yaml").read_text())


def limits_of(field: FieldInfo) -> dict[str, float]:
    """The limits of a number, or of the entries of a list, by pydantic's words: ge, gt, le, lt."""
    words = ("ge", "gt", "le", "lt")
    entries = [entry for entry in get_args(field.annotation) if hasattr(entry, "__metadata__")]
    metadata = [*field.metadata, *(limit for entry in entries for limit in entry.__metadata__[0].metadata)]
    return {word: getattr(limit, word) for limit in metadata for word in words if hasattr(limit, word)}


def number(text: str) -> float:
    return float(text.replace(",", ""))


NUMBER = r"(-?[\d,.]*\d(?:e-?\d+)?)"


def described_limits(comment: str) -> dict[str, float]:
    """The limits that a comment tells: "1 .. 256", "0 <= share < 1", ">= 1", "> 0"."""
    if match := re.search(rf"{NUMBER} \.\. {NUMBER}", comment):
        return {"ge": number(match[1]), "le": number(match[2])}
    if match := re.search(rf"{NUMBER} (<=?) \w+ (<=?) {NUMBER}", comment):
        return {"ge" if match[2] == "<=" else "gt": number(match[1]), "le" if match[3] == "<=" else "lt": number(match[4])}
    if match := re.search(rf"(>=?) {NUMBER}", comment):
        return {"ge" if match[1] == ">=" else "gt": number(match[2])}
    return {}


def test_params_yaml_as_it_stands_is_right() -> None:
    load(ROOT / "params.yaml")


@pytest.mark.parametrize("knob", KNOBS)
def test_every_knob_says_what_it_means(knob: str) -> None:
    assert len(COMMENTS[knob]) > 10


@pytest.mark.parametrize("knob", [knob for knob in KNOBS if described_limits(COMMENTS[knob])])
def test_a_range_that_a_comment_tells_is_the_range_that_is_held(knob: str) -> None:
    assert described_limits(COMMENTS[knob]).items() <= limits_of(KNOBS[knob]).items()


@pytest.mark.parametrize("knob", [knob for knob in KNOBS if " | " in COMMENTS[knob]])
def test_the_names_that_a_comment_tells_are_the_names_that_are_taken(knob: str) -> None:
    parts = re.split(r"[|,:]", re.sub(r"\(.*?\)", "", COMMENTS[knob]))
    with pytest.raises(ParamsError) as caught:
        load_with({knob: "qqq"})
    known = str(caught.value).partition("Known: ")[2].split(", ")
    assert sorted(part.strip() for part in parts if re.fullmatch(r"\s*\w+\s*", part)) == sorted(known)


NAMED = {
    name: entry for name, field in KNOBS.items() for entry in field.metadata if isinstance(entry, KnownName)
}  # but for lists


@pytest.mark.parametrize("knob", sorted(NAMED.keys() - {"prepare.dataset"}))
def test_a_comment_tells_every_entry_of_a_table(knob: str) -> None:
    """But for the data sets, which `rally data` lists."""
    assert set(NAMED[knob].names()) <= set(re.findall(r"\w+", COMMENTS[knob]))


KINDS = {"language": "shakespeare", "classify": "dyck", "vision": "digits"}  # with a data set of each

# Each knob that is for some kinds of task alone, turned.
TURNED = {
    "prepare.shuffled_pixels": True,
    "prepare.dedup_threshold": 0.8,
    "prepare.max_examples": 100,
    "prepare.label_noise": 0.2,
    "train.sampling": "epochs",
    "train.windows": "documents",
    "train.loss": "mse",
    "train.class_weights": "balanced",
    "train.init_from": "data/given",
    "train.length_start": 0.5,
    "train.curriculum": "easy_first",
    "train.shift": 2,
    "train.flip": True,
    "train.cutout": 4,
    "train.mixup": 0.4,
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("knob", OF_KINDS)
def test_a_knob_is_taken_where_its_kinds_of_task_are_and_refused_elsewhere(knob: str, kind: str) -> None:
    turned = {knob: TURNED[knob], "task.kind": kind, "prepare.dataset": KINDS[kind]}
    if kind in OF_KINDS[knob][1]:
        load_with(turned)
    else:
        with pytest.raises(ParamsError, match=rf"^{knob}: .* is for task\.kind [a-z ]+, not {kind}; use .*$"):
            load_with(turned)


# ------------------------------------------------------------------------------------------------- refused in plain lines


def values_with(knobs: dict[str, Any]) -> dict[str, Any]:
    values = copy.deepcopy(STANDING)
    for name, value in knobs.items():
        *sections, last = name.split(".")
        inner = values
        for section in sections:
            inner = inner.setdefault(section, {})
        if value is MISSING:
            del inner[last]
        else:
            inner[last] = value
    return values


def load_with(knobs: dict[str, Any]) -> Params:
    return parse(Params, values_with(knobs))


def content_of(wrong: Wrong) -> bytes:
    if wrong.content is not None:
        return wrong.content
    return yaml.safe_dump(values_with(wrong.knobs), allow_unicode=True).encode()


def lines_of(wrong: Wrong) -> list[str]:
    """The lines with the names that they stand for."""

    def names(match: re.Match[str]) -> str:
        table = match[1]
        if table == "*":
            known = tuple(Params.model_fields)
        elif table.endswith(".*"):
            known = tuple(STANDING[table.removesuffix(".*")])
        else:
            known = tuple(dict.fromkeys(name for one in table.split("+") for name in names_in(one)))
        return f"Known: {', '.join(known)}"

    return [re.sub(r"Known: (\*|\w+\.\*|[\w/]+\.py:\w+(?:\+[\w/]+\.py:\w+)*)$", names, line) for line in wrong.lines]


@pytest.mark.parametrize("what", WRONG)
def test_a_wrong_file_is_refused_in_these_lines(what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("params.yaml").write_bytes(content_of(WRONG[what]))
    with pytest.raises(UserError) as caught:
        load()
    assert sorted(caught.value.problems) == sorted(lines_of(WRONG[what]))


def test_a_file_that_is_not_there_or_is_a_folder_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=r"^params.yaml: there is no such file here; run from the top folder of the project$"):
        load()
    Path("params.yaml").mkdir()
    with pytest.raises(UserError, match=r"^params.yaml: cannot be read: Is a directory$"):
        load()


def test_the_nearest_word_is_suggested() -> None:
    assert suggest("tanhh", ("relu", "tanh")) == "Did you mean 'tanh'? Known: relu, tanh"
    assert suggest("qq", ("relu", "tanh")) == "Known: relu, tanh"


# ------------------------------------------------------------------------------------------- what text does to a terminal


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain, naïve «é» 中文 😀\n\tfile", "plain, naïve «é» 中文 😀\n\tfile"),
        ("a\x1b[31mred\x07\r", "a␛[31mred␇␍"),
        ("\x00\x7f", "␀␡"),
        ("\x9b31m\x85", "�31m�"),  # the same as ESC [, in Latin-1
        ("\u202eabc\u2066x\u2069\u2028", "�abc�x��"),
        ("half \ud800", "half �"),
        ("\u200fשלום", "\u200fשלום"),  # marks that turn nothing around are part of a text
    ],
)
def test_what_would_do_something_to_a_terminal_is_shown(text: str, shown: str) -> None:
    assert printable(text) == shown and printable(shown) == shown
    printable(text).encode()


@pytest.mark.parametrize("text", SCALARS)
def test_libyaml_and_pyyaml_read_a_scalar_alike(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    fast = read(text)
    monkeypatch.setattr(yaml, "__with_libyaml__", False)
    assert is_the_same(fast, read(text))


@pytest.mark.parametrize("name", YAML_FILES)
def test_libyaml_reads_what_pyyaml_reads(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    fast = read_yaml(ROOT / name)
    monkeypatch.setattr(yaml, "__with_libyaml__", False)
    assert read_yaml(ROOT / name) == fast


def test_aliases_that_stand_for_little_are_read(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("a: &a [1, 2]\nb: [*a, *a]\n")
    assert read_yaml(tmp_path / "a.yaml") == {"a": [1, 2], "b": [[1, 2], [1, 2]]}


@pytest.mark.parametrize(
    ("typed", "named"),
    [
        ("lr", "train.lr"),
        ("model.lr", "train.lr"),
        ("train.depth", "model.depth"),
        ("learning_rate", "train.lr"),
        ("train.learning_rate", "train.lr"),
        ("n_layer", "model.depth"),
        ("batch_size", "train.batch_size"),
        ("train.stepps", "train.steps"),
        ("activaton", "model.activation"),
        ("path", "prepare.path"),
        ("trian", "train"),
    ],
)
def test_the_knob_that_was_meant_is_named_whatever_its_section(typed: str, named: str) -> None:
    values = with_knobs(read_sections(ROOT / "params.yaml"), {typed: 1})
    with pytest.raises(ParamsError) as caught:
        parse(Params, values)
    assert f"{typed}: there is no such knob. Did you mean '{named}'" in str(caught.value)


def test_what_other_programs_call_a_knob_leads_to_one_that_there_is() -> None:
    names = knob_names(Params)
    assert set(OTHER_NAMES.values()) <= set(names)
    assert not set(OTHER_NAMES) & {name.rpartition(".")[2] for name in names}


@given(st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), min_size=1))
@example("${seed}")
@example("a ${b")
@example("???")
@example("$seed {seed} ?? \\$")
def test_a_text_that_is_taken_is_left_as_it_is_by_turning_another_knob(text: str) -> None:
    """OmegaConf, through which DVC passes all knobs at every -S, has words of its own."""
    with tempfile.TemporaryDirectory() as folder:
        for file in (yaml_file := Path(folder, "params.yaml")), Path(folder, "params.json"):
            file.write_text(json.dumps({"probe": {"toy_text": text}, "evaluate": {"prompts": [text]}, "seed": 1}))
        if "${" in text or text == "???":
            with pytest.raises(ParamsError, match="DVC's -S replaces"):
                read_sections(yaml_file)
            return
        apply_overrides(Path(folder, "params.json"), ["seed=2"])
        turned = json.loads(Path(folder, "params.json").read_text())
        assert (turned["probe"]["toy_text"], turned["evaluate"]["prompts"], turned["seed"]) == (text, [text], 2)
