"""What the probes read of signal, gradients and predictions, each held to another way to compute it."""

from __future__ import annotations

import copy
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812 (its customary name)
from jaxtyping import Float
from small import StopAfter, knobs, started
from subjects import TEXT, small_subject, subject
from torch import Tensor, nn

from pipeline.artifacts.paths import tokenizer_of
from pipeline.engine.checkpoint import Progress
from pipeline.engine.loop import fit
from pipeline.inference.trained import TrainedModel
from pipeline.networks.activations import ACTIVATIONS
from pipeline.networks.attention import set_attention_kernel
from pipeline.networks.dropout import Dropout, DropoutState
from pipeline.probes.gradients.gradient_norm import gradient_norm
from pipeline.probes.gradients.noise_scale import from_two, noise_scale
from pipeline.probes.gradients.sharpness import sharpness
from pipeline.probes.gradients.update_ratio import update_ratio
from pipeline.probes.passes.backward import parts
from pipeline.probes.prediction.log_partition import log_partition
from pipeline.probes.prediction.loss_by_position import edges, loss_by_position
from pipeline.probes.signal.activation_rms import activation_rms
from pipeline.probes.signal.dead_units import dead_units
from pipeline.probes.signal.effective_rank import effective_rank, rank
from pipeline.probes.signal.saturation import ends, saturation
from pipeline.probes.table import readings_of
from pipeline.readings import Reading
from pipeline.tasks.objective import Objective
from pipeline.tokenizers.table import load as load_tokenizer

pytestmark = pytest.mark.shapes


def numbers(reading: Reading | None) -> dict[str, float]:
    """A reading of one snapshot: what stands at each layer, head or line."""
    assert reading is not None
    return {str(name): line[0] for name, line in zip(reading.axes[0].ticks, reading.values, strict=True)}


def streams(made: TrainedModel) -> list[Tensor]:
    """[B, T, D] before the first block and after each."""
    with torch.no_grad():
        model, ids = made.model, made.batch.inputs
        x = model.position.embed(model.mixer(ids, model.embedding(ids)), 0)
        found = [x]
        for block in model.blocks:
            found.append(block(found[-1], model.position, None, None))
    return found


# --------------------------------------------------------------------------------------------------------------- signal


def test_the_effective_rank_is_that_of_the_singular_values(tmp_path: Path) -> None:
    made = subject(tmp_path)
    wanted = {}
    for name, x in zip(("embedding", "block 1", "block 2"), streams(made), strict=True):
        tokens = x.flatten(0, 1).double().numpy()
        energies = np.linalg.svd(tokens - tokens.mean(axis=0), compute_uv=False) ** 2
        shares = energies / energies.sum()
        wanted[name] = math.exp(-sum(share * math.log(share) for share in shares if share > 0))
    assert numbers(effective_rank(made)) == pytest.approx(wanted, rel=1e-3)


@pytest.mark.parametrize("directions", [1, 3, 8])
def test_tokens_that_differ_alike_in_some_directions_have_that_rank_wherever_they_lie(directions: int) -> None:
    steps = torch.eye(8)[:directions]
    turned = torch.linalg.qr(torch.randn(8, 8, generator=torch.Generator().manual_seed(0))).Q
    tokens = torch.cat([steps, -steps]) @ turned + 100
    assert rank(tokens) == pytest.approx(directions, rel=1e-6)
    assert math.isnan(rank(torch.ones(5, 8)))


# Known ends of some activations; of any other they follow from its slope.
KNOWN_ENDS: dict[str, list[float]] = {
    "tanh": [-1.0, 1.0],
    "sigmoid": [0.0, 1.0],
    **{name: [0.0] for name in ("gelu", "gelu_tanh", "relu", "relu2", "silu", "mish")},
    **{name: [] for name in ("identity", "snake", "swiglu", "geglu", "reglu")},
}
WRITTEN_OUT: dict[str, Any] = {"tanh": np.tanh, "sigmoid": lambda z: 1 / (1 + np.exp(-z))}


