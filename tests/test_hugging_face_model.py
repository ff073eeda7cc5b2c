"""Pretrained models in folders: read as what they are, or refused with a message that says what to use."""

from __future__ import annotations

import hashlib
import json
import re
import resource
import shutil
import struct
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from sealing import sealed
from small import TOP, knobs, same
from subjects import leave_model, runtime, subject
from test_export import a_model_of

from pipeline.artifacts.checksums import seal_folder, sha256_of
from pipeline.artifacts.paths import NONE
from pipeline.artifacts.reading import read_json
from pipeline.artifacts.writing import write_json
from pipeline.corpus.encode.tokenizer_json import tokenizer_json
from pipeline.engine.pretrained.architectures import ARCHITECTURES
from pipeline.engine.pretrained.source import load_network, open_pretrained
from pipeline.engine.pretrained.transfer import load_initial_weights, load_teacher
from pipeline.engine.setup import build_training
from pipeline.identity import run_identity, tokenizer_digest
from pipeline.inference.trained import TrainedModel, open_model, open_snapshots
from pipeline.lab.export.transformers_text import write
from pipeline.lab.fine_tuning import fine_tuning_command
from pipeline.networks.transformer import GPT
from pipeline.params.errors import UserError
from pipeline.params.model import Model
from pipeline.params.schema import Params
from pipeline.params.yaml12 import load_yaml
from pipeline.tasks.base import Shape


def weights(network: torch.nn.Module) -> dict[str, torch.Tensor]:
    return dict(network.named_parameters())


def leave(folder: Path, name: str, **changes: Any) -> TrainedModel:
    """A project with a model that an architecture holds, as `ours` and, exported, as `theirs`."""
    made = subject(folder, **a_model_of(name, **changes))
    leave_model(folder, made)
    shutil.copytree(folder / "models/trained", folder / "ours")
    (folder / "theirs").mkdir()
    write(folder / "theirs", made, name, ARCHITECTURES[name])
    meta = folder / "data/tokens/meta.json"
    write_json(meta, read_json(meta) | {"hugging_face": tokenizer_digest(tokenizer_json(made.tokenizer))})
    sealed(folder)
    return made


def params_of(made: TrainedModel, **changes: Any) -> Params:
    assert isinstance(made.model, GPT)
    return knobs(**{f"model__{knob}": value for knob, value in made.model.knobs.model_dump().items()} | changes)


@pytest.mark.parametrize("kind", ["ours", "theirs"])
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_a_training_starts_from_the_weights_of_a_folder(name: str, kind: str, tmp_path: Path) -> None:
    made = leave(tmp_path, name)
    params = params_of(made, train__init_from=str(tmp_path / kind), model__dropout=0.1, model__init="orthogonal")
    progress, _ = build_training(params.seed, params.task.kind, params.model, params.train, tmp_path / "data/tokens", runtime())
    for name, weight in weights(progress.model).items():
        torch.testing.assert_close(weight, weights(made.model)[name], rtol=0, atol=1e-6)
    assert progress.step == 0


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_a_folder_that_the_library_has_saved_is_read_too(name: str, tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    made = leave(tmp_path, name)
    transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "theirs").save_pretrained(
        tmp_path / "saved", max_shard_size="9KB"
    )
    assert len([*(tmp_path / "saved").glob("model-*.safetensors")]) > 1, "in several files"
    assert isinstance(made.model, GPT)
    read = load_network(open_pretrained(tmp_path / "saved"), made.model.knobs)
    assert read.knobs == made.model.knobs.model_copy(update={"init": "gpt2"})
    for name, weight in weights(read).items():
        torch.testing.assert_close(weight, weights(made.model)[name], rtol=0, atol=1e-6)


def test_a_shorter_context_reads_the_first_of_the_places_that_were_learned(tmp_path: Path) -> None:
    made = leave(tmp_path, "gpt2", model__position="learned")
    shorter = GPT(params_of(made, model__context_length=7).model, made.tokenizer.vocabulary, torch.Generator())
    load_initial_weights(tmp_path / "theirs", shorter, Shape(made.tokenizer.vocabulary), tmp_path / "data/tokens")
    assert torch.equal(shorter.position.weight, made.model.position.weight[:7])


