"""All signs by name, in the order in which they are shown."""

from __future__ import annotations

from pipeline.doctor.signs.attention import ATTENTION
from pipeline.doctor.signs.base import Sign
from pipeline.doctor.signs.checked import CHECKED
from pipeline.doctor.signs.classifiers import CLASSIFIERS
from pipeline.doctor.signs.consistency import CONSISTENCY
from pipeline.doctor.signs.gradients import GRADIENTS
from pipeline.doctor.signs.layers import LAYERS
from pipeline.doctor.signs.loss import LOSS
from pipeline.doctor.signs.material import MATERIAL
from pipeline.doctor.signs.plan import PLAN
from pipeline.doctor.signs.recipe import RECIPE
from pipeline.doctor.signs.samples import SAMPLES
from pipeline.doctor.signs.start import START

SIGNS: dict[str, Sign] = {
    **CHECKED,
    **MATERIAL,
    **START,
    **LOSS,
    **CONSISTENCY,
    **RECIPE,
    **CLASSIFIERS,
    **GRADIENTS,
    **LAYERS,
    **ATTENTION,
    **SAMPLES,
    **PLAN,
}
