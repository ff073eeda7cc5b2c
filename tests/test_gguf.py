"""A GGUF file holds the model: other readers give its logits and ids, `rally import` its very weights; damage is named."""

from __future__ import annotations

import functools
import itertools
import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import dvc.logger  # noqa: F401 (first: it keeps the stderr of its import, which capsys would close)
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sealing import sealed
from small import TOP, knobs, same
from subjects import leave_model, subject
from test_tokenizers import SEEN, learned

from pipeline.artifacts.paths import CARD, EVALUATION
from pipeline.artifacts.writing import write_json
from pipeline.corpus.encode.tokenizer_json import tokenizer_json
from pipeline.engine.pretrained.architectures import ARCHITECTURES
from pipeline.engine.pretrained.source import load_network, open_pretrained
from pipeline.evaluation.scores import score
from pipeline.inference.trained import TrainedModel
from pipeline.lab.export import command, gguf_model
from pipeline.lab.export.export import export
from pipeline.lab.gguf import container, vocabulary
from pipeline.lab.gguf.architectures import GGUF_ARCHITECTURES, PLAIN
from pipeline.lab.gguf.container import Stored, read
from pipeline.lab.gguf.number_types import LEVELS, TYPES, OutOfRange, TypeName
from pipeline.lab.gguf.to_folder import to_folder
from pipeline.lab.gguf.vocabulary import RULES
from pipeline.lab.import_command import import_
from pipeline.networks.transformer import GPT
from pipeline.params.errors import UserError
from pipeline.tokenizers.bpe import BpeTokenizer
from pipeline.tokenizers.from_file import FileTokenizer

TEXT = "the cat sat on the mat; the dog sat on the cat. 12 + 34 = 46, isn't it?\n" * 8
KINDS = ("byte", "char", "bpe")  # of tokenizers
BY_TRANSFORMERS = tuple(name for name, one in GGUF_ARCHITECTURES.items() if one.in_transformers)
WIDE = {"model__width": 32, "model__heads": 4, "model__mlp_ratio": 2.0}  # rows that q8_0 can hold


def a_model_of(name: str, **changes: Any) -> dict[str, Any]:
    """Knobs that an architecture of GGUF holds: the first of each that it names, with changes."""
    one = GGUF_ARCHITECTURES[name]
    held = {f"model__{knob}": values[0] for knob, values in ARCHITECTURES[one.model_type].supports.items()}
    return held | {"model__activation": one.activation[0]} | WIDE | changes


def left(folder: Path, name: str, tokenizer: str = "char", kind: TypeName = "f32", **changes: Any) -> TrainedModel:
    """A model that an architecture holds, with `given-f32.gguf` and what belongs to it in the folder `given`."""
    made = subject(folder / "project", learned(tokenizer), TEXT, **a_model_of(name, **changes))
    assert isinstance(made.model, GPT) and gguf_model.stock_architecture(made.model.knobs).name == name
    (folder / "given").mkdir()
    gguf_model.write(folder / "given", "given", made, kind, gguf_model.about("given", {"step": 7}, {}, {}))
    return made


def imported(folder: Path, made: TrainedModel, kind: TypeName = "f32") -> GPT:
    """The network of a file, by way of the folder that `rally import` makes of it."""
    assert isinstance(made.model, GPT)
    to_folder(folder / f"given/given-{kind}.gguf", folder / "back", lambda _: None)
    return load_network(open_pretrained(folder / "back"), made.model.knobs, made.tokenizer.vocabulary)


def some_ids(made: TrainedModel) -> torch.Tensor:
    return torch.randint(made.tokenizer.vocabulary, (3, 12), generator=torch.Generator().manual_seed(1))


# ---------------------------------------------------------------------------------------------------------- the same model

