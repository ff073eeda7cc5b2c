"""Architecture tests, called laws: functions from a project to the breaches that they find in it, which should be none."""

from __future__ import annotations

import ast
import functools
from pathlib import Path

from pipeline.params.yaml12 import read_yaml
from tests.module_graph import (
    arrows_within,
    closure,
    folders,
    import_lines,
    imports_of,
    modules,
    reachable,
    room_of,
    stage_scripts,
    syntax_of,
)

# Layers, from the lowest up: a room may import rooms of lower layers, not those of its own.
LAYERS = {
    "networks": 1,
    "tasks": 2,
    "engine": 3,
    "inference": 4,
    "conformance": 5,
    "evaluation": 5,
    "probes": 5,
    "doctor": 5,
    "lab": 6,
}
# Rooms outside the layers: what each may import besides itself and BASE, and the lowest layer that may import it.
SIDE = {"tokenizers": ((), 4), "corpus": (("tokenizers",), 5), "figures": ((), 6)}
# What every room may import; each of these may import those before it.
BASE = ("params", "artifacts", "arrays", "identity", "readings", "progress", "processes")
NO_TORCH = {*BASE, *SIDE, "doctor"}

# Files that are run by other stages than the rest of their folder, and why.
RUN_SEPARATELY = {
    "pipeline.corpus.grammars": "the rules of generated texts, by which probe checks samples",
    "pipeline.engine.input_dependence": "train checks an untrained classifier by it, probe a trained one",
    "pipeline.engine.early_stopping": "train stops by its rules, the doctor reads the reason",
}
MOST_FILES, MOST_LINES = 16, 300  # of a folder, of a file


# -------------------------------------------------------------------------------------------------------------- the laws


def imports_run_down(project: Path) -> list[str]:
    """Law 1: imports run down the layers; tokenizers, corpus and figures are outside them; all may import BASE."""
    breaches = []
    for module in modules(project):
        room = room_of(module)
        for other in imports_of(project, module):
            wrong = _forbidden(room, room_of(other), stage_scripts(project)) if room_of(other) != room else ""
            breaches += [f"{module} -> {other}: {wrong}"] if wrong else []
    return breaches


def _forbidden(room: str, other: str, scripts: set[str]) -> str:
    """Why one room may not import another; "" = it may."""
    if f"pipeline.{other}" in scripts:
        return "imports a stage script"
    if room in BASE:
        return "" if other in BASE[: BASE.index(room)] else "the base imports up"
    if other in BASE:
        return ""
    if room in SIDE:
        return "" if other in SIDE[room][0] else f"{room} is outside the layers"
    if f"pipeline.{room}" in scripts:
        return "a stage script may not import the lab" if other == "lab" else ""
    lowest = SIDE[other][1] if other in SIDE else LAYERS[other] + 1
    return f"{room} imports up" if lowest > LAYERS[room] else ""


def no_import_cycles(project: Path) -> list[str]:
    """Law 1: no module imports itself by way of others."""
    return [
        f"{module} imports itself by way of {other}"
        for module in modules(project)
        for other in imports_of(project, module)
        if module in closure(project, other)
    ]


def no_relative_imports(project: Path) -> list[str]:
    """Law 1: imports name modules in full, so that the other laws can read them."""
    return [
        f"{module}:{line}"
        for module, path in modules(project).items()
        for name, line in import_lines(path)
        if name == "relative import"
    ]


def torch_free_files_import_no_torch(project: Path) -> list[str]:
    """Law 1: no torch in the rooms of NO_TORCH, nor in a file whose docstring says "no torch", nor in what these import."""
    breaches = []
    for module, path in modules(project).items():
        if room_of(module) in NO_TORCH or "no torch" in (ast.get_docstring(syntax_of(path)) or "").lower():
            breaches += [
                f"{module}: {other}:{line} imports {name}"
                for other in sorted(closure(project, module))
                for name, line in import_lines(modules(project)[other])
                if name.split(".")[0] in ("torch", "safetensors", "transformers")
            ]
    return breaches


def folders_are_run_as_a_whole(project: Path) -> list[str]:
    """Law 2: a stage runs all files of a folder or none (except lab and RUN_SEPARATELY), so that dvc.yaml can name folders."""
    breaches = []
    for folder in sorted({path.parent for path in modules(project).values()} - {project / "pipeline"}):
        files = {
            module
            for module, path in modules(project).items()
            if path.parent == folder and room_of(module) not in ("lab", "params") and module not in RUN_SEPARATELY
        }
        for stage in sorted(stage_scripts(project)):
            runs = files & closure(project, stage)
            if runs and runs != files:
                idle = ", ".join(sorted(files - runs))
                breaches.append(f"{stage} runs only a part of {folder.relative_to(project)}, without {idle}")
    return breaches + [
        f"{module} is in RUN_SEPARATELY, and does not exist"
        for module in sorted(RUN_SEPARATELY.keys() - modules(project).keys())
    ]


