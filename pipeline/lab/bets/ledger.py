"""The ledger of bets, notebook/bets.jsonl: git tracks it, lines are only appended, and each one says which it follows.

`dvc exp apply` and `git checkout` put an older ledger in its place. Lines that this clone wrote (.rally/bets.jsonl) or that the
last commit has are therefore read as well, and the next line that is appended brings them back.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pipeline.artifacts.paths import exclusive_lock
from pipeline.artifacts.writing import write_bytes
from pipeline.lab.bets.chain import Chain, Problem, content_of, sha256_of_text
from pipeline.lab.dvc.git import git

LEDGER = Path("notebook/bets.jsonl")
OWN = Path(".rally/bets.jsonl")  # the lines that this clone wrote


def read_chain() -> Chain:
    """The ledger, with the lines that were taken back where they stood."""
    texts = _lines(LEDGER)
    for text in (back := _taken_back()):
        above = content_of(text).get("follows", [])
        places = [place for place, other in enumerate(texts) if sha256_of_text(other) in above]
        texts.insert(places[-1] + 1 if places else 0, text)
    # What is left of a line by a copy that broke off is not a line of its own.
    return Chain([text for text in texts if content_of(text) or not any(whole.startswith(text) for whole in back)])


def append(write: Callable[[Chain], Mapping[str, Any] | None]) -> Chain:
    """Append a line, as the only process that does so.

    The file is replaced as a whole, so that a process that is killed leaves the old ledger or the new one.

    Args:
        write: from the ledger to the content of the new line; None appends nothing.

    Returns:
        The ledger after it.
    """
    with exclusive_lock(OWN.with_suffix(".lock")):
        chain = read_chain()
        if (content := write(chain)) is None:
            return chain
        line = chain.next(content)
        texts = [*(old.text for old in chain.lines), line]
        own = _lines(OWN)
        write_bytes(OWN, "".join(f"{text}\n" for text in (*own, line)).encode())  # first: what is only here is brought back
        write_bytes(LEDGER, "".join(f"{text}\n" for text in texts).encode())
        return Chain(texts)


def problems() -> list[Problem]:
    """What is wrong with the ledger, line by line; those that are only notes too."""
    here, known = _lines(LEDGER), {*_lines(OWN), *_committed()}
    chain = Chain(here)
    found = chain.problems()
    named = {problem.number for problem in found if not problem.is_note}
    if OWN.exists() and git("rev-parse", "HEAD"):
        found += [
            Problem(line.number, "was neither written by this clone nor came with a commit: it was altered or inserted by hand")
            for line in chain.sound()
            if line.text not in known and line.number not in named
        ]
    if back := _taken_back():
        what = "a line is" if len(back) == 1 else f"{len(back)} lines are"
        why = "an older file was put in its place, or they were removed; the next bet brings them back"
        found.append(Problem(len(here) + 1, f"{what} missing that stood here: {why}"))
    return sorted(found, key=lambda problem: problem.number)


def _taken_back() -> list[str]:
    """The lines that this clone wrote, or that are in the last commit, and that the file lacks."""
    here = set(_lines(LEDGER))
    return [text for text in dict.fromkeys((*_committed(), *_lines(OWN))) if text not in here]


def _committed() -> list[str]:
    """The lines of the last commit, and of the branch that is being merged."""
    shown = (git("show", f"{commit}:./{LEDGER.as_posix()}") for commit in ("HEAD", "MERGE_HEAD"))
    return list(dict.fromkeys(line for text in shown for line in (text or "").split("\n") if line))


def _lines(path: Path) -> list[str]:
    if not path.exists():
        return []
    return [line for line in path.read_bytes().decode("utf-8", "replace").split("\n") if line]
