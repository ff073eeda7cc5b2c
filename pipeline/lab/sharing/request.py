"""What is to be shared: a commit with its branch, experiments; and what the other git repository has of it. No torch."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.lab.dvc.git import GitRepository, join_names, short_hash
from pipeline.lab.dvc.queue import Experiment, experiments
from pipeline.params.errors import UserError
from pipeline.params.names import suggest


class NotSharedError(Exception):
    """What could not be sent, in one line; exit status 1."""


@dataclass(frozen=True)
class Request:
    """What is to be shared.

    Attributes:
        git_remote: the name of the other git repository.
        commit: of HEAD, where it is to be shared with its data; "" otherwise.
        branch: the reference that is then pushed there; "" where HEAD is on none.
        experiments: to be shared, each with its data.
        left_out: how many experiments of other commits were not asked for.
    """

    git_remote: str
    commit: str
    branch: str
    experiments: tuple[Experiment, ...]
    left_out: int = 0

    def references(self) -> dict[str, str]:
        """reference -> commit, of all that the other repository is to have."""
        branch = {self.branch: self.commit} if self.branch else {}
        return branch | {reference(experiment): experiment.commit for experiment in self.experiments}


def reference(experiment: Experiment) -> str:
    """Where DVC keeps an experiment in git."""
    return f"refs/exps/{experiment.baseline[:2]}/{experiment.baseline[2:]}/{experiment.name}"


def request(git: GitRepository, names: Sequence[str], all_: bool, git_remote: str) -> Request:
    """The experiments of these names; without any, HEAD and its experiments, or with `all_` those of every commit.

    Raises:
        UserError: no such experiment, several of one name, nothing to share, or no such git remote.
    """
    if not (head := git.commit("HEAD")):
        raise UserError("there is no commit yet: `git add -A && git commit -m 'first run'`, then share it")
    remotes = git("remote").split()
    if git_remote not in remotes:
        known = f"Known: {', '.join(remotes)}" if remotes else f"`git remote add {git_remote} URL` adds one"
        raise UserError(f"git has no remote '{git_remote}' here. {known}")
    known_ones = list(experiments(git.root))
    if names:
        return Request(git_remote, "", "", tuple(_named(name, known_ones, head) for name in dict.fromkeys(names)))
    mine = tuple(one for one in known_ones if all_ or one.baseline == head)
    if not git.succeeds("cat-file", "-e", "HEAD:./dvc.lock") and not mine:
        raise UserError(
            "nothing to share: this commit has no dvc.lock and no experiments. After a run: `git add -A && git commit`"
        )
    return Request(git_remote, head, git.branch(), mine, len(known_ones) - len(mine))


def _named(name: str, known: Sequence[Experiment], head: str) -> Experiment:
    found = [one for one in known if one.name == name]
    here = [one for one in found if one.baseline == head]
    if len(found) == 1 or here:
        return (here or found)[0]
    if found:
        commits = join_names([short_hash(one.baseline) for one in found])
        raise UserError(f"{name}: several commits have an experiment of this name ({commits}); check one of them out first")
    hint = (
        suggest(name, tuple(one.name for one in known))
        if known
        else "None ended well; `rally share` without a name shares this commit"
    )
    raise UserError(f"{name}: there is no such experiment. {hint}")


def references_there(git: GitRepository, git_remote: str) -> dict[str, str]:
    """reference -> commit of the other repository.

    Raises:
        NotSharedError: it cannot be reached.
    """
    asked = git.run("ls-remote", git_remote)
    if asked.returncode:
        raise NotSharedError(f"git remote {git_remote}: {last_line(asked.stderr)}; nothing was sent")
    lines = (line.split("\t", 1) for line in asked.stdout.splitlines() if "\t" in line)
    return {name: commit for commit, name in lines}


def check_references(git: GitRepository, asked: Request, there: dict[str, str]) -> None:
    """Whether git would take each reference, before anything is sent.

    Raises:
        UserError: the branch there has commits that this clone lacks, or an experiment of this name is another one.
    """
    problems = []
    theirs = there.get(asked.branch, "")
    if theirs and not git.succeeds("merge-base", "--is-ancestor", theirs, asked.commit):
        branch = asked.branch.removeprefix("refs/heads/")
        problems.append(f"{asked.git_remote}/{branch} has commits that this clone lacks: `git pull` first")
    problems += [
        f"{one.name}: {asked.git_remote} has another experiment of this name. `dvc exp rename {one.name} OTHER` renames yours; "
        f"`dvc exp remove -g {asked.git_remote} {one.name}` removes theirs"
        for one in asked.experiments
        if there.get(reference(one), one.commit) != one.commit
    ]
    if problems:
        raise UserError(*problems)


def push_references(git: GitRepository, git_remote: str, references: dict[str, str]) -> None:
    """Push them, and ask whether they are there.

    Raises:
        NotSharedError: they are not.
    """
    done = git.run("push", "--porcelain", git_remote, *(f"{commit}:{name}" for name, commit in references.items()))
    there = references_there(git, git_remote)
    if missing := [name for name, commit in references.items() if there.get(name) != commit]:
        why = f": {last_line(done.stderr)}" if done.returncode else ""
        names = join_names([name.removeprefix("refs/heads/").rpartition("/")[2] for name in missing])
        raise NotSharedError(f"git remote {git_remote}: it does not take {names}{why}. The data are there; run the same again")


def last_line(text: str) -> str:
    """What git said in the end, without its prefix."""
    lines = [
        line for line in text.splitlines() if line.strip() and not line.startswith(("Please make sure", "and the repository"))
    ]
    return re.sub(r"^(fatal|error): ", "", lines[-1].strip()) if lines else "no answer"
