"""Optimizers as their papers write them: one weight after the other, every sequence by its name, in the plainest way."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

Named = dict[str, torch.nn.Parameter]


class Reference:
    """What torch.optim's look like from outside, as far as the tests ask."""

    def __init__(self, weights: Named, **constants: float) -> None:
        self.weights, self.constants = weights, constants
        self.param_groups: list[dict[str, Any]] = [{"lr": 0.0}]
        self.steps = 0

    def step(self) -> None:
        self.steps += 1
        with torch.no_grad():
            for name, weight in self.weights.items():
                assert weight.grad is not None
                decay = self.constants["decay"] if weight.ndim > 1 else 0.0
                now = self.moved(name, weight.numpy().copy(), weight.grad.numpy(), self.param_groups[0]["lr"], decay)
                weight.copy_(torch.from_numpy(now))

    def moved(self, name: str, w: np.ndarray, g: np.ndarray, lr: float, decay: float) -> np.ndarray:
        raise NotImplementedError


class Lion(Reference):
    """Chen et al., 2023, program 1."""

    def __init__(self, weights: Named, **constants: float) -> None:
        super().__init__(weights, **constants)
        self.m = {name: np.zeros(weight.shape) for name, weight in weights.items()}

    def moved(self, name: str, w: np.ndarray, g: np.ndarray, lr: float, decay: float) -> np.ndarray:
        beta1, beta2 = self.constants["beta1"], self.constants["beta2"]
        update = np.sign(g * (1 - beta1) + self.m[name] * beta1)
        self.m[name] = g * (1 - beta2) + self.m[name] * beta2
        return w - lr * (update + w * decay)


class ScheduleFree(Reference):
    """Defazio et al., 2024, algorithm 1, with the bias correction and the weights of schedulefree 1.4; x, y and z apart."""

    def __init__(self, weights: Named, **constants: float) -> None:
        super().__init__(weights, **constants)
        self.z = {name: weight.detach().numpy().copy() for name, weight in weights.items()}
        self.x: dict[str, Any] = {name: weight.detach().clone() for name, weight in weights.items()}
        self.v = {name: np.zeros(weight.shape) for name, weight in weights.items()}
        self.rates: list[float] = []

    def step(self) -> None:
        self.rates.append(max([*self.rates, self.param_groups[0]["lr"]]))
        super().step()

    def moved(self, name: str, w: np.ndarray, g: np.ndarray, lr: float, decay: float) -> np.ndarray:
        beta1, beta2, epsilon = self.constants["beta1"], self.constants["beta2"], self.constants["epsilon"]
        self.v[name] = beta2 * self.v[name] + (1 - beta2) * g**2
        direction = g / (np.sqrt(self.v[name] / (1 - beta2**self.steps)) + epsilon)
        self.z[name] = self.z[name] - lr * (direction + decay * w)
        total = sum(rate**2 for rate in self.rates)
        c = self.rates[-1] ** 2 / total if total else 0.0
        self.x[name] = (1 - c) * self.x[name] + c * torch.from_numpy(self.z[name])
        return (1 - beta1) * self.z[name] + beta1 * self.x[name].numpy()


class Soap(Reference):
    """Vyas et al., 2024, algorithms 3 and 4, with AdamW's bias correction; the first gradient only sets the eigenvectors."""

    def __init__(self, weights: Named, **constants: float) -> None:
        super().__init__(weights, **constants)
        self.memory: dict[str, dict[str, np.ndarray]] = {}
        for name, weight in weights.items():
            rows, columns = weight.shape if weight.ndim == 2 else (len(weight), 1)
            self.memory[name] = {"M": np.zeros((rows, columns)), "V": np.zeros((rows, columns))}
            self.memory[name] |= {"L": np.zeros((rows, rows)), "R": np.zeros((columns, columns))}
            self.memory[name] |= {"QL": np.eye(rows), "QR": np.eye(columns)}

    def moved(self, name: str, w: np.ndarray, g: np.ndarray, lr: float, decay: float) -> np.ndarray:
        shape, beta1, beta2 = w.shape, self.constants["beta1"], self.constants["beta2"]
        kept, w, g = self.memory[name], w.reshape(len(w), -1), g.reshape(len(g), -1)
        sides = "" if len(shape) < 2 else "R" if name.startswith(("embedding", "head")) else "LR"
        t = self.steps - 1 if sides else self.steps
        w = w * (1 - lr * decay)
        if t:
            rotated = kept["QL"].T @ g @ kept["QR"]
            kept["M"] = beta1 * kept["M"] + (1 - beta1) * g
            kept["V"] = beta2 * kept["V"] + (1 - beta2) * rotated**2
            mean = kept["QL"].T @ kept["M"] @ kept["QR"] / (1 - beta1**t)
            n = mean / (np.sqrt(kept["V"] / (1 - beta2**t)) + self.constants["epsilon"])
            w = w - lr * kept["QL"] @ n @ kept["QR"].T
        for side in sides:
            new = g @ g.T if side == "L" else g.T @ g
            kept[side] = beta2 * kept[side] + (1 - beta2) * new
            if t in (0, self.constants["every"]):
                kept[f"Q{side}"] = np.linalg.eigh(kept[side])[1][:, ::-1]
            elif t % self.constants["every"] == 0:
                kept[f"Q{side}"] = np.linalg.qr(kept[side] @ kept[f"Q{side}"])[0]
        return w.reshape(shape)
