"""A model in a folder as the knobs that go on from it: which -S turn params.yaml into what its weights were made for."""

from __future__ import annotations

from pathlib import Path

from pipeline.artifacts import TOKENS, meta_of, read_json
from pipeline.lab.overrides import hydra_text
from pipeline.params import Refusal, load


def command(folder: Path) -> list[str]:
    """The experiment that trains on from a model, with every knob that must be turned for it.

    Raises:
        Refusal: the folder holds no model, or one that our networks cannot hold.
    """
    standing = load()
    from pipeline.engine.given import Ours, given, network_of

    if (folder / "model.onnx").is_file():
        raise Refusal(f"{folder}: holds an ONNX file, which cannot be trained on; a copy of models/ would do")
    if (folder / "config.json").is_file() and read_json(folder / "config.json").get("id2label"):
        raise Refusal(f"{folder}: holds an exported classifier, which is not read back; a copy of models/ would do")
    found = given(folder)
    knobs = network_of(found, standing.model).knobs.model_dump()
    turned = {f"model.{knob}": knobs[knob] for knob in found.knobs if knobs[knob] != getattr(standing.model, knob)}
    if standing.model.length > found.length:
        turned["model.length"] = found.length
    if not (isinstance(found, Ours) or (meta_of(TOKENS).exists() and found.same_tokenizer(TOKENS))):
        turned |= {"tokenize.kind": "file", "tokenize.path": str(folder / "tokenizer.json")}
    turned["train.start_from"] = str(folder)
    return ["dvc", "exp", "run", *(word for knob, value in turned.items() for word in ("-S", f"{knob}={hydra_text(value)}"))]
