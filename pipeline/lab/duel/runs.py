"""The trainings of a duel: each side with each seed, in a process with its own code, kept under its identity in this clone."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.artifacts.paths import private_folder
from pipeline.artifacts.writing import rounded
from pipeline.identity import digest, read_cached
from pipeline.lab.commands import print_notes
from pipeline.lab.duel.sides import METRICS, Challenge, identity
from pipeline.lab.studies.runs.sweep import tokens_folder
from pipeline.params.errors import UserError
from pipeline.params.machine import cores

SIDES = ("champion", "challenger")
DIGITS = 8  # of a score, here and in the log, so that both give the same verdict


@dataclass(frozen=True)
class Pair:
    """Both sides with one seed.

    Attributes:
        champion, challenger: their scores; None where the training diverged.
        seconds: of the two trainings; 0 where an earlier duel paid for them.
    """

    seed: int
    champion: float | None
    challenger: float | None
    seconds: tuple[float, float] = (0.0, 0.0)

    def gain(self, metric: str) -> float | None:
        """How much better the challenger is; None where one of them diverged."""
        if self.champion is None or self.challenger is None:
            return None
        better = self.challenger - self.champion
        return better if METRICS[metric] else -better


@dataclass(frozen=True)
class Runner:
    """Trains the pairs of a duel.

    Attributes:
        folders: where the code of each side lies.
        identities: of each side.
    """

    challenge: Challenge
    folders: Mapping[str, Path]
    identities: Mapping[str, str]

    @staticmethod
    def of(challenge: Challenge, champion: Path, challenger: Path) -> Runner:
        """A runner for code that lies in these folders."""
        folders = dict(zip(SIDES, (champion, challenger), strict=True))
        return Runner(challenge, folders, {side: identity(challenge, side, folder) for side, folder in folders.items()})

    def kept(self, side: str, seed: int) -> Path:
        """Where the result of a training is kept."""
        device = self.challenge.champion.runtime.device
        name = digest([self.identities[side], seed, self.challenge.draws, device])[:32]
        return private_folder("duel") / "runs" / f"{name}.json"

    def has(self, seed: int) -> bool:
        """Whether both trainings of a seed are here already."""
        return all(read_cached(self.kept(side, seed)) is not None for side in SIDES)

    def pair(self, seed: int, advance: Callable[[], None] = lambda: None) -> Pair:
        """Both sides with a seed: kept results, or from trainings now, both at once where each uses one thread.

        Args:
            advance: is called after each training.

        Raises:
            UserError: a training failed, or a network sees what it predicts.
        """
        runtime = self.challenge.champion.runtime
        at_once = 2 if runtime.threads == 1 and (runtime.workers or cores()) > 1 else 1

        missing = {side for side in SIDES if read_cached(self.kept(side, seed)) is None}
        # One after the other, for both sides mostly have the same data.
        tokens = {side: tokens_folder(self.challenge.params(side, seed)) for side in SIDES if side in missing}

        def result(side: str) -> dict[str, Any]:
            if side in missing:
                self._train(side, seed, tokens[side])
                advance()
            found = read_cached(self.kept(side, seed))
            assert found, "a training that succeeds keeps its result"
            return found

        with ThreadPoolExecutor(at_once) as pool:
            champion, challenger = pool.map(result, SIDES)
        for side, found in zip(SIDES, (champion, challenger), strict=True):
            if found["future"] > 0:
                raise UserError(
                    f"the {side} sees what it predicts: |gradient| {found['future']:.2g} of a prediction by later inputs, which"
                    f" must be 0; its loss says nothing. `rally check-model` shows such a leak"
                )
        metric = self.challenge.metric
        values = [found["scores"].get(metric) for found in (champion, challenger)]
        values = [rounded(value, DIGITS) if value is not None and math.isfinite(value) else None for value in values]
        return Pair(seed, values[0], values[1], (champion["seconds"], challenger["seconds"]))

    def _train(self, side: str, seed: int, tokens: Path) -> None:
        """Train in a process with the code of a side.

        Raises:
            UserError: the process failed; it has printed why.
        """
        folder, kept = self.folders[side], self.kept(side, seed)
        request = {
            "params": self.challenge.params(side, seed).model_dump(),
            "tokens": str(tokens.resolve()),
            "kept": str(kept.resolve()),
            "parent": os.getpid(),
        }
        paths = [str(folder), *filter(None, [os.environ.get("PYTHONPATH")])]
        done = subprocess.run(
            [sys.executable, "-P", "-m", "pipeline.lab.duel.one_run"],  # -P: not with the code of the working directory
            input=json.dumps(request, default=str),
            env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
        )
        found = read_cached(kept)
        if done.returncode or found is None:
            lines = done.stderr.strip().splitlines()
            print_notes(lines[-20:])
            last = lines[-1] if lines else f"it ended with status {done.returncode}, probably out of memory"
            raise UserError(f"the {side} failed with seed {seed}: {last}")
        assert found["code"] == str(folder / "pipeline"), "it was trained with other code"
