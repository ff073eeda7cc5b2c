"""YAML files read as YAML 1.2, with limits on their size and depth."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Hashable
from pathlib import Path
from typing import Any

import yaml

from pipeline.params.errors import UserError

MAX_BYTES = 1 << 22  # of a YAML file: a hundred times the longest in this project; each takes a microsecond


MAX_NODES = 100_000  # of a YAML file, with aliases expanded


MAX_DEPTH = 64  # levels of nesting in YAML and JSON; Python's own limit would end in a traceback


MAX_DIGITS = 100  # of an integer; one of thousands can be read, but neither printed nor compared with a float


class TooLarge(yaml.MarkedYAMLError):
    """YAML that would take far more time, memory or stack than its length suggests."""


class _Checks(yaml.composer.Composer, yaml.constructor.SafeConstructor):
    """No duplicate keys; deep nesting, long numbers and exponential aliases raise TooLarge before any value is built."""

    def __init__(self) -> None:
        yaml.composer.Composer.__init__(self)
        yaml.constructor.SafeConstructor.__init__(self)
        self._depth = self._nodes = 0
        self._sizes: dict[str, int] = {}

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        event, before = self.peek_event(), self._nodes  # type: ignore[attr-defined]
        is_alias = isinstance(event, yaml.AliasEvent)
        self._nodes += 1 + (self._sizes.get(event.anchor, 0) if is_alias else 0)
        if is_alias and event.anchor in self.anchors and event.anchor not in self._sizes:
            raise TooLarge(None, None, f"*{event.anchor} refers to a value that contains it", event.start_mark)
        if self._nodes > MAX_NODES:
            raise TooLarge(None, None, f"more than {MAX_NODES:,} values after aliases are expanded", event.start_mark)
        if self._depth == MAX_DEPTH:
            raise TooLarge(None, None, f"more than {MAX_DEPTH} levels of nesting", event.start_mark)
        self._depth += 1
        node = super().compose_node(parent, index)
        self._depth -= 1
        if not is_alias and event.anchor is not None:
            self._sizes[event.anchor] = self._nodes - before
        return node

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        words: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                if key.value in words:
                    raise yaml.constructor.ConstructorError(None, None, f"duplicate key {key.value}", key.start_mark)
                words.add(key.value)
        return super().construct_mapping(node, deep)


class Yaml12Loader(_Checks, yaml.SafeLoader):
    """PyYAML with the scalars of YAML 1.2, as DVC reads them: 1e-3 is a number, `on` and `no` are text."""

    def __init__(self, stream: str) -> None:
        yaml.SafeLoader.__init__(self, stream)
        _Checks.__init__(self)


Yaml12Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag in ("tag:yaml.org,2002:null", "tag:yaml.org,2002:timestamp")]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
for _tag, _pattern, _first in (
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("int", r"[-+]?(?:_*[0-9][0-9_]*|0b[01_]*[01]_*|0o[0-7_]*[0-7]_*|0x[0-9a-fA-F_]*[0-9a-fA-F]_*)", "-+0123456789"),
    (
        "float",
        r"[-+]?(?:[0-9][0-9_]*\.[0-9_]*(?:[eE][-+]?[0-9]+)?|[0-9][0-9_]*[eE][-+]?[0-9]+|\.[0-9_]+(?:[eE][-+][0-9]+)?)"
        r"|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)",
        "-+0123456789.",
    ),
):
    Yaml12Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(f"^(?:{_pattern})$"), list(_first))


def _mark(node: yaml.Node) -> Any:  # which types-PyYAML takes for two things
    return node.start_mark


def _integer(loader: yaml.SafeLoader | yaml.CSafeLoader, node: yaml.ScalarNode) -> int:
    text = str(loader.construct_scalar(node)).replace("_", "")
    if len(text) > MAX_DIGITS:
        raise TooLarge(None, None, f"an integer of {len(text):,} digits; at most {MAX_DIGITS} are read", _mark(node))
    return int(text, 0) if text.lstrip("-+")[:2] in ("0b", "0o", "0x") else int(text)


Yaml12Loader.add_constructor("tag:yaml.org,2002:int", _integer)


if yaml.__with_libyaml__:

    class _Libyaml(_Checks, yaml.CSafeLoader):
        """Yaml12Loader on the scanner and parser of libyaml, six times as fast."""

        def __init__(self, stream: str) -> None:
            yaml.CSafeLoader.__init__(self, stream)
            _Checks.__init__(self)

        yaml_implicit_resolvers = Yaml12Loader.yaml_implicit_resolvers
        yaml_constructors = Yaml12Loader.yaml_constructors


NOT_YAML = (ValueError, yaml.YAMLError, KeyError, AttributeError)
"""What a text that is not YAML raises: ValueError an invalid date or number, the last two `!!bool x` and `!!timestamp x`."""


def load_yaml(text: str) -> Any:
    """The content of a YAML text, read as DVC reads it.

    Raises:
        NOT_YAML: it is not YAML; PyYAML's own, whose words are the same on every machine.
    """
    if yaml.__with_libyaml__:
        with contextlib.suppress(*NOT_YAML):
            return yaml.load(text, Loader=_Libyaml)  # noqa: S506 (a SafeLoader)
    return yaml.load(text, Loader=Yaml12Loader)  # noqa: S506 (a SafeLoader)


def read_yaml(path: Path) -> Any:
    """The content of a YAML file, read as DVC reads it.

    Raises:
        UserError: the file is missing, cannot be read, is too long, or is not YAML.
    """
    try:
        if (size := path.stat().st_size) > MAX_BYTES:
            raise UserError(f"{path}: has {size:,} bytes; at most {MAX_BYTES:,} are read")
        return load_yaml(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path}: there is no such file here; run from the top folder of the project") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from None
    except NOT_YAML as error:  # a ValueError, too, where it is not UTF-8
        mark = getattr(error, "problem_mark", None)
        where = f"{path}, line {mark.line + 1}" if mark else f"{path}"
        what = "" if isinstance(error, TooLarge) else "not YAML: "
        misfit = "a value does not fit its tag" if isinstance(error, KeyError | AttributeError) else error
        raise UserError(f"{where}: {what}{getattr(error, 'problem', None) or misfit}") from None