def flat_far_out(name: str) -> list[float]:
    """What an activation gives where its slope is 0, far below and far above 0; a gated one is never flat."""
    if ACTIVATIONS[name].inputs > 1:
        return []
    x = torch.tensor([-1e4, 1e4], dtype=torch.float64, requires_grad=True)
    value = ACTIVATIONS[name].function(x)
    (slope,) = torch.autograd.grad(value.sum(), x)
    return list(value[slope == 0].tolist())


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_what_saturates_are_the_ends_of_a_bounded_activation(tmp_path: Path, name: str) -> None:
    made = subject(tmp_path, model__activation=name, model__bias=True)
    found = ends(ACTIVATIONS[name])
    assert found == flat_far_out(name) == KNOWN_ENDS.get(name, found)
    if len(found) < 2:
        assert saturation(made) is None
        return
    with torch.no_grad():
        for unit, push in enumerate((-50.0, 50.0, 50.0)):
            made.model.blocks[1].feed_forward.up.bias[unit] = push
    entered: list[Tensor] = []
    made.model.blocks[1].feed_forward.up.register_forward_hook(lambda module, inputs, output: entered.append(output))
    with torch.no_grad():
        made.model(made.batch.inputs)
    low, high = found
    z = entered[0].double()
    value = WRITTEN_OUT[name](z.numpy()) if name in WRITTEN_OUT else ACTIVATIONS[name].function(z).numpy()
    wanted = ((value < low + 0.03) | (value > high - 0.03)).mean()
    assert wanted >= 3 / 32
    assert numbers(saturation(made))["block 2"] == pytest.approx(wanted, rel=1e-3)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_units_that_always_rest_are_dead_and_no_others(tmp_path: Path, name: str) -> None:
    made = replace(subject(tmp_path, model__activation=name, model__bias=True), sequences=16)
    with torch.no_grad():
        for block in made.model.blocks:
            block.feed_forward.up.bias.zero_()
    assert numbers(dead_units(made))["block 1"] == 0
    rest = -1000 if flat_far_out(name) or ACTIVATIONS[name].inputs > 1 else 0
    up = made.model.blocks[0].feed_forward.up
    with torch.no_grad():
        for unit in range(5):  # of 32; a gated one has its gates first
            up.weight[unit] = 0
            up.bias[unit] = rest
    found = numbers(dead_units(replace(made)))
    assert found["block 1"] == pytest.approx(5 / 32, rel=1e-3)


def test_a_unit_that_stays_at_either_end_is_dead_and_one_that_goes_between_them_is_not(
    tmp_path: Path,
) -> None:
    made = subject(tmp_path, model__activation="tanh", model__bias=True)
    up = made.model.blocks[0].feed_forward.up
    with torch.no_grad():
        up.weight[0], up.bias[0] = 0, 1000
        up.weight[1] *= 1e4
    assert numbers(dead_units(made))["block 1"] == pytest.approx(1 / 32, rel=1e-3)


# ------------------------------------------------------------------------------------------------------------ gradients


def parts_of(made: TrainedModel, count: int) -> list[Tensor]:
    """The flat gradient of the mean loss of each part of the fixed batch, as backward leaves it."""
    found = []
    drawn = parts(len(made.batch.inputs))
    assert len(drawn) == count
    assert sorted(np.concatenate(drawn)) == list(range(len(made.batch.inputs)))
    for part in drawn:
        model = copy.deepcopy(made.model)
        logits = model(made.batch.inputs[part]).flatten(0, 1)
        F.cross_entropy(logits, made.batch.targets[part].flatten()).backward()
        found.append(torch.cat([weight.grad.flatten() for weight in model.parameters()]).double())
    return found


@pytest.mark.parametrize(("examples", "count"), [(4, 4), (16, 8)])
def test_the_noise_scale_is_what_the_products_of_different_parts_tell(tmp_path: Path, examples: int, count: int) -> None:
    """E[g_i · g_j] of independent parts is ‖G‖², and what a part's own square has more is its noise."""
    made = replace(subject(tmp_path, text=TEXT * 16), sequences=examples)
    found = torch.stack(parts_of(made, count))
    products = found @ found.T
    signal = float((products.sum() - products.trace()) / (count * (count - 1)))
    noise = float(products.trace()) / count - signal
    tokens = made.batch.inputs.numel() / count
    assert signal > 0
    assert numbers(noise_scale(made)) == {"noise scale": pytest.approx(tokens * noise / signal, rel=2e-3)}


def test_two_batch_sizes_tell_the_noise_scale_of_gradients_whose_covariance_is_known() -> None:
    rng = np.random.default_rng(0)
    mean, spread = rng.normal(size=50), rng.uniform(1, 5, size=50)
    exact = (spread**2).sum() / (mean**2).sum()
    small, large = [], []
    for _ in range(300):
        examples = mean + spread * rng.normal(size=(8, 4, 50))
        parts = examples.mean(axis=1)
        small.append((parts**2).sum(axis=1).mean())
        large.append((parts.mean(axis=0) ** 2).sum())
    assert from_two(float(np.mean(small)), 4, float(np.mean(large)), 32) == pytest.approx(exact, rel=0.05)
    assert math.isnan(from_two(10.0, 4, 1.0, 32)), "the noise drowned the gradient"
    assert math.isnan(from_two(10.0, 4, 10.0, 4)), "one size tells nothing"


