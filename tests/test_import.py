"""`rally import` says at once what a folder wants: its tokenizer is opened, and the command that it prints runs."""

from __future__ import annotations

import json
import re
import shlex
import shutil
from pathlib import Path
from typing import Any

import pytest
from small import TOP
from subjects import subject
from test_export import a_model_of
from test_hugging_face_model import leave, padded, rewritten
from test_journey import clone, run
from test_tokenizers import learned

from pipeline.artifacts.checksums import seal_folder
from pipeline.artifacts.reading import read_json
from pipeline.artifacts.writing import write_json
from pipeline.engine.pretrained.architectures import ARCHITECTURES
from pipeline.identity import tokenizer_digest
from pipeline.lab.export.transformers_text import write
from pipeline.lab.fine_tuning import fine_tuning_command
from pipeline.params.errors import UserError
from pipeline.params.yaml12 import read_yaml


def project(folder: Path, monkeypatch: pytest.MonkeyPatch, name: str = "llama", **changes: Any) -> None:
    """A project with a model as `ours` and, exported, as `theirs`; the test stands in it. Nothing is prepared yet."""
    leave(folder, name, **changes)
    shutil.copy(TOP / "params.yaml", folder)
    (folder / "data").rename(folder / "elsewhere")
    monkeypatch.chdir(folder)


def turned(folder: str) -> dict[str, str]:
    return dict(word.split("=", 1) for word in fine_tuning_command(Path(folder)).command[4::2])


def save_again(folder: Path) -> None:
    """The tokenizer as transformers leaves it after a call that shortened a text."""
    transformers = pytest.importorskip("transformers")
    library = transformers.PreTrainedTokenizerFast(tokenizer_file=str(folder / "tokenizer.json"))
    library.pad_token = "t"
    library("the cat", truncation=True, max_length=4, padding="max_length")
    library.save_pretrained(folder)


def test_an_export_that_transformers_saved_again_has_the_tokenizer_that_it_had(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project(tmp_path, monkeypatch)
    before = read_json(Path("theirs/tokenizer.json"))
    save_again(Path("theirs"))
    assert read_json(Path("theirs/tokenizer.json")) != before
    assert turned("theirs")["tokenize.path"] == "theirs/tokenizer.json", "its characters are read as what they are"
    assert fine_tuning_command(Path("theirs")).notes == [
        "theirs/tokenizer.json: has 16 characters; a text with any other is an error"
    ]
    Path("elsewhere").rename("data")
    assert "tokenize.path" not in turned("theirs")
    assert tokenizer_digest(before) == read_json(Path("data/tokens/meta.json"))["hugging_face"]


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (lambda c: c | {"normalizer": {"type": "Lowercase"}}, r"'normalizer' is 'Lowercase', which changes the text"),
        (lambda c: c | {"decoder": None}, "are not byte-level; use a tokenizer of byte-level BPE"),
        (lambda c: {}, "is not a Hugging Face tokenizer"),
    ],
)
def test_a_tokenizer_that_tokenize_would_refuse_is_refused_here(
    change: Any, line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project(tmp_path, monkeypatch)
    rewritten("tokenizer.json", change)(Path("theirs"))
    with pytest.raises(UserError, match=rf"^tokenize\.path: theirs/tokenizer\.json: .*{line}"):
        fine_tuning_command(Path("theirs"))
    Path("theirs/tokenizer.json").unlink()
    with pytest.raises(UserError, match=r"^theirs/tokenizer\.json: not found, and without it the ids"):
        fine_tuning_command(Path("theirs"))


def test_rows_beyond_the_tokenizer_are_told_of_and_ids_beyond_the_rows_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project(tmp_path, monkeypatch)
    plain = turned("theirs")
    padded(Path("theirs"), 5)
    assert turned("theirs") == plain
    assert (
        fine_tuning_command(Path("theirs")).notes[-1] == "theirs: 5 rows of its embedding belong to no token and are left out"
    )
    rewritten("config.json", lambda said: said | {"vocab_size": 3})(Path("theirs"))
    with pytest.raises(UserError, match=r"^theirs/tokenizer\.json: has 16 tokens, but the model has 3$"):
        fine_tuning_command(Path("theirs"))


def test_a_copy_of_ours_wants_the_tokenizer_that_it_was_trained_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project(tmp_path, monkeypatch)
    found = fine_tuning_command(Path("ours"))
    assert [note.partition(";")[0] for note in found.notes] == ["ours: needs the tokenizer of its training"]
    shutil.copytree("elsewhere", "data")
    assert fine_tuning_command(Path("ours")).notes == [] and fine_tuning_command(Path("ours")).command == found.command
    write_json(Path("data/tokens/tokenizer.json"), {"kind": "byte", "end": None})
    seal_folder(Path("data/tokens"))
    with pytest.raises(
        UserError, match=r"^ours: was trained with another tokenizer than that of data/tokens; copy the data/tokens/"
    ):
        fine_tuning_command(Path("ours"))
    shutil.copy("elsewhere/tokens/tokenizer.json", "ours")
    assert turned("ours")["tokenize.path"] == "ours/tokenizer.json"


def test_a_network_that_divides_its_logits_and_one_whose_window_is_wider_than_our_context_can_be_gone_on_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project(tmp_path, monkeypatch, "mistral", model__init="mup", model__base_width=8, model__window=5)
    assert turned("ours").items() >= {"model.init": "mup", "model.base_width": "8", "model.attention": "window"}.items()
    values = read_yaml(Path("params.yaml"))
    values["model"]["context_length"] = values["model"]["window"] = 4
    Path("params.yaml").write_text(json.dumps(values))
    for folder in ("ours", "theirs"):
        assert not turned(folder).keys() & {"model.window", "model.context_length", "model.attention"}, (
            "a window of 5 sees all of 4"
        )


def test_what_train_would_refuse_whatever_the_knobs_is_refused_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project(tmp_path, monkeypatch)
    with pytest.raises(UserError, match=r"^train\.init_from: 'models/trained' is this stage's own output"):
        fine_tuning_command(Path("models/trained"))
    values = read_yaml(Path("params.yaml"))
    for kind, dataset in (("vision", "digits"), ("classify", "dyck")):
        values["task"]["kind"], values["prepare"]["dataset"] = kind, dataset
        Path("params.yaml").write_text(json.dumps(values))
        if kind == "vision":
            with pytest.raises(
                UserError, match=r"^theirs: was trained with task\.kind language; train\.init_from does not work for images"
            ):
                fine_tuning_command(Path("theirs"))
        else:
            assert turned("theirs")["train.init_from"] == "theirs"


@pytest.mark.slow
def test_the_command_that_is_printed_runs(tmp_path: Path) -> None:
    lab = clone(tmp_path / "lab")
    made = subject(tmp_path / "made", learned("file"), **a_model_of("llama"))
    (lab / "given").mkdir()
    write(lab / "given", made, "llama", ARCHITECTURES["llama"])
    padded(lab / "given", 7)
    save_again(lab / "given")
    said = run(lab, "rally", "import", "given")
    assert re.search("7 rows of its embedding belong to no token", said)
    command = next(line for line in said.splitlines() if line.startswith("$ dvc exp run "))
    run(lab, *shlex.split(command[2:]), "-S", "train.steps=5", "train")
    assert read_json(lab / "models/trained/model.json", "vocabulary")["vocabulary"] == made.tokenizer.vocabulary
    assert read_json(lab / "data/tokens/meta.json")["tokens"]["train"] > 4_000
