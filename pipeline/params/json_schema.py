"""A JSON schema of params.yaml, by which editors complete names and mark mistakes.

    python -m pipeline.params.json_schema    # writes params.schema.json, after a change of a knob, range or comment

Types, ranges and names come from the sections, descriptions from the comments in params.yaml. Rules that relate several knobs
(heads divide width) are not in it; `rally check-params` checks these too.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from pipeline.params.schema import Params

PARAMS, SCHEMA = Path("params.yaml"), Path("params.schema.json")

_LINE = re.compile(r"(?P<indent> *)(?P<name>\w+):(?P<value>(?:'[^']*'|[^'#])*)(?:#\s*(?P<comment>.*))?$")


def comments(text: str) -> dict[str, str]:
    """The comment beside each section and each knob of params.yaml, by full name, such as train.lr."""
    found, section = dict[str, str](), ""
    for line in filter(None, map(_LINE.match, text.splitlines())):
        if not line["indent"]:
            section = line["name"]
        name = f"{section}.{line['name']}" if line["indent"] else section
        found[name] = line["comment"] or ""
    return found


def json_schema(text: str) -> dict[str, Any]:
    """The JSON schema (draft 2020-12) of params.yaml.

    Args:
        text: the content of params.yaml, for its comments.
    """
    made, descriptions = Params.model_json_schema(), comments(text)
    sections = made.pop("$defs")

    def described(name: str, content: dict[str, Any]) -> dict[str, Any]:
        content = sections[content["$ref"].rpartition("/")[2]] if "$ref" in content else content
        inner = {knob: described(f"{name}.{knob}", value) for knob, value in content.get("properties", {}).items()}
        content = {key: value for key, value in content.items() if key not in ("title", "properties")}
        return {**content, "description": descriptions[name], **({"properties": inner} if inner else {})}

    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "params.yaml of Rally",
        "type": "object",
        "additionalProperties": False,
        "required": made["required"],
        "properties": {name: described(name, content) for name, content in made["properties"].items()},
    }


def as_text(schema: dict[str, Any]) -> str:
    """The content of params.schema.json."""
    return json.dumps(schema, indent=1, ensure_ascii=False) + "\n"


def main() -> None:
    SCHEMA.write_text(as_text(json_schema(PARAMS.read_text(encoding="utf-8"))), encoding="utf-8")
    print(f"{SCHEMA}: the schema of {PARAMS}")


if __name__ == "__main__":
    main()