def no_cycles_between_folders(project: Path) -> list[str]:
    """Law 1: within every folder, none of its files and folders imports itself by way of others."""
    breaches = []
    for folder in folders(project):
        arrows = arrows_within(project, folder)
        for start in sorted(arrows):
            reached = reachable(start, arrows)
            breaches += [f"{folder}: {start} imports itself by way of {sorted(reached - {start})}"] if start in reached else []
    return breaches


def folders_and_files_are_small(project: Path) -> list[str]:
    """Law 3: a folder has at most 16 files, a file at most 300 lines."""
    sizes = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in modules(project).values()}
    return [
        f"{folder.relative_to(project)} has {count} files"
        for folder in sorted({path.parent for path in sizes})
        if (count := sum(path.parent == folder for path in sizes)) > MOST_FILES
    ] + [f"{path.relative_to(project)} has {lines} lines" for path, lines in sizes.items() if lines > MOST_LINES]


def tests_read_the_stages(project: Path) -> list[str]:
    """Law 5: a test that runs over stages reads them from dvc.yaml (small.stages): no list in tests/ names most of them."""
    stages = {script.removeprefix("pipeline.") for script in stage_scripts(project)}
    breaches = []
    for path in sorted((project / "tests").rglob("*.py")):
        for node in ast.walk(syntax_of(path)):
            if isinstance(node, ast.List | ast.Tuple | ast.Set):
                words = {item.value for item in node.elts if isinstance(item, ast.Constant) and isinstance(item.value, str)}
                if len(words & stages) > len(stages) / 2:
                    breaches.append(f"{path.relative_to(project)}:{node.lineno} lists stages by hand")
    return breaches


def deps_are_what_runs(project: Path) -> list[str]:
    """Law 2: the code among a stage's deps is what its script imports, directly or not, except params/: no less and no more."""
    breaches = []
    for stage, content in read_yaml(project / "dvc.yaml")["stages"].items():
        named = {project / str(dep) for dep in content["deps"] if str(dep).startswith("pipeline")}
        listed = {
            file for path in named for file in ([path] if path.is_file() else path.rglob("*.py")) if file.name != "__init__.py"
        }
        known = modules(project)
        runs = {known[module] for module in closure(project, f"pipeline.{stage}")} - set(
            (project / "pipeline/params").iterdir()
        )
        breaches += [f"{stage}: runs {file.relative_to(project)}, which is not a dep" for file in sorted(runs - listed)]
        breaches += [f"{stage}: lists {file.relative_to(project)}, which never runs" for file in sorted(listed - runs)]
        rooms = {file.parent for file in runs} - {project / "pipeline"}
        beside = {
            file for room in rooms for file in room.iterdir() if file.is_file() and file.suffix != ".py" and room.name != "lab"
        }
        covered = {file for file in beside if file in named or any(path in file.parents for path in named)}
        breaches += [f"{stage}: uses {file.relative_to(project)}, which is not a dep" for file in sorted(beside - covered)]
    return breaches


def params_are_what_is_read(project: Path) -> list[str]:
    """Law 2: the sections that a stage script reads are its params, except `runtime`, which changes no result."""
    breaches = []
    everything = set(read_yaml(project / "params.yaml")) - {"runtime"}
    for stage, content in read_yaml(project / "dvc.yaml")["stages"].items():
        read: set[str] = set()
        tree = syntax_of(project / f"pipeline/{stage}.py")
        inside = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "params":
                read |= {node.attr} & (everything | {"runtime"})
            elif isinstance(node, ast.keyword) and node.arg == "include":
                read |= set(ast.literal_eval(node.value))
            elif (
                isinstance(node, ast.Name) and node.id == "params" and isinstance(node.ctx, ast.Load) and id(node) not in inside
            ):
                read |= _passed_on(tree, everything)
        listed = {str(name) for name in content.get("params", []) if "." not in str(name)}
        breaches += [f"{stage}: reads `{name}`, which is not among its params" for name in sorted(read - {"runtime"} - listed)]
        breaches += [f"{stage}: lists `{name}`, which it never reads" for name in sorted(listed - read)]
    return breaches