VARIANTS = sorted(
    {
        (name, knob, value)
        for name, one in GGUF_ARCHITECTURES.items()
        for knob, values in ARCHITECTURES[one.model_type].supports.items()
        for value in values
        if knob != "activation"
    }
    | {(name, "tie_embeddings", tied) for name in GGUF_ARCHITECTURES for tied in (False, True)}
    | {(name, "kv_heads", 2) for name, one in GGUF_ARCHITECTURES.items() if one.name != "gpt2"}
    | {(name, "rotary_base", 500.0) for name, one in GGUF_ARCHITECTURES.items() if one.name != "gpt2"},
    key=str,
)


@pytest.mark.parametrize("name", GGUF_ARCHITECTURES)
def test_weights_come_back_as_they_went_whatever_the_knobs(name: str, tmp_path: Path) -> None:
    for number, (_, knob, value) in enumerate(variant for variant in VARIANTS if variant[0] == name):
        made = left(folder := tmp_path / str(number), name, **{f"model__{knob}": value})
        back = imported(folder, made)
        ids = some_ids(made)
        with torch.inference_mode():
            torch.testing.assert_close(back(ids), made.model(ids), rtol=0, atol=1e-5)
        if knob in ("tie_embeddings", "kv_heads", "bias", "rotary_base"):
            assert getattr(back.knobs, knob) == value
        theirs = dict(back.named_parameters())
        for name_, weight in made.model.named_parameters():  # ours may lack what theirs fills with ones, zeros or sines
            torch.testing.assert_close(theirs[name_], weight, rtol=2e-7, atol=2e-7 if name == "nemotron" else 0)


def test_bits_per_byte_are_the_same_to_the_last_bit(tmp_path: Path) -> None:
    made = left(tmp_path, "llama", model__context_length=12)
    found = TrainedModel(imported(tmp_path, made), made.task, made.tokenizer, made.runtime, made.step, made.sequences)
    assert score(made, "test", 10**6) == score(found, "test", 10**6)
    assert same(dict(made.model.named_parameters()), dict(found.model.named_parameters()))


@pytest.mark.parametrize("tokenizer", KINDS)
@pytest.mark.parametrize("name", BY_TRANSFORMERS)
def test_transformers_reads_the_logits_and_the_ids(name: str, tokenizer: str, tmp_path: Path) -> None:
    transformers = library()
    text = "the cat's 12 mats isn't\n\n  on it; "
    for kind in get_args(TypeName) if tokenizer == "char" else ("f32",):
        made = left(folder := tmp_path / kind, name, tokenizer, kind, model__norm=last_norm(name))
        given, file = folder / "given", f"given-{kind}.gguf"
        config = transformers.AutoConfig.from_pretrained(given)
        model = transformers.AutoModelForCausalLM.from_pretrained(given, gguf_file=file, config=config).eval()
        back, ids = imported(folder, made, kind), some_ids(made)
        with torch.inference_mode():
            torch.testing.assert_close(model(ids).logits, back(ids), rtol=0, atol=1e-5)
            apart = float((made.model(ids) - back(ids)).abs().max())
        assert apart < {"f32": 1e-5, "f16": 0.05, "q8_0": 1.0}[kind]
        assert (apart > 1e-5) == (kind != "f32")
    for opened in (given, None):  # with the tokenizer.json beside it, and of the file alone
        one = transformers.AutoTokenizer.from_pretrained(given, gguf_file=None if opened else file)
        assert one(text)["input_ids"] == made.tokenizer.encode(text).tolist()


def last_norm(name: str) -> str:
    """The norm with the most weights."""
    return str(ARCHITECTURES[GGUF_ARCHITECTURES[name].model_type].supports["norm"][-1])


@functools.cache
def library() -> Any:
    for package in ("gguf", "accelerate"):
        pytest.importorskip(package, reason="transformers reads GGUF files by gguf and accelerate (the extra `test`)")
    transformers = pytest.importorskip("transformers")
    transformers.utils.logging.disable_progress_bar()
    return transformers


