"""`rally upload`: sends an exported folder to the Hugging Face hub, by the hub's own library (the extra `hub`)."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from pipeline.corpus.sources.published.hub_token import LOOPBACK, hub_address, hub_token
from pipeline.lab.export.hub_card import gaps
from pipeline.lab.export.model_card import is_exported
from pipeline.params.errors import UserError, check_packages

if TYPE_CHECKING:
    from huggingface_hub import HfApi

REPOSITORY = r"[\w-][\w.-]*/[\w-][\w.-]*"


def upload(repository: str, folder: Path, *, public: bool = False, update: bool = False) -> str:
    """Send the files of a folder as one commit; the address where they are then.

    Args:
        repository: owner/name; it is made, for its owner alone unless `public`.
        update: it is there already, and gets another commit.

    Raises:
        UserError: no library, no export, no token, or the hub does not take it.
    """
    check_packages("rally upload", "hub", "huggingface_hub")
    if not re.fullmatch(REPOSITORY, repository):
        raise UserError(f"{repository}: is not a repository of the hub; use OWNER/NAME")
    if not folder.exists():
        raise UserError(f"{folder}: not found; `rally export {folder} --to hub-folder` first")
    if not (folder.is_dir() and is_exported(folder)):
        raise UserError(f"{folder}: was not written by `rally export`; `rally export {folder} --to hub-folder` first")
    hub = hub_address()
    if urlsplit(hub).scheme != "https" and urlsplit(hub).hostname not in LOOPBACK:
        raise UserError(f"HF_ENDPOINT: {hub} would get your token in the clear; use an address with https")
    token, place = hub_token()
    if not token:
        raise UserError("rally upload: no token of the hub; `hf auth login` asks for one (of the type write), or set HF_TOKEN")

    from huggingface_hub import HfApi, constants

    # One plain upload per file, not Xet's chunks in threads of their own: these files are small, and this is what tests run.
    constants.HF_HUB_DISABLE_XET = True
    for line in gaps((folder / "README.md").read_text(encoding="utf-8")) if public else ():
        print(line, file=sys.stderr)
    hub_said = _Refusals(repository, hub, place)
    api = HfApi(endpoint=hub, token=token)
    if not update:
        with hub_said:
            api.create_repo(repository, private=not public)
        hub_said.made = True
    with hub_said:
        _send(api, repository, folder)
    return f"{hub}/{repository}"


def _send(api: HfApi, repository: str, folder: Path) -> None:
    from huggingface_hub import CommitOperationAdd

    files = sorted(path for path in folder.rglob("*") if path.is_file() and not path.name.startswith("."))
    operations = [CommitOperationAdd(path.relative_to(folder).as_posix(), path) for path in files]
    api.create_commit(repository, operations, commit_message="Upload a model trained with Rally")


class _Refusals:
    """What the hub does not take, as one line.

    Attributes:
        made: whether the repository was made just now, so that it is there without files.
    """

    def __init__(self, repository: str, hub: str, token_place: str) -> None:
        self.repository, self.hub, self.token_place, self.made = repository, hub, token_place, False

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        import httpx2

        if isinstance(error, httpx2.HTTPError | OSError | ValueError | RuntimeError):
            after = f"; {self.repository} is there, and empty: the same with --update sends the files" if self.made else ""
            raise UserError(self._line(error) + after) from None

    def _line(self, error: Exception) -> str:
        status = getattr(getattr(error, "response", None), "status_code", 0)
        if status == 409:  # a conflict: of a name that is taken
            return f"{self.repository}: is on {self.hub} already; --update adds a commit to it, or use another name"
        if status in (401, 403):
            return f"{self.hub}: the token in {self.token_place} is not taken ({status}); it must be of the owner, type write"
        if status == 404:
            return f"{self.repository}: is not on {self.hub}, or not for the token in {self.token_place}; leave out --update"
        reason = next(iter(str(error.__cause__ or error).strip().splitlines()), "") or type(error).__name__
        return f"{self.hub}: {f'answers {status}' if status else 'no answer'} ({reason})"
