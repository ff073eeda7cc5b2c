"""The import graph of a project's pipeline/, read from its source: modules, what each imports, and what runs with a stage."""

from __future__ import annotations

import ast
import functools
from collections.abc import Mapping
from pathlib import Path

from pipeline.params.yaml12 import read_yaml


def syntax_of(path: Path) -> ast.Module:
    """The syntax tree of a file."""
    return _parsed(path.read_text(encoding="utf-8"))


@functools.cache  # by the text: nearly all files of a copied project are the same
def _parsed(text: str) -> ast.Module:
    return ast.parse(text)


def import_lines(path: Path) -> tuple[tuple[str, int], ...]:
    """(module, line) of every import in a file, also inside functions."""
    return _import_lines(syntax_of(path))


@functools.cache
def _import_lines(tree: ast.Module) -> tuple[tuple[str, int], ...]:
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [(name.name, node.lineno) for name in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found += [(f"{node.module}.{name.name}", node.lineno) for name in node.names] + [(node.module, node.lineno)]
        elif isinstance(node, ast.ImportFrom):
            found.append(("relative import", node.lineno))
    return tuple(found)


@functools.cache
def modules(project: Path) -> dict[str, Path]:
    """Every module under pipeline/ but the bare packages, as pipeline.room.name -> file."""
    files = sorted((project / "pipeline").rglob("*.py"))
    return {".".join(f.relative_to(project).with_suffix("").parts): f for f in files if f.name != "__init__.py"}


@functools.cache
def imports_of(project: Path, module: str) -> set[str]:
    """The modules under pipeline/ that a module imports itself."""
    known = modules(project)
    return {name for name, _ in import_lines(known[module]) if name in known} - {module}


@functools.cache
def closure(project: Path, module: str) -> set[str]:
    """The modules under pipeline/ that run, directly or not, when a module does."""
    return reachable(module, {name: imports_of(project, name) for name in modules(project)}) | {module}


def reachable(start: str, arrows: Mapping[str, set[str]]) -> set[str]:
    """All nodes of a graph to which a path of one or more arrows leads; the start itself only if it lies on a circle."""
    reached, next_ones = set[str](), set(arrows.get(start, ()))
    while next_ones:
        reached |= next_ones
        next_ones = set[str]().union(*(arrows.get(name, set()) for name in next_ones)) - reached
    return reached


@functools.cache
def stage_scripts(project: Path) -> set[str]:
    """The modules that stages run, as pipeline.train."""
    return {f"pipeline.{stage}" for stage in read_yaml(project / "dvc.yaml")["stages"]}


def room_of(module: str) -> str:
    """The folder of pipeline/ that a module is in, or its own name: networks for pipeline.networks.norms."""
    return module.split(".")[1]


def folders(project: Path) -> list[Path]:
    """pipeline/ and every folder in it that has modules, relative to the project."""
    files = modules(project).values()
    return sorted({parent for path in files for parent in path.relative_to(project).parents} - {Path()})


def arrows_within(project: Path, folder: Path) -> dict[str, set[str]]:
    """Which files and folders of a folder import which others of them; a file in a deeper folder counts for that folder."""
    child = {
        module: path.relative_to(project / folder).parts[0]
        for module, path in modules(project).items()
        if path.is_relative_to(project / folder)
    }
    arrows: dict[str, set[str]] = {}
    for module, name in child.items():
        arrows.setdefault(name, set()).update(child[other] for other in imports_of(project, module) if other in child)
        arrows[name].discard(name)
    return arrows
