"""The documents are true: every path, link, command and knob in them exists, and the first ones are short."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from page_checks import MOST_BYTES, anchors, broken_links, broken_paths, too_long, too_wide, wrong_commands, wrong_knobs
from pages import TOP, Page, pages

PAGES = pages()
CHECKS: dict[str, Callable[[Page], list[str]]] = {
    check.__name__: check for check in (broken_links, broken_paths, wrong_commands, wrong_knobs)
}


OLD_NAMES = {("CHANGELOG.md", "wrong_commands"), ("CHANGELOG.md", "wrong_knobs")}  # it says what they were


@pytest.mark.parametrize(
    ("name", "check"), [(name, check) for name in PAGES for check in CHECKS if (name, check) not in OLD_NAMES]
)
def test_what_a_document_says_is_so(name: str, check: str) -> None:
    assert CHECKS[check](PAGES[name]) == []


@pytest.mark.parametrize("name", MOST_BYTES)
def test_a_first_document_is_short(name: str) -> None:
    assert too_long(name, (TOP / name).read_text(encoding="utf-8")) == []


def test_the_readme_fits_a_terminal() -> None:
    assert too_wide((TOP / "README.md").read_text(encoding="utf-8")) == []


def test_what_is_read_is_there_to_be_read() -> None:
    words = [word for page in PAGES.values() for command in page.commands() for word in command]
    assert words.count("rally") > 60 and words.count("dvc") > 60 and words.count("-S") > 60
    assert {"README.md", "docs/python.md", "studies/sweeps.yaml", "params.yaml", "rally budget --help"} <= set(PAGES)


# ------------------------------------------------------------------------------------------------------ planted breaches


def block(line: str) -> str:
    return f"Words.\n\n```sh\n{line}\n```\n"


# (the check, a text, what it says of it; "" where the text is right)
TEXTS = [
    ("broken_links", "[a](docs/python.md), [b](docs/python.md#the-five-functions), [c](https://example.org/x)", ""),
    ("broken_links", "# One two\n\n[a](#one-two)", ""),
    ("broken_links", "[a](docs/pyhton.md)", "docs/pyhton.md: there is no such file"),
    ("broken_links", "![a picture](docs/no.png)", "docs/no.png: there is no such file"),
    ("broken_links", "[a](docs/python.md#six-functions)", "docs/python.md#six-functions: there is no such heading"),
    ("broken_links", "# One\n\n[a](#two)", "#two: there is no such heading"),
    ("broken_paths", "`tests/test_*.py`, `metrics/train.csv` and data/raw/card.json, in pipeline/networks", ""),
    ("broken_paths", "`networks/norms.py:NORMS`, pipeline.networks and https://localhost/docs/none", ""),
    ("broken_paths", "see `pipeline/norms.py`", "pipeline/norms.py: there is no such file"),
    ("broken_paths", "as `networks/nroms.py` says", "networks/nroms.py: there is no such file"),
    ("broken_paths", "as tests/test_nothing.py holds.", "tests/test_nothing.py: there is no such file"),
    ("broken_paths", block("python -m benchmarks.races --pairs 5"), "benchmarks/races: there is no such file"),
    ("broken_paths", "```python\nfrom pipeline.lab.notes import draw\n```", "pipeline/lab/notes: there is no such file"),
    ("broken_paths", "it is in `metrics/curve.csv`", "metrics/curve.csv: there is no such file"),
    ("wrong_commands", block("rally budget -S model.depth=2 --card 12  # 'fits'"), ""),
    ("wrong_commands", "`rally play`, `rally play NAME` and `rally doctor --all`; `dvc plots`, `dvc exp apply NAME`", ""),
    ("wrong_commands", block("rally sampel"), "rally sampel: there is no such command. Did you mean 'sample'?"),
    ("wrong_commands", block("git pull && ./run rally sampel"), "rally sampel: there is no such command"),
    ("wrong_commands", "    rally sampel      writes text", "rally sampel: there is no such command"),
    ("wrong_commands", "type `rally doctor trail`", "rally doctor trail: there is no such command"),
    ("wrong_commands", "type `rally look --prompts x`", "rally look --prompts x: No such option: --prompts"),
    ("wrong_commands", block("rally budget --card twelve"), "rally budget --card twelve: "),
    ("wrong_commands", block("rally export a b"), "rally export a b: Got unexpected extra argument"),
    ("wrong_commands", block("rally budget \\\n    --card 12"), ""),
    ("wrong_commands", block("rally look --prompt \"Don't"), "rally look --prompt \"Don't: no shell can read that"),
    ("wrong_commands", block("rally play grooking"), "there is no study 'grooking'. Did you mean 'grokking'?"),
    ("wrong_commands", block("rally budget size-5m"), "there is no study 'size-5m'"),
    ("wrong_commands", block("dvc repro train && dvc checkout metrics"), ""),
    ("wrong_commands", block("./run dvc repro trian"), "dvc repro trian: there is no 'trian'. Did you mean 'train'?"),
    ("wrong_commands", "`dvc exp rnu -S train.lr=1`", "DVC has no such command. Did you mean 'run'?"),
    ("wrong_commands", block("dvc exp run --quue"), "dvc exp run --quue: DVC does not take that"),
    ("wrong_commands", block("dvc plots show metrics/tarin.csv"), "there is no 'metrics/tarin.csv'"),
    ("wrong_knobs", block("dvc exp run -S task.kind=vision -S prepare.dataset=digits -S 'train.lr=0.1,0.2'"), ""),
    (
        "wrong_knobs",
        block("rally play mnist-5k -S train.shift=3")
        + "`train.lr`, `train.lr=3e-4`, `train.csv`, `-S section.knob=value` and -S seed=2; `model.depth` is 3",
        "",
    ),
    ("wrong_knobs", block("dvc exp run -S prepare.dataset=NAME -S model.activation=leaky_relu"), ""),
    ("wrong_knobs", block("dvc exp run -S prepare.dataste=NAME"), "prepare.dataste: there is no such knob"),
    ("wrong_knobs", block("rally play mnist-5k -S train.shift=3"), ""),
    ("wrong_knobs", block("dvc exp run -S train.rl=0.1"), "train.rl: there is no such knob"),
    ("wrong_knobs", block("rally play distilled -S train.rl=0.1"), "train.rl: there is no such knob"),
    ("wrong_knobs", block("rally look -S model.activation=gellu"), "there is no 'gellu'. Did you mean 'gelu'?"),
    ("wrong_knobs", block("dvc exp run -S task.kind=vision -S prepare.dataset=sentiment"), "prepare.dataset: "),
    ("wrong_knobs", "with -S model.depth=none", "-S model.depth=none: model.depth: "),
    ("wrong_knobs", "the knob `train.rl`", "train.rl: there is no such knob"),
    ("wrong_knobs", "with `model.norm=batsh`", "model.norm=batsh: model.norm: there is no 'batsh'"),
]


@pytest.mark.parametrize(("check", "text", "seen"), TEXTS)
def test_a_planted_breach_is_seen_and_nothing_else(check: str, text: str, seen: str) -> None:
    found = CHECKS[check](Page(text))
    assert len(found) == (1 if seen else 0)
    assert seen in "".join(found)


def test_every_check_has_been_seen_to_fail() -> None:
    assert {check for check, _, seen in TEXTS if seen} == set(CHECKS)


def test_a_long_and_a_wide_document_are_seen() -> None:
    assert too_long("README.md", "x" * 9_001) == ["README.md: 9,001 bytes; at most 9,000"]
    assert too_long("README.md", "x" * 9_000) == []
    assert too_wide("a\n" + "x" * 101 + "\n| " + "x" * 101) == ["line 2: 101 characters"]


def test_headings_have_the_anchors_that_github_gives_them() -> None:
    text = "# The data\n## `sentiment`, in two: what (and why)?\n## Same\n## Same\n## [A link](x.md)\n```\n# a comment\n```\n"
    assert anchors(text) == {"the-data", "sentiment-in-two-what-and-why", "same", "same-1", "a-link"}
