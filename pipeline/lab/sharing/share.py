"""`rally share`: data first, then a look at every file on the remote, then the git references. No torch.

`dvc exp push` sends an experiment's reference before its data, so that a clone may see one whose data nobody has.
"""

from __future__ import annotations

import contextlib
import logging
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.lab.dvc.git import GitRepository, join_names, short_hash
from pipeline.lab.dvc.remotes import PATHS, SECRETS, SHARED, remotes, remotes_in
from pipeline.lab.sharing.files import File, Needs, needs
from pipeline.lab.sharing.remote import (
    check_shared_config,
    failure,
    is_in_commit,
    is_pulled,
    open_remote,
    remote_name,
    set_verify,
    shown_git_url,
    shown_url,
)
from pipeline.lab.sharing.request import NotSharedError, Request, check_references, push_references, references_there, request
from pipeline.lab.sharing.transfer import is_whole_here, remove, send, wrong_there
from pipeline.params.errors import UserError
from pipeline.progress import Follow

if TYPE_CHECKING:
    from dvc.data_cloud import Remote
    from dvc.repo import Repo

Say = Callable[[str], None]


@dataclass
class Shared:
    """What was shared, or would be.

    Attributes:
        remote, url: where the data are.
        is_default: the remote is what `dvc pull` takes without being told.
        options: of the remote that are no secrets, for commits that do not know it.
        is_known: `dvc pull` and `dvc exp pull` find the remote in the configuration that git shares.
        git_url: of the other git repository.
        by_content, run_cache: options of the command.
        files, size: how many files the commits need, and their bytes, as far as they are in this clone's cache.
        sent: the files that had to be sent.
        held_back: what was asked for and not shared -> why.
        notes: what else to know.
        is_partial: the commit lacks outs of stages that have not run.
    """

    request: Request
    remote: str
    url: str
    is_default: bool
    options: dict[str, str]
    is_known: bool
    git_url: str
    by_content: bool
    run_cache: bool
    files: int = 0
    size: int = 0
    sent: list[File] = field(default_factory=list)
    held_back: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    is_dry: bool = False
    is_partial: bool = False

    @property
    def experiments(self) -> list[str]:
        """Names of the experiments that are shared."""
        return [one.name for one in self.request.experiments if one.name not in self.held_back]

    @property
    def commit(self) -> str:
        """The commit that is shared with its data; "" where it is held back, or was not asked for."""
        return "" if short_hash(self.request.commit) in self.held_back else self.request.commit

    def as_json(self) -> dict[str, Any]:
        """All of it, for programs."""
        return {
            "remote": self.remote,
            "url": self.url,
            "git_remote": self.request.git_remote,
            "commit": self.commit or None,
            "branch": self.request.branch.removeprefix("refs/heads/") or None,
            "experiments": self.experiments,
            "files": self.files,
            "bytes": self.size,
            "sent": sorted(file.name for file in self.sent),
            "compared": "content" if self.by_content else "size",
            "held_back": self.held_back,
            "notes": self.notes,
            "dry_run": self.is_dry,
        }


@dataclass(frozen=True)
class Options:
    """The options of `rally share`."""

    remote: str = ""
    git_remote: str = "origin"
    all_: bool = False
    by_content: bool = False
    run_cache: bool = False
    dry_run: bool = False


def share(root: Path, names: Sequence[str], options: Options, follow: Follow, say: Say) -> Shared:
    """Share experiments, or the commit and its experiments, of the clone at `root`.

    Raises:
        UserError: the request, the remote's options or its credentials cannot be used.
        NotSharedError: something could not be sent; no reference was.
    """
    from dvc.exceptions import DvcException
    from dvc.repo import Repo

    git = GitRepository(root)
    asked = request(git, names, options.all_, options.git_remote)
    try:
        with contextlib.closing(Repo(str(root))) as here:
            urls = {name: {"url": str(remote["url"])} for name, remote in here.config["remote"].items()}
        # An older commit lacks a remote whose password the private file has: DVC takes no remote without a URL.
        repo = Repo(str(root), config={"remote": urls})
    except DvcException as error:
        raise UserError(str(error)) from None
    with _quiet_clients(), contextlib.closing(repo):
        return _share(repo, git, asked, options, follow, say)


@contextlib.contextmanager
def _quiet_clients() -> Iterator[None]:
    """No lines and tracebacks of DVC and the clients, whose errors are said in words."""
    loggers = [logging.getLogger(name) for name in ("dvc", "dvc_data", "dvc_objects", "asyncssh", "asyncio", "s3fs")]
    before = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.CRITICAL + 1)
        yield
    finally:
        for logger, level in zip(loggers, before, strict=True):
            logger.setLevel(level)


