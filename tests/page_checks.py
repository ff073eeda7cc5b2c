"""What a program can check of the documents: sizes, paths, links, commands, knobs. Each check gives its breaches."""

from __future__ import annotations

import contextlib
import functools
import io
import re
from collections.abc import Callable
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from pages import TOP, UNREADABLE, Page
from typer.main import get_command

from pipeline.lab.cli import app
from pipeline.lab.dvc.overrides import check_overrides, expand_grid, hydra_text
from pipeline.lab.play_command import course_part
from pipeline.lab.studies.entries import Entry, read_entries
from pipeline.params.errors import UserError
from pipeline.params.load import read_sections
from pipeline.params.names import suggest
from pipeline.params.schema import Params
from pipeline.params.suggestions import knob_names
from pipeline.params.yaml12 import read_yaml

MOST_BYTES = {"README.md": 9_000, "CONTRIBUTING.md": 8_000}
WIDTH = 100  # characters of a line of README.md, tables and pictures apart
# What stands in the documents for something of the reader's own, and a value of its kind.
EXAMPLES = {"COMMIT": "0" * 40, "SHA256": "0" * 64, "OWNER/NAME": "owner/name", "URL": "https://localhost/a.txt"}
# What the documents speak of and what is not there: what readers add by a tutorial, and folders that were decided against.
SUPPOSED = ("leaky_relu", "deep-relu", "pipeline/lab/lint", "pipeline/train/", "pipeline/evaluate/")
OF_THE_READER = (
    "data/own/",
    "data/none",
    "models/teacher",
    "models/writer",
    "models/plays-f32",
)  # what the documents tell the reader to make
ANY_KNOB = "section.knob=value"  # how -S is explained


# ------------------------------------------------------------------------------------------------------ paths and links


def broken_links(page: Page) -> list[str]:
    """Links to files that are not there, or to headings that the file has not."""
    breaches = []
    for target in re.findall(r"\]\(([^()\s]+)\)", page.prose):
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = target.partition("#")
        path = page.folder / name if name else None
        if path is not None and not path.exists():
            breaches.append(f"{target}: there is no such file")
        elif anchor:
            text = page.text if path is None else path.read_text(encoding="utf-8")
            breaches += [] if anchor in anchors(text) else [f"{target}: there is no such heading"]
    return breaches


def anchors(text: str) -> set[str]:
    """The anchors that GitHub gives to headings: small letters, no punctuation, hyphens for blanks, numbers for repeats."""
    seen: dict[str, int] = {}
    found = set()
    for heading in re.findall(r"^#{1,6} +(.+?) *$", Page(text).prose, re.MULTILINE):
        plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading)
        anchor = re.sub(r"[^\w\- ]", "", plain.lower()).replace(" ", "-")
        found.add(f"{anchor}-{seen[anchor]}" if anchor in seen else anchor)
        seen[anchor] = seen.get(anchor, 0) + 1
    return found


_PLACE = re.compile(
    r"(?<![\w./:=-])((?:pipeline|tests|docs|studies|benchmarks|findings|\.ci|networks|tasks|engine|probes|corpus|figures|lab|doctor"
    r"|evaluation|inference|tokenizers)/[\w./*-]*[\w*/]|(?:metrics|plots|data|models)/[\w./*-]*\w)(?![\w{…<])"
)

_MODULE = re.compile(r"\b(?:python -m|from) ((?:pipeline|benchmarks|tests)\.[\w.]*\w)")


def broken_paths(page: Page) -> list[str]:
    """Paths of this repository, in the text or in code, that are not there; a room's file may stand without pipeline/."""
    modules = (
        name.replace(".", "/") for name in re.findall(r"(?:python -m|from) ((?:pipeline|benchmarks|tests)\.[\w.]+)", page.text)
    )
    paths = dict.fromkeys([*_PLACE.findall(page.text), *modules])
    return [f"{path}: there is no such file" for path in paths if not _is_there(path, page)]


