"""The user's token of the Hugging Face hub, where the Hugging Face tools have it; it goes to the hub and to no other host.

It is in no message, no file that Rally writes, and no address.
"""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import urlsplit

import requests
from requests.auth import AuthBase

from pipeline.params.errors import UserError

HUB = "https://huggingface.co"
LOOPBACK = ("localhost", "127.0.0.1", "::1")
YES = ("1", "ON", "YES", "TRUE")


def hub_address() -> str:
    """The hub: HF_ENDPOINT sets another one, as for the Hugging Face tools."""
    return (os.environ.get("HF_ENDPOINT") or HUB).rstrip("/")


def hub_token() -> tuple[str, str]:
    """(the token, where it is from); two empty texts if there is none.

    Raises:
        UserError: its file cannot be read, or it cannot be a token.
    """
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"):
        if token := os.environ.get(name, "").strip():
            return _checked(token, name), name
    path = _token_file()
    try:
        token = path.read_text(encoding="utf-8").strip()
    except (FileNotFoundError, NotADirectoryError):
        return "", ""
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not text"
        raise UserError(f"{path}: the token of the hub cannot be read ({reason}); `hf auth login` writes it again") from None
    return (_checked(token, str(path)), str(path)) if token else ("", "")


def _token_file() -> Path:
    """Where `hf auth login` writes the token."""
    cache = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    home = os.environ.get("HF_HOME") or f"{cache}/huggingface"
    return Path(os.path.expandvars(os.environ.get("HF_TOKEN_PATH") or f"{home}/token")).expanduser()


def _checked(token: str, place: str) -> str:
    if not (token.isascii() and token.isprintable() and " " not in token):
        raise UserError(f"{place}: is not a token of the hub; one is at {HUB}/settings/tokens, and looks like hf_…")
    return token


class HubAuth(AuthBase):
    """Adds the token to a request of the hub, over https or to this machine; `requests` takes it off for another host.

    As an `auth`, not a header, because `requests` replaces a header by what ~/.netrc has.
    """

    def __init__(self, token: str, hub: str) -> None:
        self._token, self._hub = token, urlsplit(hub)

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        asked = urlsplit(request.url or "")
        if (asked.scheme, asked.netloc) == (self._hub.scheme, self._hub.netloc):
            request.headers["Authorization"] = f"Bearer {self._token}"
        return request


def hub_auth() -> HubAuth | None:
    """The token as an `auth` of `requests`; None where there is none, the user wants none sent, or it would go in the clear.

    Raises:
        UserError: as for `hub_token`.
    """
    hub = urlsplit(hub_address())
    if os.environ.get("HF_HUB_DISABLE_IMPLICIT_TOKEN", "").upper() in YES:
        return None
    if hub.scheme != "https" and hub.hostname not in LOOPBACK:
        return None
    token, _ = hub_token()
    return HubAuth(token, hub.geturl()) if token else None
