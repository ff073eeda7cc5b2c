"""The forward pass equals Hugging Face's GPT-2, and attention written out."""

from __future__ import annotations

import math

import pytest
import torch
from small import VOCABULARY, knobs

from pipeline.networks.attention import ATTENTIONS, Attention
from pipeline.networks.inits import INITS
from pipeline.networks.mixers import MIXERS, Bigrams
from pipeline.networks.norms import EPSILON
from pipeline.networks.positions import POSITIONS, RotaryPosition, slopes
from pipeline.networks.roles import Role, role_of
from pipeline.networks.transformer import GPT

pytestmark = pytest.mark.shapes

GPT2 = {
    "model__embedding_mixer": "none",
    "model__position": "learned",
    "model__norm": "layer",
    "model__activation": "gelu",
    "model__residual": "pre",
    "model__mlp_ratio": 4.0,
    "model__init": "gpt2",
    "model__bias": True,
    "model__tie_embeddings": True,
}


def drawn(model: torch.nn.Module) -> torch.nn.Module:
    """The same network with every parameter drawn, biases and gains too, so that each of them is seen."""
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.1 * torch.randn_like(parameter)
    return model


def test_a_gpt2_shaped_model_gives_the_logits_of_hugging_faces_gpt2() -> None:
    transformers = pytest.importorskip("transformers")
    params = knobs(**GPT2, model__width=32, model__heads=4, model__depth=3)
    ours = GPT(params.model, VOCABULARY, torch.Generator().manual_seed(0))
    drawn(ours)
    config = transformers.GPT2Config(
        vocab_size=VOCABULARY,
        n_positions=12,
        n_embd=32,
        n_layer=3,
        n_head=4,
        activation_function="gelu",
        attn_implementation="eager",
    )
    theirs = transformers.GPT2LMHeadModel(config).eval()
    names = {
        "embedding": "wte",
        "position": "wpe",
        "blocks": "h",
        "attention": "attn",
        "project": "c_attn",
        "feed_forward": "mlp",
    }
    names |= {"up": "c_fc", "down": "c_proj", "final_norm": "ln_f", "output": "c_proj"}
    weights = theirs.state_dict()
    for name, value in ours.named_parameters():
        path = name.replace("norms.0", "ln_1").replace("norms.1", "ln_2").split(".")
        target = ".".join(["transformer", *(names.get(part, part) for part in path)])
        target = (
            target if target in weights else f"{target}.weight"
        )  # the learned positions are a parameter of ours, a module of theirs
        target = target.replace(".weight.weight", ".weight")
        matrix = value.ndim == 2 and "blocks" in name  # GPT-2 keeps its matrices inputs first
        weights[target].copy_(value.detach().mT if matrix else value.detach())
    ids = torch.randint(VOCABULARY, (3, 12), generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        difference = (ours(ids) - theirs(ids).logits).abs().max()
    assert float(theirs(ids).logits.detach().std()) > 0.1
    assert float(difference) < 1e-4


LLAMA = {
    "model__embedding_mixer": "none",
    "model__position": "rotary",
    "model__norm": "rms",
    "model__activation": "swiglu",
    "model__init": "fan_in",
    "model__rotary_base": 500_000.0,
    "model__kv_heads": 2,
}


def test_a_llama_shaped_model_gives_the_logits_of_hugging_faces_llama() -> None:
    transformers = pytest.importorskip("transformers")
    params = knobs(**LLAMA, model__width=32, model__heads=4, model__depth=3)
    ours = GPT(params.model, VOCABULARY, torch.Generator().manual_seed(0))
    drawn(ours)
    config = transformers.LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=3,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=12,
        rms_norm_eps=EPSILON,
        rope_parameters={"rope_type": "default", "rope_theta": 500_000.0},
        attn_implementation="eager",
    )
    theirs = transformers.LlamaForCausalLM(config).eval()

    def halves(rows: torch.Tensor) -> torch.Tensor:
        """Each head's features as theirs pair them, i with i + 4, where ours pair 2i with 2i + 1."""
        return rows.unflatten(0, (-1, 4, 2)).transpose(1, 2).flatten(0, 2)

    given = dict(ours.named_parameters())
    weights = {"model.embed_tokens": given["embedding.weight"], "model.norm": given["final_norm.weight"]}
    weights["lm_head"] = given["head.weight"]
    for layer in range(3):
        block, there = f"blocks.{layer}", f"model.layers.{layer}"
        q, k, v = given[f"{block}.attention.project.weight"].split((32, 16, 16))
        gate, up = given[f"{block}.feed_forward.up.weight"].chunk(2)
        weights |= {f"{there}.self_attn.{name}_proj": w for name, w in (("q", halves(q)), ("k", halves(k)), ("v", v))}
        weights[f"{there}.self_attn.o_proj"] = given[f"{block}.attention.output.weight"]
        down = given[f"{block}.feed_forward.down.weight"]
        weights |= {f"{there}.mlp.{name}_proj": w for name, w in (("gate", gate), ("up", up), ("down", down))}
        weights[f"{there}.input_layernorm"] = given[f"{block}.norms.0.weight"]
        weights[f"{there}.post_attention_layernorm"] = given[f"{block}.norms.1.weight"]
    theirs.load_state_dict({f"{name}.weight": weight.detach() for name, weight in weights.items()})
    ids = torch.randint(VOCABULARY, (3, 12), generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        difference = (ours(ids) - theirs(ids).logits).abs().max()
    assert float(theirs(ids).logits.detach().std()) > 0.1
    assert float(difference) < 1e-4


@pytest.mark.parametrize("heads", [1, 2, 4])
def test_the_library_kernel_gives_what_attention_written_out_gives(heads: int) -> None:
    model = knobs(model__heads=heads).model
    attention = drawn(Attention(model, layer=0)).double()
    position = POSITIONS["none"](model)
    x = torch.randn(2, 9, 16, dtype=torch.float64)
    q, k, v = attention.project(x).unflatten(-1, (3, heads, -1)).permute(2, 0, 3, 1, 4)
    scores = q @ k.mT / math.sqrt(16 // heads)
    scores = scores.masked_fill(torch.ones(9, 9).triu(1).bool(), -torch.inf)
    expected = attention.output((scores.softmax(-1) @ v).transpose(1, 2).flatten(2))
    torch.testing.assert_close(attention(x, position, None), expected, rtol=0, atol=1e-12)
    torch.testing.assert_close(attention.maps(x, position), scores.softmax(-1), rtol=0, atol=1e-12)


def test_the_kernel_for_bfloat16_on_a_cpu_is_near_the_one_for_float32() -> None:
    attention = Attention(knobs().model, layer=0)
    q, k, v = torch.randn(3, 2, 2, 9, 8).unbind()
    low = attention.attend(q.bfloat16(), k.bfloat16(), v.bfloat16())
    assert (low.float() - attention.attend(q, k, v)).abs().max() < 0.03


@pytest.mark.parametrize(
    "knob", [{"model__attention_softcap": 2.0}, {"model__position": "alibi"}, {"model__attention": "window"}]
)
def test_so_it_is_with_what_changes_the_scores(knob: dict[str, object]) -> None:
    model = knobs(**knob).model
    attention, position = ATTENTIONS[model.attention](model, layer=0), POSITIONS[model.position](model)
    q, k, v = (3 * torch.randn(3, 2, 2, 9, 8)).unbind()
    low = attention.attend(q.bfloat16(), k.bfloat16(), v.bfloat16(), position.bias(9, 9))
    assert (low.float() - attention.attend(q, k, v, position.bias(9, 9))).abs().max() < 0.3


def test_the_scores_of_alibi_fall_with_the_distance_as_in_the_paper() -> None:
    assert slopes(8) == [2**-1, 2**-2, 2**-3, 2**-4, 2**-5, 2**-6, 2**-7, 2**-8]
    assert slopes(6) == pytest.approx([2**-2, 2**-4, 2**-6, 2**-8, 2**-1, 2**-3])
    model = knobs(model__position="alibi", model__heads=8).model
    attention, position = drawn(Attention(model, layer=0)).double(), POSITIONS["alibi"](model)
    x = torch.randn(2, 9, 16, dtype=torch.float64)
    q, k, _ = attention.project(x).unflatten(-1, (3, 8, -1)).permute(2, 0, 3, 1, 4)
    distance = torch.arange(9)[:, None] - torch.arange(9)
    scores = q @ k.mT / math.sqrt(2) - torch.tensor(slopes(8))[:, None, None] * distance
    expected = scores.masked_fill(distance < 0, -torch.inf).softmax(-1)
    torch.testing.assert_close(attention.maps(x, position), expected, rtol=0, atol=1e-12)


def test_a_cap_keeps_scores_in_bounds_and_a_high_one_changes_nothing() -> None:
    x, position = 10 * torch.randn(2, 9, 16, dtype=torch.float64), POSITIONS["none"](knobs().model)
    plain, high, low = (
        drawn(Attention(knobs(model__attention_softcap=cap).model, layer=0)).double() for cap in (0.0, 1e6, 0.5)
    )
    for attention in (high, low):
        attention.load_state_dict(plain.state_dict())
    torch.testing.assert_close(high(x, position, None), plain(x, position, None), rtol=0, atol=1e-6)
    free, bound = (attention.maps(x, position)[:, :, -1].detach() for attention in (plain, low))
    assert float((free.amax(-1) / free.amin(-1)).amin()) > 1e3
    assert float((bound.amax(-1) / bound.amin(-1)).amax()) < math.exp(2 * 0.5) + 1e-9


def test_heads_that_share_keys_are_heads_with_equal_keys() -> None:
    shared, each = (drawn(Attention(knobs(model__heads=4, model__kv_heads=n).model, layer=0)).double() for n in (2, 4))
    q, k, v = shared.project.weight.split((16, 8, 8))
    k, v = (part.unflatten(0, (2, 4)).repeat_interleave(2, dim=0).flatten(0, 1) for part in (k, v))
    with torch.no_grad():
        each.project.weight.copy_(torch.cat((q, k, v)))
        each.output.weight.copy_(shared.output.weight)
    x, position = torch.randn(2, 9, 16, dtype=torch.float64), POSITIONS["alibi"](knobs(model__heads=4).model)
    torch.testing.assert_close(shared(x, position, None), each(x, position, None), rtol=0, atol=1e-12)
    cache = GPT(knobs(model__heads=4, model__kv_heads=2).model, VOCABULARY, torch.Generator()).new_cache(3)
    assert cache.keys[0].shape == cache.values[1].shape == (3, 2, 12, 4)


def test_normed_queries_and_keys_have_no_size() -> None:
    x, position = torch.randn(2, 9, 16, dtype=torch.float64), POSITIONS["rotary"](knobs().model)
    plain, normed = (drawn(Attention(knobs(model__qk_norm=on).model, layer=0)).double() for on in (False, True))
    torch.testing.assert_close(normed.maps(100 * x, position), normed.maps(10 * x, position), rtol=0, atol=1e-3)
    assert (plain.maps(100 * x, position) - plain.maps(10 * x, position)).abs().max() > 0.1


def test_pairs_of_tokens_have_rows_of_their_own_or_share_them_evenly() -> None:
    few, many = (MIXERS["bigrams"](knobs().model, vocabulary) for vocabulary in (90, 1024))
    assert isinstance(few, Bigrams) and isinstance(many, Bigrams)
    pairs = torch.cartesian_prod(torch.arange(90), torch.arange(90))[None]
    assert few.rows(pairs[..., 0], pairs[..., 1]).unique().numel() == 90 * 90
    befores = torch.arange(1024)[None]
    for last in (0, 1, 700):
        assert many.rows(befores, torch.full_like(befores, last)).unique().numel() == 1024
    assert len(many.weight) == 8192


def test_rotary_positions_know_only_the_distance() -> None:
    rotary = RotaryPosition(knobs(model__context_length=12).model)
    q, k = torch.randn(2, 1, 1, 1, 8).unbind()
    products = [float((rotary.rotate(q, start + 3) * rotary.rotate(k, start)).sum()) for start in range(8)]
    assert products == pytest.approx([products[0]] * 8, abs=1e-5)
    assert abs(products[0] - float((rotary.rotate(q, 1) * rotary.rotate(k, 0)).sum())) > 1e-3


def test_a_window_sees_just_so_many_tokens() -> None:
    params = knobs(model__attention="window", model__window=3, model__depth=1, model__init="fan_in")
    model = GPT(params.model, VOCABULARY, torch.Generator().manual_seed(0))
    ids = torch.randint(VOCABULARY, (1, 12))
    seen = {}
    for place in range(8):
        other = ids.clone()
        other[0, place] = (other[0, place] + 1) % VOCABULARY
        seen[place] = bool((model(other)[0, 7] != model(ids)[0, 7]).any())
    assert seen == {place: place >= 5 for place in range(8)}


def test_the_loss_at_the_start_is_what_the_spread_of_the_logits_says() -> None:
    """Uniform but for the noise of the draw: ln V + var(logits) / 2."""
    params = knobs(**GPT2, model__width=64, model__heads=4)
    model = GPT(params.model, 65, torch.Generator().manual_seed(0))
    ids = torch.randint(65, (64, 13))
    with torch.inference_mode():
        logits = model(ids[:, :-1])
        loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten())
    assert abs(float(loss) - math.log(65) - float(logits.var(-1).mean()) / 2) < 0.03


@pytest.mark.parametrize("name", INITS)
def test_an_init_starts_a_deep_stack_with_features_of_a_sane_size(name: str) -> None:
    params = knobs(model__init=name, model__depth=12, model__width=64, model__heads=4, model__norm="layer_plain")
    model = GPT(params.model, VOCABULARY, torch.Generator().manual_seed(0))
    sizes: list[float] = []
    for block in model.blocks:
        block.register_forward_hook(
            lambda module, arguments, output: sizes.append(float(output.detach().square().mean().sqrt()))
        )
    model(torch.randint(VOCABULARY, (4, 12)))
    assert 0.25 < sizes[-1] / sizes[0] < 8
    assert all(math.isfinite(size) and size > 1e-3 for size in sizes)


def test_parameters_play_the_parts_that_their_names_say() -> None:
    params = knobs(**GPT2 | {"model__residual": "rezero", "model__tie_embeddings": False})
    model = GPT(params.model, VOCABULARY, torch.Generator().manual_seed(0))
    roles = {name: role_of(name, parameter) for name, parameter in model.named_parameters()}
    assert roles["embedding.weight"] is roles["position.weight"] is Role.EMBEDDING
    assert roles["head.weight"] is Role.HEAD
    assert roles["blocks.0.attention.output.weight"] is roles["blocks.1.feed_forward.down.weight"] is Role.OUTPUT
    assert roles["blocks.0.attention.project.weight"] is roles["blocks.1.feed_forward.up.weight"] is Role.MATRIX
    assert roles["blocks.0.norms.0.weight"] is Role.GAIN
    assert roles["blocks.0.residual.scale"] is Role.SCALE
    assert roles["final_norm.bias"] is Role.BIAS


def test_a_tied_head_is_the_embedding() -> None:
    model = GPT(knobs(**GPT2).model, VOCABULARY, torch.Generator().manual_seed(0))
    assert model.head.weight is model.embedding.weight
    assert sum(name.endswith(("embedding.weight", "head.weight")) for name, _ in model.named_parameters()) == 1


def test_squared_relu_can_be_differentiated_twice() -> None:
    from pipeline.networks.activations import relu2

    x = torch.randn(5, 7, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(relu2, (x,))
    assert torch.autograd.gradgradcheck(relu2, (x,))