def _share(repo: Repo, git: GitRepository, asked: Request, options: Options, follow: Follow, say: Say) -> Shared:
    name = remote_name(repo, options.remote)
    check_shared_config(git.root, name)
    notes = _prepared(repo, git, asked, name, options.dry_run)
    check_references(git, asked, references_there(git, asked.git_remote))
    remote = open_remote(repo, name)
    done = Shared(
        asked,
        name,
        shown_url(repo.config["remote"][name]["url"]),
        repo.config["core"].get("remote") == name,
        _open_options(git.root, name),
        is_in_commit(git, name, "HEAD") and all(is_pulled(git, name, one.commit) for one in asked.experiments),
        shown_git_url(git("remote", "get-url", asked.git_remote)),
        options.by_content,
        options.run_cache,
        notes=notes,
        is_dry=options.dry_run,
    )
    found = _needs(repo, remote, asked, options.run_cache, follow)
    try:
        wrong = wrong_there(found.all_files(), remote.fs.jobs, options.by_content, follow)
        _hold_back(done, found, wrong)
        wanted = {file for commit in _commits(done) for file in found.files[commit]}
        done.files, done.size = len(wanted), sum(file.size() or 0 for file in wanted)
        done.sent = sorted(wrong & wanted, key=lambda file: file.name)
        done.is_partial = bool(found.unrun.get(asked.commit))
        done.notes += [
            f"commit {short_hash(commit)}: dvc.lock has no {join_names(outs)}; not shared, so in a clone `dvc pull` needs "
            "--allow-missing, and `dvc exp apply` refuses it until it has run to its end"
            for commit, outs in found.unrun.items()
            if outs
        ]
        say(_announced(done))
        if options.dry_run:
            return done
        _send(done, remote, follow, say)
    except (NotSharedError, UserError):
        raise
    except sqlite3.Error as error:  # in which DVC remembers hashes
        raise NotSharedError(f"{repo.site_cache_dir}: DVC cannot write its own cache: {error}; nothing was shared") from None
    except Exception as error:  # of any client: botocore, asyncssh, httpx
        raise failure(error, repo, name, "No git reference was sent. The same command goes on") from None
    references = {reference: commit for reference, commit in asked.references().items() if commit in {*_commits(done)}}
    if references:
        push_references(git, asked.git_remote, references)
    return done


def _open_options(root: Path, name: str) -> dict[str, str]:
    """The options of a remote that are no secrets, and not of one user."""
    options = {"verify": "true"} | remotes(root).get(name, {})
    return {key: value for key, value in options.items() if key not in ("url", *SECRETS, *PATHS)}


def _prepared(repo: Repo, git: GitRepository, asked: Request, name: str, is_dry: bool) -> list[str]:
    """Set `verify`, and see that a colleague's clone will know the remote."""
    notes = []
    if not is_dry and (file := set_verify(repo, name)):
        notes.append(f"{file}: set `verify = true` for remote {name}, so that DVC compares what it takes from there")
    tracked = git.root / SHARED
    is_shared = tracked.is_file() and "url" in remotes_in(tracked.read_text(encoding="utf-8", errors="replace")).get(name, {})
    if asked.commit and is_shared and not is_in_commit(git, name, asked.commit):
        raise UserError(
            *notes,
            f"{SHARED}: this commit does not have remote {name}, so no clone would find the data. `git commit -m 'our remote' "
            f"{SHARED}`, then share it",
        )
    if notes and is_shared:
        notes[-1] += f"; commit {SHARED} and push it"
    if asked.commit and not git.succeeds("diff", "--quiet", "HEAD", "--", "dvc.lock"):
        notes.append("dvc.lock differs from the commit: the run in this folder is in no commit, and is not shared")
    if asked.left_out:
        notes.append(f"{asked.left_out} of other commits not asked for; `rally share --all` shares all experiments")
    return notes


def _needs(repo: Repo, remote: Remote, asked: Request, run_cache: bool, follow: Follow) -> Needs:
    commits = dict.fromkeys([*([asked.commit] if asked.commit else []), *(one.commit for one in asked.experiments)])
    with follow(f"reading {len(commits)} commits", None) as advance:
        return needs(repo, remote, commits, run_cache, advance)


def _commits(done: Shared) -> list[str]:
    """The commits that are not held back."""
    mine = [done.commit] if done.commit else []
    return mine + [one.commit for one in done.request.experiments if one.name not in done.held_back]


def _hold_back(done: Shared, found: Needs, wrong: set[File]) -> None:
    """What cannot be shared, because files of it are neither here nor there, or damaged here."""
    missing = {file for file in wrong if file.size() is None}
    damaged = {file for file in wrong - missing if not is_whole_here(file)}
    named = [(short_hash(done.request.commit), done.request.commit)] if done.request.commit else []
    for name, commit in [*named, *((one.name, one.commit) for one in done.request.experiments)]:
        lost = found.unlisted[commit] + sorted(file.name for file in found.files[commit] & missing)
        bad = sorted(f"{file.local}" for file in found.files[commit] & damaged)
        if lost:
            done.held_back[name] = (
                f"{join_names(lost)}: neither in this clone's cache nor on the remote; `dvc repro` makes it again"
            )
        elif bad:
            done.held_back[name] = f"{join_names(bad)}: damaged; delete it, and `dvc repro` makes it again"


def _announced(done: Shared) -> str:
    what = [f"commit {short_hash(done.commit)}"] if done.commit else []
    if done.experiments:
        what.append(f"{len(done.experiments)} experiment{'s' * (len(done.experiments) > 1)} ({join_names(done.experiments)})")
    to_send = sum(file.size() or 0 for file in done.sent)
    return (
        f"{' and '.join(what) or 'nothing'}: {done.files} files, {megabytes(done.size)}; of these {len(done.sent)} "
        f"({megabytes(to_send)}) to send to remote {done.remote} ({done.url})"
    )


def megabytes(count: int) -> str:
    return f"{count / 1e6:,.1f} MB" if count >= 50_000 else f"{count:,} bytes"


def _send(done: Shared, remote: Remote, follow: Follow, say: Say) -> None:
    """Send, look, and send once more what did not arrive.

    Raises:
        NotSharedError: a file is not there after it was sent twice.
    """
    left = set(done.sent)
    for attempt in range(2):
        if not left:
            return
        if attempt:
            say(f"did not arrive whole, so sent again: {join_names(sorted(file.name for file in left))}")
        send(left, remote.fs.jobs, follow)
        left = wrong_there(left, remote.fs.jobs, done.by_content, follow)
    if left:
        remove(left)
        raise NotSharedError(
            f"remote {done.remote} ({done.url}): does not keep {join_names(sorted(file.name for file in left))} whole, though "
            "sent twice. No git reference was sent"
        )