@pytest.mark.parametrize("kind", ["ours", "theirs"])
def test_each_knob_that_must_be_another_is_one_line_with_what_would_do(kind: str, tmp_path: Path) -> None:
    made = leave(tmp_path, "nemotron")
    other = params_of(made, model__width=32, model__norm="rms", model__embedding_mixer="smear").model
    network, folder = GPT(other, made.tokenizer.vocabulary, torch.Generator()), tmp_path / kind
    with pytest.raises(UserError) as refused:
        load_initial_weights(folder, network, Shape(made.tokenizer.vocabulary), tmp_path / "data/tokens")
    norms = "'layer_plain'" if kind == "ours" else "'layer_plain' or 'layer'"
    assert sorted(refused.value.problems) == [
        f"model.embedding_mixer: \"smear\" differs from train.init_from, {folder}; use 'none'",
        f'model.norm: "rms" differs from train.init_from, {folder}; use {norms}',
        f"model.width: 32 differs from train.init_from, {folder}; use 16",
    ]


def test_mups_divisors_are_told_apart(tmp_path: Path) -> None:
    made = leave(tmp_path, "llama", model__init="mup", model__base_width=8)
    for kind, init, base, would in (("ours", "mup", 16, "'mup' with model.base_width 8"), ("theirs", "mup", 8, "'gpt2'")):
        network = GPT(
            params_of(made, model__init=init, model__base_width=base).model, made.tokenizer.vocabulary, torch.Generator()
        )
        with pytest.raises(UserError, match=rf"^model\.init: 'mup' scales logits differently from .*; use {would}$"):
            load_initial_weights(tmp_path / kind, network, Shape(made.tokenizer.vocabulary), tmp_path / "data/tokens")


@pytest.mark.parametrize("kind", ["ours", "theirs"])
def test_a_model_of_another_tokenizer_is_refused(kind: str, tmp_path: Path) -> None:
    made = leave(tmp_path, "llama")
    tokens = tmp_path / "data/tokens"
    (tokens / "tokenizer.json").write_text("{}")
    write_json(tokens / "meta.json", {"hugging_face": "another"})
    sealed(tmp_path)
    assert isinstance(made.model, GPT)
    with pytest.raises(UserError) as refused:
        load_initial_weights(tmp_path / kind, made.model, Shape(99), tokens)
    vocabulary, tokenizer = refused.value.problems
    assert re.fullmatch(r"train\.init_from: .* has a vocabulary of 16, but data/tokens has 99", vocabulary)
    assert re.match(r"train\.init_from: .* was trained with another tokenizer than data/tokens;", tokenizer)


def rewritten(file: str, change: Callable[[dict[str, Any]], dict[str, Any]]) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        write_json(folder / file, change(read_json(folder / file)))

    return damage


def weight_changed(name: str) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        file = folder / "model.safetensors"
        tensors = safetensors.torch.load_file(file)
        tensors[name] = tensors[name] + 1
        safetensors.torch.save_file(tensors, file)

    return damage


