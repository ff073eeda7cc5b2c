"""The laws of the house, each a function from a checkout to the breaches that it finds there (none in a house that stands)."""

from __future__ import annotations

import ast
import functools
from pathlib import Path

from pipeline.params.yaml12 import read_yaml

# The tower, from the ground up; rooms of one floor do not import each other.
FLOORS = {"networks": 1, "tasks": 2, "engine": 3, "inference": 4, "evaluation": 5, "probes": 5, "doctor": 5, "lab": 6}
# Beside the tower: what each imports besides itself and the ground, and the lowest floor that may import it.
BESIDE = {"tokenizers": ((), 4), "corpus": (("tokenizers",), 5), "figures": ((), 6)}
GROUND = ("params", "artifacts", "arrays", "identity", "readings", "progress")  # each may import those before it
NO_TORCH = {*GROUND, *BESIDE, "doctor"}

# Files that other stages run than the rest of their folder, and why.
RUN_APART = {
    "pipeline.corpus.grammars": "the rules of generated texts, which probe asks",
    "pipeline.engine.input_dependence": "train asks it of a fresh classifier, probe of a trained one",
    "pipeline.engine.early_stopping": "train stops by its rules, the doctor reads why",
}
MOST_FILES, MOST_LINES = 16, 300  # of a folder, of a file


def _tree(path: Path) -> ast.Module:
    """The syntax of a file."""
    return _parsed(path.read_text(encoding="utf-8"))


@functools.cache  # by the text: of a house that was copied, nearly every file is as it was
def _parsed(text: str) -> ast.Module:
    return ast.parse(text)


def _imports(path: Path) -> tuple[tuple[str, int], ...]:
    """(module, line) of every import in a file, inside functions too."""
    return _imports_in(_tree(path))


@functools.cache
def _imports_in(tree: ast.Module) -> tuple[tuple[str, int], ...]:
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
def modules(house: Path) -> dict[str, Path]:
    """Every module of the house but the bare packages, as pipeline.room.name -> file."""
    files = sorted((house / "pipeline").rglob("*.py"))
    return {".".join(f.relative_to(house).with_suffix("").parts): f for f in files if f.name != "__init__.py"}


@functools.cache
def imported(house: Path, module: str) -> set[str]:
    """The modules of the house that a module imports itself."""
    known = modules(house)
    return {name for name, _ in _imports(known[module]) if name in known} - {module}


@functools.cache
def closure(house: Path, module: str) -> set[str]:
    """The modules of the house that run, directly or not, when a module does."""
    reached, ahead = set(), {module}
    while ahead:
        reached |= ahead
        ahead = set().union(*(imported(house, name) for name in ahead)) - reached
    return reached


@functools.cache
def doors(house: Path) -> set[str]:
    return {f"pipeline.{stage}" for stage in read_yaml(house / "dvc.yaml")["stages"]}


def room_of(module: str) -> str:
    """networks for pipeline.networks.norms, params for pipeline.params."""
    return module.split(".")[1]


# -------------------------------------------------------------------------------------------------------------- the laws


def imports_run_down(house: Path) -> list[str]:
    """Law 1: imports run down the floors; tokenizers, corpus and figures stand beside; all on the ground."""
    breaches = []
    for module in modules(house):
        room = room_of(module)
        for other in imported(house, module):
            wrong = _climbs(room, room_of(other), doors(house)) if room_of(other) != room else ""
            breaches += [f"{module} -> {other}: {wrong}"] if wrong else []
    return breaches


def _climbs(room: str, below: str, stages: set[str]) -> str:
    """What is wrong with an import of one room by another; "" = nothing."""
    if f"pipeline.{below}" in stages:
        return "imports a stage script"
    if room in GROUND:
        return "" if below in GROUND[: GROUND.index(room)] else "the ground imports up"
    if below in GROUND:
        return ""
    if room in BESIDE:
        return "" if below in BESIDE[room][0] else f"{room} stands beside the tower"
    if f"pipeline.{room}" in stages:
        return "a stage script does not ask the lab" if below == "lab" else ""
    lowest = BESIDE[below][1] if below in BESIDE else FLOORS[below] + 1
    return f"{room} imports up" if lowest > FLOORS[room] else ""


def no_circles(house: Path) -> list[str]:
    """Law 1: no module is needed to import itself."""
    return [
        f"{module} imports itself by way of {other}"
        for module in modules(house)
        for other in imported(house, module)
        if module in closure(house, other)
    ]


def no_relative_imports(house: Path) -> list[str]:
    """Law 1, so that the others can be read off the text: modules are named in full."""
    return [
        f"{module}:{line}"
        for module, path in modules(house).items()
        for name, line in _imports(path)
        if name == "relative import"
    ]


