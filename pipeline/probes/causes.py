"""Why a run may be sick: each cause with the signs that speak for and against it, the knob, and the experiment that would tell.

A vote is "sign side": points. A sign that is sick (or healthy) counts in full, one that is odd by half; votes of signs that a
case does not hold are not cast. Points are small whole numbers or halves, so that a verdict can be added up by hand:
3 settles it, 2 speaks strongly for it, 1 goes along with it; what is below 0 speaks against it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from pipeline.probes.case import Case
from pipeline.probes.ranges import Side


@dataclass(frozen=True)
class Hint:
    """What a knob says for a cause: not a symptom, only a reason to think of it first."""

    vote: float
    holds: Callable[[Case], bool]


@dataclass(frozen=True)
class Cause:
    """Something that makes runs sick.

    Attributes:
        says: what it is and why it shows as it does, for a learner.
        knob: to turn; "" where it is in the code.
        turned: the options of the experiment that would tell, with this run's own values turned.
        tells: what its outcome would say.
        votes: "sign side" -> points.
        hints: what the knobs add.
        program: what runs it.
    """

    says: str
    knob: str
    turned: Callable[[Case], str]
    tells: str
    votes: Mapping[str, float]
    hints: tuple[Hint, ...] = field(default=())
    program: str = "dvc exp run"

    def command(self, case: Case) -> str:
        """The experiment that would tell, to be pasted."""
        return f"{self.program} {self.turned(case)}".strip()

    def ballots(self) -> Iterator[tuple[str, Side, float]]:
        """(sign, side, points) of every vote."""
        for spoken, points in self.votes.items():
            sign, _, side = spoken.rpartition(" ")
            assert side in ("low", "healthy", "high"), spoken
            yield sign, side, points  # type: ignore[misc]


def scaled(knob: str, factor: float, otherwise: float) -> Callable[[Case], str]:
    """-S with the run's own value times a factor."""
    return lambda case: f"-S {knob}={float(case.knob(knob, otherwise)) * factor:.3g}"


def turned(options: str) -> Callable[[Case], str]:
    """The same options for every run."""
    return lambda case: options


def knob_above(knob: str, limit: float) -> Callable[[Case], bool]:
    return lambda case: float(case.knob(knob, 0.0)) > limit


def knob_is(knob: str, *values: object) -> Callable[[Case], bool]:
    return lambda case: case.knob(knob) in values