DAMAGES: dict[str, tuple[str, Callable[[Path], None]]] = {
    r"not a model: has neither Rally's model\.json nor Hugging Face's config\.json": (
        "gpt2",
        lambda f: (f / "config.json").unlink(),
    ),
    r"has no model\.safetensors; weights in other formats \(pickles\) are not read": (
        "gpt2",
        lambda f: (f / "model.safetensors").rename(f / "pytorch_model.bin"),
    ),
    r"model\.safetensors: the weights cannot be read: Error while deserializing header": (
        "gpt2",
        lambda f: (f / "model.safetensors").write_bytes(b"no tensors"),
    ),
    r"config\.json: model_type: 'lama' is not supported\. Did you mean 'llama'\?": (
        "llama",
        rewritten("config.json", lambda said: said | {"model_type": "lama"}),
    ),
    r"config\.json: lacks something that a LlamaForCausalLM needs: 'hidden_size'": (
        "llama",
        rewritten("config.json", lambda said: {key: value for key, value in said.items() if key != "hidden_size"}),
    ),
    r"config\.json: rms_norm_eps: 0\.001 is not supported; use 1e-08 to 0\.0001": (
        "llama",
        rewritten("config.json", lambda said: said | {"rms_norm_eps": 1e-3}),
    ),
    r"config\.json: rope_parameters: .* is not supported": (
        "llama",
        rewritten(
            "config.json", lambda said: said | {"rope_parameters": {"rope_type": "linear", "rope_theta": 1e4, "factor": 2.0}}
        ),
    ),
    r"model\.layers\.0\.input_layernorm\.weight does not match a norm without weights; use model\.norm: layer": (
        "nemotron",
        weight_changed("model.layers.0.input_layernorm.weight"),
    ),
    r"transformer\.h\.0\.attn\.c_attn\.bias does not match a network without biases; use model\.bias: true": (
        "gpt2",
        weight_changed("transformer.h.0.attn.c_attn.bias"),
    ),
    r"transformer\.wpe\.weight does not match this model\.position; use 'learned'": (
        "gpt2",
        weight_changed("transformer.wpe.weight"),
    ),
}


@pytest.mark.parametrize("line", DAMAGES)
def test_a_folder_that_cannot_be_read_is_one_line(line: str, tmp_path: Path) -> None:
    name, damage = DAMAGES[line]
    made = leave(tmp_path, name)
    damage(tmp_path / "theirs")
    assert isinstance(made.model, GPT)
    with pytest.raises(UserError, match=rf"^{re.escape(str(tmp_path / 'theirs'))}(/|: ){line}"):
        load_initial_weights(tmp_path / "theirs", made.model, Shape(made.tokenizer.vocabulary), tmp_path / "data/tokens")


def test_weights_of_ours_that_are_damaged_are_refused(tmp_path: Path) -> None:
    made = leave(tmp_path, "gpt2")
    weight_changed("embedding.weight")(tmp_path / "ours")
    assert isinstance(made.model, GPT)
    with pytest.raises(UserError, match="is damaged"):
        load_initial_weights(tmp_path / "ours", made.model, Shape(made.tokenizer.vocabulary), tmp_path / "data/tokens")


def test_the_words_of_older_versions_are_understood(tmp_path: Path) -> None:
    made = leave(tmp_path, "llama")
    old = {"rope_theta": 10000.0, "rope_scaling": None}
    rewritten("config.json", lambda said: {k: v for k, v in said.items() if k != "rope_parameters"} | old)(tmp_path / "theirs")
    assert isinstance(made.model, GPT)
    assert same(weights(load_network(open_pretrained(tmp_path / "theirs"), made.model.knobs)), weights(made.model))


# ------------------------------------------------------------------------------------------ what a config.json leaves open


def logits(network: Any, ids: torch.Tensor) -> torch.Tensor:
    with torch.inference_mode():
        return network(ids)


def their_logits(folder: Path, ids: torch.Tensor) -> torch.Tensor:
    transformers = pytest.importorskip("transformers")
    return logits(transformers.AutoModelForCausalLM.from_pretrained(folder).eval(), ids).logits


IDS = torch.arange(10)[None]


def test_a_head_beside_a_tied_embedding_is_refused_unless_it_is_the_embedding(tmp_path: Path) -> None:
    made = leave(tmp_path, "llama", model__tie_embeddings=True)
    file = tmp_path / "theirs/model.safetensors"
    tensors = safetensors.torch.load_file(file)
    assert isinstance(made.model, GPT) and "lm_head.weight" not in tensors
    safetensors.torch.save_file(tensors | {"lm_head.weight": tensors["model.embed_tokens.weight"].clone()}, file)
    assert same(weights(load_network(open_pretrained(tmp_path / "theirs"), made.model.knobs)), weights(made.model))
    safetensors.torch.save_file(tensors | {"lm_head.weight": tensors["model.embed_tokens.weight"] + 1}, file)
    with pytest.raises(
        UserError,
        match=r"lm_head\.weight is missing, .* or is not the embedding: if it is separate, use tie_word_embeddings: false",
    ):
        load_network(open_pretrained(tmp_path / "theirs"), made.model.knobs)
    rewritten("config.json", lambda said: said | {"tie_word_embeddings": False})(tmp_path / "theirs")
    untied = load_network(open_pretrained(tmp_path / "theirs"), made.model.knobs)
    torch.testing.assert_close(logits(untied, IDS), their_logits(tmp_path / "theirs", IDS), rtol=0, atol=1e-4)


