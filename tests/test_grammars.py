"""The rules of generated text: its own text follows them, and a changed symbol breaks them."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from small import knobs

from pipeline.corpus import grammars
from pipeline.corpus.grammars import GRAMMARS
from pipeline.corpus.sources.generated import markov as synthetic
from pipeline.corpus.sources.table import TEXTS
from pipeline.corpus.store.text import SplitWriter
from pipeline.progress import follower

MADE = {  # which data set has the rule
    "sums": {"prepare__dataset": "addition", "prepare__min_digits": 1},
    "reversed_sums": {"prepare__dataset": "addition", "prepare__reversed": True},
    "brackets": {"prepare__dataset": "dyck", "prepare__bracket_kinds": 4},
    "doubled": {"prepare__dataset": "repeats"},
}


def made(folder: Path, **changes: object) -> tuple[str, list[str]]:
    """(the rule that its card names, the documents of the training split)."""
    params = knobs(prepare__generated_chars=3000, **changes)
    folder.mkdir()
    with SplitWriter(folder) as splits:
        card = TEXTS[params.prepare.dataset](params.prepare, splits, follower("none"))
    text = (folder / "train.txt").read_text(encoding="utf-8")
    return card.grammar, text.splitlines(keepends=True) if card.grammar != "doubled" else [text]


@pytest.fixture(scope="module")
def texts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    """Documents of each rule, as their data set names it."""
    found = [made(tmp_path_factory.mktemp("made") / rule, **changes) for rule, changes in MADE.items()]
    assert [rule for rule, _ in found] == list(MADE)
    return dict(found)


@pytest.mark.parametrize("name", GRAMMARS)
def test_generated_text_keeps_its_rule_and_the_rule_of_no_other(texts: dict[str, list[str]], name: str) -> None:
    assert set(MADE) == set(GRAMMARS)
    for rule, documents in texts.items():
        if rule == name:
            assert GRAMMARS[name](documents) >= (0.99 if name == "doubled" else 1)  # its last block is cut short
        elif {rule, name} != {"sums", "reversed_sums"}:
            assert GRAMMARS[name](documents) < 0.7
        else:
            assert GRAMMARS[name](documents) < 0.1
    assert math.isnan(GRAMMARS[name]([]))


@pytest.mark.parametrize(
    ("name", "document", "share"),
    [
        ("sums", "12+34=046\n", 1),
        ("sums", "12+34=047\n", 0),
        ("sums", "12+34=046", 0),
        ("sums", "12+34=046\n1+1=2\n", 0),
        ("sums", "+=\n", 0),
        ("reversed_sums", "12+34=640\n", 1),
        ("reversed_sums", "12+34=046\n", 0),
        ("brackets", "([]{}<>)()\n", 1),
        ("brackets", "([)]\n", 0),
        ("brackets", "(()\n", 0),
        ("brackets", "())\n", 0),
        ("brackets", "()a\n", 0),
        ("brackets", "\n", 0),
        ("brackets", "()", 0),
        ("doubled", "x" + "abcdefgh" * 2 + "y" + "0123456789" * 2, 36 / 38),
        ("doubled", "abcdefg" * 2, 0),
        ("doubled", "", None),
    ],
)
def test_a_document_by_itself(name: str, document: str, share: float | None) -> None:
    found = GRAMMARS[name]([document])
    assert math.isnan(found) if share is None else found == pytest.approx(share)


def test_the_blocks_that_are_looked_for_are_those_that_are_written() -> None:
    assert (grammars.SHORTEST, grammars.LONGEST) == (synthetic.SHORTEST, synthetic.LONGEST)


def test_text_that_may_be_of_two_kinds_and_text_without_a_rule_name_none(tmp_path: Path) -> None:
    assert made(tmp_path / "a", prepare__dataset="mixture", prepare__mixture=["repeats", "dyck"])[0] == ""
    assert made(tmp_path / "b", prepare__dataset="markov")[0] == ""
