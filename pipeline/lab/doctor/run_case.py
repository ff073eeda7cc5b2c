"""The case that a run of the benchmark leaves for the doctor: a training of seconds, with its fault, and its readings."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from pydoc_data.topics import topics
from typing import Any

from torch import Tensor

from pipeline.artifacts.checksums import sha256_of
from pipeline.artifacts.paths import TOKENS, meta_of, private_folder, tokenizer_of
from pipeline.artifacts.reading import read_json
from pipeline.artifacts.writing import write_text
from pipeline.conformance.checks import CHECKED_STEPS, as_reading, check
from pipeline.conformance.recorded import RecordedLosses
from pipeline.doctor.case import Case
from pipeline.engine.checkpoint import Progress
from pipeline.engine.recorder import metrics_of, snapshots_due
from pipeline.engine.runtime.runtime import Runtime
from pipeline.engine.setup import build_training
from pipeline.engine.update_norms import UpdateNorms
from pipeline.evaluation.baselines import entropy, ngram_scores
from pipeline.evaluation.contamination import overlap
from pipeline.evaluation.material import Text, tokenizer_numbers
from pipeline.identity import digest, read_cached, run_identity, write_cached
from pipeline.inference.trained import TrainedModel
from pipeline.lab.doctor.cases import KNOWN, MANUAL, BenchmarkRun
from pipeline.lab.faults.base import Training
from pipeline.lab.faults.table import FOREIGN
from pipeline.lab.studies.runs.sweep import tokens_folder
from pipeline.lab.training.run_one import SmallRun, run_one
from pipeline.params.schema import Params
from pipeline.params.yaml12 import read_yaml
from pipeline.probes.table import readings_of
from pipeline.readings import from_json
from pipeline.tasks.lm import LanguageModelling
from pipeline.tokenizers.bpe import BpeTokenizer
from pipeline.tokenizers.table import load as load_tokenizer

FAULT_BASE, DRIVER = Path("pipeline/lab/faults/base.py"), Path("pipeline/lab/training")
MATERIAL_CODE = tuple(f"pipeline/evaluation/{name}.py" for name in ("contamination", "material", "ngrams"))
FOREIGN_TOKENS = 512


class SnapshotWeights:
    """Keeps the weights at the snapshots of a training, and how far each step before them moved the weights."""

    def __init__(self, params: Params) -> None:
        self.due = snapshots_due(params.train)
        self.update_norms = UpdateNorms(self.due, params.train.steps)
        self.weights: dict[int, dict[str, Tensor]] = {}

    def on_step(self, progress: Progress) -> None:
        self.update_norms.on_step(progress)
        if progress.step in self.due or progress.diverged:
            with progress.optimizer.eval_weights():
                self.weights[progress.step] = {name: w.detach().clone() for name, w in progress.model.named_parameters()}

    def interrupted(self) -> bool:
        return False


def write_manual(folder: Path) -> None:
    """The reference manual of the Python language as text."""
    if not (file := folder / "manual.txt").exists():
        write_text(file, "\n".join(text for _, text in sorted(topics.items())))


def write_foreign(file: Path) -> None:
    """A tokenizer of the names of all Unicode characters, for the fault that uses it on another text."""
    if not file.exists():
        names = (unicodedata.name(chr(code), "") for code in range(0x20000))
        BpeTokenizer.learn(["\n".join(filter(None, names))], FOREIGN_TOKENS, has_end=True).save(file)


def encode_data_of(runs: Iterable[BenchmarkRun], base_params: Mapping[str, Any]) -> None:
    """Encode the data of all runs, before many processes need it at once."""
    needed = (run.params(base_params) for run in runs)
    for params in {str((params.prepare, params.tokenize)): params for params in needed}.values():
        _write_inputs(params)
        tokens_folder(params)


def _write_inputs(params: Params) -> None:
    """What a run reads that does not come with Rally; to learn the foreign tokenizer takes a second, and one fault needs it."""
    if params.prepare.path == MANUAL:
        write_manual(Path(MANUAL))
    if params.tokenize.path == FOREIGN:
        write_foreign(Path(FOREIGN))


def case_of(run: BenchmarkRun, base_params: Mapping[str, Any]) -> Case:
    """The case of a run: as it was kept, or trained now."""
    params = run.params(base_params)
    _write_inputs(params)
    tokens = tokens_folder(params)
    file = private_folder("trial") / f"{_identity(params, run.fault, tokens)}.json"
    if (kept := read_cached(file)) is not None:
        return _of_json(kept)
    case = _train(params, run.fault, tokens)
    write_cached(file, asdict(case))
    return case


def _identity(params: Params, fault: str, tokens: Path) -> str:
    """A digest of all that the case depends on: knobs, data, the code of training and probing, and that of the faults."""
    described = params.model_dump(include={"seed", "task", "model", "train"})
    trained = run_identity("train", described, {str(TOKENS): tokens})
    stages = read_yaml(Path("dvc.yaml"))["stages"]
    code = sorted(dep for dep in stages["probe"]["deps"] if str(dep).startswith("pipeline"))
    probed = {dep: sha256_of(Path(dep)) for dep in [*code, *MATERIAL_CODE]}
    spoilt = [fault, *map(sha256_of, code_of(fault))] if fault else []
    return digest({"trained": trained, "driver": sha256_of(DRIVER), "probed": probed, "spoilt": spoilt})[:32]


def code_of(fault: str) -> list[Path]:
    """The files that spoil a training, besides its knobs."""
    module = Path(*KNOWN[fault].inject.__module__.split(".")).with_suffix(".py")
    return list(dict.fromkeys((FAULT_BASE, module)))


def _train(params: Params, fault: str, tokens: Path) -> Case:
    run, snapshots = run_one(params, tokens, KNOWN[fault] if fault else None, lambda run: SnapshotWeights(run.params))
    progress, task = run.progress, run.task
    assert isinstance(task, LanguageModelling)
    recorded = RecordedLosses(task, params.train, params.seed, run.progress.curve, run.progress.validations)
    readings = readings_of(recorded.watched(_subjects(run, task, snapshots, tokens)))
    readings.pop("attention", None)
    readings[CHECKED_STEPS] = as_reading(_checked(params, fault, tokens) | recorded.numbers)
    return Case(
        train=_columns(progress.curve),
        validation=_columns(progress.validations),
        progress=metrics_of(progress, task.unit),
        sanity=run.sanity,
        levels=_levels(tokens) | {"overlap": overlap(task.ids("train"), task.ids("validation"))},
        material=_material(task, tokens),
        readings=readings,
        knobs=params.model_dump(include={"model", "train", "probe"}),
    )


def _checked(params: Params, fault: str, tokens: Path) -> dict[str, float]:
    """The numbers of the checked steps: of a second training with the same fault, at its beginning."""
    runtime = Runtime(params.runtime)
    progress, task = build_training(params.seed, params.task.kind, params.model, params.train, tokens, runtime)
    assert isinstance(task, LanguageModelling)
    if fault:
        KNOWN[fault].inject(Training(params, progress, task))
    numbers, _ = check(progress, task, params.model, params.train, params.seed, runtime)
    return numbers


def _subjects(run: SmallRun, task: LanguageModelling, snapshots: SnapshotWeights, tokens: Path) -> Iterator[TrainedModel]:
    """The network, with its fault, at each of its snapshots."""
    own, params = dict(run.progress.model.named_parameters()), run.params
    tokenizer = load_tokenizer(tokenizer_of(tokens))
    plain = Runtime(params.runtime)  # probes compute in float32
    for step, weights in sorted(snapshots.weights.items()):
        for name, weight in own.items():
            weight.data.copy_(weights[name])
        updates = run.progress.updates.get(step, {})
        yield TrainedModel(
            run.progress.model, task, tokenizer, plain, step, params.probe.sequences, params.probe.toy_text, updates=updates
        )


def _columns(rows: list[dict[str, float]]) -> dict[str, list[float | None]]:
    return {name: [row[name] for row in rows] for name in (rows[0] if rows else ())}


def _levels(tokens: Path) -> dict[str, float]:
    """The losses of the baselines on the validation split, nats per token, computed once for the same tokens."""
    file = private_folder("trial") / "levels" / f"{sha256_of(tokens)[:32]}.json"
    if (losses := read_cached(file)) is None:
        scores = [*ngram_scores(2, tokens), *entropy(tokens)]
        losses = {score.name: score.loss for score in scores if score.split == "validation"}
        write_cached(file, losses)
    return {name: float(loss) for name, loss in losses.items()}


def _material(task: LanguageModelling, tokens: Path) -> dict[str, float]:
    """The numbers of the splits as the training sees them, with its fault."""
    meta = read_json(meta_of(tokens))
    train, validation = task.ids("train"), task.ids("validation")
    text = Text(train, validation, meta["vocabulary"], task.length, meta["documents"]["train"])
    return text.numbers() | tokenizer_numbers(load_tokenizer(tokenizer_of(tokens)), train)


def _of_json(content: dict[str, Any]) -> Case:
    return Case(**{**content, "readings": {name: from_json(reading) for name, reading in content["readings"].items()}})
