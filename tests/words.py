"""Phrases that readers stumble over, each with what to write instead, and where they stand.

    python -m tests.words [PATH…]                 # file:line, the phrase, what to write; exit status 1 if there is any
    python -m tests.words --count [PATH…]         # how many each file has
    python -m tests.words --docstrings [PATH…]    # all docstrings too, not only captions and what `rally --help` prints

Without PATH it reads all of FILES. Of Python it reads what users see: the caption (the first line of the module's docstring),
the strings that are messages, and the docstrings that are the help of commands. Everything else is read as it is.
"""

from __future__ import annotations

import argparse
import ast
import re
import sys
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

FILES = (
    "*.md",
    "params.yaml",
    "docs/**/*.md",
    "studies/*.yaml",
    "pipeline/**/*.jinja",
    "pipeline/**/*.py",
    "benchmarks/*.py",
)

# Pieces of patterns.
_NOT_THERE = r"(?<!\bthere\s)(?<!\bThere\s)"
_COMPARED = (
    r"(?:longer|more|less|fewer|worse|better|different|larger|smaller|slower|faster|higher|lower|closer|later|help|use|matter)"
)
_MEASURED = (
    r"(?:bits?|nats?|[kKMG]i?B|bytes?|tokens?|steps?|examples?|images?|ns|µs|ms|s|seconds?|minutes?|hours?|G?FLOPs?|characters?"
    r"|words|documents|rows|runs|samples|updates|parameters|products|pages|threads|times|seeds?|votes|calls|passes|rounds)"
)
_EACH = (
    r"(?:byte|token|step|second|piece|example|run|layer|update|epoch|image|row|pair|character|symbol|digit|sum|word|batch|head"
    r"|element|parameter|weight|snapshot|fault|seed|document|line|class|channel|entry|training|stage|file|number|pixel|cell)"
)
_START = r"(?:^|[.;:,(–] ?|\b(?:which|what|how|if|when|where|as|because|so that|once|unless|until|before|whether) )"
_KNOWS = (
    r"(?:turns?|learns?|sees|reads?|knows?|looks?|wants?|need|would|should|might|compares?|pays|likes|wishes|asks|trains?"
    r"|writes?|chooses?|finds?|expects?|hopes?|means|does|has|can|may|must|gets?|takes?|makes|uses?|plays?|starts?|tries)"
)


@dataclass(frozen=True)
class Phrase:
    r"""A phrase that is not to be written.

    Attributes:
        pattern: a regular expression; a blank in it matches any white space, also a line's end and the # of the next comment
            (in a look-behind write \s, which is one character).
        instead: what to write.
        wrong: an example that the pattern matches.
        right: the same, as it should be; the pattern does not match it.
    """

    pattern: str
    instead: str
    wrong: str
    right: str

    def found(self, text: str) -> Iterator[re.Match[str]]:
        """Where a text breaks the rule."""
        return re.finditer(self.pattern.replace(" ", r"(?:\s+|\s*\n\s*#+\s+)"), text, re.MULTILINE)


