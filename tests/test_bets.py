"""The ledger of bets: what is late, altered, removed or inserted; and what came of a bet, in words."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from terminals import Terminal, terminals

from pipeline.lab.bets.answers import parse_answer
from pipeline.lab.bets.ask import ask
from pipeline.lab.bets.bet import Bet, begin, has_begun, open_bets, past_spread, place, read_bets, settle
from pipeline.lab.bets.ledger import LEDGER, OWN, problems
from pipeline.lab.bets.question import OrderAnswer, Question, Target, YesNoAnswer

TOP = Path(__file__).parents[1]
LOSS = Question("How high is the loss?", "number", "nats", naive=4.159)
NETS = Question("Which learns?", "choice", choices=("relu", "tanh", "sigmoid"))
RANKED = Question("Which gradient is largest?", "order", choices=("relu", "tanh", "sigmoid"))
WILL = Question("Will it hold?", "yesno")
STUDY = Target("study loss-at-start: loss", "abc")


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder, which git does not track."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def clone(project: Path) -> Path:
    """A repository with a commit, which merges ledgers as this one does."""
    shutil.copy(TOP / ".gitattributes", project)
    (project / ".gitignore").write_text(".rally/\n")
    git("init", "-q", "-b", "main")
    git("config", "user.email", "someone@example.com")
    git("config", "user.name", "someone")
    commit()
    return project


def git(*words: str) -> str:
    return subprocess.run(["git", *words], check=True, capture_output=True, text=True).stdout


def commit() -> None:
    git("add", "-A")
    git("commit", "-q", "-m", "x", "--allow-empty")


def bet(text: str = "4.2 ± 0.1", question: Question = LOSS, target: Target = STUDY, **more: bool) -> Bet:
    return place(question, target, parse_answer(question, text), already_run=more.get("already_run", False))


def lines() -> list[str]:
    return LEDGER.read_text(encoding="utf-8").splitlines()


def leave(texts: list[str]) -> None:
    LEDGER.write_text("".join(f"{text}\n" for text in texts), encoding="utf-8")


def said() -> list[str]:
    return [str(problem) for problem in problems()]


# ------------------------------------------------------------------------------------------------------ what came of them


def test_a_bet_on_a_number_is_told_what_came_of_it(project: Path) -> None:
    first = bet()
    begin(STUDY)
    assert settle(first, 4.264, (4.254, 4.274)) == (
        "you said 4.2 ± 0.1 nats; it was 4.264 nats (4.254 … 4.274): inside. Your 80 % intervals so far held 1 of 1."
    )
    second = bet("5..6", target=Target("another", "def"))
    assert settle(second, 4.264).endswith("it was 4.264 nats: outside, below it. Your 80 % intervals so far held 1 of 2.")


@pytest.mark.parametrize(
    ("question", "text", "truth", "line"),
    [
        (
            NETS,
            "relu 60 tanh 30",
            "tanh",
            "you said relu 60 %, tanh 30 %, sigmoid 10 %; it was tanh, to which you gave 30 %."
            " Brier score 0.86; all labels alike would have 0.67, and less is better.",
        ),
        (
            RANKED,
            "r > t > s",
            ["relu", "sigmoid", "tanh"],
            "you said relu > tanh > sigmoid; it was relu > sigmoid > tanh:"
            " 2 of 3 pairs in the right order; at random half of them are.",
        ),
        (
            WILL,
            "y 70",
            True,
            "you said yes, with 70 %; it was yes. Brier score 0.09; 50 % would have 0.25, and less is better.",
        ),
        (
            WILL,
            "n",
            True,
            "you said no, with 80 %; it was yes. Brier score 0.64; 50 % would have 0.25, and less is better.",
        ),
        (LOSS, "4", float("inf"), "you said 4 ± 1 nats; nothing was decided, so the bet is not scored."),
        (WILL, "y", None, "you said yes, with 80 %; nothing was decided, so the bet is not scored."),
    ],
)
def test_every_kind_of_bet_is_told_what_came_of_it(
    question: Question, text: str, truth: float | str | bool | list[str] | None, line: str, project: Path
) -> None:
    assert settle(bet(text, question), truth) == line


def test_a_bet_is_scored_once(project: Path) -> None:
    one = bet()
    settle(one, 4.15)
    assert "it was 4.15 nats" in settle(one, 9.0)
    assert [json.loads(line)["kind"] for line in lines()] == ["made", "scored"]


def test_the_forecast_of_the_lab_is_scored_apart_from_the_learners(project: Path) -> None:
    settle(bet(), 9.0)
    doctors = place(LOSS, Target("another", "def"), parse_answer(LOSS, "4..5"), already_run=False, who="doctor")
    assert (
        settle(doctors, 4.2)
        == "the doctor said 4.5 ± 0.5 nats; it was 4.2 nats: inside. Its 80 % intervals so far held 1 of 1."
    )


def test_of_two_bets_on_the_same_the_last_before_the_runs_counts(project: Path) -> None:
    first, second = bet("4"), bet("5")
    begin(STUDY)
    late = bet("6")
    assert [one.replaced for one in read_bets()] == [True, False, False]
    assert [one.id for one in open_bets(STUDY)] == [second.id, late.id] and first.id != second.id
    assert [one.late for one in read_bets()] == [False, False, True]


def alone(truths: Sequence[float], question: Question = LOSS, said: str = "4") -> None:
    """Numbers without a width that were said, and what came out."""
    for at, truth in enumerate(truths):
        settle(bet(said, question, Target(f"{said} {at}", f"{said} {at}")), truth)


def test_past_numbers_without_a_width_give_the_next_its_width_little_by_little(project: Path) -> None:
    settle(bet("4 ± 1", target=Target("own width", "own width")), 40.0)
    alone((4.1, 4.2, 4.4, 4.4))
    assert past_spread(logarithmic=False) is None, "four are too few"
    settle(bet("4", target=Target("fifth", "fifth")), 4.8)
    assert past_spread(logarithmic=False) == pytest.approx(0.25 + 0.5 * (0.2 - 0.25)), "half of the way to the widest of five"
    assert past_spread(logarithmic=True) is None, "which is another kind"


@pytest.mark.parametrize(("logarithmic", "most"), [(False, 0.5), (True, 1.0)])
def test_a_number_that_missed_by_far_does_not_make_the_next_width_absurd(logarithmic: bool, most: float, project: Path) -> None:
    question = replace(LOSS, logarithmic=logarithmic)
    settle(bet("0.05", question, Target("far", "far")), 0.0015)
    assert past_spread(logarithmic) is None
    for _ in range(6):
        alone([400.0] * 8, question)
        spread = past_spread(logarithmic)
        assert spread is not None and 0.25 < spread <= most


def test_a_width_that_the_program_chose_is_not_counted_among_the_learners_intervals(project: Path) -> None:
    settle(bet("4..5"), 4.2)
    told = settle(bet("4", target=Target("another", "def")), 4.2)
    assert told.endswith("inside. The width was not yours, so it does not count among your 80 % intervals.")
    far = bet("650k", replace(LOSS, logarithmic=True, unit="weights"), Target("fourth", "jkl"))
    assert settle(far, 5e6).startswith("you said 650,000 weights (520,000 … 812,500); it was 5e6 weights: outside, above it.")
    assert settle(bet("4..5", target=Target("third", "ghi")), 9.0).endswith("Your 80 % intervals so far held 1 of 2.")


# ---------------------------------------------------------------------------------------------------------- late or altered


def test_a_bet_after_its_runs_began_is_late_and_does_not_count(project: Path) -> None:
    early = bet()
    begin(STUDY)
    late = bet("4.26 ± 0.01")
    assert (early.late, late.late) == (False, True)
    settle(early, 4.26)
    assert settle(late, 4.26).endswith("The bet was late (its runs had begun), so it does not count.")
    assert [one.counts for one in read_bets()] == [True, False]


def test_a_bet_on_runs_that_are_recorded_is_late(project: Path) -> None:
    assert bet(already_run=True).late


def test_that_runs_began_is_noted_once_and_only_where_there_are_bets(project: Path) -> None:
    begin(STUDY)
    assert not LEDGER.exists(), "nobody bets here"
    bet()
    begin(STUDY)
    begin(STUDY)
    assert [json.loads(line)["kind"] for line in lines()] == ["made", "begun"]
    begin(Target("another", "def"))
    assert len(lines()) == 3, "so that a bet on it that comes now is late"


def five() -> list[str]:
    """A ledger of two bets, a beginning and two scores."""
    first, second = bet(), bet("y", WILL, Target("another", "def"))
    begin(STUDY)
    settle(first, 4.26)
    settle(second, truth=True)
    assert problems() == []
    return lines()


ALTERATIONS: list[tuple[Callable[[list[str]], list[str]], list[str]]] = [
    (lambda old: [old[0].replace("4.2,", "4.26,"), *old[1:]], ["line 1: was altered: line 2 follows what it was before"]),
    (
        lambda old: [*old[:3], old[3].replace("4.26", "4.2"), old[4]],
        ["line 4: was altered: line 5 follows what it was before"],
    ),
    (lambda old: [*old[:2], *old[3:]], ["line 3: a line before it was removed"]),
    (lambda old: old[2:], ["line 1: 2 lines before it were removed"]),
    (lambda old: [old[0], old[4]], ["line 2: 3 lines before it were removed"]),
    (lambda old: [*old[:2], old[3], old[2], old[4]], ["line 3: stands above line 4, which it follows: lines were moved"]),
    (lambda old: [*old, old[1]], ["line 6: is a copy of line 2"]),
    (lambda old: [*old[:1], "4.2 for me", *old[1:]], ["line 2: is not a line of a ledger"]),
    (lambda old: [*old[:4], old[4][:50]], ["line 5: is not a line of a ledger"]),
    (
        lambda old: [*old[:2], old[1].replace("0.8", "0.99"), *old[2:]],
        ["line 3: lines 2, 3 all follow line 1: branches of git were merged here, or a line was inserted"],
    ),
    (
        lambda old: [*old[:1], json.dumps({**json.loads(old[1]), "n": 7}), *old[2:]],
        ["line 2: has the number 7, and would be 2: it was altered or inserted"],
    ),
]


@pytest.mark.parametrize(("alter", "named"), ALTERATIONS)
def test_a_line_that_was_altered_removed_or_inserted_is_named(
    alter: Callable[[list[str]], list[str]], named: list[str], project: Path
) -> None:
    leave(alter(five()))
    shutil.rmtree(OWN.parent)  # without which a clone knows no more than the file
    found = said()
    for line in named:
        assert any(one.startswith(line) for one in found), found


def test_a_removed_end_is_named_by_the_clone_that_wrote_it(project: Path) -> None:
    leave(five()[:3])
    [found] = said()
    assert found.startswith("line 4: 2 lines are missing that stood here: ")


def test_a_line_put_in_by_hand_is_named_by_a_clone(clone: Path) -> None:
    old = five()
    forged = old[1].replace("0.8", "0.99")
    leave([*old[:2], forged, *old[2:]])
    assert "line 3: was neither written by this clone nor came with a commit: it was altered or inserted by hand" in said()


def test_lines_that_were_taken_back_are_read_and_come_back_with_the_next_bet(clone: Path) -> None:
    old = five()[:2]
    leave(old)
    commit()
    begin(STUDY)
    last = bet("4.1..4.3", target=Target("third", "ghi"))
    whole = lines()
    leave(old[:1])  # as `dvc exp apply` of an older experiment does
    assert [one.id for one in read_bets()][-1] == last.id
    assert bet("3..5").late, "it is known that the runs had begun"
    assert lines()[: len(whole)] == whole
    assert problems() == []


def test_a_line_that_is_half_there_is_whole_again_after_the_next_bet(project: Path) -> None:
    old = five()
    LEDGER.write_text("\n".join(old)[:-40], encoding="utf-8")
    assert len(read_bets()) == 2
    bet("y", WILL, Target("third", "ghi"))
    assert lines()[:5] == old
    assert problems() == []


def test_an_altered_line_does_not_change_what_its_bet_said_and_stays_named(project: Path) -> None:
    old = five()
    leave([old[0].replace("4.2,", "4.26,"), *old[1:]])
    bet("y", WILL, Target("third", "ghi"))
    assert [one.outcome is not None for one in read_bets()].count(True) == 2
    assert any("all follow nothing" in line for line in said())


# ------------------------------------------------------------------------------------------------ two clones, two processes


def test_two_branches_that_both_bet_are_merged_without_a_conflict(clone: Path) -> None:
    bet()
    commit()
    git("checkout", "-q", "-b", "other")
    theirs = bet("y", WILL, Target("another", "def"))
    begin(Target("another", "def"))
    commit()
    git("checkout", "-q", "main")
    shutil.rmtree(OWN.parent)  # another person's clone
    ours = bet("n", WILL, Target("another", "def"))
    commit()
    git("merge", "-q", "--no-edit", "other")
    assert [problem.is_note for problem in problems()] == [True], "that branches were merged"
    assert {theirs.id, ours.id} <= {one.id for one in read_bets()}
    assert not any(one.late or one.replaced for one in read_bets()), "who did not know that the runs had begun"
    assert bet("n 90", WILL, Target("another", "def")).late
    assert len(json.loads(lines()[-1])["follows"]) == 2, "one line binds both branches"


PROGRAM = """
from pipeline.lab.bets.bet import place
from pipeline.lab.bets.question import Question, Target, YesNoAnswer
for number in range({count}):
    bet = place(Question("?", "yesno"), Target("{name}", "{name}"), YesNoAnswer(0.5), already_run=False)
    print(bet.id, flush=True)
