"""The head of a model card, as the Hugging Face hub reads it: licence, data, language, base model, scores, a prompt to try.

Source: the hub's specification of model cards, https://huggingface.co/docs/hub/model-cards.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from pipeline.artifacts.paths import NONE
from pipeline.artifacts.reading import load_json

TITLE = "\n---\n"  # ends the head
WIDGETS = ("text-generation",)  # kinds of model that the hub lets one try with a text


def with_head(about: str, name: str, data: Mapping[str, Any], scores: Mapping[str, str], more: Mapping[str, Any]) -> str:
    """A card with the hub's entries in its head.

    Args:
        about: the head with what kind of model it is, and the text below it.
        name: of the model.
        data: the card of its data; may be empty.
        scores: key of metrics/evaluate.json -> what it is, of those that the card shows.
        more: `knobs` of its training (the section train), `values` of the scores, `prompts` to try.
    """
    head, _, text = about.partition(TITLE)
    known: dict[str, Any] = yaml.safe_load(head)
    kind = known["pipeline_tag"]
    entries = {
        **licence(str(data.get("licence", ""))),
        "language": LANGUAGES.get(str(data.get("name"))),
        "datasets": [dataset] if (dataset := repository_of(data)) else None,
        "base_model": (base := base_model(more["knobs"])),
        "base_model_relation": "finetune" if base else None,
        **known,
        "widget": [{"text": prompt} for prompt in more["prompts"][:1]] if kind in WIDGETS else None,
        "model-index": model_index(name, kind, data, scores, more["values"]),
    }
    filled = {key: value for key, value in entries.items() if value}
    return yaml.safe_dump(filled, sort_keys=False, allow_unicode=True, width=1000).rstrip("\n") + TITLE + text


def gaps(card: str) -> Iterator[str]:
    """A line for each entry that a reader on the hub would miss, with the way to fill it."""
    head = yaml.safe_load(card.removeprefix("---\n").partition(TITLE)[0])
    for key, remedy in REMEDIES.items():
        if key not in head or head[key] == UNKNOWN:
            yield f"README.md: {key}: {'is not known' if key in head else 'there is none'}; {remedy}"


def licence(words: str) -> dict[str, str]:
    """The entries about a licence, which the hub knows by short names."""
    parts = {re.sub(r" \(.*?\)", "", part.rpartition(": ")[2]).strip().lower().replace(" ", "-") for part in words.split("; ")}
    if not words or "not known" in words:
        return {"license": UNKNOWN}
    if len(parts) == 1 and (name := parts.pop()) in HUB_LICENCES:
        return {"license": name}
    return {"license": "other", "license_name": re.sub("[^a-z0-9.]+", "-", words.lower()).strip("-")}


def repository_of(data: Mapping[str, Any]) -> str:
    """The data set's name on the hub, "" if it is not from there."""
    found = re.match(r"the data set (\S+) of the Hugging Face hub", str(data.get("source", "")))
    return found[1] if found else ""


def base_model(train: Mapping[str, Any]) -> str:
    """The name on the hub of the model whose weights training began with, "" if there is none or it is not known."""
    folder = Path(str(train.get("init_from") or NONE))
    if folder == NONE:
        return ""
    if cached := re.search(r"models--([^/]+?)--([^/]+)/snapshots/", f"{folder.resolve()}/"):
        return f"{cached[1]}/{cached[2]}"
    try:
        said = load_json(folder / "config.json").get("_name_or_path", "")
    except (OSError, ValueError, AttributeError):
        return ""
    return said if isinstance(said, str) and re.fullmatch(r"[\w.-]+/[\w.-]+", said) and not Path(said).exists() else ""


def model_index(
    name: str, kind: str, data: Mapping[str, Any], scores: Mapping[str, str], values: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """The scores, split by split, as the hub lists them beside a model; none where it is not known of which data they are."""
    known = {key: values[key] for key in scores if isinstance(values.get(key), int | float)}
    if not known or not data.get("name"):
        return []
    results = []
    for split in ("test", "validation"):
        metrics = [
            {"type": key.removeprefix("test_"), "name": scores[key], "value": float(f"{value:.6g}")}
            for key, value in known.items()
            if split in scores[key].split(", ")
        ]
        dataset = {"type": repository_of(data) or data["name"], "name": data["name"], "split": split}
        results += [{"task": {"type": kind}, "dataset": dataset, "metrics": metrics}] if metrics else []
    return [{"name": name, "results": results}]


UNKNOWN = "unknown"  # how the hub says it of a licence

# Names that the hub has for licences, of those that data sets here have.
HUB_LICENCES: Sequence[str] = (
    *("apache-2.0", "mit", "bsd-3-clause", "cc0-1.0", "cc-by-4.0", "cc-by-sa-3.0", "cc-by-sa-4.0", "cdla-sharing-1.0"),
)

REMEDIES: dict[str, str] = {
    "license": "write that of your data there, by the hub's name for it, or choose one",
    "model-index": "`dvc repro evaluate` measures scores; then export again",
}

LANGUAGES: dict[str, str | list[str]] = {
    **dict.fromkeys(("shakespeare", "tinyshakespeare", "tinystories", "tinystories_clean", "enwik8"), "en"),
    **dict.fromkeys(("manuals", "sentiment"), "en"),
    "language_id": "multilingual",
}
