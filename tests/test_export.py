"""An exported model says, in the library transformers, what it says here; and what it does not support is refused by name."""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sealing import sealed
from small import TOP, knobs, same
from subjects import leave_model, subject
from test_tokenizers import learned

from pipeline.artifacts.paths import CARD, EVALUATION
from pipeline.artifacts.writing import write_json
from pipeline.corpus.encode.tokenizer_json import WRITERS, tokenizer_config, tokenizer_json
from pipeline.engine.pretrained.architectures import ARCHITECTURES, UNRESTRICTED, nearest
from pipeline.engine.pretrained.weight_map import BUFFERS, Misfit, pack, unpack
from pipeline.inference.generate import stream
from pipeline.inference.trained import TrainedModel
from pipeline.lab.export.export import export
from pipeline.lab.export.hub_card import REMEDIES
from pipeline.lab.export.transformers_text import stock_architecture, write
from pipeline.networks.transformer import GPT
from pipeline.params.errors import UserError
from pipeline.params.model import Model
from pipeline.tokenizers.base import Tokenizer
from pipeline.tokenizers.table import TOKENIZERS

transformers = pytest.importorskip("transformers")
TEXT = "the cat sat on the mat; the dog sat on the cat. 12 + 34 = 46, isn't it?\n" * 8


def a_model_of(name: str, **changes: Any) -> dict[str, Any]:
    """Knobs that an architecture holds: the first of each that it names, with changes."""
    held = {f"model__{knob}": values[0] for knob, values in ARCHITECTURES[name].supports.items()}
    return held | changes


# Each architecture with each value of each knob that it holds, the others being the first of theirs; tied and not.
VARIANTS = sorted(
    {(name, knob, value) for name, one in ARCHITECTURES.items() for knob, values in one.supports.items() for value in values}
    | {(name, "tie_embeddings", tied) for name in ARCHITECTURES for tied in (False, True)}
    | {(name, "kv_heads", 1) for name, one in ARCHITECTURES.items() if "kv_heads" not in one.supports}
    | {(name, "rotary_share", 0.5) for name in ("nemotron", "phi", "gpt_neox")},
    key=str,
)


@functools.cache
def theirs(name: str) -> Any:
    return getattr(transformers, ARCHITECTURES[name].name)


def opened(folder: Path) -> Any:
    return transformers.AutoModelForCausalLM.from_pretrained(folder).eval()


# ---------------------------------------------------------------------------------------------------------- the same model


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_the_library_reads_whole_what_is_exported_and_gives_the_same_logits(name: str, tmp_path: Path) -> None:
    for _, knob, value in (variant for variant in VARIANTS if variant[0] == name):
        made = subject(tmp_path / f"{knob} {value}", **a_model_of(name, **{f"model__{knob}": value}))
        network = made.model
        assert isinstance(network, GPT) and nearest(network.knobs) == (name, [])
        write(folder := tmp_path / f"{knob} {value} exported", made, name, ARCHITECTURES[name])
        model, found = transformers.AutoModelForCausalLM.from_pretrained(folder, output_loading_info=True)
        assert not any(found.values()), "a weight is missing, unknown or of another shape"
        ids = torch.randint(made.tokenizer.vocabulary, (3, 12), generator=torch.Generator().manual_seed(1))
        with torch.inference_mode():
            ours = network(ids)
            assert float(ours.std()) > 0.1
            torch.testing.assert_close(model.eval()(ids).logits, ours, rtol=0, atol=1e-4)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_greedy_text_is_the_same_over_a_hundred_tokens_with_both_caches(name: str, tmp_path: Path) -> None:
    made = subject(
        tmp_path,
        TOKENIZERS["byte"].learn([], 0, has_end=False),
        TEXT,
        **a_model_of(name, model__depth=1, model__context_length=128),
    )
    write(tmp_path / "exported", made, name, ARCHITECTURES[name])
    model = opened(tmp_path / "exported")
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path / "exported")
    ours = "".join(stream(made, "the cat", tokens=100, temperature=0, top_k=0, top_p=1, seed=0))
    ids = tokenizer("the cat", return_tensors="pt").input_ids
    written = model.generate(ids, max_new_tokens=100, do_sample=False)[0]
    assert len(written) == 107 and len({*written.tolist()}) > 2
    assert tokenizer.decode(written) == "the cat" + ours


@pytest.mark.parametrize(("name", "knob", "value"), VARIANTS)
def test_weights_come_back_as_they_went(name: str, knob: str, value: object) -> None:
    model = knobs(**a_model_of(name, **{f"model__{knob}": value})).model
    went, back = (GPT(model, 11, torch.Generator().manual_seed(seed)) for seed in (1, 2))
    with torch.no_grad():
        for weight in went.parameters():  # of few digits, so that 1 can be taken away and added with nothing lost
            weight.copy_(torch.randint(-9, 9, weight.shape) / 8)
        packed = pack(dict(went.named_parameters()), ARCHITECTURES[name].tensors, model)
        unpack(packed, dict(back.named_parameters()), ARCHITECTURES[name].tensors, model)
    assert same(dict(went.named_parameters()), dict(back.named_parameters()))


