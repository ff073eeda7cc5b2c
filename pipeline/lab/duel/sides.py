"""The two sides of a duel: the last commit, and the same with other knobs or code. What changes the yardstick is refused."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.artifacts.checksums import sha256_of
from pipeline.artifacts.paths import NONE, RAW, TOKENS
from pipeline.identity import digest, run_identity
from pipeline.lab.duel.patch import Patch, may_change
from pipeline.lab.dvc.base_params import BaseParams
from pipeline.lab.dvc.git import join_names
from pipeline.lab.dvc.overrides import check_overrides, expand_grid
from pipeline.lab.studies.recipes import split_overrides
from pipeline.params.errors import UserError
from pipeline.params.load import with_knobs
from pipeline.params.names import suggest
from pipeline.params.parse import parse
from pipeline.params.schema import Params
from pipeline.params.yaml12 import read_yaml

METRICS = {"loss": False, "accuracy": True, "bits_per_byte": False}
"""What a duel can be about, on the validation split: whether more of it is better."""

SEEDS = ("seed", "prepare.seed")
YARDSTICK = {
    "task.": "changes what both are scored on",
    "prepare.": "changes the data that both are scored on",
    "train.validation_points": "changes how both are scored",
    "train.validation_examples": "changes how both are scored",
}
UNUSED = ("evaluate", "probe", "plot")  # sections that no training and no score of a duel depends on
STAGES = {"prepare": ("task", "prepare"), "tokenize": ("task", "tokenize"), "train": ("task", "model", "train")}
ALSO = ("lab/training", "lab/studies/runs/run_variant.py", "lab/duel/one_run.py")  # code of pipeline/ that trains a side
DRAWS = ("seed", "one")


@dataclass(frozen=True)
class Challenge:
    """A duel, before anything runs.

    Attributes:
        commit: the champion.
        champion, challenger: all knobs of both; `runtime` is the same.
        knobs: those that differ -> the challenger's value.
        patch: of the challenger's code; None where both have the champion's.
        metric: by which they are compared.
        draws: "seed": each seed draws its own data and split; "one": all share those of prepare.seed.
    """

    commit: str
    champion: Params
    challenger: Params
    knobs: Mapping[str, Any]
    patch: Patch | None
    metric: str
    draws: str

    def params(self, side: str, seed: int) -> Params:
        """The knobs of a side with a seed."""
        seeds = {"seed": seed} | ({"prepare.seed": seed} if self.draws == "seed" else {})
        return parse(Params, with_knobs(getattr(self, side).model_dump(), seeds))


def challenge(base: BaseParams, overrides: Sequence[str], patch: Patch | None, metric: str, draws: str) -> Challenge:
    """The duel of some overrides and a patch against the last commit.

    Args:
        base: the knobs of the last commit.
        metric: "" = the loss, or bits per byte where the tokenizer differs.

    Raises:
        UserError: an option cannot be used, or the challenger changes the yardstick, or nothing.
    """
    if not base.commit:
        raise UserError("params.yaml: is in no commit. The champion of a duel is the last commit; `git add` and commit first")
    if edited := [file for file in base.changed_code if not may_change(file)]:
        raise UserError(
            f"{join_names(edited)}: differs from the last commit, which is the champion, and data or scores may depend on it; "
            f"commit it, or undo it with `git checkout`, first"
        )
    if draws not in DRAWS:
        raise UserError(f"--draws: there is no '{draws}'. {suggest(draws, DRAWS)}")
    split_overrides(overrides)
    grid = expand_grid(overrides) if overrides else [[]]
    if len(grid) > 1:
        raise UserError(f"-S: these are {len(grid)} challengers (a knob has several values); one duel for each")
    champion, [challenger] = parse(Params, dict(base.sections)), check_overrides(grid, base.sections)
    champion = champion.model_copy(update={"runtime": challenger.runtime})
    before, after = (dict(_flat(params.model_dump())) for params in (champion, challenger))
    knobs = {name: value for name, value in after.items() if value != before[name]}
    _check_change(knobs, patch, base.sections, overrides)
    tokens_differ = champion.task.kind == "language" and any(name.startswith("tokenize.") for name in knobs)
    chosen = metric or ("bits_per_byte" if tokens_differ else "loss")
    _check_metric(chosen, champion, tokens_differ=tokens_differ)
    return Challenge(base.commit, champion, challenger, knobs, patch, chosen, draws)


def _flat(values: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        if isinstance(value, dict) and not above:
            yield from _flat(value, f"{name}.")
        else:
            yield f"{above}{name}", value


def _check_change(knobs: Mapping[str, Any], patch: Patch | None, sections: Mapping[str, Any], overrides: Sequence[str]) -> None:
    """Refuse a challenger that changes the yardstick, or nothing.

    Raises:
        UserError: it does.
    """
    problems = [
        f"{name}: both sides are trained with the same seeds, so a changed seed alone can never win; leave it out"
        for name in SEEDS
        if name in knobs
    ]
    for name in knobs:
        why = next((why for part, why in YARDSTICK.items() if name == part or (part[-1] == "." and name.startswith(part))), "")
        if why and name not in SEEDS:
            problems.append(f"{name}: {why}, and a challenger must not change the yardstick; change it in a commit instead")
    if problems:
        raise UserError(*problems)
    if patch or any(name.split(".")[0] not in UNUSED for name in knobs):
        return
    if knobs:
        raise UserError(f"{join_names([*knobs])}: a duel neither trains nor scores with it; give a knob that does")
    if not overrides:
        raise UserError("rally duel: has no challenger; give knobs (-S train.lr=0.03) or a patch (--patch change.diff)")
    told = [name for name in split_overrides(overrides) if not name.startswith("runtime")]
    if told:
        raise UserError(f"{join_names(told)}: is so in the last commit already, so the challenger is the champion")
    raise UserError("runtime: describes the machine, not the model; on another machine the network is the same")


def _check_metric(metric: str, champion: Params, *, tokens_differ: bool) -> None:
    """Refuse a metric that cannot be measured, or cannot be compared.

    Raises:
        UserError: it cannot.
    """
    if metric not in METRICS:
        raise UserError(f"--metric: there is no '{metric}'. {suggest(metric, tuple(METRICS))}")
    if metric == "bits_per_byte" and champion.task.kind != "language":
        raise UserError("--metric bits_per_byte: is of language models; use loss or accuracy")
    if metric != "bits_per_byte" and tokens_differ:
        raise UserError(f"--metric {metric}: is per token, and the two sides have other tokens; use bits_per_byte")
    if not champion.train.validation_points:
        raise UserError("train.validation_points: is 0 in the last commit, so nothing is scored; use 1 or more, and commit")


def identity(challenge: Challenge, side: str, folder: Path) -> str:
    """What a side is, without its seed: a digest of its knobs, data and code.

    Args:
        folder: where its code lies.
    """
    params = getattr(challenge, side)
    if challenge.draws == "seed":
        params = parse(Params, with_knobs(params.model_dump(), {"prepare.seed": 0}))
    found = [sha256_of(folder / "pipeline" / part) for part in ALSO]
    stages = read_yaml(Path("dvc.yaml"))["stages"]
    for stage, sections in STAGES.items():
        code = {dep: folder / dep for dep in stages[stage]["deps"] if str(dep).startswith("pipeline/")}
        made = {str(RAW): NONE, str(TOKENS): NONE}  # data that other stages make have no identity of their own
        found.append(run_identity(stage, params.model_dump(include={*sections}), code | made))
    return digest(found)[:32]
