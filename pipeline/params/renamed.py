"""Renamed knobs and values: an old name is an error that says the new one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# Old name -> new name.
RENAMED = {
    # prepare
    "prepare.near_duplicate": "prepare.dedup_threshold",
    "prepare.faulty": "prepare.on_bad_data",
    "prepare.examples": "prepare.max_examples",
    "prepare.size": "prepare.generated_chars",
    "prepare.symbols": "prepare.alphabet_size",
    "prepare.fewest_digits": "prepare.min_digits",
    "prepare.nesting": "prepare.max_depth",
    # tokenize
    "tokenize.vocabulary": "tokenize.vocab_size",
    # model
    "model.patch": "model.patch_size",
    "model.kernel": "model.kernel_size",
    "model.shrink": "model.downsample",
    "model.length": "model.context_length",
    "model.expansion": "model.mlp_ratio",
    "model.mixer": "model.embedding_mixer",
    "model.ngram_rows": "model.ngram_table_size",
    "model.logit_cap": "model.attention_softcap",
    "model.layer_dropout": "model.stochastic_depth",
    "model.tied": "model.tie_embeddings",
    # train
    "train.start_from": "train.init_from",
    "train.teacher_weight": "train.distill_weight",
    "train.temperature": "train.distill_temperature",
    "train.batch": "train.batch_size",
    "train.draw": "train.sampling",
    "train.accumulation": "train.accumulation_steps",
    "train.pace": "train.ramp",
    "train.second_start": "train.mixture_start",
    "train.second_end": "train.mixture_end",
    "train.vector_lr": "train.adamw_lr_ratio",
    "train.axes_every": "train.precondition_frequency",
    "train.clip": "train.grad_clip",
    "train.give_up": "train.stop_if_diverged",
    "train.warmup": "train.warmup_ratio",
    "train.decay": "train.cooldown_ratio",
    "train.floor": "train.min_lr_ratio",
    "train.curve_points": "train.log_points",
    "train.validations": "train.validation_points",
    # evaluate
    "evaluate.mistakes": "evaluate.worst_mistakes",
    # probe
    "probe.toy": "probe.toy_text",
    # runtime
    "runtime.loss_chunk": "runtime.loss_chunk_size",
    "runtime.checkpointing": "runtime.activation_checkpointing",
    "runtime.read_ahead": "runtime.prefetch",
}


# New name of the knob -> {old value: new value}.
RENAMED_VALUES = {
    "prepare.on_bad_data": {"refuse": "error", "leave_out": "skip"},
    "train.sampling": {"replacement": "with_replacement"},
    "train.loss": {"squares": "mse"},
    "runtime.attention": {"library": "sdpa", "written": "eager"},
}

# Section -> {knob that earlier versions did not have: the value that says what they did}.
ADDED: dict[str, dict[str, Any]] = {"model": {"rotary_share": 1.0}}


def rename_notes(name: str, value: Any = None) -> list[str]:
    """One line if a knob was renamed, and one if its value was."""
    today = RENAMED.get(name, name)
    lines = [f"{name} was renamed {today}"] if name in RENAMED else []
    if isinstance(value, str) and value in (values := RENAMED_VALUES.get(today, {})):
        lines.append(f"{today}: {value!r} was renamed {values[value]!r}")
    return lines


def rename_notes_in(sections: Mapping[str, Any]) -> list[str]:
    """The lines of `rename_notes` for every knob of a file."""
    knobs = (
        (f"{name}.{knob}", value)
        for name, inner in sections.items()
        if isinstance(inner, dict)
        for knob, value in inner.items()
    )
    return [line for name, value in knobs for line in rename_notes(name, value)]


def with_new_names(sections: Mapping[str, Any]) -> dict[str, Any]:
    """Sections that an earlier version wrote, with their knobs and values renamed."""
    return {
        section: {_new_name(section, knob): _new_value(section, knob, value) for knob, value in knobs.items()}
        if isinstance(knobs, dict)
        else knobs
        for section, knobs in sections.items()
    }


def of_today(sections: Mapping[str, Any]) -> dict[str, Any]:
    """The same, with the knobs that the earlier version did not have."""
    return {
        section: ADDED.get(section, {}) | knobs if isinstance(knobs, dict) else knobs
        for section, knobs in with_new_names(sections).items()
    }


def _new_name(section: str, knob: str) -> str:
    return RENAMED.get(f"{section}.{knob}", f".{knob}").rpartition(".")[2]


def _new_value(section: str, knob: str, value: Any) -> Any:
    values = RENAMED_VALUES.get(f"{section}.{_new_name(section, knob)}", {})
    return values.get(value, value) if isinstance(value, str) else value