def test_a_weight_that_has_no_place_is_seen_whichever_side_it_is_on() -> None:
    model, pieces = (
        knobs(**a_model_of("gpt2", model__norm="layer_plain", model__bias=False)).model,
        ARCHITECTURES["gpt2"].tensors,
    )
    network = GPT(model, 11, torch.Generator().manual_seed(1))
    weights = {name: weight.detach() for name, weight in network.named_parameters()}
    packed = pack(weights, pieces, model)
    for name, change in (
        ("transformer.h.1.ln_1.weight", lambda weight: weight * 2),  # a norm that has learned something
        ("transformer.h.0.attn.c_attn.bias", lambda bias: bias + 1),
        ("transformer.h.0.mlp.c_fc.weight", lambda matrix: matrix[:, 1:]),
    ):
        with pytest.raises(Misfit, match=name):
            unpack(packed | {name: change(packed[name])}, weights, pieces, model)
    with pytest.raises(Misfit, match="another"):
        unpack(packed | {"another.weight": torch.ones(2)}, weights, pieces, model)
    with pytest.raises(Misfit, match="wte"):
        unpack({name: weight for name, weight in packed.items() if "wte" not in name}, weights, pieces, model)
    unpack({name.removeprefix("transformer."): weight for name, weight in packed.items()}, weights, pieces, model)
    unpack(packed | {f"h.0{end}": torch.ones(1) for end in BUFFERS}, weights, pieces, model)


