"""Every knob of Rally: its type, its limits, and how a wrong one is refused.

The ground of the house: no torch, nothing of ours. The names that a knob may take are read from the table in the
room that owns it (from its source: nothing is imported), so that a new activation is a change of one file.
"""

from __future__ import annotations

import ast
import copy
import difflib
import errno
import functools
import os
import re
import shutil
import sys
from collections.abc import Callable, Hashable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, TypeVar

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import ErrorDetails, PydanticCustomError

ROOMS = Path(__file__).parent


class UserError(Exception):
    """Something of the user's that cannot be used: each problem one line that says where, what is there, what would do."""

    def __init__(self, *problems: str) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class ParamsError(UserError):
    """params.yaml holds values that cannot be used; all of them are listed at once."""


def entry_point(main: Callable[[], None]) -> Callable[[], None]:
    """Make a command's `main` end without a traceback: with plain lines and status 2 where a user's thing fails, 130 on Ctrl-C.

    It also has the threads of numerical libraries fall asleep soon when they wait, which must be said before those are
    loaded. They would spin for long; on cores that another process wants, a training step took ten times as long for it.

    A stage takes no arguments: `python -m pipeline.train --help` must not begin a training.
    """
    file = Path(main.__code__.co_filename).resolve()
    is_stage = main.__module__ == "__main__" and file.parent == ROOMS

    @functools.wraps(main)
    def refusing() -> None:
        if is_stage and len(sys.argv) > 1:
            print(_no_arguments(file.stem, sys.argv[1]), file=sys.stderr)
            sys.exit(2)
        spins = "0" if machine_is_busy() else "10000"
        os.environ.setdefault("GOMP_SPINCOUNT", spins)  # GNU's OpenMP, which torch brings along on Linux
        os.environ.setdefault("KMP_BLOCKTIME", "1")  # LLVM's and Intel's, milliseconds
        try:
            main()
        except UserError as refusal:
            print(*map(printable, refusal.problems), sep="\n", file=sys.stderr)
            sys.exit(2)
        except OSError as error:  # a full disk, a folder that may not be written to, a file where a folder is wanted
            if error.strerror is None:
                raise
            print(printable(f"{error.filename or 'a file'}: {error.strerror}{_wanted(error)}"), file=sys.stderr)
            sys.exit(2)
        except KeyboardInterrupt:
            sys.exit(130)  # as a shell has it

    return refusing


def _wanted(error: OSError) -> str:
    """What it takes that a file can be written which could not be; "" where the error says it itself."""
    if error.errno == errno.EFBIG:
        return "; a limit on the size of files forbids it (`ulimit -f`, or the file system's own)"
    if error.errno not in (errno.ENOSPC, errno.EDQUOT):
        return ""
    folder = Path(str(error.filename or ".")).absolute()
    while not folder.is_dir():
        folder = folder.parent
    return f"; {shutil.disk_usage(folder).free:,} bytes are free on the disk of {folder}: free some space there"


_PICTURES = {code: 0x2400 + code for code in range(32) if chr(code) not in "\n\t"} | {127: 0x2421}
_UNSEEN = dict.fromkeys((*range(128, 160), *range(0x2028, 0x202F), *range(0x2066, 0x206A), *range(0xD800, 0xE000)), 0xFFFD)
_PRINTABLE = _PICTURES | _UNSEEN


def printable(text: str) -> str:
    """Text that does nothing to a terminal, or to the lines around it: ␛ for an escape, � for what has no picture.

    Texts, prompts, labels and file names come from anywhere. Raw, their control characters (those of Latin-1 too) would set
    titles, clear lines and hide words; Unicode's embeddings and overrides would turn the order of letters around; and half a
    surrogate pair cannot be printed at all. Line breaks and tabs stay.
    """
    return text if text.isascii() and text.isprintable() else text.translate(_PRINTABLE)


def _no_arguments(stage: str, word: str) -> str:
    return (
        f"pipeline.{stage}: takes no arguments, and was given {word!r}. Its settings are in params.yaml; "
        f"`dvc repro {stage}` runs it after what it needs, `dvc exp run -S train.lr=0.01` with one of them changed"
    )


PRESSURE = Path("/proc/pressure/cpu")
BUSY = 50.0  # per cent of the time in which some process waited for a core


def machine_is_busy() -> bool:
    """Whether processes waited for a core during most of the last ten seconds, as Linux measures it; elsewhere by the load.

    Then threads that wait for each other should sleep at once: each turn of waiting takes a core from the thread that is waited
    for. On a quiet machine that would cost a third of the speed (docs/benchmarks.md).
    """
    try:
        some = PRESSURE.read_text(encoding="ascii").partition("avg60")[0]  # some avg10=0.31 avg60=…
        return float(some.rpartition("avg10=")[2]) > BUSY
    except (OSError, ValueError):  # an older kernel, macOS, a container that hides it
        return hasattr(os, "getloadavg") and os.getloadavg()[0] > 2 * cores()


def cores() -> int:
    """What 0 stands for in runtime.threads and runtime.workers: the cores that this process may use.

    Fewer than the machine has in a container or under taskset; threads that share a core wait for each other.
    """
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


# ---------------------------------------------------------------------------------------------------------------- YAML


