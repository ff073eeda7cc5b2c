"""Digests of what a claim rests on: the code that its runs are made by, their knobs and data, the measures, the statistics.

Of trainings the code is that of the stages prepare, tokenize and train (their deps in dvc.yaml, as run_identity has
them), and what the record of a run is made by besides. Of a bench it is every module that its own one imports.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from pipeline.artifacts.checksums import sha256_of
from pipeline.artifacts.paths import NONE
from pipeline.identity import digest
from pipeline.lab.claim_files.definition import DATA, Definition, value_at, varied_knobs
from pipeline.lab.claim_files.form import Rests, Runs
from pipeline.lab.provenance.dvc_files import declared_stage, parse_stages
from pipeline.lab.studies.benches.table import BENCHES
from pipeline.lab.studies.measures.metrics import MEASURES
from pipeline.lab.studies.recipes import reset_overrides
from pipeline.params.load import with_knobs

LENGTH = 12  # hexadecimal digits of a digest in a claim file
STAGES = ("prepare", "tokenize", "train")
TRAINED = ("task", "model", "train")  # the sections that a training reads
STUDIES = Path("pipeline/lab/studies")
RECORDS = (Path("pipeline/lab/training"), STUDIES / "runs/run_variant.py")
READERS = (Path("pipeline/probes"), STUDIES / "measures/network_metrics.py")
FAULTS = Path("pipeline/lab/faults")
STATISTICS = (Path("pipeline/lab/statistics"), STUDIES / "claims")
UNFOLLOWED = (
    "pipeline/params",
    "pipeline/artifacts",
    "pipeline/progress.py",
)  # they check, read and write
IMPORT = re.compile(
    r"^[ \t]*(?:from[ \t]+(pipeline[\w.]*)[ \t]+import[ \t]+(\([^)]*\)|[^\n#]*)|import[ \t]+(pipeline[\w.]*))", re.MULTILINE
)


class Digests:
    """Digests of the files of the project in the working directory; each file is read once."""

    def __init__(self) -> None:
        self._of: dict[Path, str] = {}
        self._closures: dict[Path, frozenset[Path]] = {}
        self._entries: dict[str, str] = {}
        stages = parse_stages(Path("dvc.yaml").read_bytes(), declared_stage)
        deps = (dep for stage in STAGES for dep in (stages[stage].deps if stage in stages else ()))
        self._deps = sorted({Path(dep) for dep in deps if str(dep).startswith("pipeline/")})

    def of(self, path: Path) -> str:
        """The digest of a file or folder; "" where there is none."""
        if path not in self._of:
            self._of[path] = sha256_of(path)[:LENGTH] if path.exists() else ""
        return self._of[path]

    def paths(self, runs: Runs) -> dict[str, list[Path]]:
        """The code that the values of a grid are made by: a file or room -> what counts of it."""
        if runs.bench and runs.bench not in BENCHES:
            return {}
        if runs.bench:
            rooms: dict[str, list[Path]] = {}
            for path in sorted(self.closure(Path(*BENCHES[runs.bench].__module__.split(".")).with_suffix(".py"))):
                rooms.setdefault(path.parent.as_posix(), []).append(path)
            return rooms
        readers = READERS if any(MEASURES[name].network_metric for name in runs.measure if name in MEASURES) else ()
        faults = (FAULTS,) if "fault" in {*runs.set, *varied_knobs(runs.vary)} else ()
        return {path.as_posix(): [path] for path in sorted((*self._deps, *RECORDS, *readers, *faults))}

    def code(self, runs: Runs) -> dict[str, str]:
        """The same, each with its digest."""
        return {
            room: self.of(Path(room)) if paths == [Path(room)] else self._of_some(paths)
            for room, paths in self.paths(runs).items()
        }

    def _of_some(self, paths: Iterable[Path]) -> str:
        return digest([(path.as_posix(), self.of(path)) for path in paths])[:LENGTH]

    def closure(self, module: Path) -> frozenset[Path]:
        """The modules that run when one does: itself, and what it and they import, also inside functions."""
        if module not in self._closures:
            todo, found = [module], {module}
            while todo:
                for name in imported(todo.pop()):
                    if name not in found and not name.as_posix().startswith(UNFOLLOWED):
                        found.add(name)
                        todo.append(name)
            self._closures[module] = frozenset(found)
        return self._closures[module]

    def measures(self, names: Iterable[str]) -> str:
        """The digest of how these measures are computed of a run: their lines in the table, and the functions in it."""
        folder = STUDIES / "measures"
        if not self._entries:
            self._entries = _entries_of((folder / "metrics.py").read_text(encoding="utf-8"), "MEASURES")
        return digest([self.of(folder / "record.py"), *(self._entries.get(name) for name in names)])[:LENGTH]

    def statistics(self) -> str:
        """The digest of the code that judges values."""
        return digest([self.of(path) for path in STATISTICS])[:LENGTH]

    def rests(self, study: Definition, base: Mapping[str, Any]) -> Rests:
        """What a claim on a study rests on today.

        Args:
            base: the sections of parameters that the study overrides.

        Raises:
            ParamsError: a knob leads through something that is not a section.
        """
        runs = study.runs
        gone = dict.fromkeys(("seed", *(("prepare.seed",) if runs.draws == "seed" else ()), *varied_knobs(runs.vary)))
        sections = with_knobs(base, {**reset_overrides(study.entry, {}, base), **runs.set, **gone})
        reads: tuple[str, ...] = TRAINED
        if runs.bench:
            reads = BENCHES[runs.bench].reads if runs.bench in BENCHES else ()
        elif any(MEASURES[name].network_metric for name in runs.measure if name in MEASURES):
            reads = (*TRAINED, "probe")
        data = {} if runs.bench else {section: sections.get(section) for section in DATA}
        files = [
            self.of(path)
            for section in ("prepare", "tokenize")
            if (path := Path(str((data.get(section) or {}).get("path") or NONE))) != NONE
        ]
        return Rests(
            study=study.place,
            knobs=digest([value_at(sections, name) for name in reads])[:LENGTH],
            data=digest([data, files])[:LENGTH] if data else "",
            code=self.code(runs),
            measures=self.measures(runs.measure),
            statistics=self.statistics(),
            torch=torch_version(),
        )


def torch_version() -> str:
    """The version of torch that is installed."""
    return version("torch")


def imported(module: Path) -> set[Path]:
    """The files under pipeline/ that a module imports."""
    found = set()
    for line in IMPORT.finditer(module.read_text(encoding="utf-8")):
        package, words, plain = line.groups()
        whole = [plain] if plain else [package, *(f"{package}.{name}" for name in re.findall(r"\w+", words))]
        paths = (Path(*name.split(".")).with_suffix(".py") for name in whole)
        found |= {path for path in paths if path.is_file()}
    return found


def _entries_of(source: str, table: str) -> dict[str, str]:
    """The source of each entry of a table, without its layout."""
    for node in ast.parse(source).body:
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.target.id == table:
            assert isinstance(node.value, ast.Dict)
            pairs = zip(node.value.keys, node.value.values, strict=True)
            return {str(key.value): ast.dump(value) for key, value in pairs if isinstance(key, ast.Constant)}
    return {}