PHRASES = (
    Phrase(
        r"\b(?:[Hh]ang(?:s|ing)?|hung) on\b",
        "depends on",
        "times hang on the machine",
        "times depend on the machine",
    ),
    Phrase(
        rf"{_NOT_THERE}\b(?:is|are|was|were) no (?!{_COMPARED}\b)(?=[\w'`\"{{])",
        "is not a …",
        "0.5 is no whole number",
        "0.5 is not a whole number; there is no such file",
    ),
    Phrase(
        rf"{_NOT_THERE}\b(?:is|are|was|were) none\b",
        "is not one of …, is missing",
        "x is none of them",
        "x is not one of them; where there is none",
    ),
    Phrase(
        r"\bwould do\b",
        "use …",
        "4 is even; an odd one would do",
        "4 is even; use an odd one",
    ),
    Phrase(
        r"\b[Tt]ell(?:s|ing)? (?:\w+ )?classes\b",
        "classifies",
        "what tells classes of texts",
        "what classifies texts",
    ),
    Phrase(
        r"\b[Bb]y heart\b",
        "memorizes, memorized, overfitting",
        "known by heart",
        "memorized",
    ),
    Phrase(
        rf"\b{_MEASURED} an? {_EACH}\b(?! time)",
        "… per …",
        "2.2 bits a byte, 3 nats a token",
        "2.2 bits per byte, 3 nats per token",
    ),
    Phrase(
        rf"(?:\d|\}}|\bln [\w|]+) an? {_EACH}\b(?! time)",
        "… per …",
        "it costs 0.5 a token",
        "it costs 0.5 per token",
    ),
    Phrase(
        r"\b(?:[Ww]hoever|[Ss]omebody|[Ee]verybody)\b",
        "you, anyone, everyone, readers, or the passive",
        "whoever reads it",
        "anyone who reads it",
    ),
    Phrase(
        rf"{_START}[Oo]ne {_KNOWS}\b",
        "you, or the passive",
        "a knob, which one turns",
        "a knob, which you set; the first one learns",
    ),
    Phrase(
        r"\b[Oo]ne(?:self\b|['’]s own\b)",
        "your own, yourself",
        "data of one's own",
        "your own data",
    ),
    Phrase(
        r"\bof (?:the [\w-]+|[A-Z][\w.]*(?: [A-Z]\w*)*|torch\.\w+)'s"
        r"(?=[.,;:)]|$| (?:and|or|that|which|who|in|to|is|are|has|for|at|with|by|as|on|when|where)\b)",
        "X's …, or … of X",
        "a sign of the doctor's, in a folder of Hugging Face's.",
        "one of the doctor's signs, in a Hugging Face folder.",
    ),
    Phrase(
        r"\bof ours\b",
        "our …, Rally's …",
        "a folder of ours",
        "one of Rally's folders",
    ),
    Phrase(
        r"\b[Aa]sk(?:s|ing)? nothing of\b",
        "works offline, needs no …",
        "the page asks nothing of any network",
        "the page works offline",
    ),
    Phrase(
        r"\b[Ww]hat (?:is|was|are|were|it|they|the \w+) h(?:eld|olds?) out\b",
        "the held-out split",
        "the loss of what is held out",
        "the loss on the held-out split",
    ),
    Phrase(
        r"\b[Ww]hat (?:it|a model|the model|they) (?:wrote|writes|says|said)\b",
        "its samples, its output",
        "what it wrote",
        "its samples",
    ),
    Phrase(
        r"\bwhat is said\b",
        "the prediction",
        "the loss of what is said",
        "the loss of the prediction",
    ),
    Phrase(
        r"\b[Ss]impler (?:things?|predictors?)\b",
        "a baseline, baselines",
        "beside simpler things",
        "next to the baselines",
    ),
    Phrase(
        r"\b[Kk]now(?:s|ing)? nothing\b",
        "is uniform guessing, has no information",
        "8 is knowing nothing",
        "8 is uniform guessing",
    ),
    Phrase(
        r"\b(?:shares? (?:told )?right|told right)\b",
        "accuracy",
        "the share right of the test split",
        "accuracy on the test split",
    ),
    Phrase(
        r"\bfor want of\b",
        "for lack of, out of …",
        "killed for want of memory",
        "killed: out of memory",
    ),
    Phrase(
        r"\b[Ww]hat came of\b",
        "results",
        "what came of it",
        "results",
    ),
    Phrase(
        r"\banew\b",
        "again, from scratch",
        "`dvc repro` makes it anew",
        "`dvc repro` makes it again",
    ),
    Phrase(
        r"\b[Ff]oret(?:ells?|old)\b(?![:,])",
        "predicts, predicted",
        "the foretold rate",
        "the predicted rate",
    ),
    Phrase(
        r"\b[Dd]eal(?:t|s|ing)? (?:\w+ )?out\b",
        "split, assign to splits",
        "documents are dealt out",
        "documents are assigned to splits",
    ),
    Phrase(
        r"\b[Kk]nobs? (?:is |are |was |were |be )?turned\b|\b[Tt]urn(?:s|ed|ing)? (?:\w+ )?knobs?\b",
        "set, override",
        "with knobs turned",
        "with knobs overridden",
    ),
    Phrase(
        r"\b[Tt]he (?:(?!other\b|latter\b|former\b)\w+er|more \w+|less \w+), the (?!latter\b|former\b)(?:\w+er|more|less)\b",
        "a larger X means …",
        "the larger, the harder",
        "larger means harder",
    ),
    Phrase(
        r"\b(?:the|its|their) like\b",
        "and similar, such as",
        "texts and their like",
        "texts and similar files",
    ),
    Phrase(
        r"\bso (?:much )?(?:alike|like an?)\b",
        "so similar",
        "texts so alike",
        "texts so similar",
    ),
    Phrase(
        r"\bdo(?:es)? alike\b",
        "do equally well",
        ".1 and .25 do alike",
        ".1 and .25 do equally well",
    ),
    Phrase(
        r"\btongues?\b",
        "names, conventions",
        "each tongue has its names",
        "each library has its names",
    ),
    Phrase(
        r"\b(?:near )?kin\b",
        "related …, similar …",
        "Llama and its kin",
        "Llama and related models",
    ),
    Phrase(
        r"\blest\b",
        "so that … not",
        "lest it fail",
        "so that it does not fail",
    ),
    Phrase(
        r"\bunawares\b",
        "without knowing",
        "tries it unawares",
        "tries it without knowing",
    ),
    Phrase(
        r"(?<!user\s)(?<!who\s)\bwants (?!to know\b)(?!you\b)",
        "needs, requires",
        "a claim wants three seeds",
        "a claim needs three seeds",
    ),
    Phrase(
        r"\b(?:is|are|was|were) wanted\b",
        "is expected, is needed",
        "two were given, one is wanted",
        "two were given, one is expected",
    ),
    Phrase(
        r", for (?:it|they|there|nothing|nobody|we)"
        r" (?:is|are|was|were|has|have|had|do|does|can|may|must|would|will|knows?|\w+s)\b",
        ", because …",
        "is refused, for it is not finite",
        "is refused, because it is not finite",
    ),
    Phrase(
        r"\b(?:be|is|are|was|were) (?:to be )?had\b",
        "is available, is restored",
        "how it is had again",
        "how it is restored",
    ),
    Phrase(
        r"\b[Tt]akes? (?:\w+ )?part in\b",
        "is used by, affects",
        "a layer that takes no part in it",
        "a layer that is not used by it",
    ),
    Phrase(
        r"\bstands? beside\b",
        "is next to, is compared with",
        "its scores stand beside baselines",
        "its scores are shown next to baselines",
    ),
    Phrase(
        r"(?<!next\s)(?<!import\s)\bdoors?\b(?!\()",
        "stage script, entry point",
        "a door checks knobs",
        "a stage script checks knobs",
    ),
    Phrase(
        r"\b[Cc]omplaints?\b",
        "symptom",
        "the doctor's complaints",
        "the doctor's symptoms",
    ),
    Phrase(
        r"\b[Ww]here it errs\b",
        "worst mistakes",
        "where it errs",
        "its worst mistakes",
    ),
    Phrase(
        r"\bso many at a time\b",
        "n …, this many",
        "reads so many at a time",
        "reads n at a time",
    ),
)


