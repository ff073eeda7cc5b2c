"""The trackers of `rally track --to`."""

from __future__ import annotations

from pipeline.lab.tracking.base import Tracker
from pipeline.lab.tracking.mlflow import MLflow
from pipeline.lab.tracking.tensorboard import TensorBoard
from pipeline.lab.tracking.trackio import Trackio

TRACKERS: dict[str, type[Tracker]] = {
    "tensorboard": TensorBoard,
    "mlflow": MLflow,
    "trackio": Trackio,
}
