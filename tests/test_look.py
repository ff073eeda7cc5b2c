"""A forward pass taken apart: what is seen is what a calculation by hand gives, and looking changes nothing."""

from __future__ import annotations

import functools
import json
import math
import re
import shutil
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from rich.console import Console
from small import knobs
from subjects import TEXT, leave_model, runtime, subject
from test_cli import rally
from test_probes import KINDS, named
from torch import Tensor, nn

from pipeline.artifacts.checksums import seal
from pipeline.artifacts.paths import TOKENS, meta_of
from pipeline.artifacts.reading import read_json
from pipeline.artifacts.writing import write_json
from pipeline.engine.runtime.runtime import Runtime
from pipeline.lab.look import terminal as look_text
from pipeline.lab.look.activations import Activation, PassRecord, record_of, record_pass
from pipeline.lab.look.diagram import diagram
from pipeline.lab.look.forward_pass import ForwardPass, look
from pipeline.lab.look.heads import attention_summary, lowest_entropy_head
from pipeline.lab.look.logit_lens import predictions
from pipeline.lab.look.request import Request
from pipeline.lab.look.trace import Trace, trace
from pipeline.networks.activations import ACTIVATIONS
from pipeline.networks.transformer import GPT
from pipeline.params.errors import UserError
from pipeline.tokenizers.char import CharTokenizer

pytestmark = pytest.mark.shapes

TOP = Path(__file__).parents[1]
IDS = [3, 1, 4, 1, 5, 9, 2]


def network(**changes: Any) -> GPT:
    """A small network whose every weight is drawn at random."""
    model = GPT(knobs(**changes).model, 11, torch.Generator().manual_seed(1))
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for weight in model.parameters():
            weight.copy_(torch.randn(weight.shape, generator=generator) * 0.4)
    return model


@functools.cache
def here() -> Runtime:
    return runtime()


def seen(model: GPT) -> Trace:
    return trace(model, torch.tensor([IDS]))


def close(one: Tensor, other: Tensor) -> bool:
    return torch.allclose(one.double(), other.double(), atol=1e-5)


# ------------------------------------------------------------------------------------------------------ by hand, in full


