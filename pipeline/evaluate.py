"""The stage evaluate: the model, data/tokens and data/raw -> metrics/evaluate.json, samples.md, mistakes.json."""

from __future__ import annotations

import os
import sys
from pathlib import Path

if __name__ == "__main__" and not __package__:  # run as a file (an editor's Run button): start again as dvc.yaml does
    os.chdir(Path(__file__).absolute().parents[1])
    os.execv(sys.executable, [sys.executable, "-m", "pipeline.evaluate", *sys.argv[1:]])

from typing import TYPE_CHECKING, Any

from pipeline.artifacts import checksums, paths, reading, writing
from pipeline.params.entry_point import entry_point
from pipeline.params.load import load
from pipeline.params.schema import Params

if TYPE_CHECKING:
    from pipeline.inference.trained import Subject


@entry_point
def main() -> None:
    """Score the model and the baselines on the validation and test splits, and show samples or mistakes."""
    params = load()

    from pipeline.engine.runtime.runtime import Runtime
    from pipeline.inference.trained import open_model

    # In float32 whatever the training used, so that experiments differ only by their weights.
    subject = open_model(paths.MODEL.parent, Runtime(params.runtime))
    meta = reading.read_json(paths.meta_of(paths.TOKENS))
    if meta.get("classes"):
        _classes(params, subject, meta)
    else:
        _text(params, subject, meta)
    checksums.seal("evaluate")


def _text(params: Params, subject: Subject, meta: dict[str, Any]) -> None:
    """Bits per byte of a language model, and its samples."""
    from pipeline.evaluation.baselines import HELD_OUT, baselines, entropy, predicted_bytes
    from pipeline.evaluation.contamination import overlaps
    from pipeline.evaluation.samples import page
    from pipeline.evaluation.scores import score, standings, summary
    from pipeline.progress import follower, say

    follow, scores = follower(params.runtime.progress), []
    for split in HELD_OUT:
        size = predicted_bytes(meta, split)
        with follow(f"scoring on {split}", size) as advance:
            scores.append(score(subject, split, size, advance))
    to_beat = baselines(params.evaluate.ngram_order, say)
    print(*standings([*scores, *to_beat]), sep="\n")
    content = summary(scores, to_beat, entropy(), meta["test_is_validation"]) | {"splits": overlaps(paths.TOKENS, HELD_OUT)}
    writing.write_json(paths.EVALUATION, content)
    writing.write_text(paths.SAMPLES, page(subject, params.evaluate, params.seed))
    writing.write_json(paths.MISTAKES, {"mistakes": []})


def _classes(params: Params, subject: Subject, meta: dict[str, Any]) -> None:
    """Accuracy of a classifier, and its worst mistakes."""
    from pipeline.evaluation import mistakes
    from pipeline.evaluation.baselines import HELD_OUT
    from pipeline.evaluation.class_baselines import class_baselines
    from pipeline.evaluation.class_metrics import ClassScore
    from pipeline.evaluation.class_scores import answers_of, class_standings, class_summary, examples_shared
    from pipeline.progress import follower, say

    follow, answers, names = follower(params.runtime.progress), {}, meta["classes"]
    for split in HELD_OUT:
        with follow(f"scoring on {split}", subject.task.size(split)) as advance:
            answers[split] = answers_of(subject, split, advance)
    to_beat = class_baselines(len(names), params.evaluate.neighbours, say)
    print(*class_standings([*(ClassScore.of("model", *scored) for scored in answers.items()), *to_beat]), sep="\n")
    content = class_summary(answers, to_beat, names, meta["test_is_validation"]) | {"splits": examples_shared()}
    worst = mistakes.worst(answers[mistakes.SPLIT], params.evaluate.worst_mistakes)
    writing.write_json(paths.EVALUATION, content)
    writing.write_text(paths.SAMPLES, mistakes.page(answers[mistakes.SPLIT], worst, names))
    writing.write_json(paths.MISTAKES, mistakes.as_json(worst, names))


if __name__ == "__main__":
    main()
