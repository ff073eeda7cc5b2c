"""`rally export`: writes the trained model as a folder that transformers loads, as a GGUF file, or as an ONNX file."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pipeline.artifacts import paths
from pipeline.artifacts.reading import read_json
from pipeline.artifacts.writing import write_text
from pipeline.lab.export.hub_card import gaps
from pipeline.lab.export.model_card import card, is_exported, of_the_model
from pipeline.lab.gguf.number_types import TypeName
from pipeline.lab.provenance.check import other_run
from pipeline.params.errors import UserError, check_packages
from pipeline.params.load import load
from pipeline.params.model import Model
from pipeline.params.parse import parse
from pipeline.params.renamed import of_today

if TYPE_CHECKING:
    from pipeline.inference.trained import TrainedModel

Format = Literal["auto", "transformers", "gguf", "onnx", "hub-folder"]


def export(folder: Path, to: Format = "auto", kind: TypeName | None = None) -> str:
    """Write the trained model; a description of what was written.

    Args:
        to: `auto` is transformers if a stock class can hold the network, otherwise ONNX (of classifiers); `hub-folder` is the
            same, and says on stderr what the hub's readers would miss on its card.
        kind: the type of the numbers in a GGUF file; None is f32.

    Raises:
        UserError: there is no trained model, the folder exists and is not an export, the format does not support the network,
            or a package is missing.
    """
    from pipeline.corpus.store.text import replace_folder
    from pipeline.inference.trained import open_trained

    made_by = of_today(read_json(paths.MODEL.with_suffix(".json"), "model", "sha256"))
    if folder.exists() and not (folder.is_dir() and (is_exported(folder) or not any(folder.iterdir()))):
        raise UserError(f"{folder}: exists and was not written by `rally export`; use a new name")
    if kind is not None and to != "gguf":
        raise UserError(f"--type {kind}: is for --to gguf; the other formats have float32")
    if folder.suffix == ".gguf":
        raise UserError(f"{folder}: give the name of a folder; the GGUF file in it is called after the folder")
    format_ = _format(made_by, to)
    params = load()
    subject = open_trained(params.runtime)
    if line := other_run(params):
        print(line, file=sys.stderr)

    with replace_folder(folder) as unfinished:
        what, about = _write(unfinished, folder.name, subject, format_, made_by, kind or "f32")
        written = card(about, made_by, folder.name, params.evaluate.prompts)
        write_text(unfinished / "README.md", written)
    for line in gaps(written) if to == "hub-folder" else ():
        print(line, file=sys.stderr)
    return what


def _format(made_by: dict[str, Any], to: Format) -> Format:
    """The format: transformers if possible; for a language model, which has no other, the reasons if not."""
    from pipeline.lab.export import onnx_model

    is_classifier = bool(made_by.get("classes"))
    if to == "onnx" and not is_classifier:
        raise UserError("--to onnx: is for classifiers; a language model is exported with --to transformers")
    if to == "gguf":
        if is_classifier:
            raise UserError("--to gguf: is for language models; a classifier is exported with --to transformers or onnx")
        from pipeline.lab.export import gguf_model

        gguf_model.stock_architecture(parse(Model, made_by["model"], ("model",)))
        return "gguf"
    problems = [] if to == "onnx" else list(_problems(made_by))
    if problems and (to == "transformers" or not is_classifier):
        raise UserError(*problems)
    if not problems and to != "onnx":
        return "transformers"
    check_packages("--to onnx", "export", *onnx_model.PACKAGES)
    return "onnx"


def _problems(made_by: dict[str, Any]) -> Iterator[str]:
    """A line for each knob that transformers does not support."""
    from pipeline.lab.export import transformers_text, transformers_vit

    model = parse(Model, made_by["model"], ("model",))
    if image := made_by.get("image"):
        return transformers_vit.problems(model, tuple(image))
    return transformers_text.problems(model, classifies=bool(made_by.get("classes")))


def _write(
    folder: Path, name: str, subject: TrainedModel, format_: Format, made_by: dict[str, Any], kind: TypeName
) -> tuple[str, str]:
    """Write the files; (a description of them, the head of the card)."""
    from pipeline.lab.export import onnx_model, transformers_text, transformers_vit

    if format_ == "gguf":
        return _write_gguf(folder, name, subject, made_by, kind)
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


def _write_gguf(folder: Path, name: str, subject: TrainedModel, made_by: dict[str, Any], kind: TypeName) -> tuple[str, str]:
    from pipeline.lab.export import gguf_model

    data, scores = of_the_model(paths.CARD, paths.RAW), of_the_model(paths.EVALUATION, paths.EVALUATION)
    for note in gguf_model.write(folder, name, subject, kind, gguf_model.about(name, made_by, data, scores)):
        print(note, file=sys.stderr)
    stock = gguf_model.stock_architecture(parse(Model, made_by["model"], ("model",)))
    what = f"{gguf_model.file_name(name, kind)} for llama.cpp (architecture {stock.name}), with a card"
    return what, gguf_model.card_head(name, stock, kind)
