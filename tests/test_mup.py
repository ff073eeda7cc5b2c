"""muP: the standard parametrization at its base width, and updates of the same size at every other width."""

from __future__ import annotations

import pytest
import torch
from small import VOCABULARY, knobs, same
from torch import Tensor

from pipeline.engine.optimizers.matrix import orthogonalized
from pipeline.networks.inits import UpdateKind, lr_multipliers
from pipeline.networks.roles import Role, role_of
from pipeline.networks.transformer import GPT
from pipeline.params.model import Model

pytestmark = pytest.mark.shapes

KINDS: tuple[UpdateKind, ...] = ("entrywise", "relative", "gradient", "orthogonal")
IDS = torch.randint(VOCABULARY, (8, 12), generator=torch.Generator().manual_seed(1))


def model_of(init: str, width: int, **more: object) -> Model:
    """A GPT-2 of some width, whose base is 32 wide."""
    gpt2 = {"model__norm": "layer", "model__bias": True, "model__embedding_mixer": "none", "model__activation": "gelu"}
    return knobs(**gpt2 | {"model__init": init, "model__width": width, "model__base_width": 32} | more).model  # type: ignore[arg-type]


def built(model: Model) -> GPT:
    return GPT(model, VOCABULARY, torch.Generator().manual_seed(0))


def loss_of(network: GPT) -> Tensor:
    return torch.nn.functional.cross_entropy(network(IDS[:, :-1]).flatten(0, 1), IDS[:, 1:].flatten())


def step(network: GPT, kind: UpdateKind, lr: float, multiples: dict[str, float]) -> None:
    """Move every weight as an optimizer of a kind does that remembers nothing."""
    names, weights = zip(*network.named_parameters(), strict=True)
    gradients = torch.autograd.grad(loss_of(network), weights)
    with torch.no_grad():
        for name, weight, gradient in zip(names, weights, gradients, strict=True):
            if kind == "orthogonal" and role_of(name, weight) in (Role.MATRIX, Role.OUTPUT):
                gradient = orthogonalized(gradient[None])[0] * max(1.0, weight.shape[0] / weight.shape[1]) ** 0.5
            elif kind != "gradient":
                gradient = gradient.sign() * (weight.square().mean().sqrt().clamp(min=1e-3) if kind == "relative" else 1)
            weight -= lr * multiples[name] * gradient


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_at_its_base_width_it_is_the_standard_parametrisation(kind: UpdateKind, tied: bool) -> None:
    ours, standard = (built(model_of(init, 32, model__tie_embeddings=tied)) for init in ("mup", "gpt2"))
    multiples = [lr_multipliers(dict(network.named_parameters()), network.knobs, kind) for network in (ours, standard)]
    assert multiples[0] == multiples[1] == dict.fromkeys(multiples[0], 1.0)
    for _ in range(3):
        assert torch.equal(ours(IDS), standard(IDS))
        for network in (ours, standard):
            step(network, kind, 0.01, multiples[0])
        assert same(dict(ours.named_parameters()), dict(standard.named_parameters()))


def reach(init: str, width: int, kind: UpdateKind, lr: float) -> float:
    """How far three steps move the logits: root mean square."""
    network = built(model_of(init, width))
    multiples = lr_multipliers(dict(network.named_parameters()), network.knobs, kind)
    before = network(IDS).detach()
    for _ in range(3):
        step(network, kind, lr, multiples)
    return float((network(IDS).detach() - before).square().mean().sqrt())


@pytest.mark.parametrize(("kind", "lr"), [("entrywise", 2e-3), ("relative", 0.1), ("gradient", 0.1), ("orthogonal", 1e-3)])
def test_steps_reach_as_far_at_eight_times_the_width_and_without_it_many_times_farther(kind: UpdateKind, lr: float) -> None:
    """The coordinate check. Source: Yang et al., "Tensor Programs V", 2022 (appendix D)."""
    base = reach("mup", 32, kind, lr)
    assert 0.5 * base < reach("mup", 256, kind, lr) < 1.5 * base
    assert reach("gpt2", 256, kind, lr) > 3 * base


def test_every_part_of_a_network_goes_at_the_pace_of_the_papers_table() -> None:
    network = built(model_of("mup", 128, model__position="learned", model__residual="rezero"))
    parts = {"embedding.weight", "position.weight", "head.weight", "final_norm.weight", "blocks.0.attention.project.bias"}
    matrices = {"blocks.0.attention.project.weight", "blocks.1.feed_forward.down.weight"}
    for kind, matrix, other in (
        ("entrywise", 0.25, 1.0),
        ("relative", 0.5, 1.0),
        ("gradient", 1.0, 4.0),
        ("orthogonal", 1.0, 1.0),
    ):
        found = lr_multipliers(dict(network.named_parameters()), network.knobs, kind)  # type: ignore[arg-type]
        assert {found[name] for name in matrices} == {matrix}
        assert {found[name] for name in parts} == {other}
        assert found["blocks.0.residual.scale"] == 1.0
