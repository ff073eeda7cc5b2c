"""Time of `rally show`, `rally compare` and `dvc exp show` with many experiments, the first time and again.

    python -m benchmarks.experiments [--count 200] [--dvc]

A small training is run once by DVC in a copy of this repository; the other experiments are made from it by git alone, with
their own knobs, dvc.lock and scores. With --dvc also what `dvc exp show --json` takes: half a second each the first time.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import yaml

from benchmarks.bench import SILENT, TOP, machine, table, timed
from benchmarks.startup import TINY
from pipeline.params.yaml12 import read_yaml

SEEDS, RATES = 4, 10  # experiments differ in seed, lr and weight_decay
FIRST = "first"
OWN = ("params.yaml", "dvc.lock", "metrics/evaluate.json")  # the files that each has of its own


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--dvc", action="store_true")
    asked = parser.parse_args()
    python, rows = [sys.executable, "-m"], list[tuple[object, ...]]()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name, "lab")
        run_first(folder)
        multiply(folder, asked.count)
        commands = {f"rally {name}": [*python, "pipeline.lab.cli", name] for name in ("show", "compare")}
        commands |= {"dvc exp show --json": [*python, "dvc", "exp", "show", "--json"]} if asked.dvc else {}
        for command, words in commands.items():
            for when in ("first", "again"):
                took = timed(words, folder)
                rows.append((command, when, f"{took.wall:.1f}", f"{took.cpu:.1f}"))
    print(f"{machine()}\n{asked.count} experiments\n\n{table(('command', 'time', 'wall clock, s', 'CPU, s'), rows)}")


def git(folder: Path, *words: str, stdin: bytes = b"") -> str:
    done = subprocess.run(["git", *words], cwd=folder, input=stdin, capture_output=True, check=True)
    return done.stdout.decode()


def run_first(folder: Path) -> None:
    """A copy of this repository with small knobs, and one experiment in it."""
    git(TOP, "clone", "-q", "--depth", "1", TOP.as_uri(), str(folder))
    values = read_yaml(folder / "params.yaml")
    for knob, value in (SILENT | TINY).items():
        section, _, name = knob.partition(".")
        values[section][name] = value
    (folder / "params.yaml").write_text(yaml.safe_dump(values, sort_keys=False))
    git(folder, "-c", "user.name=rally", "-c", "user.email=rally@localhost", "commit", "-qam", "small")
    timed([sys.executable, "-m", "dvc", "exp", "run", "-n", FIRST], folder)


def multiply(folder: Path, count: int) -> None:
    """More experiments, made from the first one."""
    head = git(folder, "rev-parse", "HEAD").strip()
    references = f"refs/exps/{head[:2]}/{head[2:]}/"
    texts = {path: git(folder, "show", f"{references}{FIRST}:{path}") for path in OWN}
    changed = [line.split("\t") for line in git(folder, "diff", "--raw", "--no-abbrev", head, references + FIRST).splitlines()]
    same = "".join(f"M {about.split()[1]} {about.split()[3]} {path}\n" for about, path in changed if path not in OWN)
    commands = []
    for number in range(count):
        begin = f"commit {references}try-{number}\ncommitter rally <rally@localhost> {1764600000 + number} +0000\ndata 3\nexp\n"
        files = "".join(_file(path, text) for path, text in zip(OWN, _variant(texts, number), strict=True))
        commands.append(f"{begin}from {head}\n{same}{files}\n")
    git(folder, "fast-import", "--quiet", stdin="".join(commands).encode())


def _file(path: str, text: str) -> str:
    return f"M 100644 inline {path}\ndata {len(text.encode())}\n{text}\n"


def _variant(texts: dict[str, str], number: int) -> Iterator[str]:
    """The text of each of OWN."""
    params, lock, scores = (texts[path] for path in OWN)
    knobs = {"lr": 0.001 * (1 + number // SEEDS % RATES), "weight_decay": 0.1 * (number // (SEEDS * RATES))}
    seed, measured = 1 + number % SEEDS, json.loads(scores)
    own = json.dumps(measured | {"loss": measured["loss"] + 0.01 * seed + knobs["lr"]})
    for text in (params, lock):
        for name, value in knobs.items():
            text = re.sub(rf"^( +){name}: .*", rf"\g<1>{name}: {value:.4g}", text, flags=re.MULTILINE)
        yield re.sub(r"^(|        )seed: 1$", rf"\g<1>seed: {seed}", text, flags=re.MULTILINE).replace(_md5(scores), _md5(own))
    yield own


def _md5(text: str) -> str:
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()


if __name__ == "__main__":
    main()
