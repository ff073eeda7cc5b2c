"""Published models as they are stored: each is read with the logits of transformers, or `rally import` refuses it in a line."""

from __future__ import annotations

import functools
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from small import TOP, knobs
from stored_models import LENGTH, PADDED, STORED, TOKENIZERS, TOKENS, Stored, table
from test_hugging_face_model import assert_honoured_or_refused
from torch import Tensor

from pipeline.artifacts.writing import write_json
from pipeline.engine.pretrained.architectures import ARCHITECTURES, IMPORT_ONLY
from pipeline.engine.pretrained.epsilon import EPSILON_KEYS
from pipeline.engine.pretrained.hugging_face_model import OTHER_FAMILIES, REASONS
from pipeline.engine.pretrained.source import load_network, open_pretrained
from pipeline.lab.fine_tuning import fine_tuning_command
from pipeline.params.errors import UserError
from pipeline.tokenizers.bpe import bytes_to_unicode

Weights = dict[str, Tensor]


# ------------------------------------------------------------------------------------------------------------- tokenizers

LLAMA3_SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


# The bytes 0x04, 0x06, 0x13, 0x14, 0x16, 0x1D, 0xF1 and 0xF2, which the published vocabulary does not have.
SMOLLM2_LACKS = {bytes_to_unicode()[byte] for byte in (0x04, 0x06, 0x13, 0x14, 0x16, 0x1D, 0xF1, 0xF2)}


@functools.cache
def tokenizer(kind: str) -> str:
    """A tokenizer.json with the steps of a kind; all learned from the same text."""
    import tokenizers
    from tokenizers import Regex, decoders, models, normalizers, pre_tokenizers, trainers

    library = tokenizers.Tokenizer(models.BPE(byte_fallback=kind == "SentencePiece"))
    special = {"GPT-NeoX": ["<|endoftext|>", "<|padding|>"], "SentencePiece": ["<unk>", "<s>", "</s>"]}
    byte_level, split = pre_tokenizers.ByteLevel, Regex(LLAMA3_SPLIT)
    if kind == "SentencePiece":
        library.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    else:
        library.pre_tokenizer, library.decoder = byte_level(add_prefix_space=False), decoders.ByteLevel()
    if kind in ("Llama 3", "Qwen"):
        library.pre_tokenizer = pre_tokenizers.Sequence(
            [pre_tokenizers.Split(split, "isolated"), byte_level(add_prefix_space=False, use_regex=False)]
        )
    if kind == "SmolLM2":
        library.pre_tokenizer = pre_tokenizers.Sequence(
            [pre_tokenizers.Digits(individual_digits=True), byte_level(add_prefix_space=False)]
        )
    if kind in ("GPT-NeoX", "Qwen"):
        library.normalizer = normalizers.NFC()
    text = "the cat sat on the mat; the dog sat on the log, and all of them were rather comfortable there.\n" * 3
    if kind == "GPT-NeoX":
        library.add_special_tokens(special[kind])
    more = [] if kind in special else ["<|endoftext|>"]
    spaces = 3 if kind == "GPT-NeoX" else 0  # its runs of blanks are tokens that are not special
    trainer = trainers.BpeTrainer(
        vocab_size=TOKENS - len(more) - spaces,
        initial_alphabet=sorted({*byte_level.alphabet()} - (SMOLLM2_LACKS if kind == "SmolLM2" else {*""})),
        special_tokens=special.get(kind, []),
        show_progress=False,
    )
    library.train_from_iterator([text, "".join(f"{one}{two}" for one in "bcdfgk" for two in "aeiou")], trainer)
    library.add_special_tokens(more)
    library.add_tokens([" " * (2 + number) for number in range(spaces)])
    made: str = library.to_str()
    return made


def test_each_tokenizer_has_as_many_tokens() -> None:
    assert {kind: _count(json.loads(tokenizer(kind))) for kind in TOKENIZERS} == dict.fromkeys(TOKENIZERS, TOKENS)


def _count(content: dict[str, Any]) -> int:
    return len({*content["model"]["vocab"].values(), *(token["id"] for token in content["added_tokens"])})


# ---------------------------------------------------------------------------------------------------------------- layouts


