"""The layout of a project in numbers, to compare two of its commits.

    python -m tests.house [FOLDER…]    # each the top of a checkout; default: this one

It prints the code deps of dvc.yaml, the largest folder and file, the arrows (imports) between files and folders, and the
circles among them. It reads source alone, and imports nothing of the project.
"""

from __future__ import annotations

import argparse
from collections import Counter
from pathlib import Path

from pipeline.params.yaml12 import read_yaml
from tests.module_graph import arrows_within, closure, folders, imports_of, modules, reachable

TOP = Path(__file__).parent.parent


def layout(project: Path) -> dict[str, str]:
    """What is measured, by its name."""
    sizes = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in modules(project).values()}
    files = Counter(path.parent for path in sizes)
    (largest_folder, most_files), largest_file = files.most_common(1)[0], max(sizes, key=lambda path: sizes[path])
    deps = {stage: list(map(str, content["deps"])) for stage, content in read_yaml(project / "dvc.yaml")["stages"].items()}
    code = {stage: sum(dep.startswith("pipeline") for dep in listed) for stage, listed in deps.items()}
    graphs = {folder: arrows_within(project, folder) for folder in folders(project)}
    arrows = {folder: sum(map(len, graph.values())) for folder, graph in graphs.items()}
    busiest = max(arrows, key=lambda folder: arrows[folder])
    rooms = graphs[Path("pipeline")]
    return {
        "modules": f"{len(sizes)} in {len(files)} folders, {sum(sizes.values()):,} lines",
        "largest folder": f"{largest_folder.relative_to(project)}, {most_files} modules",
        "largest file": f"{largest_file.relative_to(project)}, {sizes[largest_file]} lines",
        "code deps in dvc.yaml": f"{sum(code.values())} ({', '.join(f'{stage} {count}' for stage, count in code.items())})",
        "all deps in dvc.yaml": str(sum(map(len, deps.values()))),
        "imports between modules": str(sum(len(imports_of(project, module)) for module in modules(project))),
        "arrows between the folders and files of pipeline/": f"{arrows[Path('pipeline')]} among {len(rooms)}",
        "most arrows within a folder": f"{busiest}, {arrows[busiest]} among {len(graphs[busiest])}",
        "circles between modules": str(sum(_is_on_a_circle(project, module) for module in modules(project))),
        "circles between folders": str(sum(name in reachable(name, graph) for graph in graphs.values() for name in graph)),
    }


def _is_on_a_circle(project: Path, module: str) -> bool:
    return any(module in closure(project, other) for other in imports_of(project, module))


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.house", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folder", nargs="*", type=Path, default=[TOP])
    columns = [layout(folder.resolve()) for folder in parser.parse_args().folder]
    width = max(map(len, columns[0]))
    for name in columns[0]:
        print(f"{name:<{width}}  {'  ->  '.join(column[name] for column in columns)}")


if __name__ == "__main__":
    main()