def torch_stays_in_the_tower(house: Path) -> list[str]:
    """Law 1: no torch in the rooms of NO_TORCH, nor in a file whose docstring says "no torch", nor in what these import."""
    breaches = []
    for module, path in modules(house).items():
        if room_of(module) in NO_TORCH or "no torch" in (ast.get_docstring(_tree(path)) or "").lower():
            breaches += [
                f"{module}: {other}:{line} imports {name}"
                for other in sorted(closure(house, module))
                for name, line in _imports(modules(house)[other])
                if name.split(".")[0] in ("torch", "safetensors", "transformers")
            ]
    return breaches


def folders_are_run_whole(house: Path) -> list[str]:
    """Law 2: a folder is what the same stages run: of its files a stage runs all or none (lab, and RUN_APART, excepted).

    dvc.yaml then names folders, and where a line belongs is decided by which stages must run again when it changes.
    """
    breaches = []
    for folder in sorted({path.parent for path in modules(house).values()} - {house / "pipeline"}):
        files = {
            module
            for module, path in modules(house).items()
            if path.parent == folder and room_of(module) not in ("lab", "params") and module not in RUN_APART
        }
        for stage in sorted(doors(house)):
            runs = files & closure(house, stage)
            if runs and runs != files:
                idle = ", ".join(sorted(files - runs))
                breaches.append(f"{stage} runs a part of {folder.relative_to(house)}, and not {idle}")
    return breaches + [
        f"{module} is run apart, and is not there" for module in sorted(RUN_APART.keys() - modules(house).keys())
    ]


def folders_have_no_circles(house: Path) -> list[str]:
    """Law 1: inside every folder, no file or folder in it is needed to import itself."""
    breaches = []
    for folder in sorted({parent for path in modules(house).values() for parent in path.relative_to(house).parents} - {Path()}):
        reads = _between(house, folder)
        for start in sorted(reads):
            reached, ahead = set[str](), set(reads[start])
            while ahead:
                reached |= ahead
                ahead = set[str]().union(*(reads.get(name, set()) for name in ahead)) - reached
            breaches += [f"{folder}: {start} imports itself by way of {sorted(reached - {start})}"] if start in reached else []
    return breaches


def _between(house: Path, folder: Path) -> dict[str, set[str]]:
    """Which of the files and folders of a folder import which others of them, inner files counted for their folder."""
    child = {
        module: path.relative_to(house / folder).parts[0]
        for module, path in modules(house).items()
        if path.is_relative_to(house / folder)
    }
    reads: dict[str, set[str]] = {}
    for module, name in child.items():
        reads.setdefault(name, set()).update(child[other] for other in imported(house, module) if other in child)
        reads[name].discard(name)
    return reads


def rooms_are_small(house: Path) -> list[str]:
    """Law 3: a folder has at most 16 files, a file at most 300 lines."""
    sizes = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in modules(house).values()}
    folders = {path.parent for path in sizes}
    return [
        f"{folder.relative_to(house)} has {count} files"
        for folder in sorted(folders)
        if (count := sum(path.parent == folder for path in sizes)) > MOST_FILES
    ] + [f"{path.relative_to(house)} has {lines} lines" for path, lines in sizes.items() if lines > MOST_LINES]


def tests_read_the_stages(house: Path) -> list[str]:
    """Law 5: a test that runs over stages reads them from dvc.yaml: no list in tests/ names most of them by hand."""
    stages = {door.removeprefix("pipeline.") for door in doors(house)}
    breaches = []
    for path in sorted((house / "tests").rglob("*.py")):
        for node in ast.walk(_tree(path)):
            if isinstance(node, ast.List | ast.Tuple | ast.Set):
                words = {item.value for item in node.elts if isinstance(item, ast.Constant) and isinstance(item.value, str)}
                if len(words & stages) > len(stages) / 2:
                    breaches.append(f"{path.relative_to(house)}:{node.lineno} lists stages by hand")
    return breaches


def deps_are_what_runs(house: Path) -> list[str]:
    """Law 2: the code among a stage's deps is the import closure of its door, params/ apart, no less and no more."""
    breaches = []
    for stage, content in read_yaml(house / "dvc.yaml")["stages"].items():
        named = {house / str(dep) for dep in content["deps"] if str(dep).startswith("pipeline")}
        listed = {
            file for path in named for file in ([path] if path.is_file() else path.rglob("*.py")) if file.name != "__init__.py"
        }
        known = modules(house)
        runs = {known[module] for module in closure(house, f"pipeline.{stage}")} - set((house / "pipeline/params").iterdir())
        breaches += [f"{stage}: runs {file.relative_to(house)}, which is no dep" for file in sorted(runs - listed)]
        breaches += [f"{stage}: lists {file.relative_to(house)}, which never runs" for file in sorted(listed - runs)]
        rooms = {file.parent for file in runs} - {house / "pipeline"}
        beside = {
            file for room in rooms for file in room.iterdir() if file.is_file() and file.suffix != ".py" and room.name != "lab"
        }
        covered = {file for file in beside if file in named or any(path in file.parents for path in named)}
        breaches += [f"{stage}: uses {file.relative_to(house)}, which is no dep" for file in sorted(beside - covered)]
    return breaches


