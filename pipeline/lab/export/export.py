"""The trained model as a folder for others: one that the library transformers loads by itself, or an ONNX file."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pipeline.artifacts import paths
from pipeline.artifacts.reading import read_json
from pipeline.artifacts.writing import write_text
from pipeline.lab.export.model_card import card, is_ours
from pipeline.lab.provenance.check import other_run
from pipeline.params.errors import UserError
from pipeline.params.load import load
from pipeline.params.model import Model
from pipeline.params.parse import parse
from pipeline.params.renamed import with_new_names

if TYPE_CHECKING:
    from pipeline.inference.trained import TrainedModel

Way = Literal["auto", "transformers", "onnx"]


def export(folder: Path, to: Way = "auto") -> str:
    """Write the trained model; what it has become, in words.

    Args:
        to: `auto` is transformers where a stock class holds the network, and ONNX where none does and it tells classes.

    Raises:
        UserError: there is no trained model, the folder is somebody else's, the network has no place there, or a package is
            missing.
    """
    from pipeline.inference.trained import open_trained

    made_by = with_new_names(read_json(paths.MODEL.with_suffix(".json"), "model", "sha256"))
    if folder.exists() and not (folder.is_dir() and (is_ours(folder) or not any(folder.iterdir()))):
        raise UserError(f"{folder}: is there already, and no folder that `rally export` wrote; a new name would do")
    way = _way(made_by, to)
    params = load()
    subject = open_trained(params.runtime)
    if line := other_run(params):
        print(line, file=sys.stderr)

    from pipeline.corpus.store.text import replace_folder

    with replace_folder(folder) as unfinished:
        what, about = _write(unfinished, folder.name, subject, way, made_by)
        write_text(unfinished / "README.md", card(about, made_by))
    return what


def _way(made_by: dict[str, Any], to: Way) -> Way:
    """Transformers, wherever that will do; a language model has no other way, and hears why."""
    from pipeline.lab.export import onnx_model as onnx_file

    tells_classes = bool(made_by.get("classes"))
    if to == "onnx" and not tells_classes:
        raise UserError("--to onnx: is for networks that tell classes; a language model becomes one of transformers' own")
    problems = [] if to == "onnx" else list(_problems(made_by))
    if problems and (to == "transformers" or not tells_classes):
        raise UserError(*problems)
    if not problems and to != "onnx":
        return "transformers"
    onnx_file.check_packages()
    return "onnx"


def _problems(made_by: dict[str, Any]) -> Iterator[str]:
    """A line for each knob that has no place in transformers."""
    from pipeline.lab.export import transformers_text as stock_text
    from pipeline.lab.export import transformers_vit as vision_transformer

    model = parse(Model, made_by["model"], ("model",))
    if image := made_by.get("image"):
        return vision_transformer.problems(model, tuple(image))
    return stock_text.problems(model, classifies=bool(made_by.get("classes")))


def _write(folder: Path, name: str, subject: TrainedModel, way: Way, made_by: dict[str, Any]) -> tuple[str, str]:
    """(what the model has become, the head of its card), once it is written."""
    from pipeline.lab.export import onnx_model as onnx_file
    from pipeline.lab.export import transformers_text as stock_text
    from pipeline.lab.export import transformers_vit as vision_transformer

    if way == "onnx":
        apart = onnx_file.write(folder, subject)
        what = f"an ONNX file, whose logits are within {apart:.1g} of ours by onnxruntime, with what belongs to it and a card"
        return what, onnx_file.about(name, subject)
    if image := made_by.get("image"):
        vision_transformer.write(folder, subject)
        return f"a {vision_transformer.NAME}, with a card", vision_transformer.about(name, tuple(image))
    classifies = bool(made_by.get("classes"))
    word, stock = stock_text.placed(parse(Model, made_by["model"], ("model",)), classifies=classifies)
    stock_text.write(folder, subject, word, stock)
    what = f"a {stock_text.class_of(stock, classifies=classifies)}, with its tokenizer and a card"
    return what, stock_text.about(name, stock, classifies=classifies)