@pytest.mark.parametrize("name", GGUF_ARCHITECTURES)
def test_a_knob_that_llama_cpp_computes_otherwise_is_refused(name: str) -> None:
    changes = {"model__activation": "geglu" if "glu" in GGUF_ARCHITECTURES[name].activation[0] else "mish"}
    with pytest.raises(UserError, match=r"model\.activation: '\w+' is not supported by \w+, the nearest architecture of llama"):
        gguf_model.stock_architecture(knobs(**a_model_of(name, **changes)).model)
    assert [*gguf_model.problems(knobs(**a_model_of(name)).model)] == []


def test_the_default_recipe_is_supported_but_for_its_mixer() -> None:
    with pytest.raises(UserError) as refused:
        gguf_model.stock_architecture(knobs().model)
    assert [*refused.value.problems] == [
        "model.embedding_mixer: 'smear' is not supported by nemotron, the nearest architecture of llama.cpp; use 'none'"
    ]


# ---------------------------------------------------------------------------------------------------------------- numbers


def test_the_option_knows_the_types() -> None:
    assert {*TYPES} == {*get_args(TypeName)}
    assert "f32" in str(command.export.__annotations__["type_"]) and "q8_0" in str(command.export.__annotations__["type_"])


@pytest.mark.parametrize("kind", TYPES)
def test_gguf_reads_the_numbers_as_we_do(kind: TypeName, tmp_path: Path) -> None:
    gguf = pytest.importorskip("gguf", reason="the extra `test` has it")
    left(tmp_path, "llama", "bpe", kind)
    ours, theirs = read(path := tmp_path / f"given/given-{kind}.gguf"), gguf.GGUFReader(path)
    assert {tensor.name for tensor in theirs.tensors} == {*ours.entries}
    for tensor in theirs.tensors:
        assert np.array_equal(gguf.dequantize(tensor.data, tensor.tensor_type), ours.tensor(tensor.name))
    fields = {key: field.contents() for key, field in theirs.fields.items() if not key.startswith("GGUF.")}
    assert fields == ours.metadata
    assert fields["general.file_type"] == TYPES[kind].file_type


@given(
    hnp.arrays(np.float32, (3, 32), elements=st.floats(-8e6, 8e6, width=32))
    | hnp.arrays(np.float32, (3, 32), elements=st.floats(-(2**-10), 2**-10, width=32))
)
def test_no_number_in_8_bits_moves_by_more_than_half_a_step(numbers: np.ndarray) -> None:
    content = TYPES["q8_0"].write(numbers)
    scales = np.frombuffer(content, np.uint8).reshape(3, 34)[:, :2].copy().view(np.float16).astype(np.float64)
    apart = np.abs(TYPES["q8_0"].read(content).reshape(3, 32).astype(np.float64) - numbers)
    assert (apart <= scales / 2 * (1 + 1e-6)).all()
    assert (scales <= np.abs(numbers).max(axis=1, keepdims=True) / LEVELS * (1 + 2**-11) + 2**-24).all()


@pytest.mark.parametrize(("kind", "largest"), [("f16", 70_000.0), ("q8_0", 9e6)])
def test_weights_beyond_a_type_are_refused(kind: TypeName, largest: float) -> None:
    with pytest.raises(OutOfRange, match="beyond what"):
        TYPES[kind].write(np.full((1, 32), largest, np.float32))


# -------------------------------------------------------------------------------------------------------------- tokenizers


@pytest.mark.parametrize("has_end", [True, False])
@pytest.mark.parametrize("kind", [*KINDS, "file"])
def test_a_tokenizer_comes_back_as_what_it_was(kind: str, has_end: bool, tmp_path: Path) -> None:
    ours = learned(kind, has_end)
    write_json(tmp_path / "tokenizer.json", vocabulary.tokenizer_of(vocabulary.metadata_of(ours, 0)))
    back = FileTokenizer.learn([], 0, has_end, tmp_path / "tokenizer.json")
    assert (back.vocabulary, back.end) == (ours.vocabulary, ours.end)
    assert back.kind == (ours.kind if kind != "byte" else "file")
    assert back.encode(SEEN).tolist() == ours.encode(SEEN).tolist()