def run_cache_sees_all_knobs(project: Path) -> list[str]:
    """Law 2: a knob whose name DVC's run cache ignores is also listed by its full name.

    DVC (3.67.1, dvc/stage/cache.py) ignores every key called `size` or `nfiles`, at any depth, and would restore the data of
    another `prepare.size`.
    """
    ignored = [
        f"{section}.{knob}"
        for section, knobs in read_yaml(project / "params.yaml").items()
        for knob in (knobs if isinstance(knobs, dict) else ())
        if knob in ("size", "nfiles")
    ]
    return [
        f"{stage}: lists `{name.partition('.')[0]}`, of which DVC's run cache ignores `{name}`"
        for stage, content in read_yaml(project / "dvc.yaml")["stages"].items()
        for name in ignored
        if name.partition(".")[0] in content.get("params", []) and name not in content.get("params", [])
    ]


def _passed_on(tree: ast.Module, everything: set[str]) -> set[str]:
    """What a script reads that passes `params` on: nothing more if only its own functions receive it, else everything."""
    own = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    takers = [
        call for call in calls if any(isinstance(argument, ast.Name) and argument.id == "params" for argument in call.args)
    ]
    return set() if all(isinstance(call.func, ast.Name) and call.func.id in own for call in takers) else everything


def commands_run_the_stage_scripts(project: Path) -> list[str]:
    """Law 2: a stage's command is `python -m pipeline.<stage>`."""
    stages = read_yaml(project / "dvc.yaml")["stages"]
    return [
        f"{stage}: {content['cmd']}" for stage, content in stages.items() if content["cmd"] != f"python -m pipeline.{stage}"
    ]


