"""Device, precision and threads of a run: the only file that knows them. In float32 on a CPU nothing extra is done."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import Any

import torch
from torch import nn

from pipeline.engine.runtime.company import Company
from pipeline.engine.runtime.shards import Shards
from pipeline.engine.runtime.tuned import tuned_for
from pipeline.engine.runtime.waiting import adapt_waiting
from pipeline.networks.attention import Kernel
from pipeline.params import stages, training
from pipeline.params.errors import UserError
from pipeline.params.machine import cores
from pipeline.processes import ALONE, Crew
from pipeline.tasks.base import Batch

PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


class Runtime:
    """A device and a precision, set up so that the same run gives the same bytes.

    Args:
        knobs: the section `runtime`.
        precision: the knob `train.precision`; weights and optimizer state are float32 in any case.
        slots: the knob `train.slots`, among which the cores are divided.
        crew: the processes of this training.

    Attributes:
        company: through which they add their gradients.

    Raises:
        UserError: this machine does not have the device.
        ProcessLost: another process of the training has ended.
    """

    def __init__(self, knobs: stages.Runtime, precision: str = "float32", slots: int = 1, crew: Crew = ALONE) -> None:
        self.knobs = knobs
        self.device = torch.device(_device(knobs.device))
        # Measured settings take precedence over the defaults.
        self.tuned = tuned_for(self.device.type)
        fastest = self.tuned.precision if self.tuned else _fastest_precision(self.device)
        self.precision = precision if precision != "auto" else fastest
        self.dtype = PRECISIONS[self.precision]
        self.attention: Kernel = knobs.attention
        if self.attention == "auto" and self.tuned and self.precision == self.tuned.precision:
            self.attention = self.tuned.attention
        # By the number of slots, not of processes, because another number of threads rounds differently.
        torch.set_num_threads(knobs.threads or max((self.tuned.threads if self.tuned else cores()) // slots, 1))
        if self.device.type == "cpu":
            adapt_waiting()
        torch.set_flush_denormal(True)  # denormal numbers make a CPU a hundred times slower
        if self.device.type == "cuda":
            os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # cuBLAS is deterministic only with a fixed workspace
            torch.backends.cudnn.allow_tf32 = False  # float32 means float32, for convolutions as for matrix products
            if crew.place.size > 1:  # what `cuda` means in this process
                torch.cuda.set_device(crew.place.local_rank % torch.cuda.device_count())
        # What torch.use_deterministic_algorithms calls, without its import of the compiler, which takes 2.3 s at every start.
        # With warn_only fused attention would take a nondeterministic algorithm; on MPS many operations have no other.
        torch._C._set_deterministic_algorithms(True, warn_only=self.device.type == "mps")
        deterministic: Any = torch.utils.deterministic  # not in torch's type hints
        deterministic.fill_uninitialized_memory = False  # no code here reads uninitialized memory
        self.company = (Shards if knobs.shard and crew.place.size > 1 else Company)(crew.place, self.device, crew.check)

    def __str__(self) -> str:
        threads = torch.get_num_threads()
        return f"{self.device.type}, {self.precision}, {threads} thread{'s' if threads > 1 else ''}, attention {self.attention}"

    def autocast(self) -> contextlib.AbstractContextManager[Any]:
        """A context with matrix products in the chosen precision; does nothing in float32."""
        if self.dtype == torch.float32:
            return contextlib.nullcontext()
        return torch.autocast(self.device.type, self.dtype)

    @contextlib.contextmanager
    def enough_memory(self) -> Iterator[None]:
        """A context that turns running out of memory into advice.

        Raises:
            UserError: memory ran out; says which knobs reduce it.
        """
        try:
            yield
        except RuntimeError as error:
            if isinstance(error, torch.OutOfMemoryError) or "DefaultCPUAllocator" in str(error):
                raise UserError(
                    f"train: the network and a batch need more memory than the device '{self.device}' has;"
                    f" to reduce it, cheapest first: {', '.join(self._remedies())}"
                ) from None
            raise

    def _remedies(self) -> list[str]:
        """What reduces memory and is not used yet: first what costs next to nothing, then time, then the result."""
        knobs = self.knobs
        finer = "a smaller runtime.micro_batch_tokens" if knobs.micro_batch_tokens else "a larger train.accumulation_steps"
        remedies = {
            finer: True,
            "runtime.loss_chunk_size=1024": not knobs.loss_chunk_size or knobs.loss_chunk_size > 1024,
            "runtime.activation_checkpointing=selective": knobs.activation_checkpointing == "none"
            and not knobs.offload_activations,
            "runtime.offload_optimizer=true": self.device.type != "cpu" and not knobs.offload_optimizer,
            "runtime.activation_checkpointing=block": knobs.activation_checkpointing != "block",
            "runtime.offload_activations=true": self.device.type != "cpu" and not knobs.offload_activations,
            "a smaller train.batch_size, model.context_length, model.width or model.depth": True,
        }
        return [remedy for remedy, helps in remedies.items() if helps]

    def micro_batch_size(self, train: training.Train, whole: int, length: int) -> int:
        """The largest micro-batch of examples of `length` tokens, in examples.

        It is bounded by tokens: runtime.micro_batch_tokens, or those of a micro-batch of whole examples (`whole` tokens).
        """
        tokens = self.knobs.micro_batch_tokens or train.batch_size // train.accumulation_steps * whole
        return max(tokens // length, 1)

    def pin(self, batch: Batch) -> Batch:
        """A batch in pinned memory, from which a CUDA device copies without blocking the host."""
        return batch.pinned() if self.device.type == "cuda" else batch

    def batch_to_device(self, batch: Batch) -> Batch:
        """A batch on the device."""
        return batch if self.device.type == "cpu" else batch.to(self.device)

    def network_to_device(self, network: nn.Module) -> nn.Module:
        """A network on the device."""
        return network if self.device.type == "cpu" else network.to(self.device)

    def scaler(self) -> Scaler:
        """The loss scaler for the precision."""
        return Scaler(enabled=self.dtype == torch.float16)


class Scaler:
    """Dynamic loss scaling for float16: the loss is multiplied before backward, the gradients divided after it.

    Off in every other precision (the scale is 1). Its state is part of a checkpoint.

    Source: Micikevicius et al., "Mixed Precision Training", 2017.
    """

    PATIENCE = 2000  # finite steps before a larger scale is tried

    def __init__(self, enabled: bool) -> None:
        self.enabled = enabled
        self.scale = 2.0**16 if enabled else 1.0
        self.finite_steps = 0

    def unscale(self, model: nn.Module) -> bool:
        """Divide the gradients by the scale; whether they are finite, so that the optimizer may step."""
        if not self.enabled:
            return True
        gradients = [parameter.grad for parameter in model.parameters() if parameter.grad is not None]
        torch._foreach_mul_(gradients, 1 / self.scale)
        finite = bool(torch.isfinite(torch.stack(torch._foreach_norm(gradients)).sum()))
        self.finite_steps = self.finite_steps + 1 if finite else 0
        if not finite:
            self.scale /= 2
        elif self.finite_steps % self.PATIENCE == 0:
            self.scale *= 2
        return finite


def _device(wanted: str) -> str:
    available = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if wanted == "auto":
        return "cuda" if available["cuda"] else "mps" if available["mps"] else "cpu"
    if not available[wanted]:
        known = ", ".join(device for device, usable in available.items() if usable)
        raise UserError(f"runtime.device: this machine has no '{wanted}'. Available: auto, {known}")
    return wanted


def _fastest_precision(device: torch.device) -> str:
    """bfloat16 if the hardware supports it, float16 on older CUDA GPUs, float32 elsewhere (MPS gains nothing)."""
    if device.type == "cuda":
        return "bfloat16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float16"
    if device.type == "cpu" and (torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()):
        return "bfloat16"  # otherwise it is emulated, five times slower than float32
    return "float32"
