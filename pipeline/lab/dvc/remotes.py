"""Remotes of DVC, read from its configuration without starting DVC, which takes a second: their names, and what they lack."""

from __future__ import annotations

import configparser
import re
from pathlib import Path

SHARED, PRIVATE = Path(".dvc/config"), Path(".dvc/config.local")  # git tracks the first one

# Options that let one in, so that they must not stand in a file that git shares.
SECRETS = (
    "password",
    "passphrase",
    "token",
    "access_key_id",
    "secret_access_key",
    "session_token",
    "connection_string",
    "sas_token",
    "account_key",
    "client_secret",
    "oss_key_id",
    "oss_key_secret",
    "gdrive_client_secret",
)
PATHS = ("keyfile", "credentialpath", "configpath", "cert_path", "key_path", "user", "profile")  # of one user
WITHOUT_VERIFY = ("hdfs",)  # kinds of remotes whose schema in DVC has no such option


def remotes_in(text: str) -> dict[str, dict[str, str]]:
    """The options of each remote in the text of a configuration; none where it cannot be read."""
    config = configparser.ConfigParser(interpolation=None, strict=False)
    try:
        config.read_string(text)
    except configparser.Error:
        return {}
    named = ((re.fullmatch(r"'?remote \"(.+)\"'?", section), section) for section in config.sections())
    return {match[1]: dict(config[section]) for match, section in named if match}


def remotes(root: Path) -> dict[str, dict[str, str]]:
    """The options of each remote of the clone at `root`, those of the private file over those of the shared one."""
    found: dict[str, dict[str, str]] = {}
    for file in (SHARED, PRIVATE):
        if (root / file).is_file():
            for name, options in remotes_in((root / file).read_text(encoding="utf-8", errors="replace")).items():
                found[name] = found.get(name, {}) | options
    return found


def unverified(root: Path) -> list[str]:
    """A line for each remote whose files DVC would take as they are, damaged or changed.

    It is only said here: the option belongs into the file that holds the URL, which git tracks. In the private one it would
    outlive the remote, and a section without a URL stops every command of DVC.
    """
    return [
        f"remote {name}: DVC takes damaged files from it as they are; `dvc remote modify {name} verify true` makes it compare"
        for name, options in remotes(root).items()
        if "url" in options and "verify" not in options and not options["url"].startswith(WITHOUT_VERIFY)
    ]