@dataclass(frozen=True)
class Breach:
    """A place in a file where something is to be written otherwise: what stands there, and what to write."""

    file: Path
    line: int
    phrase: str
    instead: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: “{self.phrase}” → {self.instead}"


def breaches(file: Path, *, docstrings: bool = False) -> list[Breach]:
    """All breaches in a file, in the order of its lines."""
    text = file.read_text(encoding="utf-8")
    if file.suffix != ".py":
        return list(_breaches_in(file, text, 1))
    tree = ast.parse(text)
    found = [
        breach
        for line, words in _strings(tree, docstrings=docstrings or file.name == "command.py")
        for breach in _breaches_in(file, words, line)
    ]
    caption = caption_of(tree)
    if "pipeline" in file.parts and file.name != "__init__.py" and re.search(r"\?(\s|$)", caption):
        found.append(Breach(file, 1, caption, "a statement that says what is in the file"))
    return sorted(set(found), key=lambda breach: (breach.line, breach.phrase))


def caption_of(tree: ast.Module) -> str:
    """The first line of a module's docstring: what editors and a search show of it."""
    return (ast.get_docstring(tree) or "").split("\n")[0]


def _breaches_in(file: Path, text: str, first_line: int) -> Iterator[Breach]:
    starts = [match.end() for match in re.finditer("\n", text)]
    for phrase in PHRASES:
        for match in phrase.found(text):
            yield Breach(
                file, first_line + bisect_right(starts, match.start()), " ".join(match.group().split()), phrase.instead
            )


