"""A remote of DVC, opened: with `verify` set, without secrets in a file that git shares; and its errors in words. No torch."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit, urlunsplit

from pipeline.lab.dvc.git import GitRepository
from pipeline.lab.dvc.remotes import SECRETS, SHARED, WITHOUT_VERIFY, remotes, remotes_in
from pipeline.lab.sharing.request import NotSharedError
from pipeline.params.errors import UserError, check_packages

if TYPE_CHECKING:
    from dvc.data_cloud import Remote
    from dvc.repo import Repo

EXTRAS: dict[str, tuple[str, str]] = {
    "s3": ("s3", "dvc_s3"),
    "ssh": ("ssh", "dvc_ssh"),
    "webdav": ("webdav", "dvc_webdav"),
    "webdavs": ("webdav", "dvc_webdav"),
}
"""The scheme of a URL -> the extra of Rally, and the module, that speak to it."""

LEVELS = ("local", "repo", "global", "system")  # of DVC's configuration; an earlier one wins

# What servers and their clients say of a key or a password that they do not accept.
_REFUSED = re.compile(
    r"\b40[13]\b|Permission denied|Forbidden|AccessDenied|InvalidAccessKeyId|SignatureDoesNotMatch|ExpiredToken|InvalidToken"
    r"|Unable to locate (?:AWS )?credentials|NoCredentials|Unauthorized|Not Authorized|profile .* could not be found",
    re.IGNORECASE,
)


def remote_name(repo: Repo, name: str) -> str:
    """The remote of this name; the default one for "".

    Raises:
        UserError: there is none, or what it says cannot be used.
    """
    known = list(repo.config["remote"])
    name = name or repo.config["core"].get("remote") or ""
    if not known:
        raise UserError(
            "no remote is set up for the data. `dvc remote add -d team /srv/rally` adds a folder; docs/sharing.md has "
            "ssh://, s3:// and webdav://"
        )
    if name not in known:
        what = f"there is no remote '{name}'" if name else "no remote is the default one"
        raise UserError(
            f"{what}. Known: {', '.join(known)}. `rally share --remote NAME` uses one, `dvc remote default NAME` sets it"
        )
    options = repo.config["remote"][name]
    scheme = urlsplit(options["url"]).scheme
    extra, module = EXTRAS.get(scheme, ("", ""))
    if module:
        check_packages(f"remote {name} ({shown_url(options['url'])})", extra, module)
    if options.get("version_aware") or options.get("worktree"):
        raise UserError(
            f"remote {name}: DVC cannot share experiments through a remote with version_aware or worktree; use another"
        )
    return name


def check_shared_config(root: Path, name: str) -> None:
    """Whether the file that git shares holds secrets of a remote.

    Raises:
        UserError: it does.
    """
    file = root / SHARED
    options = remotes_in(file.read_text(encoding="utf-8", errors="replace")).get(name, {}) if file.is_file() else {}
    found = [option for option in SECRETS if option in options]
    if urlsplit(options.get("url", "")).password:
        found.append("the password in url")
    if found:
        raise UserError(
            f"{SHARED}: git shares this file, and it holds {', '.join(found)} of remote {name}. Take it out, and use "
            f"`dvc remote modify --local {name} …`, which writes to a file that git ignores"
        )


def set_verify(repo: Repo, name: str) -> str:
    """Make DVC compare what it takes from a remote, for all who have its URL; the file that was changed, or ""."""
    levels = {level: repo.config.load_one(level).get("remote", {}).get(name, {}) for level in LEVELS}
    if any("verify" in options for options in levels.values()) or repo.config["remote"][name]["url"].startswith(WITHOUT_VERIFY):
        return ""
    level = next(level for level, options in levels.items() if "url" in options)
    with repo.config.edit(level) as config:
        config["remote"][name]["verify"] = "true"
    return os.path.relpath(repo.config.files[level], repo.root_dir)


def is_in_commit(git: GitRepository, name: str, commit: str, *options: str) -> bool:
    """Whether a commit has a remote with the URL, and these further options, that it has here."""
    here, there = remotes(git.root).get(name, {}), remotes_in(git.raw("show", f"{commit}:./{SHARED}")).get(name, {})
    return "url" in there and all(here.get(option) == there.get(option) for option in ("url", *options))


def is_pulled(git: GitRepository, name: str, experiment: str) -> bool:
    """Whether `dvc exp pull` takes an experiment's data from a remote, and compares them.

    DVC reads the configuration of the experiment's own commit. Of one that is older than the remote it takes no data, and ends
    with 0; a relative path it counts from the root of the file system (findings/).
    """
    url = remotes(git.root).get(name, {}).get("url", "")
    return is_in_commit(git, name, experiment, "verify") and ("://" in url or Path(url).is_absolute())


def open_remote(repo: Repo, name: str) -> Remote:
    """A remote with its file system; it may not have been spoken to yet.

    Raises:
        UserError: its options cannot be used.
    """
    try:
        remote = repo.cloud.get_remote(name)
        remote.fs.fs  # noqa: B018  # connects where the kind does so at once
    except Exception as error:  # of any client; asyncssh has its own
        raise failure(error, repo, name, "Nothing was sent") from None
    return remote


def shown_url(url: str) -> str:
    """A URL without its password."""
    parts = urlsplit(url)
    if not parts.password:
        return url
    return urlunsplit(parts._replace(netloc=f"{parts.username}@{parts.netloc.rpartition('@')[2]}"))


def shown_git_url(url: str) -> str:
    """The URL of a git repository without who asks, where that may be a token."""
    return re.sub(r"(?<=^http://).*@|(?<=^https://).*@", "", url)


def failure(error: BaseException, repo: Repo, name: str, state: str) -> UserError | NotSharedError:
    """What a remote or its client said, in a line: a UserError where the credentials are wrong, otherwise NotSharedError.

    Args:
        state: what is there, and what to do.
    """
    said = _said(error)
    place = f"remote {name} ({shown_url(repo.config['remote'][name]['url'])})"
    if isinstance(error, FileNotFoundError):
        return NotSharedError(f"{place}: the bucket or folder of this URL is not there ({said}); create it. {state}")
    if isinstance(error, PermissionError) or _REFUSED.search(said):
        return UserError(
            f"{place}: does not accept these credentials, or not for writing ({said}); `dvc remote modify --local {name} "
            f"…` sets them. {state}"
        )
    full = "; its disk may be full" if re.search(r"\b50[07]\b", said) and "space" not in said else ""
    return NotSharedError(f"{place}: {said}{full}. {state}")


def _said(error: BaseException) -> str:
    """The first line of the first error of a chain that says anything."""
    while not str(error).strip() and (error.__cause__ or error.__context__):
        error = error.__cause__ or error.__context__ or error
    text = str(getattr(error, "strerror", None) or error).strip() or type(error).__name__
    return re.sub(r"\s+", " ", text.splitlines()[0]).removesuffix(".")
