"""TensorBoard: a folder for each run, with its curves and scores as scalars and its knobs for the tab HParams."""

from __future__ import annotations

import re
import shutil

from pipeline.lab.tracking.base import TrackedRun, Tracker

LONGEST_KEY = 12  # letters of a key in the name of a folder
UNFINISHED = ".unfinished"


class TensorBoard(Tracker):
    """Files of events, by the writer that torch has for them; TensorBoard keeps values as float32."""

    package = "tensorboard"
    look = "tensorboard --logdir FOLDER"

    def written(self) -> set[str]:
        return {path.name.rpartition("-")[2] for path in self.folder.iterdir() if path.is_dir() and path.suffix != UNFINISHED}

    def write(self, run: TrackedRun) -> None:
        from torch.utils.tensorboard.summary import hparams
        from torch.utils.tensorboard.writer import SummaryWriter

        name = "-".join((re.sub(r"[^\w.-]+", "-", run.name), run.key[:LONGEST_KEY]))
        folder = self.folder / f"{name}{UNFINISHED}"
        shutil.rmtree(folder, ignore_errors=True)  # of a call that was killed
        with SummaryWriter(str(folder)) as writer:
            for curve, points in run.curves.items():
                for step, value in points:
                    writer.add_scalar(curve, value, step, walltime=run.seconds, new_style=True)
            scores = {f"score/{score}": value for score, value in run.scores.items()}
            for score, value in scores.items():
                writer.add_scalar(score, value, run.last_step, walltime=run.seconds, new_style=True)
            knobs = {knob: value if value is not None else "null" for knob, value in run.knobs.items()}
            for summary in hparams(knobs, scores):
                writer._get_file_writer().add_summary(summary, walltime=run.seconds)
            writer.add_text("about", "\n\n".join(f"{key}: {value}" for key, value in run.about.items()), walltime=run.seconds)
        folder.rename(self.folder / name)
