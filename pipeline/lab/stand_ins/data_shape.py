"""The shape of the data that a network's size depends on: as it was tokenized, or as the knobs and the data set imply."""

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
    """The shape and the size of the data.

    Attributes:
        shape: of the inputs and classes.
        amount: tokens of the training split, of a classifier examples; None before the data is prepared.
        known: "data/tokens" where it was counted there, else the knob that implies it.
        sizes: lengths of the training texts of a text classifier, tokens; None where unknown.
    """

    shape: Shape
    amount: int | None
    known: str
    sizes: Int[np.ndarray, " N"] | None = None

    @property
    def vocabulary(self) -> int:
        return self.shape.vocabulary

    def shape_as_json(self) -> dict[str, Any]:
        """The parts of the shape that the data has; of the classes, their number."""
        shape = self.shape
        parts = {"vocabulary": shape.vocabulary, "classes": len(shape.classes), "image": list(shape.image)}
        return {name: part for name, part in parts.items() if part}

    @property
    def longest(self) -> int | None:
        """Tokens of the longest text, where known."""
        return None if self.sizes is None else int(self.sizes.max())

    def longest_read(self, length: int) -> int:
        """Tokens of the longest text that fit into a context of `length`."""
        return min(self.longest or length, length)


# What is known of a data set before it is prepared: the number of its classes, and the size of its images.
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
    """The data of a run with these knobs.

    data/tokens is used if it was made with the same knobs: overrides of `prepare` or `tokenize` make other data.

    Args:
        vocabulary: the vocabulary size, if it is given.

    Raises:
        UserError: the shape depends on data that has not been prepared.
    """
    kind, base_params, path = params.task.kind, load(), meta_of(TOKENS)
    of_this_run = (params.task, params.prepare, params.tokenize) == (
        base_params.task,
        base_params.prepare,
        base_params.tokenize,
    )
    if vocabulary is None and path.exists() and of_this_run and not Origin(Workspace()).knobs_changed_since("tokenize"):
        meta = read_json(path, "kind")
        if meta["kind"] == ("pixels" if kind == "vision" else params.tokenize.kind) and bool(meta.get("classes")) == (
            kind != "language"
        ):
            return _counted(meta, kind)
    if kind == "vision":
        image = PICTURES.get(params.prepare.dataset) or _unknown(params.prepare.dataset, "the image size")
        return Data(Shape(classes=_names(10), image=image), None, "prepare.dataset")
    known = "tokenize.vocab_size" if params.tokenize.kind == "bpe" else "tokenize.kind"
    known = known if vocabulary is None else "--vocabulary"
    classes = _names(_classes_of(params)) if kind == "classify" else ()
    return Data(Shape(vocabulary or _vocabulary_of(params), classes), None, known)


def _counted(meta: dict[str, Any], kind: str) -> Data:
    """As counted in data/tokens."""
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
        f"tokenize.kind: the vocabulary size of '{params.tokenize.kind}' depends on the text; run `dvc repro tokenize`,"
        " or give it: --vocabulary 65"
    )


def _classes_of(params: Params) -> int:
    match params.prepare.dataset:
        case "sentiment":
            return params.prepare.classes
        case "modular":
            return params.prepare.modulus
        case name:
            return CLASSES.get(name) or _unknown(name, "the number of classes")


def _names(count: int) -> tuple[str, ...]:
    return tuple(map(str, range(count)))


def _unknown(dataset: str, what: str) -> Any:
    raise UserError(f"prepare.dataset: {what} of '{dataset}' is unknown until it is prepared; run `dvc repro tokenize`")
