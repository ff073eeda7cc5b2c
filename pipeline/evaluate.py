"""The stage evaluate: the model, data/tokens and data/raw -> metrics/evaluate.json, samples.md, mistakes.json."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
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
    from pipeline.inference.trained import TrainedModel


@entry_point
def main() -> None:
    """Score the model and its baselines on the held-out splits, and show samples or mistakes."""
    params = load()

    from pipeline.engine.runtime.runtime import Runtime
    from pipeline.inference.trained import open_model

    # In float32, whatever the precision of training, so that experiments differ by their weights alone.
    trained = open_model(paths.MODEL.parent, Runtime(params.runtime))
    meta = reading.read_json(paths.meta_of(paths.TOKENS))
    if meta.get("classes"):
        _classes(params, trained, meta)
    else:
        _text(params, trained, meta)
    checksums.seal("evaluate")


def _text(params: Params, trained: TrainedModel, meta: dict[str, Any]) -> None:
    """A language model: bits per byte, and samples."""
    from pipeline.evaluation.baselines import HELD_OUT, baselines, entropy, predicted_bytes
    from pipeline.evaluation.contamination import overlaps
    from pipeline.evaluation.material import material
    from pipeline.evaluation.samples import page
    from pipeline.evaluation.scores import ranking, score, summary
    from pipeline.inference.generate import stream
    from pipeline.progress import follower, say

    follow, scores = follower(params.runtime.progress), []
    for split in HELD_OUT:
        size = predicted_bytes(meta, split)
        with follow(f"scoring on {split}", size) as advance:
            scores.append(score(trained, split, size, advance))
    to_beat, evaluate = baselines(params.evaluate.ngram_order, say), params.evaluate
    print(*ranking([*scores, *to_beat]), sep="\n")
    found = summary(scores, to_beat, entropy(), meta["test_is_validation"])
    found |= {"splits": overlaps(paths.TOKENS, HELD_OUT), "material": material(trained.task.length)}
    writing.write_json(paths.EVALUATION, found)

    def generate(prompt: str, temperature: float) -> Iterator[str]:
        return stream(
            trained,
            prompt,
            tokens=evaluate.sample_tokens,
            temperature=temperature,
            top_k=evaluate.top_k,
            top_p=evaluate.top_p,
            seed=params.seed,
        )

    samples = page(generate, trained.tokenizer.drop_unknown, evaluate, step=trained.step, seed=params.seed)
    writing.write_text(paths.SAMPLES, samples)
    writing.write_json(paths.MISTAKES, {"mistakes": []})


def _classes(params: Params, trained: TrainedModel, meta: dict[str, Any]) -> None:
    """A classifier: its accuracy, and its worst mistakes."""
    from pipeline.evaluation import mistakes
    from pipeline.evaluation.baselines import HELD_OUT
    from pipeline.evaluation.class_baselines import class_baselines
    from pipeline.evaluation.class_metrics import ClassScore
    from pipeline.evaluation.class_scores import class_ranking, class_summary, examples_shared, predictions_of
    from pipeline.evaluation.label_noise import label_noise
    from pipeline.progress import follower, say

    follow, predictions, names = follower(params.runtime.progress), {}, meta["classes"]
    for split in HELD_OUT:
        with follow(f"scoring on {split}", trained.task.size(split)) as advance:
            predictions[split] = predictions_of(trained, split, advance)
    to_beat = class_baselines(len(names), params.evaluate.neighbours, say)
    print(*class_ranking([*(ClassScore.of("model", *found) for found in predictions.items()), *to_beat]), sep="\n")
    found = class_summary(predictions, to_beat, names, meta["test_is_validation"])
    found |= {"splits": examples_shared(), "material": label_noise(len(names), say)}
    worst = mistakes.worst(predictions[mistakes.SPLIT], params.evaluate.worst_mistakes)
    writing.write_json(paths.EVALUATION, found)
    writing.write_text(paths.SAMPLES, mistakes.page(predictions[mistakes.SPLIT], worst, names))
    writing.write_json(paths.MISTAKES, mistakes.as_json(worst, names))


if __name__ == "__main__":
    main()
