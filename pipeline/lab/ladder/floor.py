"""The lowest possible loss on the very examples that a run is validated on, where the rule that made the text is known."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.artifacts.paths import meta_of, tokenizer_of
from pipeline.artifacts.reading import read_json
from pipeline.corpus.sources.generated.markov import ALPHABET, Floats, dirichlet_rows, zipf_rows
from pipeline.engine.loop import validation_examples
from pipeline.params.data import Prepare
from pipeline.params.schema import Params
from pipeline.tasks.base import IGNORED, Shape
from pipeline.tasks.lm import LanguageModelling
from pipeline.tokenizers.table import load


def floor_of(params: Params, data: Path) -> float | None:
    """Nats per token that the rule of the text itself has on the validation examples; None where the entropy is not known.

    The entropy is the mean over all texts of the rule. A held-out set of a quarter of a million symbols lies some thousandths
    of a nat above or below it, which is a fourth of the excess of a good network, and the same in every run.

    Args:
        data: the folder of the tokens.
    """
    if params.prepare.dataset in CHAINS and params.tokenize.kind == "char":
        return _of_chain(CHAINS[params.prepare.dataset](params.prepare), params, data)
    meta: Mapping[str, Any] = read_json(meta_of(data))
    if (known := meta.get("entropy_nats_per_byte")) is None:
        return None
    return float(known * meta["bytes"]["validation"] / meta["tokens"]["validation"])


def _of_chain(rows: Floats, params: Params, data: Path) -> float:
    """The mean of -ln p(symbol | the one before it) over the targets of the validation examples.

    Args:
        rows: the probabilities of the next symbol, a row for each.
    """
    task = LanguageModelling(data, params.model, Shape.of(read_json(meta_of(data))))
    batch = task.batch("validation", validation_examples(task.size("validation"), params.train.validation_examples))
    tokenizer = load(tokenizer_of(data))
    pieces = [tokenizer.token_bytes(token) for token in range(task.vocabulary)]
    symbols = np.array([ALPHABET.index(piece) if piece else -1 for piece in pieces])  # the end of a text is none
    known = batch.targets.numpy() != IGNORED
    before, after = symbols[batch.inputs.numpy()[known]], symbols[batch.targets.numpy()[known]]
    assert min(before.min(), after.min()) >= 0, "each token is a symbol of the chain"
    return float(-np.log(rows[before, after]).mean())


CHAINS: dict[str, Callable[[Prepare], Floats]] = {"markov": dirichlet_rows, "zipf_bigram": zipf_rows}
