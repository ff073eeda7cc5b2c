"""A training whose weights, gradients and optimizer state are sharded over its processes, by FSDP2 (the knob runtime.shard).

Its result is that of the same training in one process, up to rounding. The loop, the optimizers and the recorder are the
same: the loop steps through the own rows of each weight, which are plain tensors; a forward pass gathers the whole weights,
block by block; and the first process gathers the whole state whenever something of it is to be saved.

Source: Zhao et al., "PyTorch FSDP: Experiences on Scaling Fully Sharded Data Parallel", 2023; torch's documentation of
fully_shard (FSDP2).
"""

from __future__ import annotations

import copy
import functools
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from pipeline.engine.checkpoint import Progress
from pipeline.engine.loop import Interrupted, fit, validation_examples
from pipeline.engine.optimizers.base import Optimizer
from pipeline.engine.optimizers.table import OPTIMIZERS, optimizer_for
from pipeline.engine.recorder import Follower
from pipeline.engine.runtime.runtime import Runtime
from pipeline.engine.runtime.shards import Shards
from pipeline.networks.dropout import DropoutState
from pipeline.networks.inits import lr_multipliers
from pipeline.networks.transformer import Block
from pipeline.params.errors import UserError
from pipeline.params.model import Model
from pipeline.params.training import Train
from pipeline.tasks.base import Batch, Loss, Task


def fit_sharded(
    progress: Progress, task: Task, model: Model, train: Train, seed: int, runtime: Runtime, callback: Follower
) -> None:
    """`fit`, with the state sharded over all processes of the training, which start from the same.

    After a return and when `Interrupted` is raised the state is whole again in the first process; in the others it is empty.

    Raises:
        UserError: something of this training cannot be sharded.
        Interrupted: a stop was requested.
        ProcessLost: another process has ended.
    """
    company = runtime.company
    assert isinstance(company, Shards)
    _check(task, train, runtime)
    training = _ShardedTraining(progress, task, model, train, runtime, company)
    asked = None
    with company.talking():
        try:
            fit(progress, training.task, train, seed, runtime, _Gathering(callback, training))
        except Interrupted as interrupted:
            asked = interrupted
    training.gather()
    if asked:
        raise asked


def _check(task: Task, train: Train, runtime: Runtime) -> None:
    """What the knobs alone do not tell (see params/schema.py).

    Raises:
        UserError: it cannot be sharded.
    """
    if runtime.precision == "float16":
        raise UserError("runtime.shard: true does not scale losses, as train.precision float16 needs; use bfloat16 or float32")
    size, examples = runtime.company.size, len(validation_examples(task.size("validation"), train.validation_examples))
    if train.validation_points and examples < size:
        raise UserError(
            f"runtime.shard: true validates on an example in each of {size} processes at least; there"
            f" {'are' if examples > 1 else 'is'} {examples}. Use more, or train.validation_points 0"
        )


class Named(nn.Module):
    """Parameters by the names that they have in a network, in place of the network itself."""

    def __init__(self, parameters: Mapping[str, nn.Parameter]) -> None:
        super().__init__()
        self.by_name = dict(parameters)

    def named_parameters(self, *arguments: Any, **options: Any) -> Iterator[tuple[str, nn.Parameter]]:
        return iter(self.by_name.items())


class Rows(nn.Parameter):
    """The own rows of a weight: they share memory with those that FSDP gathers, and their gradient is what it leaves.

    Args:
        sharded: the weight as FSDP has it, a DTensor.
    """

    def __new__(cls, sharded: Any) -> Rows:
        found: Rows = nn.Parameter.__new__(cls, sharded._local_tensor, sharded.requires_grad)
        return found

    def __init__(self, sharded: Any) -> None:
        self.sharded = sharded
        self.summed: Tensor | None = None

    @property
    def grad(self) -> Tensor | None:
        """That of the passes since it was set to None, summed over the processes; or what it was set to."""
        if self.summed is not None or self.sharded.grad is None:
            return self.summed
        found: Tensor = self.sharded.grad._local_tensor
        return found

    @grad.setter
    def grad(self, gradient: Tensor | None) -> None:
        self.summed, self.sharded.grad = gradient, None


class _WithLoss(nn.Module):
    """A network with the loss of a task as its forward pass, so that all of the network runs in one call that FSDP sees."""

    def __init__(self, network: nn.Module, task: Task) -> None:
        super().__init__()
        self.network, self.of_task = network, task

    def forward(self, batch: Batch, dropout_state: DropoutState | None) -> tuple[Tensor | None, ...]:
        loss = self.of_task.loss(self.network, batch, dropout_state)
        return loss.total, loss.count, loss.correct, loss.objective


