"""The stage evaluate: the model, data/tokens and data/raw -> metrics/evaluate.json, metrics/samples.md."""

from __future__ import annotations

from pipeline import artifacts
from pipeline.params import door, load


@door
def main() -> None:
    """Score the model on all held-out text, beside what it must beat, and let it write."""
    params = load()

    from pipeline.corpus.progress import follower, say
    from pipeline.engine.runtime import Runtime
    from pipeline.probes.base import open_model
    from pipeline.probes.baselines import HELD_OUT, baselines, entropy, predicted_bytes
    from pipeline.probes.overlap import overlaps
    from pipeline.probes.samples import page
    from pipeline.probes.scores import score, standings, summary

    # In float32 whatever the model was trained in, so that experiments differ by their weights alone.
    subject = open_model(artifacts.MODEL.parent, Runtime(params.runtime))
    meta, follow = artifacts.read_json(artifacts.meta_of(artifacts.TOKENS)), follower(params.runtime.progress)
    scores = []
    for split in HELD_OUT:
        size = predicted_bytes(meta, split)
        with follow(f"scoring on {split}", size) as advance:
            scores.append(score(subject, split, size, advance))
    to_beat = baselines(params.evaluate.ngram_order, say)
    print(*standings([*scores, *to_beat]), sep="\n")
    told = summary(scores, to_beat, entropy(), meta["test_is_validation"]) | {"splits": overlaps(artifacts.TOKENS, HELD_OUT)}
    artifacts.write_json(artifacts.EVALUATION, told)
    artifacts.write_text(artifacts.SAMPLES, page(subject, params.evaluate, params.seed))


if __name__ == "__main__":
    main()