@pytest.mark.parametrize("window", [None, 12, 13, 4096])
def test_a_window_of_mistrals_that_is_null_or_not_below_the_context_is_full_attention(
    window: int | None, tmp_path: Path
) -> None:
    made = leave(tmp_path, "mistral", model__window=5)
    assert isinstance(made.model, GPT)
    length = made.model.knobs.context_length
    rewritten("config.json", lambda said: said | {"sliding_window": window})(tmp_path / "theirs")
    network = load_network(open_pretrained(tmp_path / "theirs"), made.model.knobs)
    assert network.knobs.attention == "full" and length == 12
    torch.testing.assert_close(logits(network, IDS), their_logits(tmp_path / "theirs", IDS), rtol=0, atol=1e-4)
    assert not torch.allclose(logits(network, IDS), logits(made.model, IDS), atol=1e-2), (
        "with its window it says something else"
    )


@pytest.mark.parametrize("kind", ["ours", "theirs"])
def test_a_window_wider_than_a_shorter_context_is_none(kind: str, tmp_path: Path) -> None:
    made = leave(tmp_path, "mistral", model__window=5)
    shorter = params_of(made, model__context_length=4, model__attention="full").model
    network = GPT(shorter, made.tokenizer.vocabulary, torch.Generator())
    load_initial_weights(tmp_path / kind, network, Shape(made.tokenizer.vocabulary), tmp_path / "data/tokens")
    torch.testing.assert_close(logits(network, IDS[:, :4]), logits(made.model, IDS[:, :4]), rtol=0, atol=1e-5)


def padded(folder: Path, rows: int) -> None:
    """More rows of the embedding, and of a head that is there, than the tokenizer has ids; as Phi's, OLMo's and Qwen's are."""
    file = folder / "model.safetensors"
    tensors = safetensors.torch.load_file(file)
    for name in [name for name in tensors if re.search(r"embed_tokens|embed_in|embed_out|wte|lm_head", name)]:
        more = torch.full((rows, *tensors[name].shape[1:]), 3.0 if tensors[name].ndim > 1 else 0.0)
        tensors[name] = torch.cat((tensors[name], more))
    safetensors.torch.save_file(tensors, file)
    rewritten("config.json", lambda said: said | {"vocab_size": said["vocab_size"] + rows})(folder)


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_rows_beyond_the_tokenizer_are_left_out(name: str, tied: bool, tmp_path: Path) -> None:
    made = leave(tmp_path, name, model__tie_embeddings=tied)
    padded(tmp_path / "theirs", 5)
    network = GPT(params_of(made).model, made.tokenizer.vocabulary, torch.Generator())
    load_initial_weights(tmp_path / "theirs", network, Shape(made.tokenizer.vocabulary), tmp_path / "data/tokens")
    said = their_logits(tmp_path / "theirs", IDS)
    assert said.shape[-1] == made.tokenizer.vocabulary + 5
    torch.testing.assert_close(logits(network, IDS), said[..., :-5], rtol=0, atol=1e-4)
    teacher = load_teacher(
        tmp_path / "theirs", "language", network.knobs, Shape(made.tokenizer.vocabulary), tmp_path / "data/tokens"
    )
    assert same(weights(teacher), weights(network))