def test_update_ratios_are_those_of_whole_layers_moved_by_a_step(tmp_path: Path) -> None:
    made = subject(tmp_path, model__tie_embeddings=True, model__norm="rms")
    moved = copy.deepcopy(made.model)
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for number, weight in enumerate(moved.parameters()):
            weight += 0.01 * (number + 1) * torch.randn(weight.shape, generator=generator)
    pairs = made.model.state_dict(), moved.state_dict()
    names = [name for name, _ in moved.named_parameters()]
    updates = {name: float((pairs[1][name] - pairs[0][name]).norm() / pairs[0][name].norm()) for name in names}
    parts = {
        "embedding": [name for name in updates if name.startswith(("embedding", "mixer"))],
        "block 1": [name for name in updates if name.startswith("blocks.0")],
        "block 2": [name for name in updates if name.startswith("blocks.1")],
        "head": ["final_norm.weight"],
    }
    flat = [{layer: torch.cat([side[name].flatten() for name in names]) for layer, names in parts.items()} for side in pairs]
    wanted = {layer: float((flat[1][layer] - flat[0][layer]).norm() / flat[0][layer].norm()) for layer in parts}
    assert numbers(update_ratio(replace(made, updates=updates))) == pytest.approx(wanted, rel=1e-3)


def test_no_update_ratio_is_made_up(tmp_path: Path) -> None:
    made = subject(tmp_path)
    assert update_ratio(made) is None
    some = {"blocks.0.attention.project.weight": 0.5}
    assert numbers(update_ratio(replace(made, updates=some))) == {
        "embedding": None,
        "block 1": 0.5,
        "block 2": None,
        "head": None,
    }


TINY = {"model__depth": 1, "model__activation": "gelu", "model__dropout": 0.5}
# What is learned, and how; each so small that its whole Hessian can be held.
FOLLOWED: dict[str, dict[str, object]] = {
    "a language model": {"model__width": 4, "model__heads": 1, "train__label_smoothing": 0.2},
    "a classifier": {"task__kind": "classify", "model__width": 4, "model__heads": 1, "train__class_weights": "balanced"},
    "a linear map by squares": {"task__kind": "vision", "model__network": "linear", "train__loss": "mse"},
    "a CNN with batch norm": {"task__kind": "vision", "model__width": 4, "model__norm": "batch", "model__mlp_ratio": 0.5},
    "an MLP": {"task__kind": "vision", "model__network": "mlp", "model__width": 4},
}


@pytest.mark.parametrize("changes", FOLLOWED.values(), ids=FOLLOWED)
def test_the_sharpness_is_the_largest_eigenvalue_of_the_whole_hessian_of_what_is_followed(
    tmp_path: Path, changes: dict[str, object]
) -> None:
    made = small_subject(tmp_path, **TINY, **changes)
    assert sharpness(made) is None, "nobody asked"
    assert made.training_task is not None
    objective = made.training_task.objective
    before = {name: weight.clone() for name, weight in made.model.named_parameters()}

    found = numbers(sharpness(replace(made, sharpness_iterations=200)))

    model = copy.deepcopy(made.model)
    weights = [weight for weight in model.parameters() if weight.requires_grad]
    rows = np.arange(4) * made.task.size("train") // 4
    batch = made.task.batch("train", rows)
    set_attention_kernel(model, "eager")
    for module in model.modules():
        if isinstance(module, Dropout):
            module.rate = 0.0
    logits = model(batch.inputs, DropoutState(1, 2, 0.5, slice(0, 4), 4)).flatten(0, -2)
    loss = by_hand(logits, batch.targets.flatten(), objective)
    slopes = torch.cat([slope.flatten() for slope in torch.autograd.grad(loss, weights, create_graph=True)])
    rows = [
        torch.cat([part.flatten() for part in torch.autograd.grad(slope, weights, retain_graph=True, materialize_grads=True)])
        for slope in slopes
    ]
    eigenvalues = torch.linalg.eigvalsh(torch.stack(rows).double())
    wanted = float(eigenvalues[eigenvalues.abs().argmax()])
    assert found == {"largest eigenvalue": pytest.approx(wanted, rel=1e-2)}
    assert all(torch.equal(weight, before[name]) for name, weight in made.model.named_parameters())
    assert all(module.rate == 0.5 for module in made.model.modules() if type(module) is Dropout)


def by_hand(logits: Tensor, targets: Tensor, objective: Objective) -> Tensor:
    """What is followed, a mean over the targets."""
    told = F.one_hot(targets, logits.shape[1]).float()
    if objective.squared_error:
        return (logits - told).square().mean()
    told = (1 - objective.label_smoothing) * told + objective.label_smoothing / logits.shape[1]
    costs = -(told * logits.log_softmax(dim=1)).sum(dim=1)
    weights = torch.tensor(objective.class_weights or [1.0] * logits.shape[1])
    return (weights[targets] * costs).mean()


# ----------------------------------------------------------------------------------------------------------- prediction


