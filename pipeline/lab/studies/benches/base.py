"""The class of benches: experiments of a study that are not trainings of the pipeline.

Each is a pure function of its knobs and a seed. Its knobs are under `bench.` in a study, and are validated like those of
params.yaml.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar

from pipeline.lab.studies.measures.record import Record
from pipeline.params.knobs import Section
from pipeline.params.schema import Params


class Bench(Section):
    """An experiment. Its fields are its knobs.

    Attributes:
        lines: names of the curves that it records, which `shows` of a study can draw.
        reads: the sections and knobs of params.yaml that it uses besides the seed.
    """

    lines: ClassVar[tuple[str, ...]] = ()
    reads: ClassVar[tuple[str, ...]] = ("task", "model", "train")

    @abstractmethod
    def run(self, params: Params) -> Record:
        """Run it.

        Args:
            params: all parameters; the class says which of them it uses. The seed is always used.
        """
