"""Optimizers by name: what a gradient does to the weights.

Most are written out, for three reasons. They are what the lab is about, so they should be readable; the first step of
anything in torch.optim imports a compiler (1.5 s, as long as a small training); and their whole memory is a flat dict of
tensors, which a checkpoint keeps without pickle. tests/test_optimizers.py holds them to torch.optim's, and to what
their authors published.
"""

from __future__ import annotations

from pipeline.engine.optimizers.adaptive import SGD, Adam, AdamW, Lion, ScheduleFree
from pipeline.engine.optimizers.base import GroupedOptimizer, LrMultipliers, Named, Optimizer
from pipeline.engine.optimizers.ema import EMA
from pipeline.engine.optimizers.matrix import SOAP, Muon
from pipeline.engine.optimizers.torch_optim import Adafactor, TorchOptimizer
from pipeline.params.training import Train


def optimizer_for(parameters: Named, train: Train, rates: LrMultipliers, *, offload: bool = False) -> Optimizer:
    """The optimizer that the knobs describe, with the average that they want of the weights.

    Args:
        rates: by parameter, its learning rate as a multiple of `lr`; 1 where it has no entry.
        offload: keep its memory on the CPU between updates.
    """
    optimizer = OPTIMIZERS[train.optimizer](parameters, train, rates)
    if offload:
        optimizer.send_away()
    return EMA(optimizer, parameters, train.ema) if train.ema else optimizer


OPTIMIZERS: dict[str, type[GroupedOptimizer | TorchOptimizer]] = {
    "muon": Muon,
    "adamw": AdamW,
    "adam": Adam,
    "sgd": SGD,
    "lion": Lion,
    "adafactor": Adafactor,
    "soap": SOAP,
    "schedule_free": ScheduleFree,
}
