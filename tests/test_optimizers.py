"""Optimizers equal their references: torch.optim, or the published algorithm written out plainly."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from references import Lion, Reference, ScheduleFree, Soap
from small import knobs

from pipeline.engine.optimizers.base import GroupedOptimizer, Optimizer
from pipeline.engine.optimizers.matrix import orthogonalized
from pipeline.engine.optimizers.table import OPTIMIZERS

pytestmark = pytest.mark.shapes

SHAPES = {
    "embedding.weight": (7, 6),
    "blocks.0.attention.project.weight": (18, 6),
    "blocks.0.feed_forward.down.weight": (6, 12),
    "blocks.0.norms.0.weight": (6,),
    "head.weight": (7, 6),
}
SQUARE = SHAPES | {"blocks.0.attention.project.weight": (6, 6), "blocks.0.feed_forward.down.weight": (6, 6)}

Named = dict[str, torch.nn.Parameter]


def parameters(shapes: dict[str, tuple[int, ...]] = SHAPES, dtype: torch.dtype = torch.float32) -> Named:
    generator = torch.Generator().manual_seed(0)
    return {name: torch.nn.Parameter(torch.randn(shape, generator=generator, dtype=dtype)) for name, shape in shapes.items()}


def falling(step: int) -> float:
    return 0.02 * (1 - step / 20)


def climbing_first(step: int) -> float:
    return 0.02 * min(step / 5, 1, (20 - step) / 10)


def train_both(
    ours: Optimizer,
    reference: torch.optim.Optimizer | Reference,
    theirs: Named,
    rate: Callable[[int], float] = falling,
) -> float:
    """The largest difference between the weights after 20 steps over the same gradients, at a rate that changes."""
    generator = torch.Generator().manual_seed(1)
    for step in range(20):
        for group in reference.param_groups:
            group["lr"] = rate(step)
        for (name, own), other in zip(ours.parameters.items(), theirs.values(), strict=True):
            assert own.shape == other.shape, name
            own.grad = torch.randn(own.shape, generator=generator, dtype=own.dtype)
            other.grad = own.grad.clone()
        ours.step(rate(step))
        reference.step()
    return furthest(ours.parameters, theirs)


def furthest(ours: Named, theirs: Named) -> float:
    pairs = zip(ours.values(), theirs.values(), strict=True)
    return max(float((own - other).detach().abs().max()) for own, other in pairs)


def decayed_apart(theirs: Named) -> list[dict[str, Any]]:
    """Groups as torch.optim takes them: matrices are decayed, vectors are not."""
    return [
        {"params": [p for p in theirs.values() if p.ndim >= 2], "weight_decay": 0.3},
        {"params": [p for p in theirs.values() if p.ndim < 2], "weight_decay": 0.0},
    ]


@pytest.mark.parametrize(("momentum", "nesterov"), [(0.0, False), (0.9, False), (0.9, True)])
def test_sgd_moves_as_torch_does(momentum: float, nesterov: bool) -> None:
    train = knobs(train__optimizer="sgd", train__momentum=momentum, train__nesterov=nesterov, train__weight_decay=0.0).train
    theirs = parameters()
    reference = torch.optim.SGD(theirs.values(), momentum=momentum, nesterov=nesterov)
    assert train_both(OPTIMIZERS["sgd"](parameters(), train, {}), reference, theirs) < 1e-6


@pytest.mark.parametrize(("name", "of_torch"), [("adamw", torch.optim.AdamW), ("adam", torch.optim.Adam)])
def test_adam_moves_as_torch_does_with_either_decay(name: str, of_torch: Any) -> None:
    train = knobs(train__beta1=0.85, train__beta2=0.98, train__epsilon=1e-8, train__weight_decay=0.3).train
    theirs = parameters()
    reference = of_torch(decayed_apart(theirs), betas=(0.85, 0.98), eps=1e-8, foreach=False, fused=False)
    assert train_both(OPTIMIZERS[name](parameters(), train, {}), reference, theirs) < 1e-6


def test_adafactor_moves_as_torch_does() -> None:
    theirs = parameters()
    ours = OPTIMIZERS["adafactor"](parameters(), knobs(train__weight_decay=0.3).train, {})
    assert train_both(ours, torch.optim.Adafactor(decayed_apart(theirs)), theirs) < 1e-6


def test_lion_moves_as_its_authors_program_does() -> None:
    train = knobs(train__beta1=0.9, train__beta2=0.98, train__weight_decay=0.3).train
    ours, theirs = parameters(dtype=torch.float64), parameters(dtype=torch.float64)
    reference = Lion(theirs, beta1=0.9, beta2=0.98, decay=0.3)
    assert train_both(OPTIMIZERS["lion"](ours, train, {}), reference, theirs) < 1e-6


def test_soap_moves_as_its_paper_says() -> None:
    train = knobs(
        train__beta1=0.9, train__beta2=0.95, train__epsilon=1e-8, train__weight_decay=0.3, train__precondition_frequency=4
    ).train
    ours, theirs = parameters(SQUARE, torch.float64), parameters(SQUARE, torch.float64)
    reference = Soap(theirs, beta1=0.9, beta2=0.95, epsilon=1e-8, decay=0.3, every=4)
    assert train_both(OPTIMIZERS["soap"](ours, train, {}), reference, theirs) < 1e-6


def test_schedule_free_moves_as_its_authors_formulas_say_and_is_read_as_their_average() -> None:
    train = knobs(train__beta1=0.9, train__beta2=0.98, train__epsilon=1e-8, train__weight_decay=0.3).train
    ours, theirs = parameters(dtype=torch.float64), parameters(dtype=torch.float64)
    optimizer = OPTIMIZERS["schedule_free"](ours, train, {})
    reference = ScheduleFree(theirs, beta1=0.9, beta2=0.98, epsilon=1e-8, decay=0.3)
    assert train_both(optimizer, reference, theirs, climbing_first) < 1e-6
    with optimizer.eval_weights():
        assert max(float((ours[name] - x).detach().abs().max()) for name, x in reference.x.items()) < 1e-6
    assert furthest(ours, theirs) < 1e-6


def test_muon_moves_matrices_as_torch_does_up_to_its_rounding_to_bfloat16() -> None:
    train = knobs(train__momentum=0.95, train__weight_decay=0.1).train
    keep = ("blocks.0.attention.project.weight", "blocks.0.feed_forward.down.weight")
    theirs = {name: p for name, p in parameters().items() if name in keep}
    reference = torch.optim.Muon(list(theirs.values()), momentum=0.95, weight_decay=0.1, nesterov=True, adjust_lr_fn="original")
    ours = OPTIMIZERS["muon"](parameters(), train, {})
    assert list(ours.parameters) == list(keep)
    way = 20 * 0.01  # how far 20 steps of that rate go
    assert train_both(ours, reference, theirs) < 0.03 * way


@pytest.mark.parametrize("shape", [(3, 8, 8), (2, 24, 8), (2, 8, 40)])
def test_orthogonalised_matrices_have_singular_values_near_one_and_keep_their_directions(shape: tuple[int, int, int]) -> None:
    matrices = torch.randn(shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    result = orthogonalized(matrices)
    singular = torch.linalg.svdvals(result)
    assert singular.min() > 0.6
    assert singular.max() < 1.3
    u, _, vh = torch.linalg.svd(matrices, full_matrices=False)
    aligned = u.mT @ result @ vh.mT
    assert (aligned - torch.diag_embed(aligned.diagonal(dim1=1, dim2=2))).abs().max() < 1e-9


@pytest.mark.parametrize("shape", [(3, 128, 128), (2, 384, 128), (2, 128, 256)])
def test_in_low_precision_orthogonalised_matrices_are_nearly_the_same(shape: tuple[int, int, int]) -> None:
    torch.manual_seed(0)
    left, right = (torch.linalg.qr(torch.randn(shape[0], size, min(shape[1:]))).Q for size in shape[1:])
    matrices = (left * torch.logspace(0, -3, min(shape[1:]))) @ right.mT  # as unequal as gradients are
    whole = orthogonalized(matrices)
    with torch.autocast("cpu", torch.bfloat16):
        low = orthogonalized(matrices)
    assert low.dtype == torch.float32
    assert torch.nn.functional.cosine_similarity(low.flatten(), whole.flatten(), dim=0) > 0.99
    assert torch.linalg.svdvals(low).max() < 1.25


def test_orthogonalised_is_the_iteration_written_out() -> None:
    x = torch.randn(2, 8, 20, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    expected = x / x.norm(dim=(1, 2), keepdim=True)
    for _ in range(5):
        gram = expected @ expected.mT
        expected = 3.4445 * expected + (-4.7750 * gram + 2.0315 * gram @ gram) @ expected
    torch.testing.assert_close(orthogonalized(x), expected, rtol=0, atol=1e-6)


# ------------------------------------------------------------------------------------------------- what all of them keep


def all_of(optimizer: Optimizer) -> Named:
    return {**optimizer.parameters, **(optimizer.rest.parameters if hasattr(optimizer, "rest") else {})}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_memory_is_in_the_state_and_comes_back(name: str) -> None:
    train = knobs(train__optimizer=name, train__epsilon=1e-8).train
    once, twice = OPTIMIZERS[name](parameters(), train, {}), OPTIMIZERS[name](parameters(), train, {})
    generator = torch.Generator().manual_seed(2)
    for _ in range(3):
        for weight in all_of(once).values():
            weight.grad = torch.randn(weight.shape, generator=generator)
        once.step(0.01)
    twice.load_state_dict({key: memory.clone() for key, memory in once.state_dict().items()})
    with torch.no_grad():
        for weight, other in zip(all_of(once).values(), all_of(twice).values(), strict=True):
            other.copy_(weight)
            weight.grad = torch.randn(weight.shape, generator=generator)
            other.grad = weight.grad.clone()
    once.step(0.01)
    twice.step(0.01)
    assert furthest(all_of(once), all_of(twice)) == 0


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_without_a_gradient_matrices_shrink_by_the_decay_and_vectors_stay(name: str) -> None:
    train = knobs(train__optimizer=name, train__weight_decay=1.0, train__momentum=0.0, train__epsilon=1e-8).train
    own = parameters()
    before = {key: weight.detach().clone() for key, weight in own.items()}
    for weight in own.values():
        weight.grad = torch.zeros_like(weight)
    OPTIMIZERS[name](own, train, {}).step(0.1)
    for key, weight in own.items():
        shrunk = before[key] * (1.0 if weight.ndim < 2 else 0.9)
        if name == "adam" and weight.ndim >= 2:  # there the decay is a gradient, and its first step is as long as any
            shrunk = before[key] - 0.1 * before[key].sign()
        torch.testing.assert_close(weight.detach(), shrunk, rtol=0, atol=1e-5, msg=f"{name} {key}")


def moved(name: str, lr: float, rates: dict[str, float]) -> dict[str, torch.Tensor]:
    """The weights after some steps at a learning rate, with the rates of some parameters multiplied."""
    train = knobs(train__optimizer=name, train__weight_decay=0.3, train__epsilon=1e-8).train
    own, generator = parameters(), torch.Generator().manual_seed(3)
    optimizer = OPTIMIZERS[name](own, train, rates)
    for _ in range(5):
        for weight in own.values():
            weight.grad = torch.randn(weight.shape, generator=generator)
        optimizer.step(lr)
    return {key: weight.detach() for key, weight in own.items()}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_parameter_with_a_rate_moves_and_decays_as_if_the_learning_rate_were_so_many_times_as_high(name: str) -> None:
    quick = "blocks.0.attention.project.weight", "blocks.0.norms.0.weight", "head.weight"
    plain, faster = moved(name, 0.01, {}), moved(name, 0.03, {})
    mixed = moved(name, 0.01, dict.fromkeys(quick, 3.0))
    for key, weight in mixed.items():
        torch.testing.assert_close(weight, (faster if key in quick else plain)[key], rtol=0, atol=1e-6)
        assert (plain[key] - faster[key]).abs().max() > 1e-3, "the rate matters to no digit that is compared"


OWN = [name for name, entry in OPTIMIZERS.items() if issubclass(entry, GroupedOptimizer)]


@pytest.mark.parametrize("name", OWN)
def test_without_rates_what_is_decayed_and_remembered_alike_moves_in_one_call(name: str) -> None:
    optimizer = OPTIMIZERS[name](parameters(), knobs(train__weight_decay=0.3).train, {})
    assert isinstance(optimizer, GroupedOptimizer)
    assert len(optimizer.groups) == len({(group.weight_decay, *group.state) for group in optimizer.groups})
    assert all(group.per_weight() == [group] for group in optimizer.groups)
