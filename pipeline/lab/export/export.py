"""`rally export`: writes the trained model as a folder that transformers loads, or as an ONNX file."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pipeline.artifacts import paths
from pipeline.artifacts.reading import read_json
from pipeline.artifacts.writing import write_text
from pipeline.lab.export.model_card import card, is_exported
from pipeline.lab.provenance.check import other_run
from pipeline.params.errors import UserError
from pipeline.params.load import load
from pipeline.params.model import Model
from pipeline.params.parse import parse
from pipeline.params.renamed import with_new_names

if TYPE_CHECKING:
    from pipeline.inference.trained import TrainedModel

Format = Literal["auto", "transformers", "onnx"]


def export(folder: Path, to: Format = "auto") -> str:
    """Write the trained model; a description of what was written.

    Args:
        to: `auto` is transformers if a stock class can hold the network, otherwise ONNX (of classifiers).

    Raises:
        UserError: there is no trained model, the folder exists and is not an export, the format does not support the network,
            or a package is missing.
    """
    from pipeline.corpus.store.text import replace_folder
    from pipeline.inference.trained import open_trained

    made_by = with_new_names(read_json(paths.MODEL.with_suffix(".json"), "model", "sha256"))
    if folder.exists() and not (folder.is_dir() and (is_exported(folder) or not any(folder.iterdir()))):
        raise UserError(f"{folder}: exists and was not written by `rally export`; use a new name")
    format_ = _format(made_by, to)
    params = load()
    subject = open_trained(params.runtime)
    if line := other_run(params):
        print(line, file=sys.stderr)

    with replace_folder(folder) as unfinished:
        what, about = _write(unfinished, folder.name, subject, format_, made_by)
        write_text(unfinished / "README.md", card(about, made_by))
    return what


def _format(made_by: dict[str, Any], to: Format) -> Format:
    """The format: transformers if possible; for a language model, which has no other, the reasons if not."""
    from pipeline.lab.export import onnx_model

    is_classifier = bool(made_by.get("classes"))
    if to == "onnx" and not is_classifier:
        raise UserError("--to onnx: is for classifiers; a language model is exported with --to transformers")
    problems = [] if to == "onnx" else list(_problems(made_by))
    if problems and (to == "transformers" or not is_classifier):
        raise UserError(*problems)
    if not problems and to != "onnx":
        return "transformers"
    onnx_model.check_packages()
    return "onnx"


def _problems(made_by: dict[str, Any]) -> Iterator[str]:
    """A line for each knob that transformers does not support."""
    from pipeline.lab.export import transformers_text, transformers_vit

    model = parse(Model, made_by["model"], ("model",))
    if image := made_by.get("image"):
        return transformers_vit.problems(model, tuple(image))
    return transformers_text.problems(model, classifies=bool(made_by.get("classes")))


def _write(folder: Path, name: str, subject: TrainedModel, format_: Format, made_by: dict[str, Any]) -> tuple[str, str]:
    """Write the files; (a description of them, the head of the card)."""
    from pipeline.lab.export import onnx_model, transformers_text, transformers_vit

    if format_ == "onnx":
        difference = onnx_model.write(folder, subject)
        what = f"an ONNX file with a card; logits in onnxruntime differ by at most {difference:.1g}"
        return what, onnx_model.card_head(name, subject)
    if image := made_by.get("image"):
        transformers_vit.write(folder, subject)
        return f"a {transformers_vit.NAME}, with a card", transformers_vit.card_head(name, tuple(image))
    classifies = bool(made_by.get("classes"))
    word, stock = transformers_text.stock_architecture(parse(Model, made_by["model"], ("model",)), classifies=classifies)
    transformers_text.write(folder, subject, word, stock)
    what = f"a {transformers_text.class_of(stock, classifies=classifies)}, with its tokenizer and a card"
    return what, transformers_text.card_head(name, stock, classifies=classifies)
