"""What there is to learn from, as far as a network's size hangs on it: as it was tokenized, or as knobs and data set say."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Int

from pipeline.arrays import memory_mapped
from pipeline.artifacts.paths import TOKENS, meta_of, tokens_of
from pipeline.artifacts.reading import read_json
from pipeline.lab.provenance.origin import Origin
from pipeline.lab.provenance.workspace import Workspace
from pipeline.params.errors import UserError
from pipeline.params.load import load
from pipeline.params.schema import Params
from pipeline.tasks.base import Shape


@dataclass(frozen=True, eq=False)
class Data:
    """What there is to read.

    Attributes:
        shape: of it.
        amount: tokens of the training split, or examples where they have classes; None where nothing has been prepared yet.
        known: "data/tokens" where they were counted, else the knob that says so.
        sizes: how long the training texts are that have classes, tokens; None where nobody has counted.
    """

    shape: Shape
    amount: int | None
    known: str
    sizes: Int[np.ndarray, " N"] | None = None

    @property
    def vocabulary(self) -> int:
        return self.shape.vocabulary

    def shape_as_json(self) -> dict[str, Any]:
        """What of the shape there is, classes by their number."""
        shape = self.shape
        told = {"vocabulary": shape.vocabulary, "classes": len(shape.classes), "image": list(shape.image)}
        return {name: what for name, what in told.items() if what}

    @property
    def longest(self) -> int | None:
        """Tokens of the longest text, where they were counted."""
        return None if self.sizes is None else int(self.sizes.max())

    def longest_read(self, length: int) -> int:
        """Tokens that a context of so many reads of the longest text."""
        return min(self.longest or length, length)


# What is known of a data set before anybody has prepared it: how many classes, and the size of its images.
CLASSES = {"language_id": 20, "dyck": 2}
PICTURES: dict[str, tuple[int, int, int]] = {
    "digits": (8, 8, 1),
    "mnist_5k": (28, 28, 1),
    "mnist1d": (1, 40, 1),
    "mnist": (28, 28, 1),
    "fashion_mnist": (28, 28, 1),
    "cifar10": (32, 32, 3),
}


def data_of(params: Params, vocabulary: int | None = None) -> Data:
    """What a run would have to read.

    What is in data/tokens counts if it is of the knobs as params.yaml has them: what -S turns in `prepare` or `tokenize`
    makes other data.

    Args:
        vocabulary: how many different tokens, where somebody says so.

    Raises:
        UserError: the shape hangs on data that has not been looked at.
    """
    kind, standing, path = params.task.kind, load(), meta_of(TOKENS)
    of_this_run = (params.task, params.prepare, params.tokenize) == (standing.task, standing.prepare, standing.tokenize)
    if vocabulary is None and path.exists() and of_this_run and not Origin(Workspace()).knobs_changed_since("tokenize"):
        meta = read_json(path, "kind")
        if meta["kind"] == ("pixels" if kind == "vision" else params.tokenize.kind) and bool(meta.get("classes")) == (
            kind != "language"
        ):
            return _counted(meta, kind)
    if kind == "vision":
        image = PICTURES.get(params.prepare.dataset) or _unknown(params.prepare.dataset, "how large its images are")
        return Data(Shape(classes=_names(10), image=image), None, "prepare.dataset")
    known = "tokenize.vocab_size" if params.tokenize.kind == "bpe" else "tokenize.kind"
    known = known if vocabulary is None else "--vocabulary"
    classes = _names(_classes_of(params)) if kind == "classify" else ()
    return Data(Shape(vocabulary or _vocabulary_of(params), classes), None, known)


def _counted(meta: dict[str, Any], kind: str) -> Data:
    """As it lies in data/tokens."""
    if kind == "language":
        return Data(Shape.of(meta), meta["tokens"]["train"], str(TOKENS))
    if kind == "vision":
        return Data(Shape.of(meta), meta["examples"]["train"], str(TOKENS))
    sizes = np.diff(np.flatnonzero(memory_mapped(tokens_of(TOKENS, "train")) == meta["end"]) + 1, prepend=0)
    return Data(Shape.of(meta), len(sizes), str(TOKENS), sizes)


def _vocabulary_of(params: Params) -> int:
    match params.tokenize.kind:
        case "bpe":
            return params.tokenize.vocab_size
        case "byte":
            return 257  # with the token that ends a document
    raise UserError(
        f"tokenize.kind: how many tokens '{params.tokenize.kind}' makes hangs on the text; `dvc repro tokenize` counts them,"
        " --vocabulary 65 says it"
    )


def _classes_of(params: Params) -> int:
    match params.prepare.dataset:
        case "sentiment":
            return params.prepare.classes
        case "modular":
            return params.prepare.modulus
        case name:
            return CLASSES.get(name) or _unknown(name, "how many classes it has")


def _names(count: int) -> tuple[str, ...]:
    return tuple(map(str, range(count)))


def _unknown(dataset: str, what: str) -> Any:
    raise UserError(f"prepare.dataset: nobody knows yet of '{dataset}' {what}; `dvc repro tokenize` looks")