OTHERS: dict[type, Callable[[Any], list[Any]]] = {
    bool: lambda value: [not value],
    int: lambda value: [value + 1, 2 * value],
    float: lambda value: [2 * value or 0.5],
    type(None): lambda value: [1, True, 0.5],
    str: lambda value: ["relu", "zzz"],
    list: lambda value: [["sliding_attention"] * len(value), []],
    dict: lambda value: [
        value | {"rope_theta": 5e5},
        value | {"partial_rotary_factor": 0.5},
        value | {"rope_type": "linear", "factor": 2.0},
    ],
}
UNREAD = {"model_type", "architectures", "dtype", "torch_dtype", "transformers_version", "_name_or_path", "return_dict"}


@pytest.mark.slow
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_whatever_a_config_says_otherwise_is_honoured_or_refused(name: str, tmp_path: Path) -> None:
    """Each field of the library's class, changed and left out: where its logits change, ours do too, or there are none."""
    made = leave(tmp_path, name)
    assert isinstance(made.model, GPT)
    assert_honoured_or_refused(tmp_path / "theirs", made.model.knobs, tmp_path / "saved")


def assert_honoured_or_refused(theirs_folder: Path, like: Model, saved: Path) -> None:
    transformers = pytest.importorskip("transformers")
    library = transformers.AutoModelForCausalLM.from_pretrained(theirs_folder, dtype=torch.float32).eval()
    library.save_pretrained(saved)
    state, config = library.state_dict(), saved / "config.json"
    plain = read_json(config)
    fields = json.loads(json.dumps(type(library.config)().to_dict(), default=str)) | plain
    cases = [{key: value for key, value in plain.items() if key != left_out} for left_out in plain if left_out not in UNREAD]
    cases += [
        plain | {key: other}
        for key in fields.keys() - UNREAD
        for other in OTHERS.get(type(fields[key]), lambda _: [])(fields[key])
    ]
    honoured, refused, other = 0, 0, []
    before = logits(library, IDS).logits
    for said in cases:
        write_json(config, said)
        try:
            ours = logits(load_network(open_pretrained(saved), like), IDS)
        except UserError:
            refused += 1
            continue
        try:
            again = transformers.AutoModelForCausalLM.from_config(transformers.AutoConfig.from_pretrained(saved))
            again.load_state_dict(state)
            theirs = logits(again.eval(), IDS).logits
        except Exception:  # what the library cannot load has no logits to be equal to
            continue
        honoured += not torch.allclose(theirs, before, atol=1e-4)
        if theirs.shape != ours.shape or not torch.allclose(theirs, ours, atol=1e-4):
            other.append({key: said.get(key) for key in fields if said.get(key) != plain.get(key)})
    assert not other
    assert refused > 3


# -------------------------------------------------------------------------------------------------------- folders that lie


def lie(**changes: Any) -> Callable[[Path], None]:
    return rewritten("model.json", lambda about: about | changes)


def knob_lie(**changes: Any) -> Callable[[Path], None]:
    return rewritten("model.json", lambda about: about | {"model": about["model"] | changes})


def weights_of(change: Callable[[dict[str, torch.Tensor]], dict[str, torch.Tensor]]) -> Callable[[Path], None]:
    """Other weights, with the checksum that belongs to them."""

    def damage(folder: Path) -> None:
        file = folder / "model.safetensors"
        safetensors.torch.save_file(change(safetensors.torch.load_file(file)), file)
        lie(sha256=sha256_of(file))(folder)

    return damage


def content_of(content: bytes) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        (folder / "model.safetensors").write_bytes(content)
        lie(sha256=hashlib.sha256(content).hexdigest())(folder)

    return damage


def header(text: str) -> bytes:
    return struct.pack("<Q", len(text)) + text.encode()


