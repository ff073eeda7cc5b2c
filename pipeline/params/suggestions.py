"""The knob that a mistyped or foreign name likely means."""

from __future__ import annotations

import difflib

from pipeline.params.knobs import Section
from pipeline.params.renamed import RENAMED
from pipeline.params.schema import Params

# Names of a knob in other programs, where they do not resemble its name here.
OTHER_NAMES = {
    "learning_rate": "train.lr",
    "max_lr": "train.lr",
    "min_lr": "train.min_lr_ratio",
    "gradient_accumulation_steps": "train.accumulation_steps",
    "max_grad_norm": "train.grad_clip",
    "wd": "train.weight_decay",
    "adam_epsilon": "train.epsilon",
    "max_iters": "train.steps",
    "max_steps": "train.steps",
    "epochs": "train.steps",
    "warmup_steps": "train.warmup_ratio",
    "lr_scheduler_type": "train.schedule",
    "dtype": "train.precision",
    "nproc_per_node": "runtime.processes",
    "world_size": "runtime.processes",
    "n_layer": "model.depth",
    "num_layers": "model.depth",
    "num_hidden_layers": "model.depth",
    "n_embd": "model.width",
    "d_model": "model.width",
    "hidden_size": "model.width",
    "n_head": "model.heads",
    "num_heads": "model.heads",
    "num_attention_heads": "model.heads",
    "block_size": "model.context_length",
    "max_seq_len": "model.context_length",
    "tokenizer": "tokenize.kind",
    "data": "prepare.dataset",
}


def knob_names(section: type[Section], above: str = "") -> tuple[str, ...]:
    """Every knob of a section by its full name, such as train.lr."""
    names: list[str] = []
    for name, field in section.model_fields.items():
        inner = field.annotation
        if isinstance(inner, type) and issubclass(inner, Section):
            names += knob_names(inner, f"{above}{name}.")
        else:
            names.append(f"{above}{name}")
    return tuple(names)


def suggest_knob(knob: str, siblings: tuple[str, ...]) -> str:
    """`Did you mean 'train.lr'? Known: …`: the most similar knob of any section, and the known ones of the section given.

    Args:
        knob: a full name that is not that of a knob.
        siblings: the names in its section.
    """
    section, _, word = knob.rpartition(".")
    own = [f"{section}.{sibling}".lstrip(".") for sibling in siblings]
    names = knob_names(Params)
    found = [name for name in names if name.rpartition(".")[2] == word]
    if not found:
        found = [today for old, today in RENAMED.items() if old.rpartition(".")[2] == word]
    if not found and word in OTHER_NAMES:
        found = [OTHER_NAMES[word]]
    for among in (own, names):
        if not found:
            by_word = {name.rpartition(".")[2]: name for name in reversed(among)}
            found = [by_word[near] for near in difflib.get_close_matches(word, by_word, n=1, cutoff=0.6)]
    asked = f"Did you mean {' or '.join(map(repr, found))}? " if found else ""
    is_elsewhere = found and not set(found) & set(own)
    return asked.strip() if is_elsewhere else f"{asked}Known: {', '.join(siblings)}"
