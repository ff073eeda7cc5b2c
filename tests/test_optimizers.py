"""Our optimizers move weights as the references do."""

from __future__ import annotations

import pytest
import torch
from small import knobs

from pipeline.engine.optimizer import Optimizer
from pipeline.engine.optimizers import OPTIMIZERS, orthogonalised


def parameters() -> dict[str, torch.nn.Parameter]:
    generator = torch.Generator().manual_seed(0)
    shapes = {
        "embedding.weight": (7, 6),
        "blocks.0.attention.project.weight": (18, 6),
        "blocks.0.feed_forward.down.weight": (6, 12),
    }
    shapes |= {"blocks.0.norms.0.weight": (6,), "head.weight": (7, 6)}
    return {name: torch.nn.Parameter(torch.randn(shape, generator=generator)) for name, shape in shapes.items()}


def train_both(
    ours: Optimizer, reference: torch.optim.Optimizer, theirs: dict[str, torch.nn.Parameter], steps: int = 20
) -> float:
    """The largest difference between the weights after some steps over the same gradients, at a rate that changes."""
    generator = torch.Generator().manual_seed(1)
    for step in range(steps):
        lr = 0.02 * (1 - step / steps)
        for group in reference.param_groups:
            group["lr"] = lr
        for (name, own), other in zip(ours_of(ours).items(), theirs.values(), strict=True):
            assert own.shape == other.shape, name
            own.grad = torch.randn(own.shape, generator=generator)
            other.grad = own.grad.clone()
        ours.step(lr)
        reference.step()
    return max(
        float((own - other).detach().abs().max()) for own, other in zip(ours_of(ours).values(), theirs.values(), strict=True)
    )


def ours_of(optimizer: Optimizer) -> dict[str, torch.nn.Parameter]:
    return {**optimizer.parameters}


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_sgd_moves_as_torch_does(momentum: float) -> None:
    train = knobs(train__optimizer="sgd", train__momentum=momentum, train__weight_decay=0.0).train
    theirs = parameters()
    reference = torch.optim.SGD(theirs.values(), momentum=momentum)
    assert train_both(OPTIMIZERS["sgd"](parameters(), train, {}), reference, theirs) < 1e-6


def test_adamw_moves_as_torch_does() -> None:
    train = knobs(train__beta1=0.85, train__beta2=0.98, train__epsilon=1e-8, train__weight_decay=0.3).train
    theirs = parameters()
    groups = [
        {"params": [p for p in theirs.values() if p.ndim >= 2], "weight_decay": 0.3},
        {"params": [p for p in theirs.values() if p.ndim < 2], "weight_decay": 0.0},
    ]
    reference = torch.optim.AdamW(groups, betas=(0.85, 0.98), eps=1e-8)
    assert train_both(OPTIMIZERS["adamw"](parameters(), train, {}), reference, theirs) < 1e-6


def test_muon_moves_matrices_as_torch_does_up_to_its_rounding_to_bfloat16() -> None:
    train = knobs(train__momentum=0.95, train__weight_decay=0.1).train
    keep = ("blocks.0.attention.project.weight", "blocks.0.feed_forward.down.weight")
    theirs = {name: p for name, p in parameters().items() if name in keep}
    reference = torch.optim.Muon(list(theirs.values()), momentum=0.95, weight_decay=0.1, nesterov=True, adjust_lr_fn="original")
    ours = OPTIMIZERS["muon"](parameters(), train, {})
    assert list(ours.parameters) == list(keep)
    moved = 20 * 0.01  # how far 20 steps of that rate go
    assert train_both(ours, reference, theirs) < 0.03 * moved


@pytest.mark.parametrize("shape", [(3, 8, 8), (2, 24, 8), (2, 8, 40)])
def test_orthogonalised_matrices_have_singular_values_near_one_and_keep_their_directions(shape: tuple[int, int, int]) -> None:
    matrices = torch.randn(shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    result = orthogonalised(matrices)
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
    whole = orthogonalised(matrices)
    with torch.autocast("cpu", torch.bfloat16):
        low = orthogonalised(matrices)
    assert low.dtype == torch.float32
    assert torch.nn.functional.cosine_similarity(low.flatten(), whole.flatten(), dim=0) > 0.99
    assert torch.linalg.svdvals(low).max() < 1.25


def test_orthogonalised_is_the_iteration_written_out() -> None:
    x = torch.randn(2, 8, 20, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    expected = x / x.norm(dim=(1, 2), keepdim=True)
    for _ in range(5):
        gram = expected @ expected.mT
        expected = 3.4445 * expected + (-4.7750 * gram + 2.0315 * gram @ gram) @ expected
    torch.testing.assert_close(orthogonalised(x), expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_memory_is_in_the_state_and_comes_back(name: str) -> None:
    train = knobs(train__optimizer=name, train__epsilon=1e-8).train
    once, twice = OPTIMIZERS[name](parameters(), train, {}), OPTIMIZERS[name](parameters(), train, {})
    generator = torch.Generator().manual_seed(2)

    def all_of(optimizer: Optimizer) -> dict[str, torch.nn.Parameter]:
        return {**optimizer.parameters, **(optimizer.rest.parameters if hasattr(optimizer, "rest") else {})}

    for _ in range(3):
        for weight in all_of(once).values():
            weight.grad = torch.randn(weight.shape, generator=generator)
        once.step(0.01)
    twice.load({key: memory.clone() for key, memory in once.state().items()})
    with torch.no_grad():
        for weight, other in zip(all_of(once).values(), all_of(twice).values(), strict=True):
            other.copy_(weight)
            weight.grad = other.grad = torch.randn(weight.shape, generator=generator)
    once.step(0.01)
    twice.step(0.01)
    assert all(torch.equal(one, other) for one, other in zip(all_of(once).values(), all_of(twice).values(), strict=True))


def test_vectors_are_not_decayed() -> None:
    for name in OPTIMIZERS:
        train = knobs(train__optimizer=name, train__weight_decay=1.0, train__momentum=0.0, train__epsilon=1e-8).train
        own = parameters()
        optimizer = OPTIMIZERS[name](own, train, {})
        before = {key: weight.detach().clone() for key, weight in own.items()}
        for weight in own.values():
            weight.grad = torch.zeros_like(weight)
        optimizer.step(0.1)
        for key, weight in own.items():
            shrunk = 1.0 if weight.ndim < 2 else 0.9
            torch.testing.assert_close(weight.detach(), before[key] * shrunk, msg=f"{name} {key}")


def moved(name: str, lr: float, rates: dict[str, float], **more: object) -> dict[str, torch.Tensor]:
    """The weights after some steps at a learning rate, with the rates of some parameters multiplied."""
    train = knobs(train__optimizer=name, train__weight_decay=0.3, train__epsilon=1e-8, **more).train
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


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_without_rates_what_is_decayed_alike_moves_in_one_call(name: str) -> None:
    optimizer = OPTIMIZERS[name](parameters(), knobs(train__weight_decay=0.3).train, {})
    assert len(optimizer.groups) == len({group.decay for group in optimizer.groups})