class _ShardedTraining:
    """A training of which this process has its rows.

    Args:
        progress: the whole state; from now on its network and optimizer are those of the own rows.

    Attributes:
        task: the same, with a loss that runs the sharded network.
    """

    def __init__(self, progress: Progress, task: Task, model: Model, train: Train, runtime: Runtime, company: Shards) -> None:
        self.progress, self.company = progress, company
        weights = dict(progress.model.named_parameters())
        company.shapes = {name: weight.shape for name, weight in weights.items()}
        trained = {name: weight for name, weight in weights.items() if weight.requires_grad}
        multipliers = lr_multipliers(trained, model, OPTIMIZERS[train.optimizer].update_kind)
        with_loss = _fully_sharded(_WithLoss(progress.model, task), company)
        rows = {name: Rows(weight) for name, weight in progress.model.named_parameters()}
        own: dict[str, nn.Parameter] = {name: row for name, row in rows.items() if row.requires_grad}
        optimizer = optimizer_for(own, train, multipliers, offload=runtime.knobs.offload_optimizer, company=company)
        state = progress.optimizer.state_dict().items()
        optimizer.load_state_dict({name: company.own_rows(t) if company.splits(name, t) else t for name, t in state})
        # What is saved has the names and the form of a training that is not sharded; its numbers come when they are needed.
        self.whole = Named(weights), progress.optimizer
        self.rows = Named(rows), optimizer
        self._empty()
        self.task = copy.copy(task)
        self.task.loss = functools.partial(_loss, with_loss)  # type: ignore[method-assign]

    def gather(self) -> None:
        """Make the state whole in the first process; called by all of them.

        Raises:
            ProcessLost: another process has ended.
        """
        whole = _tensors(*self.whole)
        for name, own in _tensors(*self.rows).items():
            kind, _, key = name.partition(".")
            if kind == "model" or self.company.splits(key, own):
                weight = key if kind == "model" else key.partition(".")[2]
                gathered = self.company.first_gathers(own, self.company.shapes[weight][0])
            else:
                gathered = own.detach().cpu()
            if gathered is not None:
                whole[name].data = gathered
        self.progress.model, self.progress.optimizer = self.whole

    @contextmanager
    def gathered(self) -> Iterator[None]:
        """A block in which the state is whole in the first process; entered by all of them.

        Raises:
            ProcessLost: another process has ended.
        """
        self.gather()
        yield
        self._empty()

    def _empty(self) -> None:
        """Free the whole state, and go on with the own rows."""
        for tensor in _tensors(*self.whole).values():
            tensor.data = tensor.new_empty(0, device="cpu")
        self.progress.model, self.progress.optimizer = self.rows


class _Gathering:
    """The step callback of a sharded training: where another one wants to read weights, it sees the whole state.

    A stop is agreed on before a step, because a process that stopped within one would keep the others waiting.
    """

    def __init__(self, callback: Follower, training: _ShardedTraining) -> None:
        self.callback, self.training = callback, training

    def on_step(self, progress: Progress) -> None:
        company = self.training.company
        if company.any(self.callback.wants_weights(progress)):
            with self.training.gathered():
                self.callback.keep_weights(progress)
        self.callback.report(progress)
        if company.any(self.callback.interrupted()):
            raise Interrupted

    def interrupted(self) -> bool:
        return False


def _fully_sharded(module: nn.Module, company: Shards) -> nn.Module:
    """A module whose weights FSDP has sharded: those of each block are gathered for that block, the others for the whole."""
    from torch.distributed.device_mesh import init_device_mesh  # takes a second, so only when sharding
    from torch.distributed.fsdp import FSDPModule, fully_shard

    mesh = init_device_mesh(company.device.type, (company.size,))
    for part in (*(block for block in module.modules() if isinstance(block, Block)), module):
        # Given back after each forward pass, else one after a validation would find the weights of before an update.
        fully_shard(part, mesh=mesh, reshard_after_forward=True)
        assert isinstance(part, FSDPModule)
        # The sum, because the loss is divided by the count of the whole batch; gloo has no other sum with a factor.
        part.set_force_sum_reduction_for_comms(True)
        part.set_gradient_divide_factor(1.0)
    return module


def _loss(with_loss: nn.Module, network: nn.Module, batch: Batch, dropout_state: DropoutState | None = None) -> Loss:
    """The loss of a task, of the sharded network; `network` has the own rows alone."""
    if dropout_state is not None:
        return Loss(*with_loss(batch, dropout_state))
    # Weights that FSDP first gathers in inference mode could not be trained afterwards.
    with torch.inference_mode(mode=False), torch.no_grad():
        return Loss(*with_loss(batch, None))


def _tensors(model: nn.Module, optimizer: Optimizer) -> dict[str, Tensor]:
    """The weights and the state of an optimizer, themselves."""
    weights = {f"model.{name}": weight for name, weight in model.named_parameters()}
    return weights | {f"optimizer.{name}": tensor for name, tensor in optimizer.state_dict().items()}