UP = "blocks.0.feed_forward.up.weight"
UNREADABLE = r"model\.safetensors: the weights cannot be read: "
ANOTHER = r"model\.safetensors: the weights do not match the network that its JSON describes"
LIES: dict[str, tuple[Callable[[Path], None], str]] = {
    "no header": (content_of(b"1234567"), UNREADABLE),
    "nothing": (content_of(b""), UNREADABLE),
    "a pickle": (content_of(b"\x80\x04\x95" + bytes(40)), UNREADABLE),
    "a header longer than the file": (content_of(struct.pack("<Q", 1 << 20) + b"{}"), UNREADABLE),
    "a header that is no object": (content_of(header("[]")), UNREADABLE),
    "a tensor behind the end": (
        content_of(
            header('{"embedding.weight": {"dtype": "F32", "shape": [1000000, 1000000], "data_offsets": [0, 4000000000000]}}')
        ),
        UNREADABLE,
    ),
    "whole numbers": (
        weights_of(lambda w: w | {"embedding.weight": w["embedding.weight"].to(torch.int32)}),
        "has the type I32; only",
    ),
    "eight bits": (
        weights_of(lambda w: w | {"embedding.weight": w["embedding.weight"].to(torch.float8_e4m3fn)}),
        "has the type F8_E4M3; only",
    ),
    "a shape that is turned": (weights_of(lambda w: w | {UP: w[UP].mT.contiguous()}), ANOTHER),
    "a weight too many": (weights_of(lambda w: w | {"more": torch.ones(1)}), ANOTHER),
    "a weight too few": (weights_of(lambda w: {name: one for name, one in w.items() if name != "embedding.weight"}), ANOTHER),
    "no numbers": (
        weights_of(lambda w: w | {"embedding.weight": w["embedding.weight"] * torch.nan}),
        r"embedding\.weight has numbers that are not finite",
    ),
    "a vocabulary that is a word": (lie(vocabulary="many"), r"model\.json: vocabulary: 'many' is not an integer from 0"),
    "a vocabulary below 0": (lie(vocabulary=-5), r"model\.json: vocabulary: -5 is not an integer from 0"),
    "a vocabulary of 10^12": (lie(vocabulary=10**12), r"model\.json: vocabulary: 1000000000000 is not an integer from 0"),
    "a vocabulary of ten million": (lie(vocabulary=10**7), ANOTHER),
    "no vocabulary": (lie(vocabulary=0), r"model\.json: vocabulary: 0 is empty"),
    "classes that are a number": (lie(classes=5), r"model\.json: classes: 5 is not a list of names"),
    "classes that are numbers": (lie(classes=[5]), r"model\.json: classes: \[5\] is not a list of names"),
    "an image of two sides": (lie(image=[5, 5]), r"model\.json: image: \[5, 5\] is not height, width and channels"),
    "a task that there is not": (lie(task="other"), r"model\.json: task: there is no 'other'\. Known"),
    "a task that is a list": (lie(task=["language"]), r"model\.json: task: there is no \['language'\]"),
    "another task": (lie(task="vision"), r"model\.json: classes: \[\] is empty"),
    "a checksum that is a number": (lie(sha256=5), r"model\.json: sha256: 5 is not 64 hexadecimal digits"),
    "a tokenizer that is a number": (lie(tokenizer=5), r"model\.json: tokenizer: 5 is not 64 hexadecimal digits"),
    "knobs that are a list": (lie(model=[]), r"model\.json: model: \[\] is not a section of knobs"),
    "a width of 16,384": (knob_lie(width=16384), ANOTHER),
    "256 layers": (knob_lie(depth=256, width=4096), ANOTHER),
    "a width below 0": (knob_lie(width=-1), r"model\.json\.model\.width: -1 is below 4"),
    "deep JSON": (lambda folder: (folder / "model.json").write_text("[" * 100_000) and None, r"model\.json: is damaged"),
}


@pytest.mark.parametrize("what", LIES)
def test_a_folder_that_lies_is_refused_in_one_line_before_memory_is_taken(what: str, tmp_path: Path) -> None:
    made = leave(tmp_path, "gpt2")
    damage, line = LIES[what]
    (tmp_path / "ours").rename(tmp_path / "given")
    damage(tmp_path / "given")
    seal_folder(tmp_path / "given")  # it lies, and is not damaged
    assert isinstance(made.model, GPT)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(UserError, match=line) as refused:
        load_network(open_pretrained(tmp_path / "given"), made.model.knobs)
    assert not [problem for problem in refused.value.problems if "\n" in problem]
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown * (1 if sys.platform == "darwin" else 1024) < 200 << 20, "the network was built before the file was looked at"