def masks(weights: Weights, config: dict[str, Any]) -> Weights:
    """The masks that older versions stored: truth values, and what stood for minus infinity."""
    part, dtype = {"gpt2": ("attn", torch.float32), "gpt_neo": ("attn.attention", torch.bool)}.get(
        config["model_type"], ("attention", torch.bool)
    )
    layer = "gpt_neox.layers" if config["model_type"] == "gpt_neox" else "transformer.h"
    inner = "" if "wte.weight" in weights else layer.partition(".")[0] + "."
    mask = torch.ones(1, 1, LENGTH, LENGTH).tril().to(dtype)
    layers = range(config.get("n_layer") or config.get("num_layers") or config["num_hidden_layers"])
    return weights | {
        f"{inner}{layer.partition('.')[2]}.{number}.{part}.{name}": value.clone()
        for number in layers
        for name, value in (("bias", mask), ("masked_bias", torch.tensor(-torch.inf)))
    }


def quantized(weights: Weights) -> Weights:
    name = "model.layers.0.self_attn.q_proj.weight"
    return {other: weight for other, weight in weights.items() if other != name} | {
        name.replace("weight", "qweight"): torch.ones(8, 64, dtype=torch.int32)
    }


def head_again(weights: Weights) -> Weights:
    embedding = next(weight for name, weight in weights.items() if name.endswith(("wte.weight", "embed_tokens.weight")))
    return weights | {"lm_head.weight": embedding.clone()}


# How the weights are changed before they are saved.
LAYOUTS: dict[str, Callable[[Weights, dict[str, Any]], Weights]] = {
    "inner names": lambda weights, _: {name.removeprefix("transformer."): weight for name, weight in weights.items()},
    "masks": masks,
    "head again": lambda weights, _: head_again(weights),
    "float16": lambda weights, _: {name: weight.half() for name, weight in weights.items()},
    "bfloat16": lambda weights, _: {name: weight.bfloat16() for name, weight in weights.items()},
    "frequencies": lambda weights, config: (
        weights
        | {
            f"{next(iter(weights)).partition('.')[0]}.layers.{number}.self_attn.rotary_emb.inv_freq": torch.ones(8)
            for number in range(config["num_hidden_layers"])
        }
    ),
    "quantized": lambda weights, _: quantized(weights),
    "embed_out": lambda weights, _: {name.replace("lm_head.", "embed_out."): weight for name, weight in weights.items()},
    "ones in the norms of queries and keys": lambda weights, _: {
        name: torch.ones_like(weight) if re.search("[qk]_norm", name) else weight for name, weight in weights.items()
    },
    "no head bias": lambda weights, _: {
        name: torch.zeros_like(weight) if name == "lm_head.bias" else weight for name, weight in weights.items()
    },
}


def two_files(folder: Path, weights: Weights) -> None:
    names = sorted(weights)
    parts = {f"model-0000{number + 1}-of-00002.safetensors": names[number::2] for number in range(2)}
    for file, held in parts.items():
        safetensors.torch.save_file({name: weights[name] for name in held}, folder / file, {"format": "pt"})
    index = {"metadata": {"total_size": 1}, "weight_map": {name: file for file, held in parts.items() for name in held}}
    write_json(folder / "model.safetensors.index.json", index)


def in_one_file(folder: Path, weights: Weights) -> None:
    safetensors.torch.save_file(weights, folder / "model.safetensors", {"format": "pt"})


# How they are saved.
FILES: dict[str, Callable[[Path, Weights], object]] = {
    "two files": two_files,
    "one is missing": lambda folder, _: (folder / "model-00001-of-00002.safetensors").unlink(),
    "consolidated": lambda folder, weights: (
        in_one_file(folder, weights),
        shutil.copy(folder / "model.safetensors", folder / "consolidated.safetensors"),
    ),
    "pickles": lambda folder, weights: torch.save(weights, folder / "pytorch_model.bin"),
}


def leave(folder: Path, one: Stored) -> None:
    """The folder of a stored model."""
    import transformers

    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(one.config))
    (folder / "tokenizer.json").write_text(tokenizer(one.tokenizer), encoding="utf-8")
    if "is not supported" in str(one.weights) and one.config["model_type"] in OTHER_FAMILIES:
        return  # its weights are not looked at
    config = transformers.AutoConfig.from_pretrained(folder)
    model = transformers.AutoModelForCausalLM.from_config(config)
    generator = torch.Generator().manual_seed(0)
    weights = {}
    for name, weight in model.named_parameters():  # each of them says something; what is tied is named once
        noise = torch.randn(weight.shape, generator=generator)
        weights[name] = 0.1 * noise if weight.ndim > 1 else weight.detach() + 0.1 * noise
    for kind in one.stored:
        weights = LAYOUTS[kind](weights, one.config) if kind in LAYOUTS else weights
    ways = [kind for kind in one.stored if kind in FILES]
    for way in ways:
        FILES[way](folder, weights)
    if not ways:
        in_one_file(folder, weights)


