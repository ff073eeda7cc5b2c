"""A file of a data set on the Hugging Face hub, at a fixed commit; a private one by the user's token."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import requests

from pipeline.corpus.sources.published import download
from pipeline.corpus.sources.published.hub_token import HubAuth, hub_address, hub_auth, hub_token
from pipeline.corpus.sources.splitting.text import (
    is_encodable,
    json_lines,
    lines_of,
    position_shares,
    read_utf8,
    split_by_position,
    split_of_key,
    with_progress,
)
from pipeline.corpus.store.text import Card, SplitWriter
from pipeline.params.data import Prepare
from pipeline.params.errors import UserError, check_packages
from pipeline.params.names import suggest
from pipeline.progress import Follow

COLUMNS = 4096  # rows of a parquet file that are read at once


class HubFile(NamedTuple):
    """A file of a data set on the hub, at a commit."""

    repository: str
    revision: str
    file: str

    @property
    def url(self) -> str:
        return f"{hub_address()}/datasets/{self.repository}/resolve/{self.revision}/{self.file}"


def hub(knobs: Prepare, splits: SplitWriter, follow: Follow) -> Card:
    """A text file of the hub: a .txt as one text, each row of a .jsonl or .parquet as a document."""
    place = HubFile(knobs.repository, knobs.revision, knobs.file)
    path, sha256 = download_hub_file(place, knobs.sha256, follow)
    if place.file.endswith((".txt", ".txt.gz")):
        with download.open_unpacked(path, place.file) as stream, follow(f"reading {place.file}", None) as advance:
            text = with_progress(read_utf8(stream, place.file), advance)
            split_by_position(splits, text, position_shares(knobs.validation_share, knobs.test_share), at_lines=True)
        how = "by position, at ends of lines: training, then validation, then test; line ends became \\n"
    else:
        for document in read_documents(path, place.file, knobs.text_column, follow):
            splits.add(split_of_key(document, knobs), document)
        how = "each row is a document; by a digest of its text, so that equal ones are in one split"
    return Card(
        name="hub",
        source=f"the data set {place.repository} of the Hugging Face hub, {place.file} at {place.revision}",
        licence="not known to us: see the data set's own card",
        split=how,
        sha256={place.file: sha256},
    )


HELD_OUT = 10_000  # rows of each held-out split


def tinystories_clean(knobs: Prepare, splits: SplitWriter, follow: Follow) -> Card:
    """2.7 million stories for small children by GPT-4, cleaned, shuffled and without duplicates: 2.2 GB."""
    path, sha256 = download_hub_file(TINYSTORIES_CLEAN, knobs.sha256, follow)
    for row, document in enumerate(read_documents(path, TINYSTORIES_CLEAN.file, "text", follow)):
        splits.add("test" if row < HELD_OUT else "validation" if row < 2 * HELD_OUT else "train", document)
    return Card(
        name="tinystories_clean",
        source=f"the data set {TINYSTORIES_CLEAN.repository} of the Hugging Face hub, at {TINYSTORIES_CLEAN.revision}",
        licence="CDLA-Sharing-1.0",
        split="as its maker suggests, by row: 0 to 9,999 test, 10,000 to 19,999 validation, the others training",
        sha256={TINYSTORIES_CLEAN.file: sha256},
    )


TINYSTORIES_CLEAN = HubFile(
    "karpathy/tinystories-gpt4-clean", "0397e27157956705a0260709da3095bb9c43d6a7", "tinystories_gpt4_clean.parquet"
)


def download_hub_file(place: HubFile, sha256: str, follow: Follow) -> tuple[Path, str]:
    """(the file, its sha256: if it is "", the one that the hub has for this commit).

    Raises:
        UserError: it cannot be downloaded, with the way in where the hub refuses this user.
    """
    try:
        auth = hub_auth()
        sha256 = sha256 or _sha256_at_hub(place, auth)
        return download.download_file(place.url, sha256, follow, auth=auth), sha256
    except download.RefusedError as refusal:
        raise UserError(f"{refusal}; {_way_in(auth)}") from None


def _way_in(auth: HubAuth | None) -> str:
    if auth:
        return (
            f"the token in {hub_token()[1]} does not open it, or there is no such file;"
            " HF_HUB_DISABLE_IMPLICIT_TOKEN=1 asks without a token"
        )
    return "if the data set is private, set HF_TOKEN or type `hf auth login` (over https)"


def _sha256_at_hub(place: HubFile, auth: HubAuth | None) -> str:
    """The sha256 of a large file (Git LFS) at this commit, which the hub sends as the tag of its link.

    Raises:
        UserError: there is no answer, or none with a sha256.
    """
    try:
        answer = requests.head(
            place.url, allow_redirects=False, timeout=download.TIMEOUT, headers={"Accept-Encoding": "identity"}, auth=auth
        )
    except (requests.RequestException, ValueError) as error:  # ValueError: HF_ENDPOINT is not an address
        raise UserError(
            f"{download.without_credentials(place.url)}: no answer ({download.error_reason(error)}); {download.OFFLINE}"
        ) from None
    if answer.status_code >= requests.codes.bad_request:
        kind = download.RefusedError if answer.status_code in download.REFUSALS else UserError
        raise kind(f"{download.without_credentials(place.url)}: the server answers {answer.status_code} {answer.reason}")
    tag = answer.headers.get("X-Linked-ETag", "").strip('"')
    if not re.fullmatch("[0-9a-f]{64}", tag):
        raise UserError(f"prepare.sha256: is empty, and the hub has none for {place.file}; get it with sha256sum")
    return tag


def read_documents(path: Path, name: str, column: str, follow: Follow) -> Iterator[bytes]:
    """The text of each row of a .jsonl, .jsonl.gz or .parquet, stripped of blanks; empty ones are dropped."""
    read = _parquet if name.endswith(".parquet") else _json_lines
    rows = read(path, name, column, follow)
    return (text.encode() for text in map(str.strip, rows) if text)


def _json_lines(path: Path, name: str, column: str, follow: Follow) -> Iterator[str]:
    with download.open_unpacked(path, name) as stream, follow(f"reading {name}", None) as advance:
        for number, row in json_lines(lines_of(with_progress(read_utf8(stream, name), advance)), name):
            if not isinstance(row, dict) or not isinstance(row.get(column), str):
                known = tuple(row) if isinstance(row, dict) else ()
                raise UserError(f"prepare.text_column: {name}, line {number}: has no text '{column}'. {suggest(column, known)}")
            if not is_encodable(row[column]):
                raise UserError(f"{name}, line {number}: the text has half of a character (a lone surrogate)")
            yield row[column]


def _parquet(path: Path, name: str, column: str, follow: Follow) -> Iterator[str]:
    check_packages(name, "parquet", "pyarrow", pinned=False)

    import pyarrow  # type: ignore[import-not-found,unused-ignore]
    from pyarrow import parquet  # type: ignore[import-not-found,unused-ignore]

    try:
        file = parquet.ParquetFile(path)
        if column not in file.schema_arrow.names:
            raise UserError(
                f"prepare.text_column: {name} has no column '{column}'. {suggest(column, tuple(file.schema_arrow.names))}"
            )
        with follow(f"reading {name}", None) as advance:
            for batch in file.iter_batches(COLUMNS, columns=[column]):
                for text in batch.column(0).to_pylist():
                    if not isinstance(text, str | None):
                        raise UserError(f"prepare.text_column: {name}: the column '{column}' is not text")
                    yield text or ""
                advance(batch.nbytes)
    except pyarrow.ArrowException as error:
        raise UserError(f"{name}: cannot be read as parquet: {error}") from None
