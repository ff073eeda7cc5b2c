"""A model in a folder is read for what it is: trained on from, or refused with what would do."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
import yaml
from sealing import sealed
from small import TOP, knobs, same
from subjects import leave_model, runtime, subject
from test_export import a_model_of

from pipeline.artifacts import NONE, digest, identity, read_json, write_json
from pipeline.corpus.hugging_face import tokenizer_json
from pipeline.engine.architectures import ARCHITECTURES
from pipeline.engine.given import given, network_of
from pipeline.engine.inheritance import start_from
from pipeline.engine.start import begin
from pipeline.lab.adopt import command
from pipeline.lab.stock_text import write
from pipeline.networks.transformer import GPT
from pipeline.params import Params, Refusal, Yaml12Loader
from pipeline.probes.base import Subject
from pipeline.tasks.base import Shape


def weights(network: torch.nn.Module) -> dict[str, torch.Tensor]:
    return dict(network.named_parameters())


def leave(folder: Path, name: str, **changes: Any) -> Subject:
    """A project with a model that an architecture holds, as `ours` and, exported, as `theirs`."""
    made = subject(folder, **a_model_of(name, **changes))
    leave_model(folder, made)
    shutil.copytree(folder / "models", folder / "ours")
    (folder / "theirs").mkdir()
    write(folder / "theirs", made, name, ARCHITECTURES[name])
    meta = folder / "data/tokens/meta.json"
    write_json(meta, read_json(meta) | {"hugging_face": digest(tokenizer_json(made.tokenizer))})
    sealed(folder)
    return made


def params_of(made: Subject, **changes: Any) -> Params:
    assert isinstance(made.model, GPT)
    return knobs(**{f"model__{knob}": value for knob, value in made.model.knobs.model_dump().items()} | changes)


@pytest.mark.parametrize("kind", ["ours", "theirs"])
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_a_training_starts_from_the_weights_of_a_folder(name: str, kind: str, tmp_path: Path) -> None:
    made = leave(tmp_path, name)
    params = params_of(made, train__start_from=str(tmp_path / kind), model__dropout=0.1, model__init="orthogonal")
    progress, _ = begin(params.seed, params.task.kind, params.model, params.train, tmp_path / "data/tokens", runtime())
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
    read = network_of(given(tmp_path / "saved"), made.model.knobs)
    assert read.knobs == made.model.knobs.model_copy(update={"init": "gpt2"})
    for name, weight in weights(read).items():
        torch.testing.assert_close(weight, weights(made.model)[name], rtol=0, atol=1e-6)


def test_a_shorter_context_reads_the_first_of_the_places_that_were_learned(tmp_path: Path) -> None:
    made = leave(tmp_path, "gpt2", model__position="learned")
    shorter = GPT(params_of(made, model__length=7).model, made.tokenizer.vocabulary, torch.Generator())
    start_from(tmp_path / "theirs", shorter, Shape(made.tokenizer.vocabulary), tmp_path / "data/tokens")
    assert torch.equal(shorter.position.weight, made.model.position.weight[:7])


@pytest.mark.parametrize("kind", ["ours", "theirs"])
def test_each_knob_that_must_be_another_is_one_line_with_what_would_do(kind: str, tmp_path: Path) -> None:
    made = leave(tmp_path, "nemotron")
    other = params_of(made, model__width=32, model__norm="rms", model__mixer="smear").model
    network, folder = GPT(other, made.tokenizer.vocabulary, torch.Generator()), tmp_path / kind
    with pytest.raises(Refusal) as refused:
        start_from(folder, network, Shape(made.tokenizer.vocabulary), tmp_path / "data/tokens")
    norms = "'layer_plain'" if kind == "ours" else "'layer_plain' or 'layer'"
    assert sorted(refused.value.problems) == [
        f"model.mixer: \"smear\" is not that of train.start_from, {folder}; 'none' would do",
        f'model.norm: "rms" is not that of train.start_from, {folder}; {norms} would do',
        f"model.width: 32 is not that of train.start_from, {folder}; 16 would do",
    ]


def test_mups_divisors_are_told_apart(tmp_path: Path) -> None:
    made = leave(tmp_path, "llama", model__init="mup", model__base_width=8)
    for kind, init, base, would in (("ours", "mup", 16, "'mup' with model.base_width 8"), ("theirs", "mup", 8, "'gpt2'")):
        network = GPT(
            params_of(made, model__init=init, model__base_width=base).model, made.tokenizer.vocabulary, torch.Generator()
        )
        with pytest.raises(Refusal, match=rf"^model\.init: 'mup' divides logits otherwise than .*; {would} would do$"):
            start_from(tmp_path / kind, network, Shape(made.tokenizer.vocabulary), tmp_path / "data/tokens")


@pytest.mark.parametrize("kind", ["ours", "theirs"])
def test_a_model_of_another_tokenizer_is_refused(kind: str, tmp_path: Path) -> None:
    made = leave(tmp_path, "llama")
    tokens = tmp_path / "data/tokens"
    (tokens / "tokenizer.json").write_text("{}")
    write_json(tokens / "meta.json", {"hugging_face": "another"})
    sealed(tmp_path)
    assert isinstance(made.model, GPT)
    with pytest.raises(Refusal) as refused:
        start_from(tmp_path / kind, made.model, Shape(99), tokens)
    vocabulary, tokenizer = refused.value.problems
    assert re.fullmatch(r"train\.start_from: .* knows 16 tokens, and data/tokens 99", vocabulary)
    assert re.match(r"train\.start_from: .* was trained with another tokenizer than that of data/tokens;", tokenizer)


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
    r"holds no model: neither a model\.json of ours nor a config\.json of Hugging Face's": (
        "gpt2",
        lambda f: (f / "config.json").unlink(),
    ),
    r"holds no model\.safetensors; weights in other files \(pickles\) are not read": (
        "gpt2",
        lambda f: (f / "model.safetensors").rename(f / "pytorch_model.bin"),
    ),
    r"its weights cannot be read": ("gpt2", lambda f: (f / "model.safetensors").write_bytes(b"no tensors")),
    r"config\.json: model_type: our networks hold no 'lama'\. Did you mean 'llama'\?": (
        "llama",
        rewritten("config.json", lambda said: said | {"model_type": "lama"}),
    ),
    r"config\.json: does not say what a LlamaForCausalLM needs: 'hidden_size'": (
        "llama",
        rewritten("config.json", lambda said: {key: value for key, value in said.items() if key != "hidden_size"}),
    ),
    r"config\.json: rms_norm_eps: 0\.001 has no place here; 1e-05 would do": (
        "llama",
        rewritten("config.json", lambda said: said | {"rms_norm_eps": 1e-3}),
    ),
    r"config\.json: rope_parameters: .* has no place here": (
        "llama",
        rewritten(
            "config.json", lambda said: said | {"rope_parameters": {"rope_type": "linear", "rope_theta": 1e4, "factor": 2.0}}
        ),
    ),
    r"model\.layers\.0\.input_layernorm\.weight is not what a norm without weights holds; model\.norm: layer would do": (
        "nemotron",
        weight_changed("model.layers.0.input_layernorm.weight"),
    ),
    r"transformer\.h\.0\.attn\.c_attn\.bias is not what a network without biases holds; model\.bias: true would do": (
        "gpt2",
        weight_changed("transformer.h.0.attn.c_attn.bias"),
    ),
    r"transformer\.wpe\.weight is not what a network with this model\.position holds; 'learned' would do": (
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
    with pytest.raises(Refusal, match=rf"^{re.escape(str(tmp_path / 'theirs'))}(/|: ){line}"):
        start_from(tmp_path / "theirs", made.model, Shape(made.tokenizer.vocabulary), tmp_path / "data/tokens")


def test_weights_of_ours_that_are_damaged_are_refused(tmp_path: Path) -> None:
    made = leave(tmp_path, "gpt2")
    weight_changed("embedding.weight")(tmp_path / "ours")
    assert isinstance(made.model, GPT)
    with pytest.raises(Refusal, match="is damaged"):
        start_from(tmp_path / "ours", made.model, Shape(made.tokenizer.vocabulary), tmp_path / "data/tokens")


def test_the_words_of_older_versions_are_understood(tmp_path: Path) -> None:
    made = leave(tmp_path, "llama")
    old = {"rope_theta": 10000.0, "rope_scaling": None}
    rewritten("config.json", lambda said: {k: v for k, v in said.items() if k != "rope_parameters"} | old)(tmp_path / "theirs")
    assert isinstance(made.model, GPT)
    assert same(weights(network_of(given(tmp_path / "theirs"), made.model.knobs)), weights(made.model))


# ---------------------------------------------------------------------------------------------------------------- the command


@pytest.mark.parametrize("kind", ["ours", "theirs"])
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_the_command_turns_every_knob_that_the_folder_wants(
    name: str, kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = leave(tmp_path, name, model__bias=False)
    monkeypatch.chdir(tmp_path)
    shutil.copy(TOP / "params.yaml", tmp_path)
    assert "tokenize.kind=file" not in command(Path(kind)), "data/tokens has its tokenizer"
    (tmp_path / "data").rename(tmp_path / "elsewhere")
    words = command(Path(kind))
    assert words[:3] == ["dvc", "exp", "run"]
    turned = dict(word.split("=", 1) for word in words[4::2])
    assert turned["train.start_from"] == kind
    assert ("tokenize.path" in turned) == (kind == "theirs")
    read = {knob.replace(".", "__"): yaml.load(value, Loader=Yaml12Loader) for knob, value in turned.items()}
    model = knobs(**{knob: value for knob, value in read.items() if knob.startswith("model__")}).model
    network = GPT(model, made.tokenizer.vocabulary, torch.Generator())
    start_from(tmp_path / kind, network, Shape(made.tokenizer.vocabulary), tmp_path / "elsewhere/tokens")
    assert same(weights(network), weights(made.model))


# --------------------------------------------------------------------------------------------------- what a run hangs on


def test_a_run_is_another_when_what_it_starts_from_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("dvc.yaml").write_text("stages:\n  train:\n    deps:\n    - ${train.start_from}\n    - ${train.teacher}\n")
    Path("given").mkdir()
    (Path("given") / "model.safetensors").write_bytes(b"1")
    plain = identity("train", {"train": {"start_from": str(NONE), "teacher": str(NONE)}})
    one = identity("train", {"train": {"start_from": "given", "teacher": str(NONE)}})
    (Path("given") / "model.safetensors").write_bytes(b"2")
    other = identity("train", {"train": {"start_from": "given", "teacher": str(NONE)}})
    assert len({plain, one, other}) == 3
    with pytest.raises(Refusal, match=r"^train\.start_from: there is no 'nowhere' here$"):
        identity("train", {"train": {"start_from": "nowhere", "teacher": str(NONE)}})
