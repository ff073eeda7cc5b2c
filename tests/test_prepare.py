"""The stages prepare and tokenize: knobs in, data/raw and data/tokens out, complete or not at all."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from small import TOP
from test_tokenizers import somebody_elses

from pipeline import prepare, tokenize
from pipeline.artifacts.checksums import sha256_of
from pipeline.artifacts.paths import CARD, CHECKSUMS, RAW, SPLITS, TOKENS, meta_of
from pipeline.corpus.sources.table import TEXTS
from pipeline.corpus.store.text import SplitWriter, replace_folder
from pipeline.params.errors import UserError
from pipeline.params.yaml12 import read_yaml
from pipeline.tokenizers.table import TOKENIZERS, load

POEM = "Shall I compare thee to a summer's day? Thou art more lovely.\n" * 200


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty project, with a cache of its own and no network."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RALLY_CACHE", str(tmp_path / "cache"))
    return tmp_path


def set_knobs(**knobs: Any) -> None:
    """Write params.yaml with knobs such as prepare__dataset="markov"."""
    values = read_yaml(TOP / "params.yaml")
    small = {"prepare__generated_chars": 2000, "runtime__progress": "none", "runtime__workers": 1}
    for name, value in (small | knobs).items():
        section, _, knob = name.partition("__")
        values[section][knob] = value
    Path("params.yaml").write_text(yaml.safe_dump(values))


def told(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


RATED = [
    name
    for name, dataset in TEXTS.items()
    if dataset.__module__ in ("pipeline.corpus.sources.generated.addition", "pipeline.corpus.sources.generated.dyck")
]
GENERATED = [
    name for name, dataset in TEXTS.items() if dataset.__module__ == "pipeline.corpus.sources.generated.markov"
] + RATED


@pytest.mark.parametrize("dataset", GENERATED)
def test_a_generated_data_set_needs_no_network_and_tells_its_entropy(dataset: str) -> None:
    set_knobs(prepare__dataset=dataset)
    prepare.main()
    card = told(CARD)
    assert sorted(path.name for path in RAW.iterdir()) == sorted(
        [CHECKSUMS, "card.json", *(f"{split}.{kind}" for split in SPLITS for kind in ("txt", "ends.npy"))]
        + (["train.difficulty.npy"] if dataset in RATED else [])
    )
    assert card["name"] == dataset and card["entropy_nats_per_byte"] > 0.9
    for split in SPLITS:
        ends = np.load(RAW / f"{split}.ends.npy", mmap_mode="r")
        assert card["bytes"][split] == ends[-1] == (RAW / f"{split}.txt").stat().st_size
        assert card["documents"][split] == len(ends) and ends.dtype == np.int64


@pytest.mark.parametrize("kind", TOKENIZERS)
@pytest.mark.parametrize("dataset", ["markov", "addition"])
def test_tokens_stand_for_the_whole_text_of_every_split(dataset: str, kind: str) -> None:
    set_knobs(prepare__dataset=dataset, tokenize__kind=kind, tokenize__vocab_size=300, tokenize__path=str(somebody_elses(True)))
    prepare.main()
    tokenize.main()
    meta, tokenizer = told(meta_of(TOKENS)), load(TOKENS / "tokenizer.json")
    assert (meta["kind"], meta["vocabulary"], meta["end"]) == (kind, tokenizer.vocabulary, tokenizer.end)
    assert (meta["end"] is None) == (dataset == "markov")
    assert meta["entropy_nats_per_byte"] == told(CARD)["entropy_nats_per_byte"]
    for split in SPLITS:
        ids = np.load(TOKENS / f"{split}.npy", mmap_mode="r")
        assert len(ids) == meta["tokens"][split] and ids.max() < meta["vocabulary"]
        assert tokenizer.decode(ids.tolist()) == (RAW / f"{split}.txt").read_text()
        assert (ids == meta["end"]).sum() == (meta["documents"][split] if tokenizer.end else 0)
        assert meta["bytes"][split] == (RAW / f"{split}.txt").stat().st_size
        assert meta["first_token_bytes"][split] == len(tokenizer.token_bytes(int(ids[0])))


@pytest.mark.parametrize("kind", TOKENIZERS)
def test_the_same_run_gives_the_same_bytes(kind: str) -> None:
    Path("data/own").mkdir(parents=True)
    for i in range(5):
        Path(f"data/own/{i}.txt").write_text(POEM[i:])
    set_knobs(prepare__dataset="file", tokenize__kind=kind, tokenize__path=str(somebody_elses(True)))
    digests = set()
    for _ in range(2):
        prepare.main()
        tokenize.main()
        digests.add((sha256_of(RAW), sha256_of(TOKENS)))
    assert len(digests) == 1


def test_nothing_that_a_stage_leaves_tells_where_it_ran(project: Path) -> None:
    Path("own").mkdir()
    Path("own/poem.txt").write_text(POEM)
    set_knobs(prepare__dataset="file", prepare__path=str(project / "own"), tokenize__kind="bpe")
    prepare.main()
    tokenize.main()
    for path in (*RAW.iterdir(), *TOKENS.iterdir()):
        assert str(project).encode() not in path.read_bytes(), path


WRONG: dict[str, dict[str, Any]] = {
    "prepare.dataset: there is no 'tinyshakespear'. Did you mean 'tinyshakespeare'?": {"prepare__dataset": "tinyshakespear"},
    "prepare.path: no file or folder 'nowhere'": {"prepare__dataset": "file", "prepare__path": "nowhere"},
    "prepare.pattern: no file in 'own' matches '*.md'": {
        "prepare__dataset": "file",
        "prepare__path": "own",
        "prepare__pattern": "*.md",
    },
    "latin.txt: is not UTF-8 text (byte 0xe9 near offset 1)": {"prepare__dataset": "file", "prepare__path": "own/latin.txt"},
    "prepare: 5 bytes of text leave nothing for validation": {
        "prepare__dataset": "file",
        "prepare__path": "own/few.txt",
        "prepare__validation_share": 0.01,
    },
    "http://127.0.0.1:1/a: cannot be downloaded (Connection refused)": {
        "prepare__dataset": "url",
        "prepare__url": "http://127.0.0.1:1/a",
        "prepare__sha256": "0" * 64,
    },
}


@pytest.mark.parametrize("line", WRONG)
def test_what_cannot_be_prepared_is_one_line_and_nothing_is_written(
    line: str, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    Path("own").mkdir()
    Path("own/latin.txt").write_bytes("né".encode("latin-1"))
    Path("own/few.txt").write_text("a few")
    set_knobs(**WRONG[line])
    with pytest.raises(SystemExit) as end:
        prepare.main()
    assert end.value.code == 2
    *tries, last = capfd.readouterr().err.splitlines()
    assert last.startswith(line) and all("trying again" in line for line in tries)
    assert not RAW.exists() and not [*Path().glob("data/*")]


def test_tokenize_without_prepared_text_says_what_makes_it(capfd: pytest.CaptureFixture[str]) -> None:
    set_knobs()
    with pytest.raises(SystemExit):
        tokenize.main()
    assert "data/raw/card.json: not found; run `dvc repro` to create it" in capfd.readouterr().err


def test_a_stage_that_fails_on_the_way_leaves_what_was_there(project: Path) -> None:
    set_knobs(prepare__dataset="markov")
    prepare.main()
    before = sha256_of(RAW)
    with pytest.raises(UserError), replace_folder(RAW) as folder, SplitWriter(folder) as splits:
        splits.add("train", b"the only split")
    assert sha256_of(RAW) == before
    assert [path.name for path in Path("data").iterdir()] == ["raw"]


def test_what_a_killed_stage_left_does_not_get_into_the_next_result() -> None:
    set_knobs(prepare__dataset="markov")
    Path("data/.raw.unfinished").mkdir(parents=True)
    Path("data/.raw.unfinished/stray.txt").touch()
    prepare.main()
    assert [path.name for path in Path("data").iterdir()] == ["raw"] and not (RAW / "stray.txt").exists()


def test_neither_door_imports_torch() -> None:
    set_knobs(prepare__dataset="addition", tokenize__kind="bpe")
    program = (
        "import sys; from pipeline import prepare, tokenize; prepare.main(); tokenize.main(); assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True, env={"PYTHONPATH": str(TOP)})