def test_every_activation_is_what_a_calculation_by_hand_gives() -> None:
    model = network(model__depth=1, model__norm="rms", model__qk_norm=True)
    made = seen(model)
    weights = {name: weight.detach().double() for name, weight in model.named_parameters()}
    length, heads, size = len(IDS), 2, 8

    def normed(x: Tensor) -> Tensor:
        return x / (x.square().mean(dim=-1, keepdim=True) + 1e-5).sqrt()

    def turned(x: Tensor) -> Tensor:
        out = x.clone()
        for place in range(length):
            for pair in range(size // 2):
                angle = place * 10_000 ** (-2 * pair / size)
                a, b = x[:, place, 2 * pair], x[:, place, 2 * pair + 1]
                out[:, place, 2 * pair] = a * math.cos(angle) - b * math.sin(angle)
                out[:, place, 2 * pair + 1] = a * math.sin(angle) + b * math.cos(angle)
        return out

    by_hand: dict[str, Tensor] = {}
    by_hand["embedding"] = weights["embedding.weight"][IDS]
    before = torch.cat((torch.zeros(1, 16, dtype=torch.float64), by_hand["embedding"][:-1]))
    by_hand["mixer"] = by_hand["embedding"] + weights["mixer.share"] * before
    by_hand["blocks.0.norms.0"] = normed(by_hand["mixer"]) * weights["blocks.0.norms.0.weight"]
    by_hand["blocks.0.attention.project"] = by_hand["blocks.0.norms.0"] @ weights["blocks.0.attention.project.weight"].T
    q, k, v = by_hand["blocks.0.attention.project"].reshape(length, 3, heads, size).permute(1, 2, 0, 3)
    by_hand["blocks.0.attention.q"], by_hand["blocks.0.attention.k"] = q, k = turned(normed(q)), turned(normed(k))
    by_hand["blocks.0.attention.v"] = v
    scores = (q @ k.mT / size**0.5).masked_fill(torch.ones(length, length).triu(1).bool(), -math.inf)
    by_hand["blocks.0.attention.scores"] = scores
    by_hand["blocks.0.attention.weights"] = scores.exp() / scores.exp().sum(dim=-1, keepdim=True)
    by_hand["blocks.0.attention.mixed"] = mixed = by_hand["blocks.0.attention.weights"] @ v
    attended = mixed.transpose(0, 1).flatten(1) @ weights["blocks.0.attention.output.weight"].T
    by_hand["blocks.0.attention.output"] = by_hand["blocks.0.attention"] = attended
    by_hand["blocks.0.add"] = by_hand["mixer"] + attended
    by_hand["blocks.0.norms.1"] = normed(by_hand["blocks.0.add"]) * weights["blocks.0.norms.1.weight"]
    by_hand["blocks.0.feed_forward.up"] = up = by_hand["blocks.0.norms.1"] @ weights["blocks.0.feed_forward.up.weight"].T
    by_hand["blocks.0.feed_forward.activation"] = bent = up.clamp(min=0) ** 2
    down = bent @ weights["blocks.0.feed_forward.down.weight"].T
    by_hand["blocks.0.feed_forward.down"] = by_hand["blocks.0.feed_forward"] = down
    by_hand["blocks.0.add_1"] = by_hand["blocks.0"] = by_hand["blocks.0.add"] + down
    by_hand["final_norm"] = normed(by_hand["blocks.0"]) * weights["final_norm.weight"]
    by_hand["head"] = logits = by_hand["final_norm"] @ weights["head.weight"].T
    by_hand["probabilities"] = logits.exp() / logits.exp().sum(dim=-1, keepdim=True)

    assert {call.name for call in made.calls} == set(by_hand)
    for call in made.calls:
        assert close(call.output[0], by_hand[call.name]), call.name


# -------------------------------------------------------------------------------------------------- every kind of network


@pytest.mark.parametrize("changes", KINDS, ids=named)
def test_looking_at_any_kind_of_network_changes_nothing_and_what_is_seen_fits_together(changes: dict[str, object]) -> None:
    model = network(model__depth=1, **changes)
    with torch.no_grad():
        plain = model(torch.tensor([IDS]))
    before = attributes_of(model)
    made = seen(model)
    with torch.no_grad():
        taken = record_of(model, IDS, made)
    assert torch.equal(made["head"].output, plain)
    assert attributes_of(model) == before and torch.is_grad_enabled()

    every_matrix_is_there_under_its_own_name(model, made)
    attention_is_what_its_parts_say(model, made)
    parts_read_what_was_made_before(made)
    numbers_are_those_of_the_tensors(made, taken)
    # The last layer of the lens is what the network says, and its loss is torch's own.
    assert [*taken.lens] == ["embedding", "block 1"]
    assert taken.lens["block 1"] == taken.predictions
    assert taken.loss == pytest.approx(float(nn.functional.cross_entropy(plain[0, :-1].double(), torch.tensor(IDS[1:]))))
    assert taken.parameters == sum(weight.numel() for weight in model.parameters())


def attributes_of(model: GPT) -> list[object]:
    """All that looking might leave behind."""
    modules = list(model.modules())
    hooks = [(len(module._forward_hooks), len(module._forward_pre_hooks)) for module in modules]
    return [hooks, [{name: id(one) for name, one in vars(module).items()} for module in modules]]


def every_matrix_is_there_under_its_own_name(model: GPT, made: Trace) -> None:
    names = [call.name for call in made.calls]
    matrices = [name for name, module in model.named_modules() if isinstance(module, nn.Linear | nn.Embedding)]
    assert set(matrices) <= set(names) and len(set(names)) == len(names)


def attention_is_what_its_parts_say(model: GPT, made: Trace) -> None:
    knob = model.knobs
    for layer in range(knob.depth):
        attention, shared = f"blocks.{layer}.attention", knob.heads // (knob.kv_heads or knob.heads)
        weights = made[f"{attention}.weights"].output
        assert close(weights.sum(dim=-1), torch.ones(weights.shape[:-1]))
        assert not weights.triu(1).any()
        if knob.attention != "average":
            assert close(made[f"{attention}.scores"].output.softmax(dim=-1), weights)
        mixed = weights @ made[f"{attention}.v"].output.repeat_interleave(shared, dim=1)
        assert close(made[f"{attention}.mixed"].output, mixed)
        joined = made[f"{attention}.mixed"].output.transpose(1, 2).flatten(2)
        assert close(model.get_submodule(f"{attention}.output")(joined), made[attention].output)
        assert made.within(f"blocks.{layer}")[-1].output is made[f"blocks.{layer}"].output is made.streams[layer + 1]


def parts_read_what_was_made_before(made: Trace) -> None:
    order = {call.name: place for place, call in enumerate(made.calls)}
    assert all(order[name] < order[call.name] for call in made.calls for name in call.inputs)
    # All but the embedding reads something, and an even look at all, which compares nothing.
    assert {call.name for call in made.calls if not call.inputs} <= {"embedding", *_even(made)}
    reached, ahead = set(), {"probabilities"}
    while ahead:
        reached |= ahead
        ahead = {name for one in ahead for name in made[one].inputs} - reached
    assert {call.name for call in made.within("")} <= reached, "nothing that ran is off the way to the probabilities"


def _even(made: Trace) -> set[str]:
    return {call.name for call in made.calls if call.kind == "uniform"}


def numbers_are_those_of_the_tensors(made: Trace, taken: PassRecord) -> None:
    assert [one.name for one in taken.activations] == [call.name for call in made.calls]
    for one, call in zip(taken.activations, made.calls, strict=True):
        numbers = call.output.double().numpy().ravel()
        numbers = numbers[np.isfinite(numbers)]
        assert (one.shape, one.dtype, one.not_finite) == (tuple(call.output.shape), "float32", 0)
        assert (one.low, one.high) == (numbers.min(), numbers.max())
        assert math.isclose(one.mean, numbers.mean(), abs_tol=1e-12)
        assert math.isclose(one.rms, (numbers**2).mean() ** 0.5, rel_tol=1e-12)
        assert len(one.by_token) == one.picture.shape[0] == len(IDS)
    assert taken.maps.shape == (1, 2, len(IDS), len(IDS))


def arrows(made: Trace, within: str) -> dict[str, tuple[str, ...]]:
    """What each part of a block reads, "in" being what the block reads."""
    names = {call.name: call.name.removeprefix(f"{within}.") for call in made.within(within)}
    return {names[call.name]: tuple(names.get(one, "in") for one in call.inputs) for call in made.within(within)}


RUNS = {
    "pre": "norms.0<in attention<norms.0 add<in,attention norms.1<add feed_forward<norms.1 add_1<add,feed_forward",
    "post": "attention<in add<in,attention norms.0<add feed_forward<norms.0 add_1<norms.0,feed_forward norms.1<add_1",
    "sandwich": "norms.0<in attention<norms.0 norms.1<attention add<in,norms.1"
    " norms.2<add feed_forward<norms.2 norms.3<feed_forward add_1<add,norms.3",
    "parallel": "norms.0<in attention<norms.0 add<in,attention feed_forward<norms.0 add_1<add,feed_forward",
    "parallel_norms": "norms.0<in attention<norms.0 add<in,attention norms.1<in feed_forward<norms.1 add_1<add,feed_forward",
    "rezero": "norms.0<in attention<norms.0 mul<attention add<in,mul"
    " norms.1<add feed_forward<norms.1 mul_1<feed_forward add_1<add,mul_1",
    "layerscale": "norms.0<in attention<norms.0 addcmul<in,attention"
    " norms.1<addcmul feed_forward<norms.1 addcmul_1<addcmul,feed_forward",
    "depth_scaled": "norms.0<in attention<norms.0 add<in,attention norms.1<add feed_forward<norms.1 add_1<add,feed_forward",
    "none": "norms.0<in attention<norms.0 norms.1<attention feed_forward<norms.1",
}


@pytest.mark.parametrize("residual", RUNS)
def test_the_arrows_of_a_block_run_as_its_residual_does(residual: str) -> None:
    made = seen(network(model__residual=residual))
    said = [f"{name}<{','.join(reads)}" for name, reads in arrows(made, "blocks.1").items()]
    assert said == RUNS[residual].split()


def test_what_multiplies_a_branch_is_said() -> None:
    model = network(model__residual="rezero")
    with torch.no_grad():
        model.get_parameter("blocks.0.residual.scale").copy_(torch.tensor([0.25, -2.0]))
    assert [seen(model)[f"blocks.0.{name}"].detail for name in ("mul", "mul_1")] == ["× 0.25", "× -2"]
    assert seen(network(model__residual="depth_scaled"))["blocks.0.add"].detail == "× 0.5"
    assert seen(network(model__init="mup", model__base_width=8))["div"].detail == "÷ 2"
    assert seen(network(model__tie_embeddings=True))["head"].parameters == 0


# --------------------------------------------------------------------------------------------------- saturated, dead, broken


def activation_of(taken: PassRecord, name: str) -> Activation:
    return next(one for one in taken.activations if one.name == name)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_saturated_and_dead_are_what_the_readings_of_a_training_call_so(name: str) -> None:
    one = next(
        (one for one in record_pass(network(model__activation=name), IDS, here()).activations if one.dead is not None), None
    )
    if name == "identity":  # hands on what it was given, so it is no part of the pass
        assert one is None
        return
    hidden = seen(network(model__activation=name))["blocks.0.feed_forward.activation"].output[0].double()
    assert one is not None and one.name == "blocks.0.feed_forward.activation"
    ends = {"tanh": (-1.0, 1.0), "sigmoid": (0.0, 1.0)}.get(name)
    near = hidden.abs() <= 0.01 * hidden.square().mean().sqrt()
    if ends:
        at_an_end = [(hidden - end).abs() < 0.03 for end in ends]
        assert one.saturated == pytest.approx(float((at_an_end[0] | at_an_end[1]).double().mean()))
        assert one.saturated > 0.05, "or this test says nothing"
        assert one.dead == pytest.approx(float((at_an_end[0].all(dim=0) | at_an_end[1].all(dim=0)).double().mean()))
    else:
        assert one.saturated is None
        assert one.dead == pytest.approx(float(near.all(dim=0).double().mean()))


def test_units_that_never_fire_are_dead() -> None:
    model = network(model__activation="relu", model__bias=True, model__norm="layer")
    with torch.no_grad():
        model.get_parameter("blocks.0.feed_forward.up.bias")[:8] = -1000.0
        model.get_parameter("blocks.0.feed_forward.up.bias")[8:] = 1000.0
    one = activation_of(record_pass(model, IDS, here()), "blocks.0.feed_forward.activation")
    assert (one.saturated, one.dead, one.zeros) == (None, 8 / 32, 8 / 32)


def test_a_network_that_broke_is_shown_as_it_is() -> None:
    model = network()
    with torch.no_grad():
        model.get_parameter("blocks.1.feed_forward.down.weight").fill_(math.nan)
    taken = record_pass(model, IDS, here())
    assert activation_of(taken, "blocks.1.feed_forward.activation").not_finite == 0
    assert activation_of(taken, "blocks.1.feed_forward.down").not_finite == len(IDS) * 16
    assert math.isnan(taken.predictions[0].entropy)


# ---------------------------------------------------------------------------------------------------------- predictions


def test_predictions_are_ranked_and_weighed_as_a_softmax_does() -> None:
    logits = torch.tensor([[0.0, math.log(2), math.log(5), -math.inf], [1.0, 1.0, 1.0, 1.0]])
    first, last = predictions(logits, [2, 1])
    assert [choice.token for choice in first.top] == [2, 1, 0, 3]
    assert [choice.probability for choice in first.top] == pytest.approx([5 / 8, 2 / 8, 1 / 8, 0])
    assert first.actual is not None
    assert (first.actual.token, first.actual.rank) == (1, 2)
    assert first.actual.surprise == pytest.approx(math.log(4))
    assert first.entropy == pytest.approx(sum(p * -math.log(p) for p in (5 / 8, 2 / 8, 1 / 8)))
    assert last.actual is None
    assert [choice.token for choice in last.top] == [0, 1, 2, 3], "of equals the lower id comes first"
    assert last.entropy == pytest.approx(math.log(4))


def test_the_lens_reads_an_early_stream_by_the_head_and_the_final_norm() -> None:
    model = network(model__norm="rms")
    taken, made = record_pass(model, IDS, here()), seen(model)
    with torch.no_grad():
        logits = model.head(model.final_norm(made["blocks.0"].output))[0].double()
    for prediction, row in zip(taken.lens["block 1"], logits, strict=True):
        assert prediction.top[0].token == int(row.argmax())
        assert prediction.top[0].probability == pytest.approx(float(row.softmax(dim=-1).max()))
    assert taken.normed and not record_pass(network(model__residual="post"), IDS, here()).normed


# ------------------------------------------------------------------------------------------------------------- pictures


def test_a_diagram_has_a_box_for_each_part_and_an_arrow_for_all_that_it_read() -> None:
    taken = record_pass(network(model__residual="parallel"), IDS, here())
    drawn = diagram(taken.within("blocks.0"), "blocks.0", "[1, 7, 16]")
    assert [node.label for node in drawn["nodes"]] == ["input", "norms.0", "attention", "add", "feed_forward", "add_1"]
    assert [node.symbol for node in drawn["nodes"]] == ["", "", "", "+", "", "+"]
    assert {node.shape for node in drawn["nodes"]} == {"[1, 7, 16]"}
    assert (len(drawn["straight"]), len(drawn["long"])) == (4, 3)  # in, norms, attention, feed_forward; around: in, norms, add
    tops = [node.top for node in drawn["nodes"]]
    assert tops == sorted(tops)


def test_the_habits_of_plain_heads() -> None:
    even = np.tril(np.ones((5, 5))) / np.arange(1, 6)[:, None]
    back = np.eye(5, k=-1)
    back[0, 0] = 1.0
    assert attention_summary(even)["entropy"] == pytest.approx(1.0)
    assert attention_summary(back) == pytest.approx({"itself": 0.2, "previous": 1.0, "first": 0.25, "entropy": 0.0})
    assert lowest_entropy_head(np.stack([[even, even], [even, back]])) == (2, 2)
    assert math.isnan(attention_summary(np.ones((1, 1)))["entropy"])


# ------------------------------------------------------------------------------------------------------------- the verb


@pytest.fixture
def bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project where nothing has run."""
    monkeypatch.chdir(tmp_path)
    for name in ("params.yaml", "dvc.yaml"):
        shutil.copy(TOP / name, tmp_path)
    shutil.copytree(TOP / "studies", tmp_path / "studies")
    return tmp_path


@pytest.fixture
def project(bare: Path) -> Path:
    """A project with a trained model and its snapshots."""
    leave_model(bare, subject(bare, CharTokenizer.learn([TEXT], 0, has_end=False)))
    write_json(meta_of(TOKENS), {**read_json(meta_of(TOKENS)), "kind": "bpe"})  # of the knobs, as far as they tell
    seal("tokenize")
    return bare


def printed(looked: ForwardPass, width: int = 130, head: tuple[int, int] | None = None) -> str:
    console = Console(file=(file := StringIO()), width=width, highlight=False)
    look_text.show(looked, console, head)
    return file.getvalue()


def test_the_toy_text_goes_through_the_trained_model(project: Path) -> None:
    looked = look(Request())
    assert looked.network == "after step 7"
    assert "".join(looked.words) == "the␣cat␣sat␣"  # the context holds twelve
    whose, *notes = looked.notes
    assert whose.startswith(
        "models/trained: this model is of another run: model.context_length is 128, and was 12 when train ran (and "
    )
    assert notes == ["The context holds 12 tokens: these are the first of 35."]


def test_a_prompt_goes_through_the_snapshot_of_a_step(project: Path) -> None:
    first, last = look(Request("the cat", step="0")), look(Request("the cat", step="last"))
    assert (first.network, last.network) == ("after step 0", "after step 7")
    assert first.record.activations[0].rms == pytest.approx(last.record.activations[0].rms / 3)  # as they were left
    assert look(Request("the €cat")).notes[1:] == ["The tokenizer lacks characters of this prompt; the model reads 'the cat'."]


def test_without_a_trained_model_the_network_is_drawn_as_it_would_be_trained(bare: Path) -> None:
    looked = look(Request(ids="3 1, 4", knobs=("model.depth=1", "model.width=32"), vocabulary=10))
    assert looked.network == "at initialization (seed 1)"
    assert looked.words == ["3", "1", "4"]
    fresh = GPT(looked.model, 10, torch.Generator().manual_seed(1))
    with torch.no_grad():
        embedded = fresh.embedding(torch.tensor([3, 1, 4]))
    assert looked.record.activations[0].rms == pytest.approx(float(embedded.double().square().mean().sqrt()))
    assert looked.record.loss == pytest.approx(math.log(10))  # its head begins at 0
    assert look(Request(ids="3 1 4")).notes[0].startswith("There is no trained model here (`dvc repro` trains one)")


@pytest.mark.parametrize(
    ("asked", "line"),
    [
        ({"prompt": "a", "ids": "1"}, "--ids: cannot be combined with --prompt; use one of them"),
        ({"ids": "1 x"}, "--ids: 'x' is not an id; use whole numbers from 0"),
        ({"ids": " "}, '--ids: is empty; use token ids, such as "3 1 4"'),
        ({"step": "soon"}, "--step: 'soon' is not a step; use a number or `last`"),
        (
            {"step": "3", "untrained": True},
            "--step: 3 is a step of a training; an untrained network has none",
        ),
        (
            {"vocabulary": 5},
            "--vocabulary: works only with --ids; the vocabulary of a prompt is that of its tokenizer",
        ),
    ],
)
def test_words_that_say_nothing_or_contradict_each_other_are_refused(asked: dict[str, Any], line: str) -> None:
    with pytest.raises(UserError) as refusal:
        Request(**asked)
    assert refusal.value.problems == (line,)


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["--step", "3"], "models/trained/model.safetensors: there is no trained model here; "),
        (["--untrained"], "data/tokens/tokenizer.json: no text has been tokenized with these knobs; "),
    ],
)
def test_what_is_not_there_to_be_looked_at_is_one_line_before_torch_is_imported(
    words: list[str], line: str, bare: Path
) -> None:
    done = rally("look", *words)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert done.stderr.startswith(line)
    assert "torch" not in json.loads(Path("imported.json").read_text())


def test_a_step_without_a_snapshot_is_refused_with_the_nearest(project: Path) -> None:
    with pytest.raises(UserError, match=r"\A--step: there is no snapshot of step 5; nearest: 3 and 7 \(all: 0, 3, 7; [^\n]*\Z"):
        look(Request(step="5"))
    with pytest.raises(UserError, match="nearest: 7 "):
        look(Request(step="1,000"))
    with pytest.raises(UserError, match=r"\A--prompt: '€' has no character that this tokenizer knows; [^\n]*\Z"):
        look(Request("€"))
    with pytest.raises(UserError, match=r"\A--ids: 99 is not in the vocabulary; ids are 0 .. 14"):
        look(Request(ids="1 99"))
    for wrong in ("2", "x.1", "²⋅1", "3.1", "0.1"):
        with pytest.raises(UserError, match=r"\A--head: [^\n]*\Z"):
            look_text.parse_head(wrong, look(Request("the")).maps)
    assert look_text.parse_head("2.1", look(Request("the")).maps) == (2, 1)


def test_the_terminal_shows_the_tree_the_next_token_the_lens_and_the_heads(project: Path) -> None:
    looked = look(Request("the cat sat"))
    text = printed(looked, head=(2, 1))
    assert "The network after step 7: 2 blocks of width 16" in text
    for part in (
        r"├ embedding +\[1, 11, 16\] +240 ",
        r"│ │ ├ q +\[1, 2, 11, 8\] .* project ",
        r"│ ├ add +\[1, 11, 16\] .* mixer, attention ",
        r"└ probabilities +\[1, 11, 15\] ",
        rf"   1  {re.escape(looked.word(looked.record.predictions[-1].top[0].token))} ",
        r"block 2 ",
        r"2\.2 +0\.\d\d +0\.\d\d ",
        r"Head 2\.1: rows are queries, columns are keys",
    ):
        assert re.search(part, text), part
    assert all(len(line.rstrip()) <= 80 for line in printed(looked, width=80).splitlines())


def test_of_a_deep_network_the_terminal_unfolds_the_first_block_and_the_last(bare: Path) -> None:
    small = ("model.depth=9", "model.width=16", "model.heads=2")
    text = printed(look(Request(ids="1 2 3", knobs=small, vocabulary=9)))
    assert text.count("├ feed_forward") == 2
    assert text.count("(collapsed; the page shows all)") == 7


def test_nothing_that_a_tokenizer_holds_upsets_a_terminal(bare: Path) -> None:
    hostile = "[bold]\x1b[31m\x07\u202e\n"
    leave_model(bare, subject(bare, CharTokenizer.learn([hostile], 0, has_end=True), text=hostile * 40))
    text = printed(look(Request(hostile)))
    assert not re.search("[\x00-\x09\x0b-\x1f\u202e]", text)
    assert "[│b│o│l│d│]" in text