CAUSES: dict[str, Cause] = {
    "learning rate too high": Cause(
        says="Steps are longer than the stretch over which the gradient holds, so that each overshoots.",
        knob="train.lr",
        turned=scaled("train.lr", 0.1, 1e-3),
        tells="If the curve becomes smooth and falls lower, it was the rate.",
        votes={
            "not_a_number high": 2,
            "ran_away high": 1.5,
            "update_ratio high": 2.5,
            "reach low": -3,
            "roughness high": 1,
            "setback high": 1,
            "peak high": 1,
            "log_partition high": 1,
            "attention_logit high": 1,
            "activation_growth high": 1,
            "gradient_spike high": 0.5,
            "gain low": 0.5,
            "effective_rank low": 0.5,
            "context_gain low": 0.5,
            "start_loss high": -1.5,
            "gradient_agreement high": -2,
            "decay_share high": -1,
        },
    ),
    "learning rate too low": Cause(
        says="Steps are so short that the training ends before it has arrived.",
        knob="train.lr",
        turned=scaled("train.lr", 10, 1e-3),
        tells="If the loss falls faster and ends lower, it was the rate.",
        votes={
            "reach low": 3,
            "update_ratio high": -3,
            "late_share high": 2,
            "early_share low": 1,
            "gain low": 1,
            "beyond_unigram low": 0.5,
            "roughness high": -1,
            "start_loss high": -3,
            "effective_rank low": -1,
            "gradient_agreement high": -2,
        },
    ),
    "no warm-up": Cause(
        says="The first steps are at full length, when the gradient still points anywhere and Adam knows no scale.",
        knob="train.warmup",
        turned=turned("-S train.warmup=0.1"),
        tells="If the loss no longer climbs in the first steps, it was the missing warm-up.",
        votes={
            "not_a_number high": 1,
            "update_ratio high": 1.5,
            "reach low": -3,
            "setback high": 1,
            "peak high": 1,
            "gradient_ratio low": 1.5,
            "effective_rank low": 0.5,
            "beyond_unigram low": 0.5,
            "dead high": 0.5,
            "start_loss high": -2,
            "gradient_agreement high": -2,
            "decay_share high": -1,
        },
        hints=(
            Hint(1.0, knob_is("train.warmup", 0.0)),
            Hint(-6.0, knob_above("train.warmup", 0.01)),
            Hint(1.5, knob_is("model.residual", "post")),  # whose gradients are largest at the start (Xiong et al., 2020)
        ),
    ),
    "gradients not zeroed": Cause(
        says="Each step follows the sum of all gradients so far, as a ball that nothing brakes.",
        knob="",
        turned=turned("-S train.steps=20 -S train.curve_points=20"),
        tells="If the gradient's norm climbs with every step, it is never set back to nothing.",
        votes={
            "gradient_agreement high": 4,
            "gradient_agreement healthy": -3,
            "gradient_growth high": 1.5,
            "ran_away high": 1,
            "setback high": 1,
            "clipped high": 0.5,
        },
    ),
    "target is the input": Cause(
        says="The target stands at the place of its own input, so that copying is enough. The mask is in order.",
        knob="",
        turned=turned("--page look.html"),
        program="rally look",
        tells="If the likeliest next token is the token itself everywhere, targets are not shifted.",
        votes={
            "floor_margin low": 3,
            "bigram_share low": 2,
            "future healthy": 1.5,
            "future high": -3,
            "across_batch high": -3,
            "distinct_2 low": 0.5,
        },
    ),
    "no causal mask": Cause(
        says="Attention looks at what comes later, the answer among it.",
        knob="",
        turned=turned("--page look.html"),
        program="rally look",
        tells="If the attention maps are filled above their diagonal, the mask is missing.",
        votes={
            "future high": 3,
            "future healthy": -4,
            "across_batch healthy": 0.5,
            "across_batch high": -4,
            "floor_margin low": 1,
            "cache_difference high": 1,
            "previous_token healthy": 0.5,
            "previous_token low": -1,
        },
    ),
    "mask inverted": Cause(
        says="Attention looks at what comes later and never at what was before.",
        knob="",
        turned=turned("--page look.html"),
        program="rally look",
        tells="If the attention maps are empty below their diagonal, the mask is upside down.",
        votes={
            "future high": 2.5,
            "future healthy": -4,
            "across_batch healthy": 0.5,
            "across_batch high": -4,
            "previous_token low": 2,
            "attention_sink low": 1,
            "floor_margin low": 1,
            "cache_difference high": 1,
        },
    ),
    "attention scale wrong": Cause(
        says="Scores are not divided by the root of a head's width: the softmax picks a key before anything is learned.",
        knob="model.qk_norm",
        turned=turned("-S model.qk_norm=true"),
        tells="If untrained heads then look evenly at what is before them, scores were too large.",
        votes={
            "attention_entropy_start low": 3,
            "attention_entropy_start healthy": -1,
            "attention_logit high": 1,
            "attention_entropy low": 1,
            "start_loss high": -1.5,
            "update_ratio high": -0.5,
        },
    ),
    "weights start too large": Cause(
        says="Weights were drawn so large that the network is sure of its first guesses, and nearly all of them are wrong.",
        knob="model.init",
        turned=turned("-S model.init=gpt2"),
        tells="If the loss starts at ln V, it was the draw.",
        votes={
            "start_loss high": 3,
            "start_loss healthy": -2,
            "start_excess high": 1,
            "attention_entropy_start low": 1,
            "attention_entropy_start healthy": -0.5,
            "reach low": 2,  # a step is a small share of a large weight
            "peak high": 0.5,
            "activation_growth high": 0.5,
        },
    ),
    "no residuals": Cause(
        says="Without a path that runs past the layers, each mixes all tokens further into one, and none is told from another.",
        knob="model.residual",
        turned=turned("-S model.residual=pre"),
        tells="If the loss then falls below that of bare frequencies, it was the missing path.",
        votes={
            "effective_rank low": 3,
            "beyond_unigram low": 1,
            "gradient_ratio low": 1,
            "gradient_ratio high": 1,
        },
        hints=(
            Hint(2.0, knob_is("model.residual", "none")),
            Hint(-3.0, lambda case: case.knob("model.residual", "none") != "none"),
        ),
    ),
    "too deep for its width": Cause(
        says="Many layers on a narrow stream hand on a signal that each of them blurs.",
        knob="model.depth",
        turned=lambda case: f"-S model.depth={max(int(case.knob('model.depth', 4)) // 4, 1)}",
        tells="If a quarter of the layers do better, it was too deep.",
        votes={
            "effective_rank low": 1,
            "beyond_unigram low": 1,
            "gain low": 1,
            "gradient_ratio low": 1,
            "gradient_ratio high": 1,
        },
        hints=(
            Hint(2.0, lambda case: case.knob("model.depth", 0) >= 24 and case.knob("model.width", 1024) <= 256),
            Hint(-3.0, lambda case: case.knob("model.depth", 0) < 12),
        ),
    ),
    "frozen layer": Cause(
        says="A layer takes no steps: its weights want no gradient, or the optimizer was not given them.",
        knob="",
        turned=turned("-S train.steps=20"),
        tells="If that layer's update:weight ratio is still 0, it is not trained.",
        votes={"least_update low": 3, "least_update healthy": -3},
    ),
    "dead units": Cause(
        says="Units of the feed-forward part are off for every token, so that no gradient brings them back.",
        knob="model.activation",
        turned=turned("-S model.activation=gelu"),
        tells="If the share of dead units falls and the loss with it, it was the activation.",
        votes={
            "dead high": 3,
            "dead healthy": -3,
            "gain low": -1,
            "beyond_unigram low": -1,
            "update_ratio high": -1,
            "gradient_ratio low": -1,
        },
    ),
    "saturating activation": Cause(
        says="Units stand at the flat ends of their activation, through which hardly any gradient passes.",
        knob="model.activation",
        turned=turned("-S model.activation=gelu"),
        tells="If the gradient reaches the first layers and the loss falls, it was the activation.",
        votes={
            "saturated high": 3,
            "saturated healthy": -2,
            "gradient_ratio low": 0.5,
            "effective_rank low": 0.5,
            "update_ratio high": -1,
        },
        hints=(Hint(1.0, knob_is("model.activation", "sigmoid", "tanh")),),
    ),
    "dropout left on in use": Cause(
        says="Features are still dropped where the model is only used: its validation loss is that of a thinned network.",
        knob="model.dropout",
        turned=turned("-S model.dropout=0.0"),
        tells="If the validation loss falls by more than the training loss, dropout was on in both.",
        votes={
            "across_batch high": 2,
            "cache_difference high": 1.5,
            "future high": 1,
            "future healthy": -1,
            "dropped_gap high": 1.5,
        },
        hints=(
            Hint(1.0, knob_above("model.dropout", 0.0)),
            Hint(-8.0, lambda case: not case.knob("model.dropout", 0.1)),
        ),
    ),
    "losses averaged wrongly": Cause(
        says="A mean of means weighs examples with few targets as much as those with many.",
        knob="train.accumulation",
        turned=turned("-S train.accumulation=1"),
        tells="If the training loss changes, parts of unequal size are averaged as if they were equal.",
        votes={
            "gradient_agreement high": 3,
            "gradient_agreement healthy": -2,
            "gap low": 2,
            "gradient_growth high": -1,
            "ran_away high": -1,
        },
        hints=(
            Hint(1.5, knob_above("train.accumulation", 1)),
            Hint(-4.0, knob_is("train.accumulation", 1)),
        ),
    ),
    "held-out text is training text": Cause(
        says="What is called validation has been learned from, so that learning by heart looks like understanding.",
        knob="prepare.validation_share",
        turned=turned("-S prepare.validation_share=0.2"),
        tells="If the overlap stays, the splits share documents.",
        votes={"overlap high": 3, "overlap healthy": -3, "copied_length high": 0.5},
    ),
    "labels are shuffled": Cause(
        says="Targets do not belong to their inputs: what can be learned is how frequent each token is, and no more.",
        knob="",
        turned=turned("--page look.html"),
        program="rally look",
        tells="If the text under the targets is not that of the inputs moved by one, they are mixed up.",
        votes={
            "beyond_unigram low": 2,
            "gain low": 0.5,
            "reach healthy": 1,
            "reach low": -3,
            "update_ratio high": -1,
            "late_share high": -1,
            "effective_rank low": -1,
            "gradient_ratio low": -2,
            "gradient_ratio healthy": 0.5,
            "gradient_agreement high": -2,
            "start_loss high": -2,
            "ran_away high": -1,
            "roughness high": -0.5,
            "decay_share high": -2,
        },
    ),
    "float16 without scaling": Cause(
        says="Gradients below 6e-8 are 0 in float16, and those above 65,504 infinite.",
        knob="train.precision",
        turned=turned("-S train.precision=float32"),
        tells="If the run then is healthy, it was the precision.",
        votes={
            "not_a_number high": 2,
            "gradient_agreement low": 1.5,
            "gradient_agreement high": 1,
            "skipped high": 2,
            "gain low": 0.5,
            "beyond_unigram low": 0.5,
            "rise high": 0.5,
            "log_partition high": 0.5,
        },
        hints=(Hint(2.0, knob_is("train.precision", "float16")), Hint(-4.0, knob_is("train.precision", "float32", "bfloat16"))),
    ),
    "epsilon too large": Cause(
        says="Adam divides by the size of the gradient plus epsilon; where epsilon is larger, small gradients are small steps.",
        knob="train.epsilon",
        turned=turned("-S train.epsilon=1e-8"),
        tells="If the loss falls faster, it was epsilon.",
        votes={
            "reach low": 2.5,
            "update_ratio high": -3,
            "start_loss high": -2,
            "late_share high": 1,
            "early_share low": 1,
            "gain low": 0.5,
            "beyond_unigram low": 0.5,
        },
        hints=(Hint(2.0, knob_above("train.epsilon", 1e-4)), Hint(-3.0, lambda case: case.knob("train.epsilon", 1.0) <= 1e-5)),
    ),
    "weight decay too strong": Cause(
        says="Weights are pulled to 0 faster than the gradient can hold them up.",
        knob="train.weight_decay",
        turned=turned("-S train.weight_decay=0.1"),
        tells="If the loss falls lower, it was the decay.",
        votes={
            "decay_share high": 4,
            "decay_share healthy": -3,
            "gain low": 0.5,
            "beyond_unigram low": 0.5,
            "reach low": -1,
            "gradient_growth high": 0.5,
        },
        hints=(
            Hint(2.0, knob_above("train.weight_decay", 1.0)),
            Hint(-3.0, lambda case: case.knob("train.weight_decay", 9) <= 0.5),
        ),
    ),
    "batch too small": Cause(
        says="The gradient of so few tokens is mostly noise, so that steps point anywhere.",
        knob="train.batch",
        turned=lambda case: f"-S train.batch={int(case.knob('train.batch', 4)) * 8}",
        tells="If the loss falls lower after as many steps, it was the noise; a rate an eighth as high would help as well.",
        votes={"roughness high": 1, "beyond_unigram low": 0.5, "gain low": 0.5},
        hints=(Hint(1.5, lambda case: case.knob("train.batch", 99) <= 4), Hint(-3.0, knob_above("train.batch", 8))),
    ),
    "too little text": Cause(
        says="The model is large enough to learn the text by heart before it has learned what is behind it.",
        knob="model.dropout",
        turned=turned("-S model.dropout=0.2"),
        tells="If the validation loss falls lower, it was learned by heart; fewer steps or more text help as well.",
        votes={"gap high": 2, "rise high": 3, "copied_length high": 1},
    ),
    "clipped too much": Cause(
        says="Nearly every gradient is shortened, so that the limit and not the gradient says how far a step goes.",
        knob="train.clip",
        turned=scaled("train.clip", 10, 1.0),
        tells="If the loss does not jump, the limit was too low; if it does, the rate is too high.",
        votes={"clipped high": 2, "reach low": 1},
    ),
    "examples mix": Cause(
        says="Something is computed over the whole batch, so that examples see each other.",
        knob="",
        turned=turned("-S train.steps=1"),
        tells="If metrics/sanity.json still says that something comes across the batch, they mix.",
        votes={
            "across_batch high": 3,
            "across_batch healthy": -3,
            "future high": -2,
        },
    ),
    "cache is wrong": Cause(
        says="Token by token the model is another one than in a whole pass: places, or what is kept, are off.",
        knob="",
        turned=turned("-S train.steps=1"),
        tells="If metrics/sanity.json still says so with fresh weights, the cache is at fault.",
        votes={"cache_difference high": 2, "future high": -2, "future healthy": 0.5},
        hints=(Hint(-1.5, lambda case: bool(case.knob("model.dropout", 0.0))),),
    ),
}
