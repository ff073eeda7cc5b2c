"""Two data sets as one: their training texts one after the other, so that a schedule can say which one a step draws from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from pipeline.corpus.store.text import Card, PrepareTexts, SplitWriter
from pipeline.params.data import Prepare
from pipeline.progress import Follow


def mix(first: PrepareTexts, second: PrepareTexts, knobs: Prepare, splits: SplitWriter, follow: Follow) -> Card:
    """The training texts of two data sets, and the held-out splits of the second, the target of the mixture.

    Losses and the known entropy are then comparable with training on the second alone. Whether the first contains held-out
    text of the second is not checked.
    """
    with splits.only("train"):
        helper = first(knobs, splits, follow)
    documents = splits.documents["train"]
    target = second(knobs, splits, follow)
    return replace(
        target,
        name="mixture",
        source=f"{helper.name}: {helper.source}; {target.name}: {target.source}",
        licence=f"{helper.name}: {helper.licence}; {target.name}: {target.licence}",
        split=f"held out is text of {target.name} alone, the held-out text of {helper.name} is left out; {target.split}",
        sha256={**helper.sha256, **target.sha256},
        members=_members(helper.members, target.members),
        grammar="",  # samples may be of either
        sources=[(helper.name, documents), (target.name, splits.documents["train"] - documents)],
    )


def _members(helper: Mapping[str, Sequence[str]], target: Mapping[str, Sequence[str]]) -> dict[str, Sequence[str]]:
    both = [*helper.get("train", ()), *target.get("train", ())]
    return {**target, **({"train": both} if both else {})}