def _is_there(path: str, page: Page) -> bool:
    if path in SUPPOSED:
        return True
    path = re.sub(r"\b[A-Z]+\b", "*", path)  # data/FOLDER, metrics/STAGE.sha256
    roots = (TOP, TOP / "pipeline", page.folder)
    if any((root / path).exists() or any(root.glob(path)) for root in roots):
        return True
    if re.match(r"\w+/\w+(/\w+)*$", path) and any((root / f"{path}.py").exists() for root in roots):
        return True  # a module without its ending
    made = any(fnmatch(str(out), path) or out in Path(path).parents or Path(path) in out.parents for out in _outs())
    return made or any(path.startswith(folder) for folder in OF_THE_READER)


@functools.cache
def _outs() -> tuple[Path, ...]:
    """What the stages leave."""
    stages = read_yaml(TOP / "dvc.yaml")["stages"].values()
    listed = [out for stage in stages for kind in ("outs", "metrics", "plots") for out in stage.get(kind, [])]
    return tuple(Path(next(iter(out)) if isinstance(out, dict) else out) for out in listed)


# -------------------------------------------------------------------------------------------------------------- commands


def wrong_commands(page: Page) -> list[str]:
    """Commands that `rally` or `dvc` would not take: another verb, another option, a study or a target that is not there."""
    return [f"{' '.join(words)}: {line}" for words in page.commands() if (line := REFUSED_BY[words[0]](words[1:]))]


def _refused_by_rally(words: list[str]) -> str:
    command, name = get_command(app), "rally"
    words = words[:-1] if words[-1:] == ["-S"] else words  # `rally look -S`: it is spoken of
    while words and words[0] in getattr(command, "commands", {}):
        name, *words = words
        command = command.commands[name]
    if hasattr(command, "commands") and words and not words[0].startswith("-"):
        return f"there is no such command. {suggest(words[0], tuple(command.commands))}"
    if not words:
        return ""  # it is only spoken of
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            read = command.make_context(name, list(words)).params
    except Exception as error:  # of a click that typer keeps to itself; --help ends with one too
        return getattr(error, "format_message", str)() if getattr(error, "exit_code", 0) else ""
    if name == "play" and course_part(read["name"] or ""):
        return ""
    if name in ("play", "budget") and (study := read["name"]) and not _stands_for(study) and study not in _studies():
        return f"there is no study '{study}'. {suggest(study, tuple(_studies()))}"
    return ""


@functools.cache
def _studies() -> dict[str, Entry]:
    return read_entries(TOP / "studies")


def _refused_by_dvc(words: list[str]) -> str:
    import argparse

    from dvc.cli import DvcParserError
    from dvc.cli.parser import get_main_parser

    command: argparse.ArgumentParser = get_main_parser()
    inner = words
    while inner and (known := _choices(command)):
        if inner[0] not in known:
            return f"DVC has no such command. {suggest(inner[0], tuple(known))}"
        command, inner = known[inner[0]], inner[1:]
    if not inner:
        return ""  # it is only spoken of
    said, words = io.StringIO(), words[:-1] if words[-1:] == ["-S"] else words
    try:
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
            read = get_main_parser().parse_args(words)
    except (DvcParserError, SystemExit):
        return f"DVC does not take that: {said.getvalue().splitlines()[:1]}"
    stages, outs = tuple(read_yaml(TOP / "dvc.yaml")["stages"]), tuple(map(str, _outs()))
    among = {"CmdRepro": stages, "CmdExperimentsRun": stages, "CmdPlotsShow": outs, "CmdCheckout": (*outs, "metrics")}
    for target in getattr(read, "targets", None) or ():
        if not _stands_for(target) and target not in (known_ := among.get(read.func.__name__, (target,))):
            return f"there is no '{target}'. {suggest(target, known_)}"
    return ""


def _stands_for(word: str) -> bool:
    """Whether a word stands for another, as NAME does, or for what is not there yet."""
    return word.isupper() or word in SUPPOSED


