"""MLflow: one experiment "rally" in a database file, with each run's knobs as params, curves and scores as metrics."""

from __future__ import annotations

import logging
import os
from functools import cached_property
from typing import TYPE_CHECKING

from pipeline.lab.tracking.base import PROJECT, TrackedRun, Tracker, batches

if TYPE_CHECKING:
    from mlflow import MlflowClient

KEY = "rally.key"  # the tag by which a run is found again
MOST_METRICS, MOST_PARAMS, MOST_TAGS = 1000, 100, 100  # that MLflow takes in one call
LONGEST = 6000  # characters of a param


class MLflow(Tracker):
    """A database file, since MLflow's plain folders are no longer kept up."""

    package = "mlflow"
    look = "mlflow ui --backend-store-uri sqlite:///FOLDER/mlflow.db"

    @cached_property
    def _client(self) -> MlflowClient:
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        logging.getLogger("mlflow").setLevel(logging.WARNING)
        logging.getLogger("alembic").setLevel(logging.WARNING)
        from mlflow import MlflowClient

        return MlflowClient(f"sqlite:///{self.folder.resolve()}/mlflow.db")

    @cached_property
    def _experiment(self) -> str:
        """The id of the experiment."""
        if found := self._client.get_experiment_by_name(PROJECT):
            return str(found.experiment_id)
        return str(self._client.create_experiment(PROJECT, (self.folder.resolve() / "artifacts").as_uri()))

    def errors(self) -> tuple[type[Exception], ...]:
        from mlflow.exceptions import MlflowException
        from sqlalchemy.exc import SQLAlchemyError

        return (*super().errors(), MlflowException, SQLAlchemyError)

    def written(self) -> set[str]:
        found, page = set[str](), None
        while True:
            runs = self._client.search_runs([self._experiment], page_token=page)
            for run in runs:
                if run.info.status == "FINISHED":
                    found.add(run.data.tags.get(KEY, ""))
                else:  # of a call that was killed
                    self._client.delete_run(run.info.run_id)
            if not (page := runs.token):
                return found

    def write(self, run: TrackedRun) -> None:
        from mlflow.entities import Metric, Param, RunTag

        when = int(run.seconds * 1000)
        tags = {KEY: run.key, **run.about}
        made = self._client.create_run(self._experiment, start_time=when, run_name=run.name).info.run_id
        metrics = [Metric(curve, value, when, step) for curve, points in run.curves.items() for step, value in points]
        metrics += [Metric(f"score/{score}", value, when, run.last_step) for score, value in run.scores.items()]
        params = [Param(knob, ("null" if value is None else str(value))[:LONGEST]) for knob, value in run.knobs.items()]
        for some in batches(metrics, MOST_METRICS):
            self._client.log_batch(made, metrics=some)
        for some_params in batches(params, MOST_PARAMS):
            self._client.log_batch(made, params=some_params)
        self._client.log_batch(made, tags=[RunTag(key, value) for key, value in tags.items()])
        self._client.set_terminated(made, "FINISHED", when)
