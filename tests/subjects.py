"""Models to look at: small ones with weights of every size, and machines of which one knows what they say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from sealing import sealed
from small import knobs

from pipeline.artifacts.paths import SPLITS, labels_of, meta_of
from pipeline.artifacts.reading import input_sha256, read_json
from pipeline.artifacts.writing import write_json
from pipeline.engine.runtime.runtime import Runtime
from pipeline.inference.trained import TrainedModel
from pipeline.networks.weights import save_weights
from pipeline.tasks.base import Shape
from pipeline.tasks.classify import Classification
from pipeline.tasks.lm import LanguageModelling
from pipeline.tasks.objective import Objective, class_weights
from pipeline.tasks.table import TASKS
from pipeline.tasks.vision import Vision
from pipeline.tokenizers.base import Tokenizer
from pipeline.tokenizers.byte import ByteTokenizer
from pipeline.tokenizers.char import CharTokenizer

TEXT = "the cat sat on the mat; the dog sat on the cat.\n"


def leave_data(folder: Path, tokenizer: Tokenizer, text: str = TEXT * 8, entropy: float | None = None) -> Path:
    """data/raw and data/tokens of a text, which is every split (held out: the first half), one document each."""
    (folder / "data/raw").mkdir(parents=True)
    (folder / "data/tokens").mkdir()
    tokens, sizes, first = {}, {}, {}
    for split, part in (("train", text), ("validation", text[: len(text) // 2]), ("test", text[: len(text) // 2 + 5])):
        ids = tokenizer.encode(part)
        (folder / f"data/raw/{split}.txt").write_text(part, encoding="utf-8")
        np.save(folder / f"data/tokens/{split}.npy", ids.astype(np.uint16))
        tokens[split], sizes[split] = len(ids), len(part.encode())
        first[split] = len(tokenizer.token_bytes(int(ids[0])))
    tokenizer.save(folder / "data/tokens/tokenizer.json")
    counts = {"tokens": tokens, "bytes": sizes, "first_token_bytes": first, "entropy_nats_per_byte": entropy}
    counts["test_is_validation"] = False
    counts["documents"] = dict.fromkeys(tokens, 1)
    write_json(folder / "data/tokens/meta.json", {"vocabulary": tokenizer.vocabulary, **counts})
    return folder


def runtime() -> Runtime:
    return Runtime(knobs().runtime)


def subject(folder: Path, tokenizer: Tokenizer | None = None, text: str = TEXT * 8, **changes: Any) -> TrainedModel:
    """A model whose every weight is drawn at random, over a text's characters."""
    tokenizer = tokenizer or CharTokenizer.learn([text], 0, has_end=True)
    leave_data(folder, tokenizer, text)
    task = LanguageModelling(folder / "data/tokens", knobs(**changes).model, Shape(tokenizer.vocabulary))
    model = task.build(torch.Generator().manual_seed(1))
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for weight in model.parameters():
            weight.copy_(torch.randn(weight.shape, generator=generator) * 0.3)
    return TrainedModel(model, task, tokenizer, runtime(), step=7, sequences=4, toy_text="the cat sat")


# What a classifier and what looks at images are tried on: of three classes, one of them rare, so that weights of classes tell.
CLASSES = ("red", "green", "blue")
WORDS = ("the cat sat", "a dog", "on the mat; on the mat")
OF_KIND = {"classify": {"prepare__dataset": "dyck"}, "vision": {"prepare__dataset": "digits"}}
EXAMPLES = 40  # of each split
IMAGE = (6, 5, 1)


def leave_texts(folder: Path, tokenizer: Tokenizer) -> Path:
    """data/tokens of texts of different lengths, a class each."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for split in SPLITS:
        labels = np.minimum(rng.integers(0, 4, EXAMPLES), 2)
        texts = [WORDS[label] + " the cat"[: rng.integers(8)] for label in labels]
        ids = [np.append(tokenizer.encode(text), tokenizer.end) for text in texts]
        np.save(folder / f"{split}.npy", np.concatenate(ids).astype(np.uint16))
        np.save(folder / f"{split}.labels.npy", labels.astype(np.uint16))
    tokenizer.save(folder / "tokenizer.json")
    about = {"kind": "text", "vocabulary": tokenizer.vocabulary, "end": tokenizer.end, "classes": list(CLASSES)}
    write_json(folder / "meta.json", about)
    return folder


def leave_images(folder: Path) -> Path:
    """data/tokens of noise with a bright row, whose place is the class."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for split in SPLITS:
        labels = np.minimum(rng.integers(0, 4, EXAMPLES), 2)
        images = rng.integers(0, 80, (EXAMPLES, *IMAGE)).astype(np.uint8)
        images[np.arange(EXAMPLES), 2 * labels] += 150
        np.save(folder / f"{split}.images.npy", images)
        np.save(folder / f"{split}.labels.npy", labels.astype(np.uint16))
    about = {"kind": "pixels", "image": list(IMAGE), "classes": list(CLASSES), "mean": [50.0], "deviation": [50.0]}
    write_json(folder / "meta.json", about)
    return folder