@pytest.mark.parametrize("what", [what for what in LIES if what != "no numbers"])  # a diverged model may be scored
def test_models_that_lie_are_not_opened_either(what: str, tmp_path: Path) -> None:
    leave(tmp_path, "gpt2")
    damage, line = LIES[what]
    damage(tmp_path / "models/trained")
    seal_folder(tmp_path / "models/trained")
    with pytest.raises(UserError, match=line):
        open_model(tmp_path / "models/trained", runtime(), tokens=tmp_path / "data/tokens")


CONFIGS: dict[str, tuple[dict[str, Any], str]] = {
    "a family that is a list": ({"model_type": ["llama"]}, r"config\.json: model_type: \['llama'\] is not supported"),
    "a width that is a word": ({"hidden_size": "many"}, r"config\.json: (gives model\.width 'many'|lacks something that)"),
    "a width below 0": ({"hidden_size": -16}, r"width: -16 is below 4"),
    "a width of 16,384": (
        {"hidden_size": 16384, "intermediate_size": 16384, "head_dim": 8192},
        "describes a network with more weights than its files have",
    ),
    "a width of 10^12": ({"hidden_size": 10**12, "intermediate_size": 10**12}, r"width: 1000000000000 is above 16384"),
    "no width": ({"hidden_size": 0}, r"config\.json: lacks something that a LlamaForCausalLM needs"),
    "a vocabulary that is a word": ({"vocab_size": "many"}, r"config\.json: lacks something that a LlamaForCausalLM needs"),
    "a vocabulary of 10^12": ({"vocab_size": 10**12}, "describes a network with more weights than its files have"),
    "a context without end": ({"max_position_embeddings": float("inf")}, r"config\.json: lacks something that"),
    "layers that are not a number": (
        {"num_hidden_layers": float("nan")},
        r"config\.json: gives model\.depth nan, which is not a valid value",
    ),
    "an activation that is a list": ({"hidden_act": ["silu"]}, r"config\.json: lacks something that a LlamaForCausalLM needs"),
    "an activation of another kind": (
        {"hidden_act": "relu"},
        r"config\.json: gives model\.activation 'relu', which is not supported",
    ),
    "angles that are a word": ({"rope_parameters": "none"}, r"config\.json: lacks something that a LlamaForCausalLM needs"),
    "angles of a word": (
        {"rope_parameters": None, "rope_theta": "wide"},
        r"config\.json: lacks something that a LlamaForCausalLM needs",
    ),
    "layers of windows": (
        {"layer_types": ["sliding_attention"]},
        r"config\.json: layer_types: \['sliding_attention'\] is not supported",
    ),
}


@pytest.mark.parametrize("what", CONFIGS)
def test_a_config_that_lies_is_refused_in_one_line(what: str, tmp_path: Path) -> None:
    made = leave(tmp_path, "llama")
    changes, line = CONFIGS[what]
    config = tmp_path / "theirs/config.json"
    config.write_text(json.dumps(read_json(config) | changes))
    assert isinstance(made.model, GPT)
    with pytest.raises(UserError, match=line):
        load_network(open_pretrained(tmp_path / "theirs"), made.model.knobs)


def test_weights_of_theirs_that_are_no_numbers_or_no_file_are_refused(tmp_path: Path) -> None:
    made = leave(tmp_path, "llama")
    theirs = tmp_path / "theirs"
    assert isinstance(made.model, GPT)
    whole = safetensors.torch.load_file(theirs / "model.safetensors")
    name = "model.embed_tokens.weight"
    safetensors.torch.save_file(whole | {name: whole[name] * torch.inf}, theirs / "model.safetensors")
    with pytest.raises(UserError, match=rf"theirs: {re.escape(name)} has numbers that are not finite"):
        load_network(open_pretrained(theirs), made.model.knobs)
    (theirs / "model.safetensors").unlink()
    (theirs / "model.safetensors").symlink_to("model.safetensors")  # a link to itself
    with pytest.raises(UserError, match=r"theirs: has no model\.safetensors"):
        load_network(open_pretrained(theirs), made.model.knobs)
    (theirs / "config.json").unlink()
    (theirs / "config.json").symlink_to("config.json")
    with pytest.raises(UserError, match="theirs: not a model: has neither"):
        open_pretrained(theirs)