"""


def betting(name: str, count: int) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM.format(name=name, count=count)],
        env={**os.environ, "PYTHONPATH": str(TOP)},
        stdout=subprocess.PIPE,
        text=True,
    )


def test_two_processes_that_bet_at_once_lose_no_line(project: Path) -> None:
    both = [betting(name, 15) for name in ("one", "other")]
    ids = [process.communicate()[0].split() for process in both]
    assert sorted(one.id for one in read_bets()) == sorted(ids[0] + ids[1])
    assert problems() == []
    assert [json.loads(line)["n"] for line in lines()] == list(range(1, 31))


def test_a_process_that_is_killed_while_it_bets_loses_no_line_that_it_had_placed(project: Path) -> None:
    process = betting("one", 100_000)
    assert process.stdout
    placed = [process.stdout.readline().strip() for _ in range(5)]
    process.send_signal(signal.SIGKILL)
    placed += process.communicate()[0].split()
    assert [one.id for one in read_bets()][: len(placed)] == placed
    assert problems() == []
    bet()
    assert problems() == []


# ----------------------------------------------------------------------------------------------------------------- asking


def test_nobody_is_asked_where_there_is_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    assert ask(WILL) is None
    assert capsys.readouterr().out == ""


@pytest.fixture
def opened() -> Iterator[list[Terminal]]:
    with terminals() as some:
        yield some


def asking(opened: list[Terminal], question: Question, before: str = "", late: bool = False) -> Terminal:
    """A terminal on which somebody is asked, after other commands; at the end the answer."""
    program = f"""
