"""The identity of a study's runs, for bets: what they are runs of, and whether their outcome can be known already."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

from pipeline.artifacts.checksums import sha256_of
from pipeline.artifacts.reading import read_json
from pipeline.identity import digest, read_cached
from pipeline.lab.dvc.base_params import BaseParams
from pipeline.lab.studies.grid import Sweep, Variant
from pipeline.lab.studies.runs.sweep import made_tokens, record_path
from pipeline.params.errors import UserError

RESULTS = Path("results")  # git-ignored: results of this machine, next to those in docs/
SECTIONS = {"seed", "task", "prepare", "tokenize", "model", "train", "probe"}  # that decide an outcome


def study_identity(name: str, sweep: Sweep, base: BaseParams) -> str:
    """A digest of a study's claims and of all runs that decide them: their knobs, seeds, faults and benches.

    No torch is needed for it. The code is not a part of it: who has seen the outcome knows it after a changed line too.

    Args:
        name: of the study.
        base: the base parameters, with the overrides of the entry and the user.
    """
    claims = [[kind, claim.model_dump(mode="json")] for kind, claim in sweep.claims]
    return digest([name, sweep.measures, claims, [_described(variant) for variant in sweep.variants(base.sections)]])[:32]


def _described(variant: Variant) -> dict[str, Any]:
    bench = variant.bench
    return {
        "place": variant.place,
        "params": variant.params.model_dump(include=SECTIONS, mode="json"),
        "fault": variant.fault,
        "bench": [type(bench).__name__, bench.model_dump(mode="json")] if bench else None,
    }


def has_results(name: str, identity: str) -> bool:
    """Whether the results of a play with this identity are here."""
    try:
        return bool(read_json(RESULTS / f"{name}.json").get("identity") == identity)
    except UserError:  # there are none, or an earlier version wrote them
        return False


def already_run(name: str, sweep: Sweep, base: BaseParams) -> bool:
    """Whether a result of these runs is here, so that their outcome can be known: a cached run, or the results of the study."""
    if has_results(name, study_identity(name, sweep, base)):
        return True
    tokens: dict[str, Path | None] = {}
    checksum = functools.cache(sha256_of)
    for variant in sweep.variants(base.sections):
        if variant.bench is not None:
            return False  # it is not cached
        data = str((variant.params.task, variant.params.prepare, variant.params.tokenize))
        if data not in tokens:
            tokens[data] = made_tokens(variant.params)
        here = tokens[data]
        if here and (path := record_path(variant, here, sweep.network_metrics, checksum)) and read_cached(path) is not None:
            return True
    return False