MOST_BYTES = 1 << 22  # of a YAML file: a hundred times the longest of ours; each costs a microsecond
MOST_NODES = 100_000  # of a YAML file, counting what an alias stands for as often as it is named
DEEPEST = 64  # levels of brackets and indentation in YAML and JSON; Python's own limit would end in a traceback
MOST_DIGITS = 100  # of a whole number; one of thousands can be read, but neither shown nor compared with a float


class TooMuch(yaml.MarkedYAMLError):
    """YAML that would cost much more time, memory or stack than its text is long."""


class Yaml12Loader(yaml.SafeLoader):
    """PyYAML with the scalars of YAML 1.2, as DVC reads them: 1e-3 is a number, `on` and `no` are text; no key twice.

    Deep nesting, long numbers and aliases of aliases are refused before anything is made of them (TooMuch).
    """

    def __init__(self, stream: str) -> None:
        super().__init__(stream)
        self._depth = self._nodes = 0
        self._sizes: dict[str, int] = {}

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        event, before = self.peek_event(), self._nodes  # type: ignore[no-untyped-call]
        is_alias = isinstance(event, yaml.AliasEvent)
        self._nodes += 1 + (self._sizes.get(event.anchor, 0) if is_alias else 0)
        if is_alias and event.anchor in self.anchors and event.anchor not in self._sizes:
            raise TooMuch(None, None, f"*{event.anchor} stands inside what it names", event.start_mark)
        if self._nodes > MOST_NODES:
            raise TooMuch(None, None, f"more than {MOST_NODES:,} values, with what aliases stand for", event.start_mark)
        if self._depth == DEEPEST:
            raise TooMuch(None, None, f"more than {DEEPEST} levels of nesting", event.start_mark)
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
                    raise yaml.constructor.ConstructorError(None, None, f"{key.value} stands here twice", key.start_mark)
                words.add(key.value)
        return super().construct_mapping(node, deep)


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
    if len(text) > MOST_DIGITS:
        raise TooMuch(None, None, f"a whole number of {len(text):,} digits", _mark(node))
    return int(text, 0) if text.lstrip("-+")[:2] in ("0b", "0o", "0x") else int(text)


Yaml12Loader.add_constructor("tag:yaml.org,2002:int", _integer)