import sys, time
sys.path.insert(0, {str(TOP)!r})
from pipeline.lab.bets.ask import ask
from pipeline.lab.bets.prompt import wants_more
from pipeline.lab.bets.question import Question
{before}
print("answer:", ask({question!r}, late={late}), "END")
"""
    opened.append(shell := Terminal(program=program))
    return shell


def told(shell: Terminal, until: str = "END") -> str:
    return shell.read_until(until).replace("\r\n", "\n")


def test_a_wrong_answer_is_told_why_and_asked_again(project: Path, opened: list[Terminal]) -> None:
    shell = asking(opened, WILL)
    told(shell, "> ")
    shell.type("maybe\r")
    assert "maybe: is neither yes nor no; write y or n" in told(shell, "> ")
    shell.type("y 70\r")
    assert "Noted: yes, with 70 %.\nanswer: YesNoAnswer(probability=0.7, assumed='')" in told(shell)


@pytest.mark.parametrize("typed", ["\r", "\x04"])
def test_enter_and_the_end_of_the_input_are_no_bet_and_that_is_said(typed: str, project: Path, opened: list[Terminal]) -> None:
    shell = asking(opened, WILL)
    told(shell, "> ")
    shell.type(typed)
    assert "No bet.\nanswer: None" in told(shell)


@pytest.mark.parametrize(("typed", "line", "status"), [("q\r", "Stopped; no bet.", 0), ("\x03", "Stopped.", 130)])
def test_q_and_ctrl_c_leave_with_one_line(typed: str, line: str, status: int, project: Path, opened: list[Terminal]) -> None:
    shell = asking(opened, WILL)
    told(shell, "> ")
    shell.type(typed)
    assert line in told(shell, line)
    assert shell.exit_status() == status


def test_what_was_typed_while_something_computed_answers_nothing(project: Path, opened: list[Terminal]) -> None:
    shell = asking(opened, WILL, before="print('computing', flush=True); input(); time.sleep(2)")
    told(shell, "computing")
    shell.type("\r\rn 99\r")  # the first Enter begins the computation
    told(shell, "Enter = no bet.")
    told(shell, "> ")
    shell.type("y 70\r")
    assert "YesNoAnswer(probability=0.7" in told(shell)


def test_between_drills_only_enter_and_q_count(project: Path, opened: list[Terminal]) -> None:
    shell = asking(opened, WILL, before="print('first', wants_more('on? ')); print('second', wants_more('on? '))")
    told(shell, "on? ")
    shell.type("0.05\r")
    assert "Enter goes on, q stops." in told(shell, "on? ")
    shell.type("\r")
    assert "first True" in told(shell, "on? ")
    shell.type("q\r")
    assert "second False" in told(shell, "> ")


def test_that_a_bet_cannot_count_is_said_before_the_question(project: Path, opened: list[Terminal]) -> None:
    before = " ".join(told(asking(opened, WILL, late=True), WILL.text).split())
    assert "a bet on them is scored apart and does not count." in before


def test_it_is_known_that_runs_have_begun(project: Path) -> None:
    bet("4", target=Target("another", "def"))
    assert not has_begun(STUDY)
    begin(STUDY)
    assert has_begun(STUDY) and not has_begun(Target("another", "def"))


def test_choices_are_numbered(project: Path, opened: list[Terminal]) -> None:
    shell = asking(opened, RANKED)
    screen = told(shell, "Enter = no bet.")
    assert "  1  relu\n  2  tanh\n  3  sigmoid\n" in screen
    told(shell, "> ")
    shell.type("2 > 1 > 3\r")
    assert f"answer: {OrderAnswer(('tanh', 'relu', 'sigmoid'))}" in told(shell)


def test_a_question_without_a_unit_names_none(project: Path, opened: list[Terminal]) -> None:
    for unit, invitation in (("", "Your bet: write"), ("numbers", "Your bet: write"), ("nats", "Your bet, in nats: write")):
        screen = told(asking(opened, replace(LOSS, unit=unit)), "Enter = no bet.")
        assert invitation in screen
        assert "you expect the truth inside 8 times of 10" in " ".join(screen.split())


def test_the_answer_of_a_bet_is_read_as_it_was_given(project: Path) -> None:
    bet("n 90", WILL)
    assert read_bets()[0].answer == YesNoAnswer(0.1)