@pytest.mark.parametrize("kind", KINDS)
def test_tokens_are_spelled_and_merged_as_byte_level_bpe_does(kind: str) -> None:
    """By a plain reader of tokens and merges, as llama.cpp is one: with the words cut away, the ids are those of the word."""
    ours = learned(kind)
    found = vocabulary.vocabulary(ours)
    assert len(found.tokens) == len({*found.tokens}) == len(found.kinds) == ours.vocabulary
    letters = vocabulary.bytes_to_unicode()
    rank = {merge: number for number, merge in enumerate(found.merges)}
    for word in ("cat", " été", "中文", "12", "'s", "😀", "\n"):
        parts = [letters[byte] for byte in word.encode()]
        while pairs := [(rank[key], at) for at in range(len(parts) - 1) if (key := f"{parts[at]} {parts[at + 1]}") in rank]:
            at = min(pairs)[1]
            parts[at : at + 2] = ["".join(parts[at : at + 2])]
        assert [found.tokens.index(part) for part in parts] == ours.encode(word).tolist()


@pytest.mark.parametrize("rule", RULES)
def test_a_tokenizer_of_others_is_made_from_tokens_and_merges(rule: str, tmp_path: Path) -> None:
    """GPT-2's, Llama 3's and SmolLM's: the rule is found again, and the ids are those of the library with that rule."""
    steps, ignores = RULES[rule]
    content = tokenizer_json(learned("file"))
    content |= {"pre_tokenizer": {"type": "Sequence", "pretokenizers": [step | {"trim_offsets": True} for step in steps]}}
    content["model"]["ignore_merges"] = ignores
    write_json(tmp_path / "theirs.json", content)
    theirs = FileTokenizer.learn([], 0, True, tmp_path / "theirs.json")
    metadata = vocabulary.metadata_of(theirs, 0)
    assert metadata["tokenizer.ggml.pre"] == rule
    write_json(tmp_path / "made.json", vocabulary.tokenizer_of({**metadata, vocabulary.JSON: None}))
    made = FileTokenizer.learn([], 0, True, tmp_path / "made.json")
    assert made.end == theirs.end and made.encode(SEEN).tolist() == theirs.encode(SEEN).tolist()


def test_a_rule_without_a_name_is_refused() -> None:
    content = tokenizer_json(learned("file"))
    content["pre_tokenizer"] = {"type": "Punctuation", "behavior": "Isolated"}
    with pytest.raises(UserError, match=r"^tokenize\.path: this tokenizer\.json cuts words by a rule that GGUF files have no"):
        vocabulary.metadata_of(FileTokenizer(content, True), 0)


def test_words_that_llama_cpp_cuts_elsewhere_are_counted() -> None:
    bpe = BpeTokenizer.learn([rare := "a .\xa0. " * 99, TEXT], 500, True)  # a blank to GPT-2's rule, a sign to ours
    assert vocabulary.differences(bpe, TEXT) == (0, len(bpe.encode(TEXT)))
    assert vocabulary.differences(bpe, rare + TEXT)[0] >= 99
    assert vocabulary.differences(learned("char"), TEXT) == (0, 0)


def test_without_an_end_a_text_stops_at_the_rarest_token(tmp_path: Path) -> None:
    text = TEXT + "?" * 20 + "Z"
    for kind, rarest, said in (("char", "Z", "it will stop at 'Z', which is 1 of"), ("byte", "\ufffd", "")):
        tokenizer = learned(kind, has_end=False) if kind == "byte" else type(learned("char")).learn([text], 0, False)
        made = subject(tmp_path / kind, tokenizer, text, **a_model_of("llama"))
        gguf_model.write(tmp_path / kind, "given", made, "f32", {})
        stop = read(tmp_path / kind / "given-f32.gguf").metadata["tokenizer.ggml.eos_token_id"]
        assert tokenizer.decode([stop]) == rarest or tokenizer.token_bytes(stop) not in text.encode()
        assert said in "".join(gguf_model._stop(made)[1])


