"""The `rally` command, as a person at a terminal has it."""

from __future__ import annotations

import getpass
import io
import json
import os
import platform
import shutil
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import typer.main
import yaml
from small import knobs
from subjects import leave_model, machine, subject
from terminals import RALLY, Terminal, terminals

from pipeline.corpus.sources.table import IMAGES, LABELLED_TEXTS, TEXTS
from pipeline.corpus.store.text import SplitWriter
from pipeline.lab import data_catalogue
from pipeline.lab.chat import SamplingOptions, converse, write
from pipeline.lab.cli import app, main
from pipeline.lab.commands import HINTS, RENAMED
from pipeline.lab.data_catalogue import DataSet, data_set, description, listing
from pipeline.lab.setup import environment
from pipeline.lab.trained_model import open_language_model
from pipeline.params.errors import UserError
from pipeline.params.yaml12 import read_yaml
from pipeline.progress import follower
from pipeline.tokenizers.char import CharTokenizer

TOP = Path(__file__).parents[1]
DRAW = SamplingOptions(tokens=20, temperature=0.8, top_k=0, top_p=1.0, seed=None)
COMMANDS = (
    "data",
    "budget",
    "check-model",
    "autotune",
    "plan",
    "play",
    "bet",
    "show",
    "compare",
    "duel",
    "ladder",
    "compile",
    "claims",
    "look",
    "sample",
    "doctor",
    "share",
    "track",
    "export",
    "upload",
    "import",
    "env",
    "check-params",
    "repair",
)
HIDDEN = ("setup",)

# `rally ARGUMENTS`, and at the end which modules it has imported


def rally(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*RALLY, *arguments], capture_output=True, text=True)


@pytest.fixture
def outside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that belongs to no project."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def project(outside: Path) -> Path:
    """A project without a model."""
    for name in ("params.yaml", "dvc.yaml"):
        shutil.copy(TOP / name, outside)
    return outside


@pytest.fixture
def trained(project: Path) -> Path:
    """A project whose model writes without end, since it knows no end."""
    text = "the cat sat on the mat; the dog sat on the cat.\n" * 8
    return leave_model(project, subject(project, CharTokenizer.learn([text], 0, has_end=False), text))


# ------------------------------------------------------------------------------------------------------------------ help


@pytest.mark.parametrize("arguments", [("--help",), *((command, "--help") for command in (*COMMANDS, *HIDDEN))])
def test_help_answers_without_what_takes_long_to_import(arguments: tuple[str, ...], outside: Path) -> None:
    done = rally(*arguments)
    assert done.returncode == 0
    assert done.stdout.startswith("Usage: ")
    imported = set(json.loads(Path("imported.json").read_text()))
    assert not {"torch", "dvc", "numpy", "rich", "pipeline.params.schema", "yaml"} & imported


def test_help_lists_every_command_in_a_panel_with_a_whole_sentence(outside: Path) -> None:
    panels = rally("--help").stdout.split("\n\n")[3:]
    assert [panel.splitlines()[0] for panel in panels] == [
        "Before training:",
        "Train and compare:",
        "Look inside:",
        "Share:",
        "Set up and repair:",
    ]
    lines = [line for panel in panels for line in panel.splitlines()[1:]]
    assert tuple(line.split()[0] for line in lines) == COMMANDS
    assert all(line.endswith(".") and not line.endswith("...") for line in lines)
    assert len({len(line) - len(line[2:].partition(" ")[2].lstrip()) for line in lines}) == 1, "one column in all panels"


def test_help_of_a_group_lists_its_commands(outside: Path) -> None:
    assert "Commands:\n  benchmark  Test the doctor on runs with known faults.\n" in rally("doctor", "--help").stdout


def test_every_command_is_tested_here() -> None:
    known = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    assert set(known) == {*COMMANDS, *HIDDEN}


@pytest.mark.parametrize("command", [*COMMANDS, *HIDDEN])
def test_a_command_outside_of_a_project_says_so(command: str, outside: Path) -> None:
    done = rally(command, *(["some/folder"] if command in ("import", "upload") else []))
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "not inside a Rally project: " in done.stderr