def params_are_what_is_read(house: Path) -> list[str]:
    """Law 2: the sections that a door reads are the stage's params; `runtime` apart, which changes no result."""
    breaches = []
    everything = set(read_yaml(house / "params.yaml")) - {"runtime"}
    for stage, content in read_yaml(house / "dvc.yaml")["stages"].items():
        read: set[str] = set()
        tree = _tree(house / f"pipeline/{stage}.py")
        inside = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "params":
                read |= {node.attr} & (everything | {"runtime"})
            elif isinstance(node, ast.keyword) and node.arg == "include":
                read |= set(ast.literal_eval(node.value))
            elif (
                isinstance(node, ast.Name) and node.id == "params" and isinstance(node.ctx, ast.Load) and id(node) not in inside
            ):
                read |= _handed_on(tree, everything)
        listed = {str(name) for name in content.get("params", []) if "." not in str(name)}
        breaches += [f"{stage}: reads `{name}`, which is none of its params" for name in sorted(read - {"runtime"} - listed)]
        breaches += [f"{stage}: lists `{name}`, which it never reads" for name in sorted(listed - read)]
    return breaches


def run_cache_sees_all_knobs(house: Path) -> list[str]:
    """Law 2: a knob that the key of DVC's run cache leaves out, for its name, is listed by its whole name too.

    DVC (3.67.1, dvc/stage/cache.py) leaves out every key called `size` or `nfiles`, at any depth, and would bring back the data
    of another `prepare.size`.
    """
    forgotten = [
        f"{section}.{knob}"
        for section, knobs in read_yaml(house / "params.yaml").items()
        for knob in (knobs if isinstance(knobs, dict) else ())
        if knob in ("size", "nfiles")
    ]
    return [
        f"{stage}: lists `{name.partition('.')[0]}`, of which DVC's run cache leaves `{name}` out"
        for stage, content in read_yaml(house / "dvc.yaml")["stages"].items()
        for name in forgotten
        if name.partition(".")[0] in content.get("params", []) and name not in content.get("params", [])
    ]


def _handed_on(tree: ast.Module, everything: set[str]) -> set[str]:
    """What a door reads that gives all of `params` away: nothing more if only its own functions get it, else everything."""
    own = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    takers = [
        call for call in calls if any(isinstance(argument, ast.Name) and argument.id == "params" for argument in call.args)
    ]
    return set() if all(isinstance(call.func, ast.Name) and call.func.id in own for call in takers) else everything


def commands_are_the_doors(house: Path) -> list[str]:
    """Law 2: a stage's command is `python -m pipeline.<stage>`."""
    stages = read_yaml(house / "dvc.yaml")["stages"]
    return [
        f"{stage}: {content['cmd']}" for stage, content in stages.items() if content["cmd"] != f"python -m pipeline.{stage}"
    ]


