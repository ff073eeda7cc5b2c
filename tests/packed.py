"""Small archives in the form of the package index, with what each data set reads from its package."""

from __future__ import annotations

import gzip
import io
import json
import random
import tarfile
import zipfile
from pathlib import Path

from test_download import sha256

from pipeline.corpus.sources.published.language_id import LANGUAGES, LanguageId
from pipeline.corpus.sources.published.manuals import Manuals
from pipeline.corpus.sources.published.sentiment import Sentiment

SYLLABLES = ("ba", "co", "du", "fe", "gi", "lo", "mu", "ne", "ra", "si"), ("ber", "nik", "stol", "vad", "zum")
WORDS = [first + second for first in SYLLABLES[0] for second in SYLLABLES[1]]


def said(rng: random.Random, words: int = 8) -> str:
    return " ".join(rng.choices(WORDS, k=words))


def tar(members: dict[str, bytes]) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:gz") as archive:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return file.getvalue()


def wheel(members: dict[str, bytes]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return file.getvalue()


def cached(cache: Path, content: bytes) -> str:
    """Put a file where downloads lie; its sha256."""
    (cache / "downloads").mkdir(parents=True, exist_ok=True)
    (cache / "downloads" / sha256(content)).write_bytes(content)
    return sha256(content)


def rated_snippets(lines: dict[str, list[str]]) -> bytes:
    """The source archive of vaderSentiment with some files of ratings in the archive within it."""
    inner = tar({f"hutto_ICWSM_2014/{name}_GroundTruth.txt": "\r\n".join(rows).encode() for name, rows in lines.items()})
    return tar({"vaderSentiment-3.3.2/additional_resources/hutto_ICWSM_2014.tar.gz": inner})


def sentiment(cache: Path) -> Sentiment:
    """Reviews of several snippets, and pairs of tweets that differ in their last signs alone."""
    rng = random.Random(1)
    amazon = [f"{review}_{place}\t{rng.choice([-2.5, 0.1, 2.5])}\t{said(rng)}" for review in range(60) for place in range(5)]
    tweets = []
    for number in range(100):
        text, rating = said(rng), 2.0 * (-1) ** number
        tweets += [f"{2 * number}\t{rating}\t{text}", f"{2 * number + 1}\t{rating}\t{text}!!! &amp;#38;"]
    return Sentiment("vaderSentiment==3.3.2", cached(cache, rated_snippets({"amazon": amazon, "tweets": tweets})))


def language_id(cache: Path) -> LanguageId:
    """Some strings, each in every language: the English one, spelt with that language's own endings."""
    rng = random.Random(2)
    sources = [said(rng, 6) for _ in range(110)]
    files = {}
    for code, _ in LANGUAGES:
        entries = ['msgid ""\nmsgstr ""\n"Language: x\\n"']
        for source in sources:
            translated = "" if code == "en" else " ".join(f"{word}{code}{word[:2]}" for word in source.split())
            entries.append(f'#: somewhere.py\nmsgid "{source}"\nmsgstr "{translated}"')
        files[f"django/contrib/x/locale/{code}/LC_MESSAGES/django.po"] = "\n\n".join(entries).encode()
    return LanguageId("django==5.2.19", cached(cache, wheel(files)))


def manuals(cache: Path) -> Manuals:
    rng = random.Random(3)
    files = {}
    for service in range(60):
        members = {f"m{i}": {"documentation": f"<p>{said(rng)} <b>{said(rng, 2)}</b></p><p>a&amp;b</p>"} for i in range(12)}
        about = {"documentation": "<p>The same everywhere.</p>", "shapes": members}
        files[f"botocore/data/service{service}/2020-01-01/service-2.json.gz"] = gzip.compress(json.dumps(about).encode())
    return Manuals("botocore==1.44.5", cached(cache, wheel(files)))
