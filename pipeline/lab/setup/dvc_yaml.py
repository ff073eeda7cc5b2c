"""A quicker reader and writer of YAML for DVC, with the same results: installed as rally_dvc_yaml.py beside the startup hook.

One `dvc exp run` reads params.yaml, dvc.yaml and dvc.lock some forty times, and after each stage it reads and writes dvc.lock
in pure Python, to keep comments that dvc.lock does not have. Here a text is parsed once, and dvc.lock is written by libyaml.
It imports no other module of Rally, because every `dvc` runs it.
"""

from __future__ import annotations

import io
import os
import pickle
from typing import Any, TextIO

REPLACED = ("parse_yaml", "parse_yaml_for_update", "_dump")
LOCK = "dvc.lock"
TEXTS = 16  # that are remembered, some 30 KB each
WIDTH = 80  # of a line, beyond which it is broken


def install(yaml_of_dvc: Any) -> None:
    """Replace functions of the module dvc.utils.serialize._yaml; a DVC that has others keeps them."""
    if any(not callable(getattr(yaml_of_dvc, name, None)) for name in REPLACED):
        return
    own_parse, own_parse_for_update, own_dump = (getattr(yaml_of_dvc, name) for name in REPLACED)
    parsed: dict[str, bytes] = {}

    def parse_yaml(text: Any, path: Any, typ: str = "safe") -> Any:
        if typ != "safe" or not isinstance(text, str):
            return own_parse(text, path, typ)
        if text not in parsed:
            found = own_parse(text, path)
            while len(parsed) >= TEXTS:
                parsed.pop(next(iter(parsed)))
            parsed[text] = pickle.dumps(found)
        return pickle.loads(parsed[text])  # noqa: S301 (made above); a copy, which the caller may change

    def parse_yaml_for_update(text: Any, path: Any) -> Any:
        is_bare = os.path.basename(path) == LOCK and "#" not in text  # without comments
        return (parse_yaml if is_bare else own_parse_for_update)(text, path)

    def dump(data: Any, stream: TextIO) -> Any:
        is_lock = os.path.basename(getattr(stream, "name", "")) == LOCK
        if is_lock and (text := _written(data)) and parse_yaml(text, LOCK) == data:
            return stream.write(text)
        return own_dump(data, stream)

    for name, quick in zip(REPLACED, (parse_yaml, parse_yaml_for_update, dump), strict=True):
        setattr(yaml_of_dvc, name, quick)


def _written(data: Any) -> str:
    """Data by libyaml, as ruamel.yaml writes it; "" where it would look different, or libyaml is missing."""
    from ruamel.yaml import YAML
    from ruamel.yaml.representer import SafeRepresenter

    class Representer(SafeRepresenter):
        """Writes nothing for None, as DVC does."""

    Representer.add_representer(type(None), lambda self, _: self.represent_scalar("tag:yaml.org,2002:null", ""))
    writer: Any = YAML(typ="safe")
    has_comments, is_pure = hasattr(data, "ca"), writer.Emitter.__module__ == "ruamel.yaml.emitter"
    if has_comments or is_pure:
        return ""
    writer.Representer = Representer
    writer.default_flow_style = False
    writer.sort_base_mapping_type_on_output = False
    text = io.StringIO()
    writer.dump(_plain(data), text)
    written = text.getvalue()
    # It breaks long lines elsewhere, and escapes more letters.
    return written if written.isascii() and all(len(line) <= WIDTH for line in written.splitlines()) else ""


def _plain(data: Any) -> Any:
    """The same values in dicts and lists, since libyaml's writer would mark the order of an OrderedDict by a tag."""
    if isinstance(data, dict):
        return {key: _plain(value) for key, value in data.items()}
    return [_plain(value) for value in data] if isinstance(data, list) else data
