"""What a patient of the doctor's trial leaves: a training of seconds, with whatever was spoilt in it, and its readings."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from pydoc_data.topics import topics
from typing import Any

from torch import Tensor

from pipeline.artifacts.checksums import sha256_of
from pipeline.artifacts.paths import TOKENS, private_folder, tokenizer_of
from pipeline.artifacts.writing import write_text
from pipeline.doctor.case import Case
from pipeline.engine.checkpoint import Progress
from pipeline.engine.loop import fit
from pipeline.engine.recorder import metrics_of, snapshots_due
from pipeline.engine.runtime.runtime import Runtime
from pipeline.engine.sanity import numbers_at_start
from pipeline.engine.setup import build_training
from pipeline.engine.update_norms import UpdateNorms
from pipeline.evaluation.baselines import by_counting, entropy
from pipeline.evaluation.contamination import overlap
from pipeline.identity import digest, read_cached, run_identity, write_cached
from pipeline.inference.trained import Subject
from pipeline.lab.doctor.cases import MANUAL, Patient
from pipeline.lab.faults import faults
from pipeline.lab.faults.faults import FAULTS, Training
from pipeline.lab.studies.sweep import tokens_for
from pipeline.params.schema import Params
from pipeline.params.yaml12 import read_yaml
from pipeline.probes.table import readings_of
from pipeline.readings import from_json
from pipeline.tasks.lm import LanguageModelling
from pipeline.tokenizers.table import load as load_tokenizer


class Weights:
    """Told of a training at every step, it keeps the weights at its snapshots, and how far the step behind each moves them."""

    def __init__(self, params: Params) -> None:
        self.due = snapshots_due(params.train)
        self.update_norms = UpdateNorms(self.due, params.train.steps)
        self.kept: dict[int, dict[str, Tensor]] = {}

    def on_step(self, progress: Progress) -> None:
        self.update_norms.on_step(progress)
        if progress.step in self.due or progress.diverged:
            with progress.optimizer.eval_weights():
                self.kept[progress.step] = {name: w.detach().clone() for name, w in progress.model.named_parameters()}

    def interrupted(self) -> bool:
        return False


def write_manual(folder: Path) -> None:
    """The reference of the Python language as text."""
    if not (file := folder / "manual.txt").exists():
        write_text(file, "\n".join(text for _, text in sorted(topics.items())))


def data_for(patients: Iterable[Patient], standing: Mapping[str, Any]) -> None:
    """See that the tokens of all are there, before many processes want them at once."""
    write_manual(Path(MANUAL))
    wanted = (patient.params(standing) for patient in patients)
    for params in {str((params.prepare, params.tokenize)): params for params in wanted}.values():
        tokens_for(params)


def case_of(patient: Patient, standing: Mapping[str, Any]) -> Case:
    """What the patient leaves for the doctor: as it was kept, or from a training now."""
    params = patient.params(standing)
    tokens = tokens_for(params)
    kept = private_folder("trial") / f"{_identity(params, patient.fault, tokens)}.json"
    if (told := read_cached(kept)) is not None:
        return _read(told)
    case = _train(params, patient.fault, tokens)
    write_cached(kept, asdict(case))
    return case


def _identity(params: Params, fault: str, tokens: Path) -> str:
    """Of all that the case hangs on: knobs, data, the code of training and probing, and that of the fault."""
    described = params.model_dump(include={"seed", "task", "model", "train"})
    trained = run_identity("train", described, {str(TOKENS): tokens})
    stages = read_yaml(Path("dvc.yaml"))["stages"]
    code = sorted(dep for dep in stages["probe"]["deps"] if str(dep).startswith("pipeline"))
    probed = {dep: sha256_of(Path(dep)) for dep in [*code, "pipeline/evaluation/contamination.py"]}
    spoilt = [fault, sha256_of(Path(faults.__file__))] if fault else []
    return digest({"trained": trained, "probed": probed, "spoilt": spoilt})[:32]


def _train(params: Params, fault: str, tokens: Path) -> Case:
    runtime = Runtime(params.runtime, params.train.precision)
    progress, task = build_training(params.seed, params.task.kind, params.model, params.train, tokens, runtime)
    assert isinstance(task, LanguageModelling)
    if fault:
        FAULTS[fault].break_it(Training(params, progress, task))
    sanity = numbers_at_start(progress.model, task)
    keeper = Weights(params)
    fit(progress, task, params.train, params.seed, runtime, keeper)
    readings = readings_of(_subjects(params, progress, task, runtime, keeper, tokens))
    readings.pop("attention", None)
    return Case(
        train=_columns(progress.curve),
        validation=_columns(progress.validations),
        progress=metrics_of(progress, task.unit),
        sanity=sanity,
        levels=_levels(tokens) | {"overlap": overlap(task.ids("train"), task.ids("validation"))},
        readings=readings,
        knobs=params.model_dump(include={"model", "train", "probe"}),
    )


def _subjects(
    params: Params, progress: Progress, task: LanguageModelling, runtime: Runtime, keeper: Weights, tokens: Path
) -> Iterator[Subject]:
    """The network, with whatever was spoilt in it, at each of its snapshots."""
    own = dict(progress.model.named_parameters())
    tokenizer = load_tokenizer(tokenizer_of(tokens))
    plain = Runtime(params.runtime)  # probes look in float32
    for step, weights in sorted(keeper.kept.items()):
        for name, weight in own.items():
            weight.data.copy_(weights[name])
        updates = progress.updates.get(step, {})
        yield Subject(
            progress.model, task, tokenizer, plain, step, params.probe.sequences, params.probe.toy_text, updates=updates
        )


def _columns(rows: list[dict[str, float]]) -> dict[str, list[float | None]]:
    return {name: [row[name] for row in rows] for name in (rows[0] if rows else ())}


def _levels(tokens: Path) -> dict[str, float]:
    """Nats a token of simpler predictors on the validation split, measured once for the same tokens."""
    kept = private_folder("trial") / "levels" / f"{sha256_of(tokens)[:32]}.json"
    if (told := read_cached(kept)) is None:
        scores = [*by_counting(2, tokens), *entropy(tokens)]
        told = {score.name: score.loss for score in scores if score.split == "validation"}
        write_cached(kept, told)
    return {name: float(loss) for name, loss in told.items()}


def _read(content: dict[str, Any]) -> Case:
    return Case(**{**content, "readings": {name: from_json(reading) for name, reading in content["readings"].items()}})