def doors_check_before_they_import(house: Path) -> list[str]:
    """Law 2: at the top of a door only the ground and the standard library; all else after the parameters were checked."""
    breaches = []
    for door in sorted(doors(house)):
        tree = _tree(modules(house)[door])
        for node in tree.body:
            names = [n.name for n in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            heavy = [n for n in names if n.split(".")[0] in ("torch", "numpy", "matplotlib", "pandas", "sklearn", "rich")]
            heavy += [n for n in names if n.startswith("pipeline.") and room_of(n) not in GROUND]
            breaches += [f"{door}:{node.lineno} imports {name} before the parameters are checked" for name in heavy]
    return breaches


FILES = {"open", "read_text", "read_bytes", "write_text", "write_bytes", "load_file", "safe_open", "copyfile", "tofile"}
OF_NUMPY = {"load", "save", "savez", "fromfile", "memmap", "loadtxt", "genfromtxt"}

# The modules that stages run and that open files by themselves, and why they need not ask artifacts/.
OPENS_FILES = {
    "pipeline.artifacts.checksums": "opens what stages leave, to compare it",
    "pipeline.artifacts.reading": "opens what stages leave, after that",
    "pipeline.artifacts.writing": "writes what stages leave",
    "pipeline.artifacts.paths": "locks",
    "pipeline.arrays": "arrays of what stages leave, verified first",
    "pipeline.params.names": "its own source",
    "pipeline.params.yaml12": "params.yaml and dvc.yaml",
    "pipeline.params.machine": "/proc/pressure/cpu",
    "pipeline.corpus.sources.published.download": "downloads, whose sha256 it compares itself",
    "pipeline.corpus.sources.user.text": "the user's own files",
    "pipeline.corpus.sources.user.images": "the user's own files",
    "pipeline.corpus.sources.user.labelled": "the user's own files, and downloads",
    "pipeline.corpus.sources.published.texts": "downloads",
    "pipeline.corpus.sources.published.images": "downloads",
    "pipeline.corpus.sources.published.sentiment": "downloads",
    "pipeline.engine.checkpoint": "checkpoints, whose names carry their checksums",
    "pipeline.engine.pretrained.hugging_face_model": "weights in Hugging Face's format",
    "pipeline.engine.runtime.tuned": "/proc/cpuinfo",
    "pipeline.figures.report": "its own style sheet and script",
    "pipeline.networks.weights": "weights, whose sha256 it compares first",
}


def files_are_opened_by_artifacts(house: Path) -> list[str]:
    """Law 6: what a stage leaves is opened by artifacts/ and arrays.py alone, which compare checksums and name bad files."""
    run = set[str]().union(*(closure(house, door) for door in doors(house)))
    opening = {module: lines for module in sorted(run) if (lines := _opens(_tree(modules(house)[module])))}
    breaches = [
        f"{module}:{line} opens a file by itself"
        for module, lines in opening.items()
        if module not in OPENS_FILES
        for line in lines
    ]
    return breaches + [f"{module} is said to open files, and opens none" for module in OPENS_FILES.keys() - opening.keys()]


@functools.cache
def _opens(tree: ast.Module) -> tuple[int, ...]:
    """The lines in which a file is opened otherwise than by a function of artifacts/."""
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


def cached_outs_are_ignored(house: Path) -> list[str]:
    """Law 2: git ignores the outs that DVC keeps, beside each, before the first run; no other, which git is to keep.

    DVC refuses to train with an out that git tracks, and writes the line itself only when the stage has ended.
    """
    breaches = []
    for stage, content in read_yaml(house / "dvc.yaml")["stages"].items():
        for out in [*content.get("outs", []), *content.get("metrics", []), *content.get("plots", [])]:
            name, options = next(iter(out.items())) if isinstance(out, dict) else (out, {})
            ignore = (house / str(name)).parent / ".gitignore"
            is_ignored = ignore.exists() and f"/{Path(str(name)).name}" in ignore.read_text(encoding="utf-8").splitlines()
            if is_ignored != (options or {}).get("cache", True):
                word = "not ignored" if not is_ignored else "kept by git, and ignored"
                breaches.append(f"{stage}: {name} is {word} ({ignore.relative_to(house)})")
    return breaches


def packages_are_one_docstring(house: Path) -> list[str]:
    """Law 3: `__init__.py` is one docstring."""
    breaches = []
    for path in sorted((house / "pipeline").rglob("__init__.py")):
        body = _tree(path).body
        if not (len(body) == 1 and isinstance(body[0], ast.Expr) and isinstance(body[0].value, ast.Constant)):
            breaches.append(f"{path.relative_to(house)} holds more than one docstring")
    return breaches


def tables(house: Path) -> dict[str, str]:
    """Every table of the house, NAME -> module: a dict with a type annotation at the top level of a room."""
    found = {}
    for module, path in modules(house).items():
        for node in _tree(path).body:
            match node:
                case ast.AnnAssign(target=ast.Name(id=name), value=ast.Dict()) if name.isupper() and not name.startswith("_"):
                    found[name] = module
    return found


def tables_are_tested_whole(house: Path) -> list[str]:
    """Law 5: a test runs over every entry of every table, because it is in the table: it is parametrized by it."""
    used = set[str]().union(*(_parametrized_by(_tree(path)) for path in (house / "tests").glob("test_*.py")))
    return [f"{name} of {module} is in no test" for name, module in tables(house).items() if name not in used]


@functools.cache
def _parametrized_by(tree: ast.Module) -> set[str]:
    """Every name that stands in a `parametrize` of a file of tests, or behind one that does."""
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
    no_circles,
    no_relative_imports,
    torch_stays_in_the_tower,
    folders_have_no_circles,
    folders_are_run_whole,
    deps_are_what_runs,
    params_are_what_is_read,
    run_cache_sees_all_knobs,
    commands_are_the_doors,
    cached_outs_are_ignored,
    doors_check_before_they_import,
    packages_are_one_docstring,
    rooms_are_small,
    tests_read_the_stages,
    tables_are_tested_whole,
    files_are_opened_by_artifacts,
)}  # fmt: skip