# ---------------------------------------------------------------------------------------------------------------- the test


@pytest.mark.slow
@pytest.mark.parametrize("one", STORED, ids=[one.source for one in STORED])
def test_a_stored_model_has_the_logits_of_transformers_or_is_refused_in_a_line(
    one: Stored, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    transformers = pytest.importorskip("transformers")
    monkeypatch.chdir(tmp_path)
    shutil.copy(TOP / "params.yaml", tmp_path)
    leave(tmp_path / "given", one)
    tokenizer_first = TOKENIZERS[one.tokenizer] if one.config["model_type"] not in OTHER_FAMILIES else ""
    if refusal := tokenizer_first or (one.weights if isinstance(one.weights, str) else ""):
        with pytest.raises(UserError) as refused:
            fine_tuning_command(Path("given"))
        assert len(refused.value.problems) == (2 if tokenizer_first else 1)
        assert _has(refused.value.problems[0], refusal)
    else:
        found = fine_tuning_command(Path("given"))
        assert "train.init_from=given" in found.command
        left_out = one.config["vocab_size"] - TOKENS
        assert any(f"{left_out} rows of its embedding" in note for note in found.notes) == (left_out > 0)
    like = knobs(model__context_length=4 * LENGTH).model
    if isinstance(one.weights, str):
        with pytest.raises(UserError) as refused:
            load_network(open_pretrained(Path("given")), like)
        (line,) = refused.value.problems
        assert _has(line, one.weights)
        return
    ours = load_network(open_pretrained(Path("given")), like)
    theirs = transformers.AutoModelForCausalLM.from_pretrained("given", dtype=torch.float32).eval()
    ids = torch.randint(TOKENS, (3, LENGTH), generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        said, wanted = ours(ids), theirs(ids).logits
    assert float(wanted.std()) > 0.1
    assert float((said - wanted).abs().max()) <= one.weights <= 1e-5
    assert said.shape == (3, LENGTH, one.config["vocab_size"])


@pytest.mark.slow
@pytest.mark.parametrize("family", IMPORT_ONLY)
def test_whatever_a_config_says_otherwise_is_honoured_or_refused(family: str, tmp_path: Path) -> None:
    one = next(one for one in STORED if one.config["model_type"] == family and isinstance(one.weights, float))
    leave(tmp_path / "given", one)
    assert_honoured_or_refused(tmp_path / "given", knobs(model__context_length=LENGTH).model, tmp_path / "saved")


def _has(line: str, said: str) -> bool:
    """Whether a line ends with a sentence, in which … stands for anything."""
    return re.search(".*".join(map(re.escape, said.split("…"))) + "$", line) is not None


def test_the_page_has_the_table() -> None:
    page = (TOP / "docs/importing.md").read_text(encoding="utf-8")
    assert "\n".join(table()) in page, "run `python -m tests.stored_models` and put its table there"


def test_the_table_has_every_family_and_layout() -> None:
    families = {str(one.config["model_type"]) for one in STORED}
    assert {*ARCHITECTURES, *IMPORT_ONLY} <= families
    assert {kind for one in STORED for kind in one.stored} == {*LAYOUTS, *FILES}
    assert {one.tokenizer for one in STORED} == {*TOKENIZERS}
    assert len(STORED) >= 30 and len({one.source for one in STORED}) == len(STORED)
    assert {one.config["vocab_size"] for one in STORED} == {TOKENS, PADDED}


@pytest.mark.parametrize("family", OTHER_FAMILIES)
def test_a_family_that_cannot_be_is_refused_with_the_reason(family: str, tmp_path: Path) -> None:
    write_json(tmp_path / "config.json", {"model_type": family})
    with pytest.raises(UserError, match=rf"model_type: '{family}' is not supported\. {re.escape(OTHER_FAMILIES[family])}$"):
        open_pretrained(tmp_path)


def test_every_reason_is_of_a_key_that_an_architecture_writes() -> None:
    model = knobs(model__rotary_share=1.0, model__activation="swiglu").model
    written = {key for one in (*ARCHITECTURES.values(), *IMPORT_ONLY.values()) for key in _keys(one, model)}
    assert {*REASONS} <= written and {*EPSILON_KEYS} <= written


def _keys(one: Any, model: Any) -> set[str]:
    activation = one.supports["activation"][0]
    return {*one.config(model.model_copy(update={"activation": activation}))}
