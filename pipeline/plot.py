"""The stage plot: metrics -> plots/report.html, plots/doctor.png, plots/pictures/*.png."""

from __future__ import annotations

import os
import sys
from pathlib import Path

if __name__ == "__main__" and not __package__:  # run as a file (an editor's Run button): start again as dvc.yaml does
    os.chdir(Path(__file__).absolute().parents[1])
    os.execv(sys.executable, [sys.executable, "-m", "pipeline.plot", *sys.argv[1:]])

from pipeline.params.entry_point import entry_point
from pipeline.params.load import load


@entry_point
def main() -> None:
    """Draw every curve and reading of the run, and write the report."""
    params = load()
    from pipeline.artifacts.paths import DIAGNOSIS_PICTURE, PICTURES, REPORT
    from pipeline.artifacts.writing import write_bytes, write_text
    from pipeline.figures.pictures import DOCTOR, pictures
    from pipeline.figures.report import page
    from pipeline.figures.run import read_run
    from pipeline.params.machine import cores

    knobs = {
        "task": params.task,
        "prepare": params.prepare,
        "tokenize": params.tokenize,
        "model": params.model,
        "train": params.train,
        "evaluate": params.evaluate,
        "probe": params.probe,
    }
    run = read_run()
    for name, picture in pictures(run, params.plot.dpi, cores()).items():
        write_bytes(DIAGNOSIS_PICTURE if name == DOCTOR else PICTURES / f"{name}.png", picture)
    shown = {"seed": {"seed": params.seed}} | {section: values.model_dump() for section, values in knobs.items()}
    write_text(REPORT, page(run, shown))
    print(f"{REPORT}: the run on one page; {PICTURES}: its pictures")


if __name__ == "__main__":
    main()