@pytest.mark.parametrize("residual", ["pre", "depth_scaled", "rezero", "layerscale"])
@pytest.mark.parametrize("bias", [True, False])
def test_what_features_are_multiplied_by_is_put_into_the_weights(residual: str, bias: bool, tmp_path: Path) -> None:
    changes = {"model__init": "mup", "model__base_width": 4, "model__residual": residual, "model__bias": bias}
    made = subject(tmp_path, **a_model_of("llama", model__heads=4, model__kv_heads=2, **changes))
    assert isinstance(made.model, GPT)
    name, stock = stock_architecture(made.model.knobs)
    write(tmp_path / "exported", made, name, stock)
    ids = torch.randint(made.tokenizer.vocabulary, (3, 12), generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        torch.testing.assert_close(opened(tmp_path / "exported")(ids).logits, made.model(ids), rtol=0, atol=1e-4)


def test_a_tied_head_divided_by_mup_is_not_supported() -> None:
    tied = knobs(**a_model_of("llama", model__init="mup", model__base_width=4, model__tie_embeddings=True)).model
    with pytest.raises(
        UserError,
        match=r"^model\.tie_embeddings: true is not supported by transformers together with muP's divided logits; use false",
    ):
        stock_architecture(tied)
    stock_architecture(tied.model_copy(update={"base_width": tied.width}))


# ------------------------------------------------------------------------------------------------------ the same tokenizer


@functools.cache
def a_tokenizer(kind: str, has_end: bool) -> Tokenizer:
    return learned(kind, has_end)


@functools.cache
def exported_tokenizer(kind: str, has_end: bool, folder: Path) -> Any:
    tokenizer = a_tokenizer(kind, has_end)
    write_json(folder / "tokenizer.json", tokenizer_json(tokenizer))
    write_json(folder / "tokenizer_config.json", tokenizer_config(tokenizer, 10**6))
    write_json(folder / "config.json", {"model_type": "llama"})
    return transformers.AutoTokenizer.from_pretrained(folder)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("tokenizers")


@pytest.mark.parametrize("has_end", [True, False])
@pytest.mark.parametrize("kind", WRITERS)
@settings(max_examples=60, deadline=None)
@given(text=st.text(max_size=120) | st.text(st.sampled_from(TEXT + "é中😀 <|endoftext|>"), max_size=120))
def test_any_text_has_the_same_ids_there_and_comes_back(kind: str, has_end: bool, written: Path, text: str) -> None:
    ours = a_tokenizer(kind, has_end)
    library = exported_tokenizer(kind, has_end, written / f"{kind}{has_end}")
    known = ours.drop_unknown(text)  # of what it has no id for, characters lets nothing through, and nor does the library
    ids = ours.encode(known).tolist()
    assert library(text)["input_ids"] == ids
    assert library.decode(ids) == ours.decode(ids) == known
    assert kind == "char" or known == text


@pytest.mark.parametrize("has_end", [True, False])
@pytest.mark.parametrize("kind", WRITERS)
def test_the_end_of_a_document_is_the_only_token_beyond_the_text(kind: str, has_end: bool, written: Path) -> None:
    ours = a_tokenizer(kind, has_end)
    library = exported_tokenizer(kind, has_end, written / f"{kind}{has_end}")
    assert (len(library), library.eos_token_id, library.bos_token_id) == (ours.vocabulary, ours.end, ours.end)
    assert library("")["input_ids"] == [] and len(library.all_special_tokens) == has_end
    ids = ours.encode("the <|endoftext|> cat" if kind != "char" else "the cat").tolist()
    assert library("the <|endoftext|> cat" if kind != "char" else "the cat")["input_ids"] == ids


def test_every_tokenizer_can_be_exported() -> None:
    assert WRITERS.keys() == TOKENIZERS.keys()


# ------------------------------------------------------------------------------------------------------------ what is refused


def test_every_knob_of_a_model_has_a_place_everywhere_or_is_named_by_every_architecture() -> None:
    for stock in ARCHITECTURES.values():
        assert {*stock.supports, *UNRESTRICTED} == {*Model.model_fields}


@pytest.mark.parametrize(
    ("changes", "lines"),
    [
        ({"model__embedding_mixer": "smear"}, ["embedding_mixer: 'smear' is not supported by nemotron, …; use 'none'"]),
        (
            {"model__position": "learned", "model__norm": "rms", "model__activation": "gelu"},
            ["norm: 'rms' is not supported by gpt2, …; use 'layer_plain' or 'layer'"],
        ),
        (
            {"model__embedding_mixer": "smear", "model__residual": "sandwich", "model__attention": "average"},
            [
                "embedding_mixer: 'smear' is not supported by nemotron, …; use 'none'",
                "attention: 'average' is not supported by nemotron, …; use 'full'",
                "residual: 'sandwich' is not supported by nemotron, …; use 'pre'",
            ],
        ),
    ],
)
def test_each_knob_that_is_not_supported_is_one_line(changes: dict[str, Any], lines: list[str]) -> None:
    with pytest.raises(UserError) as refused:
        stock_architecture(knobs(**{"model__embedding_mixer": "none"} | changes).model)
    wanted = [f"model.{line}".replace("…", "the nearest stock architecture of transformers") for line in lines]
    assert sorted(refused.value.problems) == sorted(wanted)


def test_the_default_recipe_is_supported_but_for_its_mixer() -> None:
    assert nearest(knobs().model) == ("nemotron", ["embedding_mixer"])


# ---------------------------------------------------------------------------------------------------------------- the verb


@pytest.fixture
def trained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> TrainedModel:
    """A project with a trained model that has a place, in which a test stands."""
    made = subject(tmp_path, **a_model_of("nemotron"))
    leave_model(tmp_path, made)
    (tmp_path / "params.yaml").write_bytes((TOP / "params.yaml").read_bytes())
    monkeypatch.chdir(tmp_path)
    return made


def test_an_export_is_a_folder_with_a_card_that_says_what_the_model_is(trained: TrainedModel) -> None:
    write_json(CARD, {"name": "plays", "source": "a library", "licence": "free to all", "sha256": {"plays.txt": "12ab"}})
    write_json(EVALUATION, {"test_bits_per_byte": 2.34567, "bits_per_byte": 2.3, "scores": []})
    sealed(Path())
    assert export(Path("given")) == "a NemotronForCausalLM, with its tokenizer and a card"
    assert {path.name for path in Path("given").iterdir()} == {
        *("config.json", "generation_config.json", "model.safetensors", "README.md", "tokenizer.json", "tokenizer_config.json")
    }
    card = Path("given/README.md").read_text()
    for words in ("# given", "NemotronForCausalLM", "a library", "free to all", "`12ab`", "| 2.346 |", '"width": 16'):
        assert words in card
    said = json.loads(Path("given/config.json").read_text())
    assert (said["model_type"], said["hidden_act"], said["vocab_size"]) == ("nemotron", "gelu", trained.tokenizer.vocabulary)
    assert opened(Path("given")).generation_config.eos_token_id == trained.tokenizer.end


def test_an_export_for_the_hub_names_what_its_card_lacks(trained: TrainedModel, capsys: pytest.CaptureFixture[str]) -> None:
    write_json(CARD, {"name": "plays", "licence": "the user's own: not known to us"})
    sealed(Path())
    assert export(Path("given"), "hub-folder") == "a NemotronForCausalLM, with its tokenizer and a card"
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("README.md")]
    assert [line.split(": ")[1:3] for line in lines] == [
        ["license", f"is not known; {REMEDIES['license']}"],
        ["model-index", f"there is none; {REMEDIES['model-index']}"],
    ]
    opened(Path("given"))


def test_an_export_takes_the_place_of_another_and_of_nothing_else(trained: TrainedModel) -> None:
    export(Path("given"))
    export(Path("given"))
    Path("own").mkdir()
    export(Path("own"))  # an empty folder
    for name in ("data", "params.yaml"):
        with pytest.raises(UserError, match=f"^{name}: exists and was not written by `rally export`"):
            export(Path(name))