def test_the_partition_is_the_sum_of_exponentials(tmp_path: Path) -> None:
    made = subject(tmp_path)
    with torch.no_grad():
        sizes = made.model(made.batch.inputs).double().exp().sum(dim=-1).log().numpy()
    wanted = {"mean": sizes.mean(), "sd": sizes.std()}
    assert numbers(log_partition(made)) == pytest.approx(wanted, rel=1e-3)
    with torch.no_grad():
        made.model.head.weight.zero_()
    flat = {"mean": math.log(made.tokenizer.vocabulary), "sd": 0.0}
    assert numbers(log_partition(replace(made))) == pytest.approx(flat, rel=1e-3)


def test_the_loss_by_position_is_the_mean_of_each_stretch(tmp_path: Path) -> None:
    made = subject(tmp_path)
    reading = loss_by_position(made)
    with torch.no_grad():
        shares = made.model(made.batch.inputs).double().softmax(dim=-1)
    losses = -shares.gather(2, made.batch.targets[..., None])[..., 0].log().numpy()
    assert list(reading.axes[1].ticks) == ["1–4", "5–8", "9–12"]
    assert reading.values[0] == pytest.approx([losses[:, a : a + 4].mean() for a in (0, 4, 8)], rel=1e-3)


def test_stretches_double_and_cover_the_context() -> None:
    assert [edges(length) for length in (2, 4, 5, 128)] == [[0, 2], [0, 4], [0, 4, 5], [0, 4, 8, 16, 32, 64, 128]]


# ----------------------------------------------------------------------------------------------------- it changes nothing


class Probing(StopAfter):
    """Reads everything there is to read at some steps in the midst of a training."""

    def __init__(self, task: object, folder: Path, runtime: object, steps: tuple[int, ...]) -> None:
        super().__init__()
        self.known = {"task": task, "text_tokenizer": load_tokenizer(tokenizer_of(folder)), "runtime": runtime}
        self.steps, self.read = steps, list[dict[str, Reading]]()

    def on_step(self, progress: Progress) -> None:
        super().on_step(progress)
        if progress.step in self.steps:
            updates = {name: 0.1 for name, _ in progress.model.named_parameters()}
            made = TrainedModel(progress.model, **self.known, step=progress.step, sequences=4, toy_text="abc", updates=updates)
            self.read.append(readings_of([replace(made, sharpness_iterations=2)]))


@pytest.mark.parametrize(
    "changes",
    [
        {"model__dropout": 0.2, "model__stochastic_depth": 0.1},
        {
            "model__attention": "window",
            "model__position": "learned",
            "train__accumulation_steps": 2,
            "train__optimizer": "schedule_free",
            "train__lr": 0.01,
        },
    ],
)
def test_a_training_that_is_probed_on_its_way_ends_bit_by_bit_as_another(changes: dict[str, object], tmp_path: Path) -> None:
    params = knobs(**changes)
    ends = []
    for probed in (False, True):
        torch.manual_seed(9)
        progress, task, runtime = started(params, tmp_path / "tokens")
        keeper = Probing(task, tmp_path / "tokens", runtime, (0, 6, 12)) if probed else StopAfter()
        fit(progress, task, params.train, params.seed, runtime, keeper)
        ends.append((progress.curve, progress.validations, {**progress.model.state_dict()}, torch.get_rng_state()))
    assert isinstance(keeper, Probing)
    assert [reading["activation_rms"].axes[1].ticks for reading in keeper.read] == [[0], [6], [12]]
    assert keeper.read[0] != keeper.read[1]
    (curve, validations, weights, state), other = ends
    assert curve == other[0]
    assert validations == other[1]
    assert all(torch.equal(weight, other[2][name]) for name, weight in weights.items())
    assert torch.equal(state, other[3])


def test_all_probes_share_one_pass_forward_and_one_back_over_the_fixed_batch(tmp_path: Path) -> None:
    made = replace(subject(tmp_path, text=TEXT * 16), sequences=16)
    passes: list[tuple[bool, int]] = []

    def seen(module: nn.Module, inputs: tuple[Float[Tensor, "B T D"]]) -> None:
        passes.append((torch.is_grad_enabled(), len(inputs[0])))

    made.model.final_norm.register_forward_pre_hook(seen)
    readings_of([made])
    assert [count for wants_gradient, count in passes if wants_gradient] == [2] * 8  # the batch, once, in eight parts
    texts = [16] * made.batch.inputs.shape[1]  # a token of each at a time
    assert [count for wants_gradient, count in passes if not wants_gradient] == [16, 1, 16, *texts]  # batch, toy, repeats
    activation_rms(made)
    gradient_norm(made)
    assert len(passes) == 8 + 3 + len(texts) + 1 + 8, "what was worked out is forgotten when the subject has been read"