def small_subject(folder: Path, **changes: Any) -> TrainedModel:
    """A model of any kind of task, every weight drawn at random, over little data of that kind, with what it followed."""
    dataset = {"task__kind": "language", "prepare__dataset": "shakespeare"} | OF_KIND.get(str(changes.get("task__kind")), {})
    params, tokens = knobs(**(dataset | changes)), folder / "data/tokens"
    tokenizer = CharTokenizer.learn([TEXT], 0, has_end=True) if params.task.kind != "vision" else None
    if params.task.kind == "language":
        assert tokenizer is not None
        leave_data(folder, tokenizer)
    elif params.task.kind == "classify":
        assert tokenizer is not None
        leave_texts(tokens, tokenizer)
    else:
        leave_images(tokens)
    shape = Shape.of(read_json(meta_of(tokens)))
    weights = class_weights(np.load(labels_of(tokens, "train"))) if params.train.class_weights == "balanced" else ()
    task = TASKS[params.task.kind](tokens, params.model, shape)
    followed = TASKS[params.task.kind](tokens, params.model, shape, Objective.of(params.train, class_weights=weights))
    model = task.build(torch.Generator().manual_seed(1))
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            drawn = torch.randn(weight.shape, generator=generator) * 0.3
            weight.copy_(1 + drawn.abs() if name.endswith("variance") else drawn)
    return TrainedModel(model, task, tokenizer, runtime(), step=7, sequences=4, toy_text="the cat sat", training_task=followed)


def machine(folder: Path, follows: dict[int, int], tokenizer: Tokenizer | None = None, text: str = TEXT * 8) -> TrainedModel:
    """A model that says for certain which token follows: those listed, and after all others the token 0."""
    plain = {"model__norm": "none", "model__position": "none", "model__init": "zero_output", "model__width": 512}
    made = subject(folder, tokenizer or ByteTokenizer(has_end=True), text, **plain)
    with torch.no_grad():
        for name, weight in made.model.named_parameters():
            weight.zero_()
            if name == "embedding.weight":
                weight.copy_(torch.eye(*weight.shape))
            elif name == "head.weight":
                for token in range(made.tokenizer.vocabulary):
                    weight[follows.get(token, 0), token] = 50.0
    return made


def leave_model(folder: Path, made: TrainedModel, steps: tuple[int, ...] = (0, 3, 7)) -> Path:
    """models/trained as train leaves it: the subject as the last of some snapshots, those before it smaller in every weight."""
    listed, task, tokens = [], made.task, folder / "data/tokens"
    assert isinstance(task, LanguageModelling | Classification | Vision)
    kind = {LanguageModelling: "language", Classification: "classify", Vision: "vision"}[type(task)]
    described = {"task": kind, "step": made.step, "tokenizer": input_sha256(tokens), "model": task.model.model_dump()}
    described |= Shape.of(read_json(meta_of(tokens))).as_json()
    whole = {name: weight.clone() for name, weight in made.model.state_dict().items()}
    for number, step in enumerate(steps, start=1):
        made.model.load_state_dict({name: weight * number / len(steps) for name, weight in whole.items()})
        name = f"step-{step:09d}.safetensors"
        sha256 = save_weights(made.model, folder / "models/trained/snapshots" / name)
        listed.append({"step": step, "file": name, "sha256": sha256, "updates": dict.fromkeys(whole, 0.01)})
    write_json(folder / "models/trained/snapshots/snapshots.json", {"snapshots": listed})
    sha256 = save_weights(made.model, folder / "models/trained/model.safetensors")
    write_json(folder / "models/trained/model.json", described | {"sha256": sha256})
    return sealed(folder)