def test_a_command_works_from_any_folder_of_the_project(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (project / "some" / "where").mkdir(parents=True)
    monkeypatch.chdir(project / "some" / "where")
    done = rally("sample", "--prompt", "a")
    assert done.stderr.startswith("models/trained/model.safetensors: there is no trained model here; ")


def refused(words: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> str:
    """The one line with which `rally WORDS` ends, status 2."""
    monkeypatch.setattr("sys.argv", ["rally", *words])
    with pytest.raises(SystemExit) as ended:
        main()
    out, err = capsys.readouterr()
    assert (ended.value.code, out, err.count("\n")) == (2, "", 1)
    return err.strip()


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ("train", "rally train: there is no such command. `dvc repro train` runs that stage"),
        ("evaluate", "rally evaluate: there is no such command. `dvc repro evaluate` runs that stage"),
        (
            "plot",
            "rally plot: there is no such command. "
            "`dvc repro plot` draws plots/report.html, `dvc plots diff` several experiments",
        ),
        ("report", "rally report: there is no such command. `dvc repro plot` writes plots/report.html"),
        (
            "diff a b",
            "rally diff: there is no such command. `rally compare ONE OTHER` says whether they differ, or only their seeds",
        ),
        ("doctor bechmark", "rally doctor bechmark: there is no such command. Did you mean 'benchmark'? Known: benchmark"),
        ("doctor train", "rally doctor train: there is no such command. Known: benchmark"),
    ],
)
def test_a_word_that_is_not_a_command_is_one_line_with_the_command_that_was_meant(
    words: str, line: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert refused(words.split(), capsys, monkeypatch) == line


def test_a_misspelt_command_is_one_line_with_those_that_there_are(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    line = refused(["shwo"], capsys, monkeypatch)
    assert line.startswith("rally shwo: there is no such command. Did you mean 'show'?")
    assert "setup" not in line, "which is hidden"


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ("--nope", "rally: no such option: --nope; `rally -h` says what it takes"),
        ("doctor --nope", "rally doctor: no such option: --nope; `rally doctor -h` says what it takes"),
        ("plan run --nope", "rally plan run: no such option: --nope; `rally plan run -h` says what it takes"),
        ("play --on", "rally play: option '--on' requires an argument; `rally play -h` says what it takes"),
        ("import", "rally import: missing argument 'model'; `rally import -h` says what it takes"),
        ("export one two", "rally export: got unexpected extra argument(s) (two); `rally export -h` says what it takes"),
        (
            "track --to paper",
            "rally track: invalid value for '--to': 'paper' is not one of 'tensorboard', 'mlflow', 'trackio';"
            " `rally track -h` says what it takes",
        ),
    ],
)
def test_options_and_values_that_are_refused_are_one_line_with_the_command_that_refuses(
    words: str, line: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert refused(words.split(), capsys, monkeypatch) == line


@pytest.mark.parametrize("command", [name for name in COMMANDS if name not in ("show", "check-params")])  # DVC's own words
def test_every_command_refuses_an_unknown_option_in_one_line(
    command: str, project: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "--no-such" in refused([command, "--no-such"], capsys, monkeypatch)


@pytest.mark.parametrize("old", RENAMED)
def test_an_old_name_of_a_command_is_one_line_with_the_new_one(
    old: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert (
        refused([*old.split(), "dvc", "-S", "seed=2"], capsys, monkeypatch) == f"rally {old} was renamed rally {RENAMED[old]}"
    )


def test_old_names_are_not_commands_and_new_ones_are() -> None:
    assert set(RENAMED) == {"mend", "check", "sanity", "tune-device", "doctor trial"}
    assert not set(RENAMED) & {*COMMANDS, *HIDDEN}
    assert {new.split()[0] for new in RENAMED.values()} <= set(COMMANDS)


def test_every_hint_is_of_a_word_that_is_not_a_command_and_names_stages_and_commands_that_there_are() -> None:
    assert not set(HINTS) & {*COMMANDS, *HIDDEN, *RENAMED}
    assert "help" not in HINTS
    stages = read_yaml(TOP / "dvc.yaml")["stages"]
    assert {word for word, hint in HINTS.items() if "{}" in hint} <= set(stages)
    for hint in HINTS.values():
        named = [command.split() for command in hint.split("`")[1::2] if command.startswith("rally ")]
        assert all(words[1] in COMMANDS for words in named)


@pytest.mark.parametrize("words", [["help"], ["doctor", "help"]])
def test_help_is_a_word_too(words: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["rally", *words])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 0
    assert "[OPTIONS] COMMAND [ARGS]..." in capsys.readouterr().out


# ---------------------------------------------------------------------------------------------------------- check-params


def test_the_knobs_of_a_command_of_dvcs_are_checked_before_it_runs(project: Path) -> None:
    assert (
        rally("check-params", "dvc", "exp", "run", "-n", "x", "-S", "train.lr=3e-4", "--set-param=model.depth=2").returncode
        == 0
    )
    for words in (
        ["-S", "model.activation=gellu"],
        ["-Smodel.activation=gellu"],
        ["--set-param", "model.activation=gellu,relu"],
    ):
        done = rally("check-params", "dvc", "exp", "run", "--queue", *words)
        assert done.returncode == 2
        assert done.stderr.startswith("model.activation: there is no 'gellu'. Did you mean 'gelu'?")
        assert done.stderr.count("\n") == 1


def test_the_knobs_that_stand_in_params_yaml_are_checked_too(project: Path) -> None:
    file = project / "params.yaml"
    file.write_text(file.read_text().replace("\n  depth: ", "\n  depth: -", 1))
    done = rally("check-params", "dvc", "repro")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "model.depth: -" in done.stderr


# ------------------------------------------------------------------------------------------------------------------ data


DATA_TABLES = {"language": TEXTS, "classify": LABELLED_TEXTS, "vision": IMAGES}


def test_the_catalogue_has_the_names_of_the_tables() -> None:
    catalogue = read_yaml(data_catalogue.CATALOGUE)
    assert {kind: set(entries) for kind, entries in catalogue.items()} == {
        kind: set(names) for kind, names in DATA_TABLES.items()
    }
    for entry in (entry for entries in catalogue.values() for entry in entries.values()):
        assert entry.keys() == set(DataSet._fields)
        assert entry["source"] in ("local", "package", "network", "yours", "both")


@pytest.mark.parametrize("kind", DATA_TABLES)
def test_every_data_set_is_listed_in_a_line_and_described(kind: str, project: Path) -> None:
    names = DATA_TABLES[kind]
    lines = "\n".join(listing()).partition(f"{kind} (task.kind={kind})\n")[2].partition("\n\n")[0].splitlines()
    assert [line.split()[0] for line in lines] == list(names)
    assert max(map(len, lines)) <= 160
    for name in names:
        text = "\n".join(description(name))
        assert f"task.kind={kind} -S prepare.dataset={name}" in text and data_set(kind, name).licence in " ".join(text.split())


def test_a_data_set_without_an_entry_is_named_and_the_others_are_listed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    catalogue = read_yaml(data_catalogue.CATALOGUE)
    del catalogue["vision"]["mnist"], catalogue["vision"]["cifar10"]["split"]
    (tmp_path / "pipeline/lab").mkdir(parents=True)
    monkeypatch.setattr(data_catalogue, "PIPELINE", tmp_path / "pipeline")
    monkeypatch.setattr(data_catalogue, "CATALOGUE", tmp_path / "pipeline/lab/catalogue.yaml")
    data_catalogue.CATALOGUE.write_text(yaml.safe_dump(catalogue), encoding="utf-8")
    lines = list(listing())
    assert "  mnist: no entry in pipeline/lab/catalogue.yaml under vision; add one" in lines
    assert "  cifar10: no 'split' in pipeline/lab/catalogue.yaml under vision; add it" in lines
    assert [line.split()[0].strip(":") for line in lines[lines.index("vision (task.kind=vision)") + 1 : -3]] == list(IMAGES)
    with pytest.raises(UserError, match=r"mnist: no entry in pipeline/lab/catalogue\.yaml under vision; add one"):
        list(description("mnist"))


def test_a_data_set_is_listed_with_the_licence_of_its_card(tmp_path: Path) -> None:
    for name in ("markov", "repeats", "addition", "dyck", "modular"):
        with SplitWriter(tmp_path) as splits:
            card = TEXTS[name](knobs(prepare__dataset=name, prepare__generated_chars=5000).prepare, splits, follower("none"))
        assert card.licence == data_set("language", name).licence


def test_data_sets_are_listed_in_a_terminal_and_a_wrong_name_is_one_line(project: Path) -> None:
    assert "sentiment" in rally("data").stdout and "Hutto" not in rally("data").stdout
    done = rally("data", "sentimant")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert done.stderr.startswith("rally data: there is no 'sentimant'. Did you mean 'sentiment'? Known: shakespeare, ")


# ---------------------------------------------------------------------------------------------------------------- sample


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (
            [],
            "models/trained/model.safetensors: there is no trained model here; `dvc repro` trains one, "
            "`dvc pull` fetches a shared one",
        ),
        (["--top-p", "0"], "--top-p: 0.0 is not a share above 0 and up to 1"),
        (["--temperature", "inf"], "--temperature: inf is not finite"),
    ],
)
def test_what_cannot_be_sampled_is_one_line_before_torch_is_imported(arguments: list[str], line: str, project: Path) -> None:
    done = rally("sample", "--prompt", "ROMEO:", *arguments)
    assert (done.returncode, done.stdout, done.stderr) == (2, "", line + "\n")
    assert "torch" not in json.loads(Path("imported.json").read_text())


def test_a_prompt_is_gone_on_with_and_a_seed_repeats_it(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    texts = []
    for seed in (1, 1, 2):
        assert write(replace(DRAW, tokens=40, seed=seed), "the cat€")
        out, err = capsys.readouterr()
        warning, lacks = err.splitlines()
        assert warning.startswith(
            "models/trained: this model is of another run: model.context_length is 128, and was 12 when train ran"
        )
        assert lacks == "The tokenizer lacks characters of this prompt; the model reads 'the cat'."
        texts.append(out)
    one, same, other = texts
    assert one.startswith("the cat")
    assert len(one) == len("the cat") + 40 + len("\n")
    assert one == same != other


def test_what_a_model_writes_and_a_prompt_holds_does_nothing_to_the_terminal(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    leave_model(project, machine(project, {ord("a"): 27, 27: ord("["), ord("["): 7, 7: 256}))
    write(replace(DRAW, tokens=9), "\x1b]0;a title\x07 a")
    assert capsys.readouterr().out == "␛]0;a title␇ a␛[␇\n"
    monkeypatch.setattr("sys.stdin", io.StringIO("\x1b[2Ja\n"))
    converse(replace(DRAW, tokens=9))
    assert "\x1b" not in capsys.readouterr().out


def test_without_a_seed_each_text_is_another(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(DRAW, "the cat")
    one = capsys.readouterr().out
    write(DRAW, "the cat")
    assert capsys.readouterr().out != one


def test_prompts_come_through_a_pipe_too(
    trained: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("the cat\nthe dog\n"))
    converse(DRAW)
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("the ")]
    assert [line[:7] for line in lines] == ["the cat", "the dog"]


def test_ctrl_c_ends_a_text_where_it_is(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    subject = open_language_model()
    signal.setitimer(signal.ITIMER_REAL, 0.2)
    try:
        assert not write(replace(DRAW, tokens=1_000_000), "the", subject)
    finally:
        signal.signal(signal.SIGALRM, before)
    assert capsys.readouterr().out.startswith("the")


@pytest.fixture
def terminal() -> Iterator[list[Terminal]]:
    """Terminals that a test opens, ended with it."""
    with terminals() as opened:
        yield opened


CTRL_C, CTRL_D = "\x03", "\x04"


def test_a_conversation_goes_from_prompt_to_prompt_and_ctrl_c_stops_only_the_text(
    trained: Path, terminal: list[Terminal]
) -> None:
    terminal.append(shell := Terminal("sample", "--tokens", "1000000", "--seed", "1"))
    shell.read_until("> ")
    shell.type("the dog\r")
    shell.read_until("the dog\r\nthe dog")  # as it is typed, and as it is gone on with
    shell.type(CTRL_C)
    shell.read_until("> ")
    shell.type(CTRL_C)  # without a text to stop
    shell.read_until("> ")
    shell.type("a cat\r")
    shell.read_until("a cat\r\na cat")
    shell.type(CTRL_C)
    shell.read_until("> ")
    shell.type(CTRL_D)
    assert shell.exit_status() == 0
    assert (trained / ".rally" / "sample" / "history").read_text().split("\n")[-3:] == ["the dog", "a cat", ""]


# ------------------------------------------------------------------------------------------------------------------- env


def test_the_report_says_what_is_installed_and_gives_nobody_away(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment, "SECONDS", 0.02)
    report = environment.report()
    lines = dict(line.removeprefix("- ").split(": ", 1) for line in report.splitlines())
    assert platform.python_version() in lines["python"]
    assert "torch 2.13.0" in lines["packages"]
    assert f"of {os.cpu_count()} cores" in lines["processor"]
    speeds = lines["matrix products, GFLOP/s"].split(", ")
    assert speeds[0].startswith("float32 ")
    assert int(speeds[0].split()[1].replace(",", "")) > 0
    for secret in {str(Path.home()), str(project), platform.node(), getpass.getuser()} - {"", "/", "root"}:
        assert secret not in report


def test_the_report_says_which_knob_is_wrong(project: Path) -> None:
    params = Path("params.yaml")
    params.write_text(params.read_text().replace("seed: 1 ", "seed: -1 ", 1))
    assert "- params.yaml: seed: -1 is below 0" in environment.report().splitlines()
