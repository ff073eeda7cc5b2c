"""The `dvc exp run` command that fine-tunes a model in a folder: the overrides of params.yaml that fit its weights."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from pipeline.arrays import memory_mapped
from pipeline.artifacts.checksums import sha256_of
from pipeline.artifacts.paths import RAW, TOKENS, ends_of, meta_of
from pipeline.artifacts.reading import read_json
from pipeline.lab.dvc.overrides import check_overrides, expand_grid, hydra_text
from pipeline.params.errors import UserError
from pipeline.params.load import load
from pipeline.params.schema import Params

if TYPE_CHECKING:
    from pipeline.engine.pretrained.source import PretrainedModel
    from pipeline.tokenizers.base import Tokenizer


class FineTuning(NamedTuple):
    """The command that fine-tunes a model, and notes about it."""

    command: list[str]
    notes: list[str]


def fine_tuning_command(folder: Path) -> FineTuning:
    """The experiment that fine-tunes a model, with every override that it needs.

    The tokenizer is opened and the weights are read here, so that errors of tokenize and train appear at once.

    Raises:
        UserError: the folder holds no model, or one that does not fit Rally's networks or tokenizers, or the data.
    """
    params = load()
    from pipeline.engine.pretrained.rally_model import RallyModel
    from pipeline.engine.pretrained.source import load_network, open_pretrained, required_knobs

    if (folder / "model.onnx").is_file():
        raise UserError(f"{folder}: holds an ONNX file, which cannot be trained; use a copy of models/trained")
    found = open_pretrained(folder)
    if not isinstance(found, RallyModel) and "Classification" in str(read_json(folder / "config.json").get("architectures")):
        raise UserError(f"{folder}: holds an exported classifier, which cannot be imported; use a copy of models/trained")
    if problems := [*_of_another_task(found, params)]:
        raise UserError(*problems)
    overrides: dict[str, Any] = {}
    notes: list[str] = []
    vocabulary = (
        _rally_tokenizer(found, overrides, notes)
        if isinstance(found, RallyModel)
        else _hugging_face_tokenizer(found, overrides, notes)
    )
    network = found.network() if isinstance(found, RallyModel) else load_network(found, params.model, vocabulary)
    model = params.model.model_copy(update={"context_length": min(params.model.context_length, found.length)})
    knobs = found.model if isinstance(found, RallyModel) else network.knobs
    assert isinstance(knobs, type(model))
    if params.model.context_length > found.length:
        overrides["model.context_length"] = found.length
    for knob in required_knobs(found, model.context_length):
        value = getattr(knobs, knob) if knob != "attention" else required_knobs(found, model.context_length)[knob][0]
        if value != getattr(model, knob) and not (knob == "tie_embeddings" and params.task.kind == "classify"):
            overrides[f"model.{knob}"] = value
    overrides |= _mup_overrides(found, model, knobs.width)
    overrides["train.init_from"] = str(folder)
    settings = [f"{knob}={hydra_text(value)}" for knob, value in overrides.items()]
    check_overrides(expand_grid(settings))
    return FineTuning(["dvc", "exp", "run", *(word for setting in settings for word in ("-S", setting))], notes)


def _of_another_task(found: PretrainedModel, params: Params) -> Iterator[str]:
    """Why the task of params.yaml cannot be initialized from a model."""
    kind = params.task.kind
    if found.kind == "vision" or kind == "vision":
        yield (
            f"{found.folder}: was trained with task.kind {found.kind}; train.init_from does not work for images,"
            " but train.teacher does, with a teacher of the same kind"
        )
    elif found.kind == "classify" and kind != "classify":
        yield (
            f"{found.folder}: is a classifier of {len(found.classes)} classes, and task.kind is {kind} here;"
            " set task.kind and prepare.dataset to those of its training first"
        )
    elif found.kind == "classify" and meta_of(TOKENS).exists():
        here = read_json(meta_of(TOKENS)).get("classes", [])
        if here != list(found.classes):
            yield f"{found.folder}: has other classes ({len(found.classes)}) than data/tokens ({len(here)})"


def _rally_tokenizer(found: PretrainedModel, overrides: dict[str, Any], notes: list[str]) -> int:
    """Make sure that the model gets the tokenizer of its training; the number of ids."""
    file = found.folder / "tokenizer.json"
    if meta_of(TOKENS).exists() and found.same_tokenizer(TOKENS):
        return found.vocabulary
    if file.is_file() and sha256_of(file) == getattr(found, "tokenizer", None):
        overrides |= {"tokenize.kind": "file", "tokenize.path": str(file)}
        return _open_tokenizer(file).vocabulary
    how = f"copy the data/tokens/tokenizer.json of its training to {file} and run this again"
    if meta_of(TOKENS).exists():
        raise UserError(f"{found.folder}: was trained with another tokenizer than that of data/tokens; {how}")
    notes.append(f"{found.folder}: needs the tokenizer of its training; if your data and knobs make another, {how}")
    return found.vocabulary


def _hugging_face_tokenizer(found: PretrainedModel, overrides: dict[str, Any], notes: list[str]) -> int:
    """Open the tokenizer of a Hugging Face folder; the number of ids."""
    file = found.folder / "tokenizer.json"
    if meta_of(TOKENS).exists() and found.same_tokenizer(TOKENS):
        vocabulary = int(read_json(meta_of(TOKENS), "vocabulary")["vocabulary"])
    elif not file.is_file():
        raise UserError(f"{file}: not found, and without it the ids have no meaning; save it with `save_pretrained`")
    else:
        tokenizer = _open_tokenizer(file)
        overrides |= {"tokenize.kind": "file", "tokenize.path": str(file)}
        vocabulary = tokenizer.vocabulary
        if tokenizer.kind == "char":
            notes.append(f"{file}: has {vocabulary:,} characters; a text with any other is an error")
        if tokenizer.end is None:
            notes.append(f"{file}: has no token for the end of a document; several documents are an error")
    if vocabulary > found.vocabulary:
        raise UserError(f"{file}: has {vocabulary:,} tokens, but the model has {found.vocabulary:,}")
    if vocabulary < found.vocabulary:
        notes.append(
            f"{found.folder}: {found.vocabulary - vocabulary:,} rows of its embedding belong to no token and are left out"
        )
    return vocabulary


def _open_tokenizer(file: Path) -> Tokenizer:
    """A tokenizer as the stage tokenize opens it; with an end token, if it has one.

    Raises:
        UserError: it cannot be used, or lacks the end token that the documents of data/raw need.
    """
    from pipeline.tokenizers.from_file import FileTokenizer

    ends = ends_of(RAW, "train")
    needs_end = ends.exists() and len(memory_mapped(ends)) > 1
    fallback = FileTokenizer.learn([], 0, needs_end, file)
    try:
        return FileTokenizer.learn([], 0, True, file)
    except UserError:
        return fallback


def _mup_overrides(found: PretrainedModel, model: Any, width: int) -> dict[str, Any]:
    """The knobs with which muP divides logits as in its training."""
    from pipeline.networks.inits import width_ratio

    if width_ratio(model.model_copy(update={"width": width})) == found.mup_ratio:
        return {}
    return (
        {"model.init": "gpt2"}
        if found.mup_ratio == 1
        else {"model.init": "mup", "model.base_width": round(width / found.mup_ratio)}
    )