def _strings(tree: ast.Module, *, docstrings: bool) -> Iterator[tuple[int, str]]:
    """(line, text) of what a file says: its caption, its messages, the help of its commands; or all of its docstrings too."""
    yield 1, caption_of(tree)
    pieces = set()  # nodes that are part of another, or docstrings
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and ast.get_docstring(node):
            said = node.body[0].value  # type: ignore[attr-defined]
            pieces.add(id(said))
            if docstrings or _is_command(node):
                yield said.lineno, said.value
        elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            pieces.add(id(node.value))  # a string below an attribute, which is its docstring
        elif isinstance(node, ast.JoinedStr) and id(node) not in pieces:
            pieces |= {
                id(inner) for part in node.values for inner in ([part] if isinstance(part, ast.Constant) else _spec(part))
            }
            yield node.lineno, "".join(p.value if isinstance(p, ast.Constant) else "{}" for p in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and " " in node.value and id(node) not in pieces:
            yield node.lineno, node.value


def _spec(part: ast.expr) -> list[ast.AST]:
    """The nodes of a format, such as .3f."""
    spec = getattr(part, "format_spec", None)
    return [spec, *spec.values] if spec else []


def _is_command(node: ast.AST) -> bool:
    """Whether a function is a command, whose docstring `--help` prints."""
    is_decorated = any(
        ".command" in ast.unparse(d) or ".callback" in ast.unparse(d) for d in getattr(node, "decorator_list", ())
    )
    return is_decorated or (isinstance(node, ast.FunctionDef) and "typer." in ast.unparse(node.args))


def files(top: Path, paths: list[Path]) -> list[Path]:
    """What to read: all of FILES below `top`, or of some paths the files and the texts in the folders."""
    if not paths:
        return sorted(file for pattern in FILES for file in top.glob(pattern))
    suffixes = (".py", ".md", ".yaml", ".jinja")
    return sorted({f for p in paths for f in ([p] if p.is_file() else p.rglob("*")) if f.suffix in suffixes})


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.words", description="Print the phrases that are not to be written.")
    parser.add_argument("paths", nargs="*", type=Path, help="files and folders; without any, all texts of the project")
    parser.add_argument("--docstrings", action="store_true", help="read all docstrings too")
    parser.add_argument("--count", action="store_true", help="print only how many each file has")
    args = parser.parse_args()
    found = [b for file in files(Path(), args.paths) for b in breaches(file, docstrings=args.docstrings)]
    if args.count:
        print(*(f"{count:5} {file}" for file, count in Counter(str(b.file) for b in found).most_common()), sep="\n")
    else:
        print(*found, sep="\n")
    print(f"{len(found)} to rewrite", file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