def stage_scripts_check_before_they_import(project: Path) -> list[str]:
    """Law 2: a stage script imports only BASE and the standard library before the parameters are checked."""
    breaches = []
    for script in sorted(stage_scripts(project)):
        tree = syntax_of(modules(project)[script])
        for node in tree.body:
            names = [n.name for n in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            heavy = [n for n in names if n.split(".")[0] in ("torch", "numpy", "matplotlib", "pandas", "sklearn", "rich")]
            heavy += [n for n in names if n.startswith("pipeline.") and room_of(n) not in BASE]
            breaches += [f"{script}:{node.lineno} imports {name} before the parameters are checked" for name in heavy]
    return breaches


FILES = {"open", "read_text", "read_bytes", "write_text", "write_bytes", "load_file", "safe_open", "copyfile", "tofile"}
OF_NUMPY = {"load", "save", "savez", "fromfile", "memmap", "loadtxt", "genfromtxt"}

# The modules of stages that open files themselves, and which files.
OPENS_FILES = {
    "pipeline.artifacts.checksums": "opens what stages leave, to compare it",
    "pipeline.artifacts.reading": "opens what stages leave, after that",
    "pipeline.artifacts.writing": "writes what stages leave",
    "pipeline.artifacts.paths": "locks",
    "pipeline.arrays": "arrays of what stages leave, verified first",
    "pipeline.params.names": "its own source",
    "pipeline.params.yaml12": "params.yaml and dvc.yaml",
    "pipeline.processes": "what the other processes of a training had to say, in a temporary folder",
    "pipeline.corpus.sources.published.download": "downloads, whose sha256 it compares itself",
    "pipeline.corpus.sources.user.text": "the user's own files",
    "pipeline.corpus.sources.user.image_files": "the user's own files",
    "pipeline.corpus.sources.user.labelled": "the user's own files, and downloads",
    "pipeline.corpus.sources.published.hub_token": "the user's token of the hub",
    "pipeline.corpus.sources.published.texts": "downloads",
    "pipeline.corpus.sources.published.images": "downloads",
    "pipeline.corpus.sources.published.sentiment": "downloads",
    "pipeline.engine.checkpoint": "checkpoints, whose names carry their checksums",
    "pipeline.engine.pretrained.hugging_face_model": "weights in Hugging Face's format",
    "pipeline.engine.runtime.tuned": "/proc/cpuinfo",
    "pipeline.figures.report": "its own style sheet and script",
    "pipeline.networks.weights": "weights, whose sha256 it compares first",
}


def files_are_opened_by_artifacts(project: Path) -> list[str]:
    """Law 6: only artifacts/ and arrays.py open files that a stage wrote; they compare checksums and name bad files."""
    run = set[str]().union(*(closure(project, script) for script in stage_scripts(project)))
    opening = {module: lines for module in sorted(run) if (lines := _opens(syntax_of(modules(project)[module])))}
    breaches = [
        f"{module}:{line} opens a file itself"
        for module, lines in opening.items()
        if module not in OPENS_FILES
        for line in lines
    ]
    return breaches + [f"{module} is in OPENS_FILES, and opens none" for module in OPENS_FILES.keys() - opening.keys()]


@functools.cache
def _opens(tree: ast.Module) -> tuple[int, ...]:
    """The lines in which a file is opened without a function of artifacts/."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            owner, name = ast.unparse(node.func.value), node.func.attr
            if (name in FILES and owner not in ("reading", "writing")) or (name in OF_NUMPY and owner in ("np", "numpy")):
                found.append(node.lineno)
        elif (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Name)
            and node.func.id in ("open", "safe_open", "load_file")
        ):
            found.append(node.lineno)
    return tuple(found)


def cached_outs_are_ignored(project: Path) -> list[str]:
    """Law 2: git ignores the outs that DVC caches, in a .gitignore beside each, and no others.

    DVC refuses to run a stage with an out that git tracks, and writes the line itself only after the stage has ended.
    """
    breaches = []
    for stage, content in read_yaml(project / "dvc.yaml")["stages"].items():
        for out in [*content.get("outs", []), *content.get("metrics", []), *content.get("plots", [])]:
            name, options = next(iter(out.items())) if isinstance(out, dict) else (out, {})
            ignore = (project / str(name)).parent / ".gitignore"
            is_ignored = ignore.exists() and f"/{Path(str(name)).name}" in ignore.read_text(encoding="utf-8").splitlines()
            if is_ignored != (options or {}).get("cache", True):
                word = "not ignored" if not is_ignored else "to be tracked by git, and ignored"
                breaches.append(f"{stage}: {name} is {word} ({ignore.relative_to(project)})")
    return breaches


def packages_are_one_docstring(project: Path) -> list[str]:
    """Law 3: `__init__.py` is one docstring."""
    breaches = []
    for path in sorted((project / "pipeline").rglob("__init__.py")):
        body = syntax_of(path).body
        if not (len(body) == 1 and isinstance(body[0], ast.Expr) and isinstance(body[0].value, ast.Constant)):
            breaches.append(f"{path.relative_to(project)} contains more than one docstring")
    return breaches


def tables(project: Path) -> dict[str, str]:
    """Every table of the project, NAME -> module: a dict with a type annotation at the top level of a module."""
    found = {}
    for module, path in modules(project).items():
        for node in syntax_of(path).body:
            match node:
                case ast.AnnAssign(target=ast.Name(id=name), value=ast.Dict()) if name.isupper() and not name.startswith("_"):
                    found[name] = module
    return found


def tables_are_tested_whole(project: Path) -> list[str]:
    """Law 5: every table parametrizes a test, so that each of its entries is tested."""
    used = set[str]().union(*(_parametrized_by(syntax_of(path)) for path in (project / "tests").glob("test_*.py")))
    return [f"{name} of {module} is in no test" for name, module in tables(project).items() if name not in used]


@functools.cache
def _parametrized_by(tree: ast.Module) -> set[str]:
    """Every name in a `parametrize` of a file of tests, or in the definition of such a name."""
    behind = {
        target.id: _names(node.value)
        for node in tree.body
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    calls = [call for node in ast.walk(tree) if isinstance(node, ast.FunctionDef) for call in node.decorator_list]
    ahead = set[str]().union(*(_names(call) for call in calls if "parametrize" in ast.unparse(call)))
    reached: set[str] = set()
    while ahead:
        reached |= ahead
        ahead = set[str]().union(*(behind.get(name, set()) for name in ahead)) - reached
    return reached


def _names(tree: ast.AST) -> set[str]:
    return {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}


LAWS = {law.__name__: law for law in (
    imports_run_down,
    no_import_cycles,
    no_relative_imports,
    torch_free_files_import_no_torch,
    no_cycles_between_folders,
    folders_are_run_as_a_whole,
    deps_are_what_runs,
    params_are_what_is_read,
    run_cache_sees_all_knobs,
    commands_run_the_stage_scripts,
    cached_outs_are_ignored,
    stage_scripts_check_before_they_import,
    packages_are_one_docstring,
    folders_and_files_are_small,
    tests_read_the_stages,
    tables_are_tested_whole,
    files_are_opened_by_artifacts,
)}  # fmt: skip
