"""What data is there? Every data set of corpus/sources/table.py with what one wants to know before one chooses it."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from typing import Annotated, NamedTuple

import typer

from pipeline.lab.project import enter_project
from pipeline.params.errors import UserError
from pipeline.params.names import DATASETS, names_in, suggest

HERE, PACKAGE, NETWORK, YOURS = "here", "a package", "network", "yours"


class DataSet(NamedTuple):
    """What is said of a data set.

    Attributes:
        what: it is, in a line.
        size: of its training text, or how many examples of how many classes.
        licence: as its card says.
        comes: from here (generated, or installed already), in a package of the user's index, over the network, from the user.
        knobs: of the section prepare that shape it.
        split: how, and why so.
    """

    what: str
    size: str
    licence: str
    comes: str
    knobs: str
    split: str


def data(name: Annotated[str | None, typer.Argument(help="Describe this one.")] = None) -> None:
    """List the data sets to learn from, or describe one."""
    enter_project()
    for line in description(name) if name else listing():
        print(line)


def listing() -> Iterator[str]:
    """All of them, a line each, by kind of task."""
    for kind, table in DATASETS.items():
        names = names_in(f"corpus/sources/table.py:{table}")
        yield f"{kind} (task.kind={kind})"
        wide = max(len(name) for catalogue in CATALOGUE.values() for name in catalogue)
        for name in names:
            about = CATALOGUE[kind][name]
            yield f"  {name:<{wide}}  {about.comes:<9}  {about.what}; {about.size}; {about.licence}"
        yield ""
    yield f"{HERE}: generated, or installed already · {PACKAGE}: of your package index, fetched once · {NETWORK}: likewise"
    yield "rally data NAME says more. dvc exp run -S task.kind=classify -S prepare.dataset=sentiment trains on one"


def description(name: str) -> Iterator[str]:
    """All that is said of the data sets of this name.

    Raises:
        UserError: there is none.
    """
    known = tuple(dict.fromkeys(name for catalogue in CATALOGUE.values() for name in catalogue))
    if name not in known:
        raise UserError(f"rally data: there is no '{name}'. {suggest(name, known)}")
    for kind, catalogue in CATALOGUE.items():
        if name in catalogue:
            about = catalogue[name]
            rows = {
                "what": about.what,
                "size": about.size,
                "licence": about.licence,
                "comes from": about.comes,
                "split": about.split,
                "knobs": about.knobs,
                "command": f"dvc exp run -S task.kind={kind} -S prepare.dataset={name}",
            }
            yield f"{name}, for task.kind {kind}"
            for row, said in rows.items():
                if said:
                    yield from textwrap.wrap(
                        said, 110, initial_indent=f"  {row:<12}", subsequent_indent=" " * 14, break_on_hyphens=False
                    )
            yield ""


APART = "each split from random numbers of its own: of a language without end nothing need be held out"
SHARES = "validation_share, test_share"
OWN = "the user's own"

CATALOGUE: dict[str, dict[str, DataSet]] = {
    "language": {
        "shakespeare": DataSet(
            "Shakespeare's plays and poems, the default",
            "4 MB",
            "public domain",
            PACKAGE,
            SHARES,
            "by work: a scene of a play gives away the names and the plot of the next one",
        ),
        "tinyshakespeare": DataSet(
            "the text that nanoGPT's figures are of",
            "1 MB",
            "public domain",
            NETWORK,
            "",
            "the customary one: the first 90 % for training; the last 10 % are validation and test at once",
        ),
        "tinystories": DataSet(
            "tales for small children, by GPT-4",
            "2.2 GB",
            "CDLA-Sharing-1.0",
            NETWORK,
            "",
            "the published one; a training tale that is held out too is left out",
        ),
        "tinystories_clean": DataSet(
            "the same, cleaned, shuffled and without copies",
            "2.2 GB",
            "CDLA-Sharing-1.0",
            NETWORK,
            "sha256",
            "its maker's: 10,000 tales test, 10,000 validation. A parquet file, read by an extra: pip install pyarrow",
        ),
        "enwik8": DataSet(
            "the first 100 MB of Wikipedia, as XML",
            "90 MB",
            "CC BY-SA 3.0 and GFDL (Wikipedia)",
            NETWORK,
            "",
            "the customary one: 90, 5 and 5 million bytes",
        ),
        "manuals": DataSet(
            "what botocore says of 439 web services, for work on throughput",
            "24 MB",
            "Apache-2.0",
            PACKAGE,
            f"{SHARES}, dedup_threshold",
            "by service. Services tell of like things in like words; dedup_threshold finds those",
        ),
        "sentiment": DataSet(
            "the snippets that classify rates, without their ratings, for a model to begin with",
            "1.6 MB",
            "MIT (the package)",
            PACKAGE,
            f"classes, {SHARES}",
            "the same as for classify, so that nothing that is asked there was read here",
        ),
        "language_id": DataSet(
            "Django's strings in twenty languages, without their names",
            "0.4 MB",
            "BSD-3-Clause",
            PACKAGE,
            SHARES,
            "the same as for classify",
        ),
        "file": DataSet(
            "your own .txt files",
            "yours",
            OWN,
            YOURS,
            f"path, pattern, on_bad_data, {SHARES}, dedup_threshold",
            "a published one is kept (train/, val/, test/, or files named so); else by file, in the order of a digest, until"
            " the shares of the bytes are met; by position where there are one or two files",
        ),
        "url": DataSet(
            "a text at an address", "yours", OWN, NETWORK, f"url, sha256, {SHARES}", "by position, at ends of lines"
        ),
        "hub": DataSet(
            "a file of the Hugging Face hub, at a commit",
            "yours",
            OWN,
            NETWORK,
            f"repository, revision, file, text_column, sha256, {SHARES}",
            "rows by a digest of their text, a .txt by position. HF_ENDPOINT names another hub",
        ),
        "markov": DataSet(
            "a Markov chain of known entropy", "0.4 MB", "CC0-1.0", HERE, "seed, generated_chars, alphabet_size", APART
        ),
        "zipf_bigram": DataSet(
            "a chain whose successors follow Zipf's law",
            "0.4 MB",
            "CC0-1.0",
            HERE,
            "seed, generated_chars, alphabet_size",
            APART,
        ),
        "repeats": DataSet(
            "random blocks, each written twice or oftener",
            "0.4 MB",
            "CC0-1.0",
            HERE,
            "seed, generated_chars, alphabet_size, block, copies",
            APART,
        ),
        "addition": DataSet(
            "sums of numbers of some digits",
            "0.4 MB",
            "CC0-1.0",
            HERE,
            "seed, generated_chars, digits, min_digits, reversed",
            "by pair without its order: 12+34 gives away 34+12. How hard a sum is, its digits say",
        ),
        "dyck": DataSet(
            "balanced brackets",
            "0.4 MB",
            "CC0-1.0",
            HERE,
            "seed, generated_chars, bracket_kinds, max_depth",
            f"{APART}; short words stand in all. How hard a word is, its depth says",
        ),
        "modular": DataSet(
            "all sums modulo a number, for grokking",
            "3,765 sums",
            "CC0-1.0",
            HERE,
            "seed, modulus, operation, train_share",
            "by pair, of sums without its order: a+b gives away b+a. Use tokenize.kind=char: a number is one token",
        ),
        "mixture": DataSet(
            "two of these, drawn from by a dial",
            "both",
            "of each",
            "both",
            "mixture; train.mixture_start, mixture_end",
            "what is held out is of the second alone",
        ),
    },
    "classify": {
        "sentiment": DataSet(
            "snippets of tweets, reviews and editorials, rated by people",
            "15,528 of 2 classes, or of 3",
            "MIT (the package)",
            PACKAGE,
            f"classes, {SHARES}, max_examples, label_noise",
            "by review or editorial, and by family of near-duplicates (Jaccard .5)",
        ),
        "language_id": DataSet(
            "in which of twenty languages is a string of Django's?",
            "6,118 of 20 classes",
            "BSD-3-Clause",
            PACKAGE,
            f"{SHARES}, max_examples, label_noise",
            "by source string with all its translations, and by family of near-duplicates (Jaccard .5)",
        ),
        "file": DataSet(
            "your own .csv or .jsonl",
            "yours",
            OWN,
            YOURS,
            f"path, text_column, label_column, on_bad_data, {SHARES}, dedup_threshold, max_examples, label_noise",
            "a published one is kept (train.csv, validation.csv, test.csv); else of each class its shares, in the order of a"
            " digest of the texts; copies are left out, and texts with two labels",
        ),
        "dyck": DataSet(
            "brackets, balanced or with two out of place",
            "5,462 of 2 classes",
            "CC0-1.0",
            HERE,
            "seed, generated_chars, bracket_kinds, max_depth, max_examples, label_noise",
            "by a digest of the balanced word; no word is used twice",
        ),
        "modular": DataSet(
            "a+b= and its class, the sum modulo a number",
            "3,765 of 97 classes",
            "CC0-1.0",
            HERE,
            "seed, modulus, operation, train_share",
            "by pair, of sums without its order",
        ),
    },
    "vision": {
        "digits": DataSet(
            "handwritten digits, 8 x 8",
            "1,797 of 10 classes",
            "CC BY 4.0",
            HERE,
            SHARES,
            "at random; who wrote which is not kept",
        ),
        "mnist_5k": DataSet(
            "MNIST's digits, 28 x 28",
            "5,000 of 10 classes",
            "CC BY-SA 3.0 (MNIST, LeCun and Cortes)",
            PACKAGE,
            SHARES,
            "at random; who wrote which is not kept",
        ),
        "mnist1d": DataSet(
            "lines of 40 points in the shapes of digits",
            "5,000 of 10 classes",
            "CC0-1.0",
            HERE,
            "seed, shuffled_pixels",
            "4,000 for training, of which some for validation, and 1,000 for test, as published",
        ),
        "mnist": DataSet(
            "all of MNIST, 28 x 28", "60,000 of 10 classes", "CC BY-SA 3.0", NETWORK, "", "the published test images"
        ),
        "fashion_mnist": DataSet("clothes, 28 x 28, grey", "60,000 of 10 classes", "MIT", NETWORK, "", "the published one"),
        "cifar10": DataSet(
            "small photographs, 32 x 32, in colour",
            "50,000 of 10 classes",
            "not stated by its makers",
            NETWORK,
            "",
            "the published one",
        ),
        "file": DataSet(
            "your own pictures, a folder for each class",
            "yours",
            OWN,
            YOURS,
            f"path, on_bad_data, {SHARES}, max_examples, label_noise",
            "a published one is kept (train/, val/, test/ with the classes in each); else of each class its shares;"
            " pictures that look alike go to one split",
        ),
    },
}