def read_yaml(path: Path) -> Any:
    """The content of a YAML file under the rules that DVC reads it by.

    Raises:
        Refusal: the file is missing, cannot be read, is too long, or is not YAML.
    """
    try:
        if (size := path.stat().st_size) > MOST_BYTES:
            raise UserError(f"{path}: has {size:,} bytes; a file of knobs has some {MOST_BYTES:,} at most")
        return yaml.load(path.read_text(encoding="utf-8"), Loader=Yaml12Loader)  # noqa: S506 (a SafeLoader)
    except FileNotFoundError:
        raise UserError(f"{path}: there is no such file here; run from the top folder of the project") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from None
    # ValueError: not UTF-8, or a date or number that does not exist; the last two come of `!!bool x` and `!!timestamp x`.
    except (ValueError, yaml.YAMLError, KeyError, AttributeError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{path}, line {mark.line + 1}" if mark else f"{path}"
        what = "" if isinstance(error, TooMuch) else "this is no YAML: "
        raise UserError(f"{where}: {what}{getattr(error, 'problem', None) or error}") from None


# ------------------------------------------------------------------------------------------------------- names and knobs


@functools.cache
def names_in(table: str) -> tuple[str, ...]:
    """The keys of a table of another room, as "networks/norms.py:NORMS", read from its source without importing it."""
    file, variable = table.split(":")
    for node in ast.parse((ROOMS / file).read_text(encoding="utf-8")).body:
        targets = node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
        if any(isinstance(target, ast.Name) and target.id == variable for target in targets):
            assert isinstance(node, ast.Assign | ast.AnnAssign) and isinstance(node.value, ast.Dict), table
            return tuple(ast.literal_eval(key) for key in node.value.keys if key is not None)
    raise AssertionError(f"no table {table}")


def suggest(word: str, known: tuple[str, ...]) -> str:
    """`Did you mean 'gelu'? Known: gelu, relu, …`: the nearest valid word, where one is near, and all of them."""
    near = difflib.get_close_matches(word, known, n=1, cutoff=0.6)
    return (f"Did you mean '{near[0]}'? " if near else "") + f"Known: {', '.join(known)}"


def known_name(*tables: str) -> AfterValidator:
    def check(word: str) -> str:
        known = tuple(dict.fromkeys(name for table in tables for name in names_in(table)))
        if word not in known:
            raise PydanticCustomError("named", "there is no '{word}'. {hint}", {"word": word, "hint": suggest(word, known)})
        return word

    return AfterValidator(check)


class Section(BaseModel):
    """One section of params.yaml: strict types, no unknown knob, no missing one, nothing that is not finite."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, allow_inf_nan=False)


DATASETS = {
    "language": "TEXTS",
    "classify": "LABELLED_TEXTS",
    "vision": "IMAGES",
}  # by kind of task, in corpus/sources/table.py
Dataset = Annotated[str, known_name(*(f"corpus/sources/table.py:{table}" for table in DATASETS.values()))]
Text = Annotated[str, known_name("corpus/sources/table.py:TEXTS")]


def _is_a_path(text: str) -> str:
    if "\0" in text:
        raise PydanticCustomError("named", "holds a zero byte, which no path can hold")
    return text


Folder = Annotated[str, Field(min_length=1), AfterValidator(_is_a_path)]  # or file
Count = Annotated[int, Field(ge=1, le=10**8)]
Seed = Annotated[int, Field(ge=0, lt=2**32)]


class Task(Section):
    kind: Annotated[str, known_name("tasks/table.py:TASKS")]


class Prepare(Section):
    dataset: Dataset
    path: Folder
    pattern: Folder
    text_column: Annotated[str, Field(min_length=1)]
    label_column: Annotated[str, Field(min_length=1)]
    on_bad_data: Literal["error", "skip"]
    repository: str
    revision: str
    file: str
    url: str
    sha256: Annotated[str, Field(pattern=r"^([0-9a-fA-F]{64})?$"), AfterValidator(str.lower)]
    validation_share: Annotated[float, Field(gt=0, lt=0.5)]
    test_share: Annotated[float, Field(gt=0, lt=0.5)]
    dedup_threshold: Annotated[float, Field(ge=0, le=1)]
    max_examples: Annotated[int, Field(ge=0)]
    classes: Annotated[int, Field(ge=2, le=3)]
    label_noise: Annotated[float, Field(ge=0, le=1)]
    shuffled_pixels: bool
    seed: Seed
    generated_chars: Annotated[int, Field(ge=1000, le=10**9)]
    alphabet_size: Annotated[int, Field(ge=2, le=64)]
    block: Annotated[int, Field(ge=0, le=32)]
    copies: Annotated[int, Field(ge=2, le=64)]
    digits: Annotated[int, Field(ge=1, le=8)]
    min_digits: Annotated[int, Field(ge=0, le=8)]
    reversed: bool
    modulus: Annotated[int, Field(ge=2, le=200)]
    operation: Literal["add", "subtract"]
    train_share: Annotated[float, Field(gt=0, le=0.9)]
    bracket_kinds: Annotated[int, Field(ge=1, le=4)]
    max_depth: Annotated[int, Field(ge=1, le=64)]
    mixture: list[Text]

    @model_validator(mode="after")
    def url_has_what_it_needs(self) -> Prepare:
        wanted = "url" in (self.mixture if self.dataset == "mixture" else [self.dataset])
        if wanted and not re.match(r"https?://.", self.url):
            raise problem("url", f"{self.url!r} is no http(s) address; the data set 'url' needs one")
        if wanted and not self.sha256:
            raise problem(
                "sha256", "is empty; the data set 'url' needs the sha256 of the file, so that everyone trains on the same bytes"
            )
        return self

    @model_validator(mode="after")
    def hub_has_what_it_needs(self) -> Prepare:
        if "hub" not in (self.mixture if self.dataset == "mixture" else [self.dataset]):
            return self
        for knob, form, what in (
            ("repository", r"[\w.-]+/[\w.-]+", "no owner/name of a data set"),
            ("revision", r"[0-9a-f]{40}", "no commit, 40 hexadecimal digits: a branch would change under your feet"),
            (
                "file",
                r".+\.(txt|jsonl)(\.gz)?|.+\.parquet",
                "no .txt, .jsonl or .parquet (or .txt.gz, .jsonl.gz)",
            ),
        ):
            if not re.fullmatch(form, getattr(self, knob)):
                raise problem(knob, f"{getattr(self, knob)!r} is {what}; the data set 'hub' needs one")
        return self

    @model_validator(mode="after")
    def likeness_can_be_told(self) -> Prepare:
        if 0 < self.dedup_threshold < 0.3:
            raise problem(
                "dedup_threshold", f"{self.dedup_threshold} is below 0.3: so alike is much that has nothing in common"
            )
        return self

    @model_validator(mode="after")
    def generated_text_is_possible(self) -> Prepare:
        if self.min_digits > self.digits:
            raise problem("min_digits", f"{self.min_digits} is more than digits {self.digits}")
        return self

    @model_validator(mode="after")
    def mixture_is_of_two(self) -> Prepare:
        if len(set(self.mixture)) != 2 or len(self.mixture) != 2 or "mixture" in self.mixture:
            raise problem("mixture", f"{self.mixture} is not two different data sets")
        if set(self.mixture) == {"shakespeare", "tinyshakespeare"}:
            raise problem("mixture", f"{self.mixture}: each holds text that the other holds out; mix other data sets")
        return self


class Tokenize(Section):
    kind: Annotated[str, known_name("tokenizers/tokenizers.py:TOKENIZERS")]
    vocab_size: Annotated[int, Field(ge=257, le=65536)]
    path: Folder

    @model_validator(mode="after")
    def file_is_named(self) -> Tokenize:
        if self.kind == "file" and self.path == "data/none":
            raise problem("path", "names no file; the tokenizer 'file' needs one, a tokenizer.json")
        return self


class Model(Section):
    network: Annotated[str, known_name("networks/images.py:NETWORKS")]
    depth: Annotated[int, Field(ge=1, le=256)]
    width: Annotated[int, Field(ge=4, le=16384)]
    patch_size: Annotated[int, Field(ge=1, le=64)]
    kernel_size: Annotated[int, Field(ge=1, le=31)]
    downsample: Annotated[str, known_name("networks/convolution.py:SHRINKS")]
    pooling: Annotated[str, known_name("networks/pooling.py:POOLINGS")]
    causal: Literal["auto", True, False]
    heads: Annotated[int, Field(ge=1, le=1024)]
    kv_heads: Annotated[int, Field(ge=0, le=1024)]
    context_length: Annotated[int, Field(ge=2, le=65536)]
    mlp_ratio: Annotated[float, Field(ge=0.25, le=16)]
    activation: Annotated[str, known_name("networks/activations.py:ACTIVATIONS")]
    norm: Annotated[str, known_name("networks/norms.py:NORMS", "networks/image_norms.py:IMAGE_NORMS")]
    embedding_mixer: Annotated[str, known_name("networks/mixers.py:MIXERS")]
    ngram_table_size: Annotated[int, Field(ge=64, le=2**24)]
    position: Annotated[str, known_name("networks/positions.py:POSITIONS")]
    rotary_base: Annotated[float, Field(ge=1, le=1e9)]
    attention: Annotated[str, known_name("networks/attention.py:ATTENTIONS")]
    window: Annotated[int, Field(ge=1)]
    qk_norm: bool
    attention_softcap: Annotated[float, Field(ge=0, le=1e6)]
    residual: Annotated[str, known_name("networks/residuals.py:RESIDUALS")]
    dropout: Annotated[float, Field(ge=0, lt=1)]
    stochastic_depth: Annotated[float, Field(ge=0, lt=1)]
    dropout_schedule: Annotated[str, known_name("networks/dropout.py:DROPOUT_SCHEDULES")]
    init: Annotated[str, known_name("networks/inits.py:INITS")]
    base_width: Annotated[int, Field(ge=4, le=16384)]
    bias: bool
    tie_embeddings: bool

    @model_validator(mode="after")
    def sizes_fit(self) -> Model:
        if self.width % self.heads:
            raise problem("heads", f"{self.heads} does not divide width {self.width}")
        if self.position == "rotary" and self.width // self.heads % 2:
            raise problem(
                "heads", f"{self.heads} leaves {self.width // self.heads} features a head; rotary positions need an even number"
            )
        if self.kv_heads and self.heads % self.kv_heads:
            raise problem("kv_heads", f"{self.kv_heads} does not divide heads {self.heads}")
        if self.kernel_size % 2 == 0:
            raise problem("kernel_size", f"{self.kernel_size} is even, and has no middle; an odd one would do")
        if self.attention == "window" and self.window > self.context_length:
            raise problem("window", f"{self.window} is more than context_length {self.context_length}")
        return self

    @model_validator(mode="after")
    def knobs_have_something_to_turn(self) -> Model:
        for knob, off in (("kv_heads", 0), ("qk_norm", False), ("attention_softcap", 0)):
            if self.attention == "average" and getattr(self, knob) != off:
                raise problem(knob, f"average attention compares no queries with keys; it goes with {shown(off)} alone")
        if self.causal is True and self.pooling == "first":
            raise problem("pooling", "'first' sees nothing where each position sees only those before it; 'last' would do")
        if self.residual == "none" and self.stochastic_depth:
            raise problem("stochastic_depth", "without a residual there is no way past a branch; it goes with 0 alone")
        return self


class Train(Section):
    init_from: Folder
    freeze: bool
    teacher: Folder
    distill_weight: Annotated[float, Field(ge=0, le=1)]
    distill_temperature: Annotated[float, Field(ge=0.1, le=100)]
    steps: Count
    batch_size: Annotated[int, Field(ge=1, le=65536)]
    sampling: Annotated[str, known_name("engine/sampler.py:DRAWS")]
    windows: Literal["anywhere", "documents"]
    batch_start: Annotated[float, Field(gt=0, le=1)]
    batch_growth: Annotated[float, Field(gt=0, le=1)]
    accumulation_steps: Annotated[int, Field(ge=1)]
    length_start: Annotated[float, Field(gt=0, le=1)]
    length_growth: Annotated[float, Field(gt=0, le=1)]
    length_keeps: Literal["examples", "tokens"]
    curriculum: Annotated[str, known_name("engine/curricula.py:CURRICULA")]
    curriculum_start: Annotated[float, Field(gt=0, le=1)]
    curriculum_growth: Annotated[float, Field(gt=0, le=1)]
    ramp: Annotated[str, known_name("engine/curricula.py:PACES")]
    mixture_start: Annotated[float, Field(ge=0, le=1)]
    mixture_end: Annotated[float, Field(ge=0, le=1)]
    optimizer: Annotated[str, known_name("engine/optimizers/table.py:OPTIMIZERS")]
    lr: Annotated[float, Field(ge=1e-8, le=100)]
    adamw_lr_ratio: Annotated[float, Field(ge=1e-4, le=1e4)]
    momentum: Annotated[float, Field(ge=0, lt=1)]
    nesterov: bool
    beta1: Annotated[float, Field(ge=0, lt=1)]
    beta2: Annotated[float, Field(ge=0, lt=1)]
    epsilon: Annotated[float, Field(gt=0, le=1)]
    precondition_frequency: Annotated[int, Field(ge=1, le=100_000)]
    weight_decay: Annotated[float, Field(ge=0, le=100)]
    state_8bit: bool
    ema: Annotated[float, Field(ge=0, lt=1)]
    grad_clip: Annotated[float, Field(ge=0)]
    stop_if_diverged: bool
    schedule: Annotated[str, known_name("engine/schedules.py:SCHEDULES")]
    warmup_ratio: Annotated[float, Field(ge=0, le=1)]
    cooldown_ratio: Annotated[float, Field(ge=0, le=1)]
    min_lr_ratio: Annotated[float, Field(ge=0, le=1)]
    loss: Literal["cross_entropy", "mse"]
    class_weights: Literal["none", "balanced"]
    shift: Annotated[int, Field(ge=0, le=64)]
    flip: bool
    cutout: Annotated[int, Field(ge=0, le=64)]
    mixup: Annotated[float, Field(ge=0, le=10)]
    label_smoothing: Annotated[float, Field(ge=0, lt=1)]
    z_loss: Annotated[float, Field(ge=0)]
    precision: Literal["auto", "float32", "bfloat16", "float16"]
    snapshots: Annotated[list[Annotated[float, Field(ge=0, le=1)]], Field(min_length=1)]
    log_points: Annotated[int, Field(ge=1, le=100_000)]
    validation_points: Annotated[int, Field(ge=0, le=10_000)]
    validation_examples: Annotated[int, Field(ge=1)]

    @model_validator(mode="after")
    def parts_fit(self) -> Train:
        for knob in ("init_from", "teacher"):
            named = os.path.relpath(getattr(self, knob) or ".")
            copy_it = "Copy it first: cp -r models/trained models/teacher"
            if Path(named).is_relative_to("models/trained"):
                raise problem(knob, f"{named!r} is this stage's own output and is deleted when it starts. {copy_it}")
            if named == "models":
                raise problem(knob, f"'models' is the folder of all models; the last run's is models/trained. {copy_it}")
        if self.freeze and self.init_from == "data/none":
            raise problem("freeze", "true, and train.init_from names no folder whose weights could stay as they are")
        if self.sampling == "epochs" and self.batch_start < 1:
            raise problem("sampling", "'epochs' counts examples by steps of one size; it goes with batch_start 1.0 alone")
        if self.batch_size % self.accumulation_steps:
            raise problem("accumulation_steps", f"{self.accumulation_steps} does not divide batch_size {self.batch_size}")
        if self.warmup_ratio + self.cooldown_ratio > 1 and self.schedule == "trapezoid":
            raise problem(
                "cooldown_ratio",
                f"warmup_ratio {self.warmup_ratio} + cooldown_ratio {self.cooldown_ratio} is more than 1, the whole training",
            )
        if any(later <= earlier for earlier, later in zip(self.snapshots, self.snapshots[1:], strict=False)):
            raise problem("snapshots", f"{self.snapshots} does not grow from each to the next")
        return self

    @model_validator(mode="after")
    def schedule_has_what_it_needs(self) -> Train:
        if self.schedule == "one_cycle" and not 0 < self.warmup_ratio <= 0.5:
            raise problem(
                "warmup_ratio", f"{self.warmup_ratio} is not above 0 and up to 0.5; one_cycle falls for as long as it climbs"
            )
        if self.schedule == "inverse_sqrt" and not self.warmup_ratio:
            raise problem("warmup_ratio", "0.0 leaves inverse_sqrt nothing to measure by; it falls from the end of the warm-up")
        if self.schedule == "exponential" and self.warmup_ratio:
            raise problem(
                "warmup_ratio",
                f"{self.warmup_ratio} would climb before exponential does, which climbs from min_lr_ratio to lr itself",
            )
        if self.schedule == "exponential" and not self.min_lr_ratio:
            raise problem(
                "min_lr_ratio", "0.0 is no rate to climb from by factors; exponential wants a small share, such as 1e-4"
            )
        return self

    @model_validator(mode="after")
    def optimizer_has_what_it_needs(self) -> Train:
        if self.optimizer == "sgd" and self.nesterov and not self.momentum:
            raise problem("nesterov", "true looks ahead along the momentum, and momentum is 0")
        if self.optimizer == "schedule_free" and not self.beta1:
            raise problem("beta1", "0.0 takes gradients where the average has no part; schedule_free wants it above 0")
        if self.optimizer == "schedule_free" and self.ema:
            raise problem("ema", f"{self.ema} would average what schedule_free averages already; 0 would do")
        if self.optimizer == "adafactor" and self.state_8bit:
            raise problem("state_8bit", "true finds nothing to shorten in adafactor, which remembers a row and a column")
        return self


class Evaluate(Section):
    ngram_order: Annotated[int, Field(ge=1, le=8)]
    sample_tokens: Annotated[int, Field(ge=1, le=100_000)]
    temperatures: list[Annotated[float, Field(ge=0, le=100)]]
    prompts: list[Annotated[str, Field(min_length=1)]]
    top_k: Annotated[int, Field(ge=0)]
    top_p: Annotated[float, Field(gt=0, le=1)]
    worst_mistakes: Annotated[int, Field(ge=0, le=1000)]
    neighbours: Annotated[int, Field(ge=1, le=1000)]


class Probe(Section):
    sequences: Annotated[int, Field(ge=1, le=4096)]
    toy_text: Annotated[str, Field(min_length=1)]
    sharpness_iterations: Annotated[int, Field(ge=0, le=1000)]


class Plot(Section):
    dpi: Annotated[int, Field(ge=50, le=600)]


class Runtime(Section):
    device: Literal["auto", "cpu", "cuda", "mps"]
    threads: Annotated[int, Field(ge=0, le=1024)]
    attention: Literal["auto", "sdpa", "eager"]
    workers: Annotated[int, Field(ge=0, le=1024)]
    micro_batch_tokens: Annotated[int, Field(ge=0)]
    loss_chunk_size: Annotated[int, Field(ge=0)]
    activation_checkpointing: Annotated[str, known_name("engine/block_execution.py:CHECKPOINTING")]
    offload_activations: bool
    offload_optimizer: bool
    compile: Literal["auto", True, False]
    prefetch: Annotated[int, Field(ge=0, le=64)]
    checkpoint_seconds: Annotated[float, Field(gt=0)]
    progress: Literal["auto", "bar", "lines", "none"]

    @model_validator(mode="after")
    def savings_fit(self) -> Runtime:
        if self.offload_activations and self.activation_checkpointing == "selective":
            raise problem(
                "offload_activations",
                "true has no hold on what activation_checkpointing 'selective' keeps; 'block' or 'none' would do",
            )
        return self


LABELLED, READ, SEEN = ("classify", "vision"), ("language", "classify"), ("vision",)

# What is for some kinds of task alone: each knob as it is where it does nothing, and the kinds.
OF_KINDS: dict[str, tuple[Any, tuple[str, ...]]] = {
    "prepare.shuffled_pixels": (False, SEEN),
    "prepare.dedup_threshold": (0, READ),  # images that look alike never part
    "prepare.max_examples": (0, LABELLED),
    "prepare.label_noise": (0, LABELLED),
    "train.sampling": ("with_replacement", LABELLED),
    "train.windows": ("anywhere", ("language",)),
    "train.loss": ("cross_entropy", LABELLED),
    "train.class_weights": ("none", LABELLED),
    "train.init_from": ("data/none", READ),
    "train.length_start": (1, READ),
    "train.curriculum": ("none", READ),
    "train.shift": (0, SEEN),
    "train.flip": (False, SEEN),
    "train.cutout": (0, SEEN),
    "train.mixup": (0, SEEN),
}


class Params(Section):
    """The whole of params.yaml. A stage loads all of it, so that every problem is said at once, and uses its own section."""

    seed: Seed
    task: Task
    prepare: Prepare
    tokenize: Tokenize
    model: Model
    train: Train
    evaluate: Evaluate
    probe: Probe
    plot: Plot
    runtime: Runtime

    @model_validator(mode="after")
    def data_is_of_the_kind(self) -> Params:
        known = names_in(f"corpus/sources/table.py:{DATASETS[self.task.kind]}")
        if self.prepare.dataset not in known:
            raise problem(
                "prepare.dataset",
                f"'{self.prepare.dataset}' is nothing for task.kind '{self.task.kind}'. Known: {', '.join(known)}",
            )
        return self

    @model_validator(mode="after")
    def knobs_are_of_the_kind(self) -> Params:
        for name, (off, kinds) in OF_KINDS.items():
            section, knob = name.split(".")
            here = getattr(getattr(self, section), knob)
            if here != off and self.task.kind not in kinds:
                whose = f"is for task.kind {' or '.join(kinds)}, not {self.task.kind}"
                raise problem(name, f"{shown(here)} {whose}; {shown(off)} would do")
        return self

    @model_validator(mode="after")
    def network_is_of_the_kind(self) -> Params:
        kind, model = self.task.kind, self.model
        sees_images = kind == "vision" and model.network in ("cnn", "mlp")
        if model.norm in names_in("networks/image_norms.py:IMAGE_NORMS") and not sees_images:
            raise problem(
                "model.norm", f"'{model.norm}' looks at more than one position; it is for task.kind vision, network cnn or mlp"
            )
        if model.norm == "batch":
            for knob, cut in (
                ("train.accumulation_steps", self.train.accumulation_steps > 1),
                ("runtime.micro_batch_tokens", self.runtime.micro_batch_tokens > 0),
                ("runtime.activation_checkpointing", self.runtime.activation_checkpointing != "none"),
            ):
                if cut:
                    raise problem(
                        knob, "model.norm 'batch' wants the whole batch at once, and once; it cannot be cut or recomputed"
                    )
        if kind == "vision" and model.network == "cnn" and model.pooling == "first":
            raise problem("model.pooling", "'first' is a place before all others, and a cnn's map has none; mean would do")
        if kind != "language" and model.tie_embeddings:
            raise problem("model.tie_embeddings", "true is for task.kind language: classes are no tokens")
        if kind == "language" and model.causal is False:
            raise problem("model.causal", "false would show a language model what it is to say")
        return self

    @model_validator(mode="after")
    def sections_fit(self) -> Params:
        tokens = self.runtime.micro_batch_tokens
        if tokens and self.train.accumulation_steps > 1:
            raise problem(
                "runtime.micro_batch_tokens",
                f"{tokens} and train.accumulation_steps {self.train.accumulation_steps} both say how a batch is cut;"
                " turn one back, to 0 or to 1",
            )
        if 0 < tokens < self.model.context_length:
            raise problem(
                "runtime.micro_batch_tokens", f"{tokens} holds no sequence of model.context_length {self.model.context_length}"
            )
        return self


# -------------------------------------------------------------------------------------------------- reading and refusing


def load(path: str | Path = "params.yaml") -> Params:
    """Read and check every knob.

    Raises:
        ParamsError: with one line for each knob that cannot be used.
    """
    return parse(Params, read_sections(Path(path)))


def read_sections(path: Path) -> dict[str, Any]:
    """The sections of a file of knobs, not yet checked.

    Raises:
        Refusal: the file cannot be read, or holds something else.
    """
    values = read_yaml(path)
    if not isinstance(values, dict):
        raise ParamsError(f"{path}: holds {shown(values)}, not sections of knobs")
    if problems := templates_in(values):
        raise ParamsError(*problems)
    return values


def templates_in(value: Any, name: str = "") -> list[str]:
    """A line for each text that OmegaConf, through which DVC passes all knobs at every -S, would replace or refuse."""
    if isinstance(value, dict | list):
        inside = value.items() if isinstance(value, dict) else enumerate(value)
        return [line for key, inner in inside for line in templates_in(inner, f"{name}.{key}".lstrip("."))]
    if isinstance(value, str) and ("${" in value or value == "???"):
        return [f"{name}: {shown(value)}: DVC's -S replaces text with ${{ in it and refuses ???; write it without"]
    return []


def with_knobs(sections: Mapping[str, Any], knobs: Mapping[str, Any]) -> dict[str, Any]:
    """A copy of the sections with some knobs ("train.lr": 0.01, …) turned; one that is not there is put there, not yet checked.

    Raises:
        ParamsError: a name leads through something that is no section.
    """
    values = copy.deepcopy(dict(sections))
    for name, value in knobs.items():
        *above, knob = name.split(".")
        inner = values
        for depth, section in enumerate(above, start=1):
            inner = inner.setdefault(section, {})
            if not isinstance(inner, dict):
                raise ParamsError(f"{name}: there is no such knob; {'.'.join(above[:depth])} is no section")
        inner[knob] = value
    return values


S = TypeVar("S", bound=Section)


class Problem(NamedTuple):
    knob: str
    text: str


def problem(knob: str, text: str) -> PydanticCustomError:
    """A problem that only shows between knobs of a section, laid at the door of one of them."""
    return PydanticCustomError("between", "{text}", {"knob": knob, "text": text})


def parse(section: type[S], values: dict[str, Any], prefix: tuple[str, ...] = ()) -> S:
    """Values as a checked section; `prefix` is where they stand, for the messages.

    Raises:
        ParamsError: with one line for each knob that cannot be used.
    """
    try:
        return section.model_validate(values)
    except ValidationError as error:
        details, old = error.errors(), list[str]()
        if section is Params:  # a study's parts are few
            details, old = _not_renamed(_together(details), values), renamed_in(values)
        problems = [_said(detail, section, prefix) for detail in details]
        raise ParamsError(*old, *(f"{problem.knob}: {problem.text}" for problem in problems)) from None


def _together(details: list[ErrorDetails]) -> list[ErrorDetails]:
    """The same, but one problem for a section of which nothing is there, in place of one for each of its knobs."""
    empty = {detail["loc"][:-1] for detail in details if detail["type"] == "missing" and detail["input"] == {}}
    told = [detail for detail in details if not (detail["type"] == "missing" and detail["loc"][:-1] in empty)]
    return told + [{"type": "empty", "loc": place, "msg": "", "input": {}} for place in sorted(empty, key=str)]


def _not_renamed(details: list[ErrorDetails], values: Mapping[str, Any]) -> list[ErrorDetails]:
    """The same without those that only an old name or value makes."""
    there = {f"{name}.{knob}" for name, inner in values.items() if isinstance(inner, dict) for knob in inner}
    made = {RENAMED[name] for name in there & RENAMED.keys()}
    names = [".".join(map(str, detail["loc"])) for detail in details]
    return [
        detail
        for name, detail in zip(names, details, strict=True)
        if not renamed(name, detail["input"]) and not (detail["type"] == "missing" and name in made)
    ]


def _said(detail: ErrorDetails, section: type[Section], prefix: tuple[str, ...]) -> Problem:
    place, kind, limits = detail["loc"], detail["type"], detail.get("ctx", {})
    knob, there = ".".join(map(str, (*prefix, *place))), shown(detail["input"])
    match kind:
        case "named":
            text = detail["msg"]
        case "between":
            knob, text = f"{knob}.{limits['knob']}".lstrip("."), limits["text"]
        case "empty":
            knob, text = knob or "params.yaml", "holds none of its knobs; `git checkout params.yaml` brings them back"
        case "missing":
            text = "is missing; every knob stands in params.yaml"
        case "extra_forbidden":
            siblings = _siblings(section, place)
            text = f"there is no such knob. {meant(knob, siblings) if section is Params else suggest(str(place[-1]), siblings)}"
        case "greater_than_equal":
            text = f"{there} is below {limits['ge']}"
        case "greater_than":
            text = f"{there} is not above {limits['gt']}"
        case "less_than_equal":
            text = f"{there} is above {limits['le']}"
        case "less_than":
            text = f"{there} is not below {limits['lt']}"
        case "literal_error":
            words = tuple(word.lower() for word in re.findall(r"\w+", str(limits["expected"])) if word != "or")
            text = f"there is no {there}. {suggest(str(detail['input']), words)}"
        case "string_pattern_mismatch":
            text = f"{there} is not 64 hexadecimal digits"
        case "string_too_short" | "too_short":
            text = "is empty"
        case "finite_number":
            text = f"{there} is not finite"
        case _:
            text = f"{there} is not {_WANTED.get(kind, 'what is wanted: ' + detail['msg'])}"
    return Problem(knob, text)


_WANTED = {
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "string_type": "text (put it in quotes)",
    "string_unicode": "text: it holds half of a character (a surrogate)",
    "list_type": "a list",
    "model_type": "a section of knobs",
}


# What earlier versions called a knob.
RENAMED = {
    "prepare.near_duplicate": "prepare.dedup_threshold",
    "prepare.faulty": "prepare.on_bad_data",
    "prepare.examples": "prepare.max_examples",
    "prepare.size": "prepare.generated_chars",
    "prepare.symbols": "prepare.alphabet_size",
    "prepare.fewest_digits": "prepare.min_digits",
    "prepare.nesting": "prepare.max_depth",
    "tokenize.vocabulary": "tokenize.vocab_size",
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
    "evaluate.mistakes": "evaluate.worst_mistakes",
    "probe.toy": "probe.toy_text",
    "runtime.loss_chunk": "runtime.loss_chunk_size",
    "runtime.checkpointing": "runtime.activation_checkpointing",
    "runtime.read_ahead": "runtime.prefetch",
}

# What they called a value, by the name that its knob has now.
RENAMED_VALUES = {
    "prepare.on_bad_data": {"refuse": "error", "leave_out": "skip"},
    "train.sampling": {"replacement": "with_replacement"},
    "train.loss": {"squares": "mse"},
    "runtime.attention": {"library": "sdpa", "written": "eager"},
}


def renamed(name: str, value: Any = None) -> list[str]:
    """A line for a knob that was renamed, and one for its value if that was; none where both are called so today."""
    today = RENAMED.get(name, name)
    lines = [f"{name} was renamed {today}"] if name in RENAMED else []
    if isinstance(value, str) and value in (values := RENAMED_VALUES.get(today, {})):
        lines.append(f"{today}: {value!r} was renamed {values[value]!r}")
    return lines


def renamed_in(sections: Mapping[str, Any]) -> list[str]:
    """These lines of every knob of a file."""
    knobs = (
        (f"{name}.{knob}", value)
        for name, inner in sections.items()
        if isinstance(inner, dict)
        for knob, value in inner.items()
    )
    return [line for name, value in knobs for line in renamed(name, value)]


def of_today(sections: Mapping[str, Any]) -> dict[str, Any]:
    """Sections that an earlier version noted, by the names and values of today."""
    return {
        section: {_name_of_today(section, knob): _value_of_today(section, knob, value) for knob, value in knobs.items()}
        if isinstance(knobs, dict)
        else knobs
        for section, knobs in sections.items()
    }


def _name_of_today(section: str, knob: str) -> str:
    return RENAMED.get(f"{section}.{knob}", f".{knob}").rpartition(".")[2]


def _value_of_today(section: str, knob: str, value: Any) -> Any:
    values = RENAMED_VALUES.get(f"{section}.{_name_of_today(section, knob)}", {})
    return values.get(value, value) if isinstance(value, str) else value


# What other programs call a knob, where neither its name nor a slip of the finger leads to it.
CALLED_ELSEWHERE = {
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


def meant(knob: str, siblings: tuple[str, ...]) -> str:
    """`Did you mean 'train.lr'?`: the knob of any section that was likely meant, and what there is where it was looked for.

    Args:
        knob: a full name that is not a knob's.
        siblings: what there is in its section.
    """
    section, _, word = knob.rpartition(".")
    own = [f"{section}.{sibling}".lstrip(".") for sibling in siblings]
    names = knob_names(Params)
    found = [name for name in names if name.rpartition(".")[2] == word]
    if not found:
        found = [today for old, today in RENAMED.items() if old.rpartition(".")[2] == word]
    if not found and word in CALLED_ELSEWHERE:
        found = [CALLED_ELSEWHERE[word]]
    for among in (own, names):
        if not found:
            by_word = {name.rpartition(".")[2]: name for name in reversed(among)}
            found = [by_word[near] for near in difflib.get_close_matches(word, by_word, n=1, cutoff=0.6)]
    asked = f"Did you mean {' or '.join(map(repr, found))}? " if found else ""
    is_elsewhere = found and not set(found) & set(own)
    return asked.strip() if is_elsewhere else f"{asked}Known: {', '.join(siblings)}"


def _siblings(section: type[Section], place: tuple[str | int, ...]) -> tuple[str, ...]:
    for part in place[:-1]:
        inner = section.model_fields[str(part)].annotation
        assert isinstance(inner, type) and issubclass(inner, Section)
        section = inner
    return tuple(section.model_fields)


def shown(value: Any) -> str:
    shown = {True: "true", False: "false", None: "null"}[value] if value is None or isinstance(value, bool) else repr(value)
    return shown if len(shown) <= 60 else f"{shown[:57]}…"