# ------------------------------------------------------------------------------------------------------------- the container


def test_an_empty_list_and_a_tensor_of_one_row_are_read_as_they_were_written(tmp_path: Path) -> None:
    metadata = {"a": [], "b": "", "c": True, "d": 7, "e": 0.5, "f": ["x", "é"], "g": [1, -2]}
    numbers = np.arange(6, dtype=np.float32)
    container.write(path := tmp_path / "a.gguf", metadata, {"t": Stored("f32", (1, 2, 3), numbers.tobytes())})
    found = read(path)
    assert found.metadata == metadata and found.tensor("t").tolist() == [[[0, 1, 2], [3, 4, 5]]]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A small file."""
    left(folder := tmp_path_factory.mktemp("whole"), "llama", model__depth=1)
    return (folder / "given/given-f32.gguf").read_bytes()


def refusal(path: Path, content: bytes) -> str:
    """What `rally import` says of such a file; it leaves nothing behind."""
    path.write_bytes(content)
    with pytest.raises(UserError) as refused:
        to_folder(path, path.with_name("back"), lambda _: None)
    assert [file.name for file in path.parent.iterdir() if not file.name.startswith(".rally")] == [path.name]
    (line,) = refused.value.problems
    assert str(path) in line and "\n" not in line
    return line.removeprefix(f"{path}: ")


def changed(key: str, value: Any) -> Callable[[bytes, Path], bytes]:
    """A file with another value of a key; None takes the key away."""

    def change(content: bytes, folder: Path) -> bytes:
        (folder / "a.gguf").write_bytes(content)
        file = read(folder / "a.gguf")
        metadata = {**file.metadata, key: value}
        tensors = {
            name: Stored(entry.kind, entry.shape, file.content[entry.start : entry.start + entry.size])
            for name, entry in file.entries.items()
        }
        container.write(folder / "a.gguf", {name: one for name, one in metadata.items() if one is not None}, tensors)
        return (folder / "a.gguf").read_bytes()

    return change


def put(at: int, form: str, *values: int) -> Callable[[bytes, Path], bytes]:
    return lambda content, _: content[:at] + struct.pack(form, *values) + content[at + struct.calcsize(form) :]


REFUSALS: list[tuple[Any, str]] = [
    (lambda content, _: b"", "is not a GGUF file: it begins with b'' instead of b'GGUF'"),
    (lambda content, _: b"PK\3\4" + content, "is not a GGUF file: it begins with b'PK"),
    (put(4, "<I", 1), "has version 1 of GGUF; only 2 and 3 can be read"),
    (put(4, ">I", 3), "has version 50331648 (in the byte order of other machines) of GGUF"),
    (put(8, "<Q", 1 << 60), "is damaged: it ends before"),
    (put(16, "<Q", 1 << 60), "is damaged: it ends before"),
    (put(24, "<Q", 1 << 62), "is damaged: it ends before a text does"),
    (lambda content, _: content[: len(content) // 2], "is damaged: it ends before the numbers of"),
    (lambda content, _: content[:2000], "is damaged: it ends before"),
    (lambda content, _: content.replace(b"attn_q.weight", b"attn_k.weight"), "it has the tensor 'blk.0.attn_k.weight' twice"),
    (lambda content, _: content.replace(b"general.type", b"general.name"), "it has the key 'general.name' twice"),
    (lambda content, _: content.replace(b"general.type", b"general.t\xffpe"), "is not UTF-8"),
    (lambda content, _: content.replace(b"blk.0.attn_q.", b"blk.0.attn_x."), "has the tensor 'blk.0.attn_x.weight', for which"),
    (changed("a.list", [1] * (1 << 22)), "is damaged: its lists have 4,19"),
    (changed("general.architecture", "lama"), "general.architecture: 'lama' is not supported. Did you mean 'llama'? Known: "),
    (changed("general.architecture", None), "general.architecture: None is not supported"),
    (changed("general.alignment", 33), "is damaged: general.alignment is 33"),
    (changed("split.count", 3), "is one part of a model in 3 files; join them first"),
    (changed("llama.block_count", None), "lacks the key llama.block_count"),
    (changed("llama.block_count", "two"), "llama.block_count: 'two' is not one number"),
    (changed("llama.attention.head_count", [4, 4]), "llama.attention.head_count: [4, 4] is not one number"),
    (changed("llama.rope.dimension_count", 4), "llama.rope.dimension_count is smaller than a head"),
    (changed("llama.attention.sliding_window", 4), "llama.attention.sliding_window: 4 asks for something that Rally's"),
    (changed("tokenizer.ggml.tokens", None), "tokenizer.ggml.tokens is missing or not a list of texts"),
    (changed(vocabulary.JSON, "[" * 9000), "nested"),
    (changed(vocabulary.JSON, "[]"), "tokenizer.huggingface.json is not a tokenizer.json"),
]  # fmt: skip


@pytest.mark.parametrize("key", PLAIN)
def test_a_key_that_changes_nothing_is_read_and_another_value_refused(key: str, whole: bytes, tmp_path: Path) -> None:
    for number, value in enumerate((PLAIN[key][0], "another" if isinstance(PLAIN[key][0], str) else 8)):
        (here := tmp_path / str(number)).mkdir()
        content = changed(f"llama.{key}", value)(whole, here)
        if number:
            assert f"llama.{key}: {value!r} is not supported; only {PLAIN[key][0]!r} is" in refusal(here / "a.gguf", content)
        else:
            to_folder(here / "a.gguf", here / "back", lambda _: None)


@pytest.mark.parametrize(("change", "said"), REFUSALS)
def test_a_file_that_cannot_be_used_is_refused_in_one_line(change: Any, said: str, whole: bytes, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    content = change(whole, tmp_path / "elsewhere")
    (tmp_path / "here").mkdir()
    assert said in refusal(tmp_path / "here/a.gguf", content)


def test_numbers_of_other_types_and_parts_of_a_model_are_named(whole: bytes, tmp_path: Path) -> None:
    at = whole.index(b"token_embd.weight") + len(b"token_embd.weight") + 4 + 2 * 8
    for number, name in ((12, "the type q4_K"), (30, "the type bf16"), (99, "an unknown type, 99")):
        said = refusal(tmp_path / "a.gguf", put(at, "<I", number)(whole, tmp_path))
        assert said == f"'token_embd.weight' has numbers of {name}; only f32, f16, q8_0 can be read"
    (tmp_path / "a.gguf").unlink()
    assert "is one part of a model" in refusal(tmp_path / "a-00001-of-00002.gguf", whole)


def test_a_file_of_others_without_our_tokenizer_names_what_it_has(whole: bytes, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "here").mkdir()
    for key, value, said in (
        ("tokenizer.ggml.model", "llama", "tokenizer.ggml.model is 'llama', which is not byte-level; only 'gpt2' is supported"),
        ("tokenizer.ggml.pre", "tekken", "tokenizer.ggml.pre is 'tekken', which is not supported; use gpt-2 or llama-bpe or"),
        ("tokenizer.ggml.merges", ["a"], "tokenizer.ggml.merges is not a list of pairs"),
        ("tokenizer.ggml.token_type", [1], "tokenizer.ggml.token_type has another length than the tokens"),
    ):
        content = changed(vocabulary.JSON, None)(whole, tmp_path / "elsewhere")
        content = changed(key, value)(content, tmp_path / "elsewhere")
        assert said in refusal(tmp_path / "here/a.gguf", content)
        (tmp_path / "here/a.gguf").unlink()


def test_whatever_byte_of_the_head_is_changed_it_is_read_or_refused(whole: bytes, tmp_path: Path) -> None:
    path, head = tmp_path / "a.gguf", whole.index(b"output_norm.weight") + 64
    rng = np.random.default_rng(1)
    outcomes = set()
    for at in rng.integers(4, head, 120).tolist():
        content = bytearray(whole)
        content[at] ^= 1 << int(rng.integers(8))
        path.write_bytes(content)
        try:
            to_folder(path, tmp_path / "back", lambda folder: load_network(open_pretrained(folder), knobs().model))
            outcomes.add("read")
        except UserError:
            outcomes.add("refused")
    for size in itertools.chain(range(0, 200, 7), range(200, len(whole) - 40, len(whole) // 40)):
        path.write_bytes(whole[:size])
        with pytest.raises(UserError):
            read(path)
    assert outcomes == {"read", "refused"}


# --------------------------------------------------------------------------------------------------------------- the verbs


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> TrainedModel:
    """A project with a trained model that llama.cpp can hold, in which a test stands."""
    made = subject(tmp_path, **a_model_of("nemotron"))
    leave_model(tmp_path, made)
    for name in ("params.yaml", "dvc.yaml"):
        (tmp_path / name).write_bytes((TOP / name).read_bytes())
    monkeypatch.chdir(tmp_path)
    return made


def test_a_file_says_what_the_model_is(lab: TrainedModel) -> None:
    write_json(CARD, {"name": "plays", "source": "a library", "licence": "free to all", "sha256": {"plays.txt": "12ab"}})
    write_json(EVALUATION, {"test_bits_per_byte": 2.34567, "bits_per_byte": 2.3, "scores": []})
    sealed(Path())
    said = export(Path("given"), "gguf", "f16")
    assert said == "given-f16.gguf for llama.cpp (architecture nemotron), with a card"
    assert {path.name for path in Path("given").iterdir()} == {
        *("config.json", "given-f16.gguf", "README.md", "tokenizer.json", "tokenizer_config.json")
    }
    found = read(Path("given/given-f16.gguf")).metadata
    assert found["general.name"] == "given" and found["general.architecture"] == "nemotron"
    assert found["general.description"] == (
        "A small language model, trained with Rally for 7 steps on plays; 2.346 bits per byte of test text"
    )
    assert found["general.license.name"] == "that of the training text: free to all"
    assert (found["general.dataset.count"], found["general.dataset.0.name"]) == (1, "plays")
    assert json.loads(found["rally.knobs"])["model"]["width"] == 32
    assert found["rally.test_bits_per_byte"] == pytest.approx(2.34567)
    card = Path("given/README.md").read_text()
    for words in ("library_name: gguf", "given-f16.gguf", "| 2.346 |", "free to all", "architecture `nemotron`"):
        assert words in card


def test_an_export_is_imported_and_the_command_is_printed(lab: TrainedModel, capsys: pytest.CaptureFixture[str]) -> None:
    export(Path("shelf/given"), "gguf")
    for number, path in enumerate(("shelf/given/given-f32.gguf", "shelf/given", "shelf/given/given-f32.gguf")):
        import_(Path(path), Path("models/other") if number == 2 else None)
        printed = capsys.readouterr()
        where = "models/other" if number == 2 else "models/given-f32"
        assert f"train.init_from={where}" in printed.out and "model.activation" not in printed.out
        assert f"shelf/given/given-f32.gguf: written as {where}, from which training goes on" in printed.err
    back = load_network(open_pretrained(Path("models/given-f32")), knobs().model, lab.tokenizer.vocabulary)
    assert isinstance(lab.model, GPT)
    with torch.inference_mode():
        torch.testing.assert_close(back(some_ids(lab)), lab.model(some_ids(lab)), rtol=0, atol=1e-6)


def test_what_cannot_be_imported_leaves_nothing_and_what_is_there_stays(lab: TrainedModel) -> None:
    export(Path("shelf/given"), "gguf")
    file = Path("shelf/given/given-f32.gguf")
    Path("models/given-f32").mkdir()
    with pytest.raises(UserError, match=r"^models/given-f32: exists and was not made from a GGUF file; use --folder"):
        import_(file)
    Path("models/given-f32").rmdir()
    file.write_bytes(changed("nemotron.attention.layer_norm_epsilon", 0.5)(file.read_bytes(), Path("shelf")))
    with pytest.raises(UserError, match=r"^shelf/given/given-f32\.gguf/config\.json: norm_eps: 0\.5 is not supported; use"):
        import_(file)
    assert not Path("models/given-f32").exists()
    with pytest.raises(UserError, match=r"^nowhere\.gguf: not found"):
        import_(Path("nowhere.gguf"))
    with pytest.raises(UserError, match="--folder: is for GGUF files, and models/trained is a folder"):
        import_(Path("models/trained"), Path("models/other"))
    (Path("shelf/given") / "more.gguf").write_bytes(b"")
    with pytest.raises(UserError, match=r"^shelf/given: has 2 GGUF files; name one of them: given-f32\.gguf, more\.gguf"):
        import_(Path("shelf/given"))


@pytest.mark.parametrize(
    ("folder", "to", "kind", "line"),
    [
        ("given", "transformers", "f16", "--type f16: is for --to gguf; the other formats have float32"),
        ("given.gguf", "gguf", None, "given.gguf: give the name of a folder; the GGUF file in it is called after the folder"),
    ],
)
def test_an_export_that_makes_no_sense_is_refused(folder: str, to: Any, kind: Any, line: str, lab: TrainedModel) -> None:
    with pytest.raises(UserError) as refused:
        export(Path(folder), to, kind)
    assert [*refused.value.problems] == [line] and not Path(folder).exists()


def test_a_width_that_8_bits_cannot_hold_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"^--type q8_0: token_embd\.weight has rows of 24 numbers, and q8_0 stores 32"):
        left(tmp_path, "llama", kind="q8_0", model__width=24)


def test_a_file_that_the_package_gguf_wrote_is_read(tmp_path: Path) -> None:
    """As llama.cpp's converter writes one: other integers, fewer keys, the rotary base left out, no tokenizer.json."""
    gguf = pytest.importorskip("gguf", reason="the extra `test` has it")
    made = left(tmp_path, "llama", "file", model__tie_embeddings=True, model__kv_heads=2)
    ours = read(tmp_path / "given/given-f32.gguf")
    writer = gguf.GGUFWriter(tmp_path / "theirs.gguf", "llama")
    for key in ("context_length", "embedding_length", "block_count", "feed_forward_length", "attention.head_count"):
        writer.add_uint64(f"llama.{key}", ours.metadata[f"llama.{key}"])
    writer.add_head_count_kv(2)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(ours.metadata["tokenizer.ggml.tokens"])
    writer.add_token_types(ours.metadata["tokenizer.ggml.token_type"])
    writer.add_token_merges(ours.metadata["tokenizer.ggml.merges"])
    writer.add_chat_template("{{ messages }}")
    for name in ours.entries:
        writer.add_tensor(name, ours.tensor(name))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    to_folder(tmp_path / "theirs.gguf", tmp_path / "back", lambda _: None)
    assert isinstance(made.model, GPT)
    back = load_network(open_pretrained(tmp_path / "back"), made.model.knobs, made.tokenizer.vocabulary)
    assert same(dict(back.named_parameters()), dict(made.model.named_parameters()))
    assert FileTokenizer.learn([], 0, True, tmp_path / "back").encode(SEEN).tolist() == made.tokenizer.encode(SEEN).tolist()


@pytest.mark.parametrize("name", GGUF_ARCHITECTURES)
def test_a_card_names_transformers_only_where_it_reads_the_file(name: str) -> None:
    card = gguf_model.card_head("given", GGUF_ARCHITECTURES[name], "f16")
    assert ('gguf_file="given-f16.gguf", config=config' in card) == GGUF_ARCHITECTURES[name].in_transformers
    assert "llama-completion -m given-f16.gguf" in card and "{" not in card