def _choices(parser: Any) -> dict[str, Any]:
    """The commands that a parser of DVC's has below it."""
    found: dict[str, Any] = next((one.choices for one in parser._actions if isinstance(one.choices, dict)), {})
    return found


REFUSED_BY: dict[str, Callable[[list[str]], str]] = {
    "rally": _refused_by_rally,
    "dvc": _refused_by_dvc,
    UNREADABLE: lambda _: "no shell can read that",
}


# ----------------------------------------------------------------------------------------------------------------- knobs


def wrong_knobs(page: Page) -> list[str]:
    """Knobs that are not there, and values that the knobs' own check refuses."""
    breaches, seen = [], set[str]()
    for words in page.commands():
        given = [words[at + 1] for at, word in enumerate(words[:-1]) if word in ("-S", "--set-param")]
        seen |= set(given)
        if given and given != [ANY_KNOB]:
            breaches += [f"{' '.join(words)}: {line}" for line in _refused((*_of_study(words), *given))]
    for override in re.findall(r"-S '?([a-z_]+(?:\.\w+)*=[^\s`'…;,)]+)", page.prose):
        if override not in {*seen, ANY_KNOB}:
            knob = override.partition("=")[0]
            breaches += [f"-S {override}: {line}" for line in _refused((override,)) if line.startswith(knob)]
    for code in page.inline:
        knob, _, value = code.partition("=")
        if re.fullmatch(rf"(?:{'|'.join(_sections())})\.[a-z]\w+", knob) and value is not ANY_KNOB and not _is_a_file(knob):
            breaches += [] if knob in knob_names(Params) else [f"{code}: there is no such knob"]
            if value and re.fullmatch(r"[\w.+/-]+", value):
                breaches += [f"{code}: {line}" for line in _refused((code,)) if line.startswith(knob)]
    return list(dict.fromkeys(breaches))


def _of_study(words: list[str]) -> tuple[str, ...]:
    """What a study sets before the overrides of `rally play NAME` and `rally budget NAME`."""
    entry = _studies().get(words[2]) if words[1:2] in (["play"], ["budget"]) else None
    return tuple(f"{knob}={hydra_text(value)}" for knob, value in entry.set.items()) if entry else ()


def _is_a_file(word: str) -> bool:
    return word.rpartition(".")[2] in (
        "py",
        "csv",
        "json",
        "npy",
        "txt",
        "sha256",
        "safetensors",
        "yaml",
        "html",
        "parquet",
        "jsonl",
    )


@functools.cache
def _sections() -> tuple[str, ...]:
    return tuple(name for name, knobs in _params().items() if isinstance(knobs, dict))


@functools.cache
def _params() -> dict[str, Any]:
    return read_sections(TOP / "params.yaml")


@functools.cache
def _refused(overrides: tuple[str, ...]) -> tuple[str, ...]:
    """What the check of `./run dvc exp run` says to these overrides; of one that stands for another, to its name."""
    pairs = [(knob, EXAMPLES.get(value, value)) for knob, _, value in (one.partition("=") for one in overrides)]
    unknown = [
        f"{knob}: there is no such knob" for knob, value in pairs if _stands_for(value) and knob not in knob_names(Params)
    ]
    try:
        check_overrides(expand_grid([f"{knob}={value}" for knob, value in pairs if not _stands_for(value)]), _params())
    except UserError as error:
        return (*unknown, *error.problems)
    return tuple(unknown)


# ----------------------------------------------------------------------------------------------------------------- sizes


def too_long(name: str, text: str) -> list[str]:
    """A line where a document is longer than it may be."""
    size, most = len(text.encode()), MOST_BYTES[name]
    return [f"{name}: {size:,} bytes; at most {most:,}"] if size > most else []


def too_wide(text: str) -> list[str]:
    """Lines that are wider than WIDTH, tables and pictures apart."""
    lines = enumerate(text.splitlines(), start=1)
    return [f"line {number}: {len(line)} characters" for number, line in lines if len(line) > WIDTH and line[:1] not in "|!"]
