"""Optimizers by the names that the knob `train.optimizer` has for them.

Most are written out, for three reasons: they are meant to be read; the first step of any optimizer of torch.optim
imports a compiler (1.5 s, as long as a small training); and their whole state is a flat dict of tensors, which a
checkpoint stores without pickle. tests/test_optimizers.py compares them with torch.optim and with their authors' code.
"""

from __future__ import annotations

from pipeline.engine.optimizers.adaptive import SGD, Adam, AdamW, Lion, ScheduleFree
from pipeline.engine.optimizers.base import GroupedOptimizer, LrMultipliers, Named, Optimizer
from pipeline.engine.optimizers.ema import EMA
from pipeline.engine.optimizers.matrix import SOAP, Muon
from pipeline.engine.optimizers.torch_optim import Adafactor, TorchOptimizer
from pipeline.engine.runtime.company import ALONE, Company
from pipeline.params.training import Train


def optimizer_for(
    parameters: Named, train: Train, lr_multipliers: LrMultipliers, *, offload: bool = False, company: Company = ALONE
) -> Optimizer:
    """The optimizer that the knobs describe, with an average of the weights if `train.ema` is set.

    Args:
        lr_multipliers: by parameter, the factor on `lr`; 1 where it has no entry.
        offload: keep its state on the CPU between updates.
        company: the processes that make the same update, which may share the work.
    """
    optimizer = OPTIMIZERS[train.optimizer](parameters, train, lr_multipliers)
    optimizer.company = company
    if offload:
        optimizer.offload()
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
