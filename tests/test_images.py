"""Image networks and augmentation equal references, and every table entry keeps its contract."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812 (its customary name)
from small import SIDE, StopAfter, assert_resumes, knobs, same, started
from torch import Tensor, nn

from pipeline.engine.loop import fit
from pipeline.engine.sampler import batch_of
from pipeline.networks.activations import ACTIVATIONS
from pipeline.networks.convolution import DOWNSAMPLES, Convolution, as_map, as_positions
from pipeline.networks.dropout import DROPOUT_SCHEDULES, DropoutState
from pipeline.networks.image_norms import IMAGE_NORMS, BatchNorm, GroupNorm
from pipeline.networks.images import NETWORKS, PatchEmbedding
from pipeline.networks.inits import INITS
from pipeline.networks.norms import EPSILON, NORMS
from pipeline.networks.pooling import POOLINGS
from pipeline.networks.positions import POSITIONS
from pipeline.networks.residuals import RESIDUALS
from pipeline.params.schema import Params
from pipeline.tasks.augmentation import Augmentation, cut_out, flipped, mixed_up, shifted
from pipeline.tasks.base import Batch, Task
from pipeline.tasks.objective import Objective

pytestmark = pytest.mark.shapes

IMAGE = (7, 5, 3)
OUTPUTS = 4

# Which families each network has: those that every one has, then its own.
OF_ALL: dict[str, Any] = {"activation": ACTIVATIONS, "norm": NORMS, "init": INITS, "dropout_schedule": DROPOUT_SCHEDULES}
OF: dict[str, dict[str, Any]] = {
    "cnn": OF_ALL | {"norm": [*NORMS, *IMAGE_NORMS], "residual": RESIDUALS, "downsample": DOWNSAMPLES, "pooling": POOLINGS},
    "mlp": OF_ALL | {"norm": [*NORMS, *IMAGE_NORMS]},
    "transformer": OF_ALL | {"position": POSITIONS, "residual": RESIDUALS, "pooling": POOLINGS},
    "linear": {},
}
VARIANTS = [
    (network, family, entry)
    for network in NETWORKS
    for family, table in OF[network].items()
    for entry in table
    if (network, entry) != ("cnn", "first")  # refused: a map has no place of its own
] + [("linear", "bias", True), ("cnn", "kernel_size", 5), ("cnn", "patch_size", 1), ("cnn", "stochastic_depth", 0.5)]


def variant(network: str, family: str, entry: Any, **more: Any) -> Params:
    """Small knobs with one entry of one family. Weights are drawn, not zero, so that every path carries something."""
    changes = {"init": "fan_in", "bias": True, "network": network, "base_width": 8, family: entry}
    if family == "dropout_schedule":
        changes |= {"dropout": 0.25} | ({} if network == "mlp" else {"stochastic_depth": 0.25})
    turned = {f"model__{knob}": value for knob, value in changes.items()}
    return knobs(task={"kind": "vision"}, prepare__dataset="digits", **turned | more)


def a_network(params: Params, image: tuple[int, int, int] = IMAGE) -> nn.Module:
    network = NETWORKS[params.model.network](params.model, image, OUTPUTS, torch.Generator().manual_seed(0)).double()
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for weight in network.parameters():
            if weight.requires_grad:
                weight += 0.05 * torch.randn(weight.shape, generator=generator, dtype=torch.float64)
    return network


def some_images(count: int = 4, image: tuple[int, int, int] = IMAGE) -> Tensor:
    return torch.randn(count, *image, generator=torch.Generator().manual_seed(2), dtype=torch.float64)


def noise(rows: slice, batch: int, progress: float = 0.7) -> DropoutState:
    return DropoutState(seed=3, step=8, progress=progress, rows=rows, batch=batch)


# ------------------------------------------------------------------------------------------------------------ every entry


@pytest.mark.parametrize(("network", "family", "entry"), VARIANTS)
def test_no_image_hangs_on_another_every_pixel_counts_and_every_weight_gets_a_finite_gradient(
    network: str, family: str, entry: Any
) -> None:
    model, images = a_network(variant(network, family, entry)), some_images().requires_grad_()
    logits = model(images)
    assert logits.shape == (4, OUTPUTS) and logits.isfinite().all()
    (slopes,) = torch.autograd.grad(logits[1].square().sum(), images, retain_graph=True)
    assert slopes[[0, 2, 3]].abs().max() == 0
    if entry not in ("relu", "relu2", "reglu", "max"):  # a pixel may lose against its neighbours, or stand on the flat side
        assert (slopes[1].abs().amax(dim=-1) > 0).all()
    logits.square().sum().backward()
    learned = {name: weight.grad for name, weight in model.named_parameters() if weight.requires_grad}
    assert [
        name for name, grad in learned.items() if grad is None or not grad.isfinite().all() or not grad.abs().max() > 0
    ] == []


@pytest.mark.slow
@pytest.mark.parametrize(("network", "family", "entry"), VARIANTS)
def test_it_learns_alike_whole_and_in_micro_batches_and_an_interrupted_run_ends_where_an_unbroken_one_does(
    network: str, family: str, entry: Any, tmp_path: Path
) -> None:
    varied: dict[str, Any] = {"train__shift": 1, "train__flip": True, "train__cutout": 2, "train__mixup": 0.4}
    params = variant(network, family, entry, train__lr=0.02, train__validation_points=1, train__steps=4, **varied)
    _, task = assert_resumes(params, tmp_path, last=2)
    if entry != "batch":  # which is refused in parts
        assert_alike_in_parts(a_network(params, (SIDE, SIDE, 1)), task, batch_of(task, params.train, params.seed, 3))


def assert_alike_in_parts(model: nn.Module, task: Task, batch: Batch) -> None:
    """The gradient of a batch is that of its micro-batches, dropout, blended pairs and all."""
    assert batch.mixup_shares is not None
    batch = replace(batch, inputs=batch.inputs.double(), mixup_shares=batch.mixup_shares.double())
    slopes = []
    for parts in ([slice(0, 4)], [slice(0, 1), slice(1, 4)]):
        model.zero_grad()
        for rows in parts:
            (task.loss(model, batch.part(rows), noise(rows, 4)).minimized / batch.count).backward()
        slopes.append([weight.grad for weight in model.parameters() if weight.requires_grad])
    for one, other in zip(*slopes, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("init", INITS)
def test_the_same_generator_gives_the_same_network_and_its_first_guess_is_nearly_blind(network: str, init: str) -> None:
    params = variant(network, "init", init)
    one, other = (NETWORKS[network](params.model, IMAGE, OUTPUTS, torch.Generator().manual_seed(5)) for _ in range(2))
    assert same(dict(one.named_parameters()), dict(other.named_parameters()))
    loss = F.cross_entropy(one(some_images(64).float()), torch.arange(64) % OUTPUTS)
    assert np.log(OUTPUTS) - 0.1 < float(loss.detach()) < np.log(OUTPUTS) + 1.2


@pytest.mark.parametrize("image", [(1, 40, 1), (40, 1, 1), (3, 3, 3), (1, 1, 1), (28, 28, 1)])
@pytest.mark.parametrize("network", NETWORKS)
def test_images_of_any_shape_are_looked_at(network: str, image: tuple[int, int, int]) -> None:
    model = a_network(variant(network, "patch_size", 4), image)
    assert model(some_images(2, image)).isfinite().all()


# ------------------------------------------------------------------------------------------------------------- references


def test_a_convolution_is_torchs() -> None:
    params = variant("cnn", "kernel_size", 3).model
    ours, theirs = Convolution(params, (6, 5)).double(), nn.Conv2d(params.width, params.width, 3, padding=1).double()
    with torch.no_grad():
        matrix = theirs.weight.permute(0, 2, 3, 1).flatten(1)  # outputs, then rows, columns, inputs
        ours.output.weight.copy_(matrix)
        ours.output.bias.copy_(theirs.bias)  # type: ignore[arg-type]
    x = torch.randn(3, 30, params.width, dtype=torch.float64)
    torch.testing.assert_close(as_map(ours(x), (6, 5)), theirs(as_map(x, (6, 5))))


@pytest.mark.parametrize("size", [(6, 4), (5, 7), (1, 9)])
@pytest.mark.parametrize("name", DOWNSAMPLES)
def test_what_shrinks_a_map_is_torchs(name: str, size: tuple[int, int]) -> None:
    params = variant("cnn", "downsample", name).model
    shrink = DOWNSAMPLES[name](params, size).double()
    maps = torch.randn(2, params.width, *size, dtype=torch.float64)
    square, missing = (min(size[0], 2), min(size[1], 2)), (0, -size[1] % min(size[1], 2), 0, -size[0] % min(size[0], 2))
    if name == "max":
        wanted = F.max_pool2d(F.pad(maps, missing, value=-torch.inf), square)
    elif name == "average":
        counts = F.avg_pool2d(F.pad(torch.ones_like(maps), missing), square)
        wanted = F.avg_pool2d(F.pad(maps, missing), square) / counts
    elif name == "stride":
        conv = nn.Conv2d(params.width, params.width, square, stride=square).double()
        with torch.no_grad():
            shrink.map.weight.copy_(conv.weight.permute(0, 2, 3, 1).flatten(1))  # type: ignore[union-attr, operator]
            shrink.map.bias.copy_(conv.bias)  # type: ignore[union-attr, operator]
        wanted = conv(F.pad(maps, missing))
    else:
        wanted = maps
    assert shrink.size_after == tuple(wanted.shape[2:])
    torch.testing.assert_close(shrink(as_positions(maps)), as_positions(wanted))


def test_patches_are_a_convolution_of_that_stride() -> None:
    params = variant("transformer", "patch_size", 2).model
    patches, conv = PatchEmbedding(params, (6, 8, 3)).double(), nn.Conv2d(3, params.width, 2, stride=2).double()
    with torch.no_grad():
        patches.map.weight.copy_(conv.weight.permute(0, 2, 3, 1).flatten(1))
        patches.map.bias.copy_(conv.bias)  # type: ignore[arg-type]
    images = some_images(2, (6, 8, 3))
    torch.testing.assert_close(patches(images), as_positions(conv(images.permute(0, 3, 1, 2))))


def test_a_batch_norm_is_torchs_in_training_and_in_use() -> None:
    ours, theirs = BatchNorm(6, bias=True), nn.BatchNorm1d(6, eps=EPSILON)
    for step in range(4):
        x = torch.randn(5, 7, 6, generator=torch.Generator().manual_seed(step)) * 2 + 1
        torch.testing.assert_close(ours(x, noise(slice(0, 5), 5)), theirs(x.mT).mT)
    torch.testing.assert_close(ours.mean.data, theirs.running_mean)
    torch.testing.assert_close(ours.variance.data, theirs.running_var)
    x = torch.randn(2, 7, 6)
    torch.testing.assert_close(ours(x), theirs.eval()(x.mT).mT)


@pytest.mark.parametrize("width", [16, 12, 7])
def test_a_group_norm_is_torchs(width: int) -> None:
    ours = GroupNorm(width, bias=True)
    theirs = nn.GroupNorm(ours.groups, width, eps=EPSILON)
    x = torch.randn(3, 5, width) * 3 + 1
    torch.testing.assert_close(ours(x), theirs(x.mT).mT)
    assert ours.groups == {16: 8, 12: 4, 7: 1}[width]


def test_what_batch_norm_has_met_is_kept_with_the_weights(tmp_path: Path) -> None:
    params = variant("cnn", "norm", "batch")
    progress, task, runtime = started(params, tmp_path)
    fit(progress, task, params.train, params.seed, runtime, StopAfter())
    means = [name for name in progress.tensors() if name.endswith(".mean")]
    assert len(means) == 5 and all(progress.tensors()[name].abs().max() > 0 for name in means)  # two a block, and the last


# --------------------------------------------------------------------------------------------- what is done to the images


def toys(count: int = 6, height: int = 5, width: int = 4) -> np.ndarray:
    return np.arange(1, 1 + count * height * width, dtype=np.float32).reshape(count, height, width, 1)


def test_a_shifted_image_is_the_image_elsewhere_with_its_edge_repeated() -> None:
    images = toys(400)
    seen = set()
    for image, moved in zip(images[..., 0], shifted(images, 2, np.random.default_rng(0))[..., 0], strict=True):
        padded = np.pad(image, 2, mode="edge")
        fits = [(y, x) for y in range(5) for x in range(5) if np.array_equal(padded[y : y + 5, x : x + 4], moved)]
        assert len(fits) == 1
        seen |= set(fits)
    assert len(seen) == 25


def test_a_flipped_image_is_mirrored_or_not_as_often() -> None:
    images = toys(400)
    mirrored = flipped(images, np.random.default_rng(0))
    turned = [np.array_equal(new, old[:, ::-1]) for new, old in zip(mirrored, images, strict=True)]
    assert all(
        np.array_equal(new, old[:, ::-1] if turn else old) for new, old, turn in zip(mirrored, images, turned, strict=True)
    )
    assert 160 < sum(turned) < 240


@pytest.mark.parametrize("side", [2, 3, 9])
def test_a_cut_out_is_one_square_of_nothing_whose_middle_is_in_the_image(side: int) -> None:
    images = toys(400)
    middles = set()
    for image, cut in zip(images[..., 0], cut_out(images, side, np.random.default_rng(0))[..., 0], strict=True):
        squares = [(y, x) for y in range(5) for x in range(4) if np.array_equal(cut, without_square(image, y, x, side))]
        assert squares
        middles |= set(squares)
    assert len(middles) == 20


def without_square(image: np.ndarray, y: int, x: int, side: int) -> np.ndarray:
    cut, top, left = image.copy(), y - side // 2, x - side // 2
    cut[max(top, 0) : max(top + side, 0), max(left, 0) : max(left + side, 0)] = 0
    return cut


def test_blended_images_are_shares_of_two_and_the_loss_is_that_of_as_much_of_both_classes() -> None:
    batch = Batch(torch.from_numpy(toys()), torch.tensor([0, 1, 2, 0, 1, 2]))
    mixed = mixed_up(batch, 0.4, np.random.default_rng(0))
    assert mixed.mixup_targets is not None and mixed.mixup_shares is not None
    assert mixed.mixup_shares.min() >= 0 and mixed.mixup_shares.max() <= 0.5 and len(set(mixed.mixup_shares.tolist())) == 6
    logits = torch.randn(6, 3)
    for place in range(6):
        share, image = float(mixed.mixup_shares[place]), mixed.inputs[place]
        partners = [n for n in range(6) if torch.allclose((1 - share) * batch.inputs[place] + share * batch.inputs[n], image)]
        assert partners and int(batch.targets[partners[0]]) == int(mixed.mixup_targets[place])
    first, second = F.one_hot(mixed.targets, 3), F.one_hot(mixed.mixup_targets, 3)
    soft = (1 - mixed.mixup_shares)[:, None] * first + mixed.mixup_shares[:, None] * second
    loss = Objective().loss(logits, mixed.targets, True, mixup=(mixed.mixup_targets, mixed.mixup_shares))
    for shown in (loss.minimized, loss.total):
        torch.testing.assert_close(shown, F.cross_entropy(logits, soft, reduction="sum"))


ALL = {"train__shift": 1, "train__flip": True, "train__cutout": 2, "train__mixup": 0.4}


def test_what_a_step_sees_is_a_function_of_seed_and_step_and_varies_from_step_to_step(tmp_path: Path) -> None:
    params = variant("mlp", "bias", True, **ALL)
    _, task, _ = started(params, tmp_path)
    _, plain, _ = started(variant("mlp", "bias", True), tmp_path)
    one, again, other = (batch_of(task, params.train, 1, step) for step in (3, 3, 4))
    assert torch.equal(one.inputs, again.inputs) and torch.equal(one.targets, again.targets)
    assert torch.equal(one.targets, batch_of(plain, params.train, 1, 3).targets)  # the same examples, with their labels
    assert not torch.equal(one.inputs, batch_of(plain, params.train, 1, 3).inputs)
    assert not torch.equal(one.inputs, other.inputs)
    assert one.inputs.dtype == torch.float32 and one.inputs.shape == (4, SIDE, SIDE, 1)


def test_what_is_measured_is_never_varied(tmp_path: Path) -> None:
    rows = np.arange(5)
    _, task, _ = started(variant("mlp", "bias", True, **ALL), tmp_path)
    _, plain, _ = started(variant("mlp", "bias", True), tmp_path)
    assert all(
        torch.equal(task.batch(split, rows).inputs, plain.batch(split, rows).inputs) for split in ("train", "validation")
    )


@pytest.mark.parametrize(
    "variation", [Augmentation(shift=2), Augmentation(flip=True), Augmentation(cutout=3), Augmentation(mixup=1.0)]
)
def test_each_does_something_and_leaves_the_batch_that_it_was_given(variation: Augmentation) -> None:
    batch = Batch(torch.from_numpy(toys()), torch.arange(6) % 3)
    before = batch.inputs.clone()
    varied = variation.apply(batch, np.random.default_rng(0))
    assert torch.equal(batch.inputs, before) and not torch.equal(varied.inputs, before)
    assert torch.equal(varied.targets, batch.targets) and (varied.mixup_targets is not None) == (variation.mixup > 0)