def test_an_index_is_not_followed_out_of_its_folder(tmp_path: Path) -> None:
    made = leave(tmp_path, "llama")
    (tmp_path / "theirs/model.safetensors").rename(tmp_path / "outside.safetensors")
    write_json(tmp_path / "theirs/model.safetensors.index.json", {"weight_map": {"a": "../outside.safetensors"}})
    assert isinstance(made.model, GPT)
    with pytest.raises(UserError, match=r"theirs: has no model\.safetensors"):
        load_network(open_pretrained(tmp_path / "theirs"), made.model.knobs)


@pytest.mark.parametrize(
    "one",
    [
        {"file": "../step.safetensors"},
        {"file": 5},
        {"sha256": 5},
        {"step": "last"},
        {"updates": []},
        {"updates": {"head.weight": "much"}},
    ],
)
def test_a_list_of_snapshots_that_lies_is_one_line(one: dict[str, Any], tmp_path: Path) -> None:
    leave(tmp_path, "gpt2")
    listed = tmp_path / "models/trained/snapshots/snapshots.json"
    snapshots = read_json(listed)["snapshots"]
    write_json(listed, {"snapshots": [snapshots[0], snapshots[1] | one]})
    seal_folder(listed.parent)
    with pytest.raises(UserError, match=r"snapshots\.json: is not a list of snapshots; `dvc repro` creates it again$"):
        [*open_snapshots(tmp_path / "models/trained", runtime(), sequences=1, toy_text="", tokens=tmp_path / "data/tokens")]


# ---------------------------------------------------------------------------------------------------------------- the command


@pytest.mark.parametrize("kind", ["ours", "theirs"])
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_the_command_turns_every_knob_that_the_folder_wants(
    name: str, kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = leave(tmp_path, name, model__bias=False)
    monkeypatch.chdir(tmp_path)
    shutil.copy(TOP / "params.yaml", tmp_path)
    assert "tokenize.kind=file" not in fine_tuning_command(Path(kind)).command, "data/tokens has its tokenizer"
    (tmp_path / "data").rename(tmp_path / "elsewhere")
    words = fine_tuning_command(Path(kind)).command
    assert words[:3] == ["dvc", "exp", "run"]
    turned = dict(word.split("=", 1) for word in words[4::2])
    assert turned["train.init_from"] == kind
    assert ("tokenize.path" in turned) == (kind == "theirs")
    read = {knob.replace(".", "__"): load_yaml(value) for knob, value in turned.items()}
    model = knobs(**{knob: value for knob, value in read.items() if knob.startswith("model__")}).model
    network = GPT(model, made.tokenizer.vocabulary, torch.Generator())
    load_initial_weights(tmp_path / kind, network, Shape(made.tokenizer.vocabulary), tmp_path / "elsewhere/tokens")
    assert same(weights(network), weights(made.model))


# --------------------------------------------------------------------------------------------------- what a run hangs on


def test_a_run_is_another_when_what_it_starts_from_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("dvc.yaml").write_text("stages:\n  train:\n    deps:\n    - ${train.init_from}\n    - ${train.teacher}\n")
    Path("given").mkdir()
    (Path("given") / "model.safetensors").write_bytes(b"1")
    plain = run_identity("train", {"train": {"init_from": str(NONE), "teacher": str(NONE)}})
    one = run_identity("train", {"train": {"init_from": "given", "teacher": str(NONE)}})
    (Path("given") / "model.safetensors").write_bytes(b"2")
    other = run_identity("train", {"train": {"init_from": "given", "teacher": str(NONE)}})
    assert len({plain, one, other}) == 3
    with pytest.raises(UserError, match=r"^train\.init_from: 'nowhere' does not exist$"):
        run_identity("train", {"train": {"init_from": "nowhere", "teacher": str(NONE)}})
