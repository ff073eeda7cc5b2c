"""trackio: one project "rally" in a database file, with each run's knobs as its config, curves and scores as metrics."""

from __future__ import annotations

import os
import sqlite3
from collections import defaultdict
from datetime import UTC, datetime
from functools import cached_property
from typing import TYPE_CHECKING

from pipeline.lab.tracking.base import PROJECT, TrackedRun, Tracker

if TYPE_CHECKING:
    from trackio.sqlite_storage import SQLiteStorage


class Trackio(Tracker):
    """A database file, written as `trackio.import_csv` does, in one transaction and without a server."""

    package = "trackio"
    look = f"TRACKIO_DIR=FOLDER trackio show --project {PROJECT}"

    @cached_property
    def _storage(self) -> type[SQLiteStorage]:
        os.environ["TRACKIO_DIR"] = str(self.folder.resolve())  # read when it is imported, so that it makes no other folder
        from trackio import sqlite_storage

        sqlite_storage.TRACKIO_DIR = self.folder.resolve()  # for where it was imported before
        return sqlite_storage.SQLiteStorage

    def errors(self) -> tuple[type[Exception], ...]:
        return (*super().errors(), sqlite3.Error)

    def written(self) -> set[str]:
        return {str(record["id"]) for record in self._storage.get_run_records(PROJECT)}

    def write(self, run: TrackedRun) -> None:
        rows: dict[int, dict[str, float]] = defaultdict(dict)
        for curve, points in run.curves.items():
            for step, value in points:
                rows[step][curve] = value
        rows[run.last_step] |= {f"score/{score}": value for score, value in run.scores.items()}
        when = datetime.fromtimestamp(run.seconds, UTC).isoformat()
        self._storage.bulk_log(
            PROJECT,
            run.name,
            [rows[step] for step in sorted(rows)],
            sorted(rows),
            [when] * len(rows),
            config={**run.knobs, **run.about, "_Created": when, "_Username": "", "_Group": None},
            run_id=run.key,
        )
