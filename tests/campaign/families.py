"""Hostile and careless input, made by program: each family spoils a lab in one of many ways, drawn by a number.

Nothing here crashes or hangs the libraries that read it; what did was left out. A hostile file that is unpickled makes a folder
named `canary`, and does nothing else.
"""

from __future__ import annotations

import copy
import functools
import io
import json
import os
import pickle
import random
import struct
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

from campaign.damages import damaged
from campaign.server import TOP

CANARY = "canary"
LIES = (
    None, True, False, -1, 0, 1, 0.5, -0.0, 2**31, 2**63, 10**30, 1e308, "", " ", "\0", "0", "many", "a" * 100_000, "../../x",
    "/dev/null", "data/none", "\ud800", "é", "\N{RIGHT-TO-LEFT OVERRIDE}", "!!python/object/apply:os.mkdir [canary]", "${seed}",
    [], [[]], [None] * 1000, {}, {"": ""}, {"__class__": "os"}, {"kind": "char"}, "@deep@", "@digits@", "@infinite@",
)  # fmt: skip


def as_json(content: Any) -> bytes:
    """JSON, also of what the library does not write: deep nesting, numbers of thousands of digits, Infinity."""
    text = json.dumps(content)
    for mark, put in (("@deep@", "[" * 3000 + "]" * 3000), ("@digits@", "9" * 6000), ("@infinite@", "Infinity")):
        text = text.replace(f'"{mark}"', put)
    return text.encode()


def lied(content: Any, chance: random.Random) -> Any:
    """The same with a lie at one of its places."""
    content = copy.deepcopy(content)
    above, key, here = None, None, content
    while isinstance(here, dict | list) and here and (above is None or chance.random() < 0.8):
        above, key = here, chance.choice(list(here) if isinstance(here, dict) else range(len(here)))
        here = here[key]
    lie = chance.choice(LIES)
    if above is None:
        return lie
    if isinstance(above, dict) and chance.random() < 0.15:
        del above[key]
        if chance.random() < 0.5:
            above[f"{key} "] = here
    else:
        above[key] = lie
    return content


@dataclass(frozen=True)
class Planted:
    """An object whose pickle, if somebody opens it, makes the canary."""

    place: str

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (self.place,)


def a_pickle(folder: Path, chance: random.Random) -> bytes:
    """As itself, within an object array of numpy's, or within a zip as torch keeps it."""
    bare = pickle.dumps(Planted(str(folder / CANARY)), protocol=chance.choice([0, 2, 4]))
    if (form := chance.randrange(3)) == 0:
        return bare
    if form == 1:
        header = b"{'descr': '|O', 'fortran_order': False, 'shape': (1,), }"
        header += b" " * (64 - (len(header) + 11) % 64) + b"\n"
        return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + bare
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("archive/data.pkl", bare)
        archive.writestr("archive/version", "3\n")
    return file.getvalue()


# ---------------------------------------------------------------------------------------------------------------- families


@dataclass(frozen=True)
class Family:
    """Some ways to spoil a lab.

    Attributes:
        kind: of task of the lab that is spoilt.
        spoil: does it, and says what it did.
        commands: (main, words) that are then run, each until one refuses.
        knobs: of the lab.
        count: how many inputs the campaign makes.
    """

    kind: str
    spoil: Callable[[Path, random.Random], str]
    commands: tuple[tuple[str, tuple[str, ...]], ...]
    knobs: Mapping[str, Any] = field(default_factory=dict)
    count: int = 80


WORDS = "the quick brown fox jumps over the lazy dog while rain falls on the river and birds sing".split()


def some_text(chance: random.Random, lines: int = 60) -> bytes:
    return "".join(" ".join(chance.choices(WORDS, k=8)) + "\n" for _ in range(lines)).encode()


def odd_text(chance: random.Random) -> tuple[bytes, str]:
    """(bytes that pass for a text, what is odd about them)."""
    text = some_text(chance)
    ways: dict[str, Callable[[], bytes]] = {
        "damage": lambda: damaged(text, chance)[0],
        "NULs": lambda: text.replace(b" ", b"\0", chance.randint(1, 9)),
        "UTF-16": lambda: text.decode().encode(chance.choice(["utf-16", "utf-16-le", "utf-16-be"])),
        "UTF-32": lambda: text.decode().encode("utf-32"),
        "Latin-1": lambda: text.replace(b"fox", "fôx".encode("latin-1")),
        "a mark of byte order": lambda: b"\xef\xbb\xbf" + text,
        "one long line": lambda: b"x" * chance.choice([10_000, 1_000_000]) + text,
        "carriage returns": lambda: text.replace(b"\n", chance.choice([b"\r", b"\r\n", b"\n\r"])),
        "nothing": lambda: b"",
        "line ends": lambda: b"\n" * chance.choice([1, 1000]),
        "control characters": lambda: text.replace(b"dog", bytes(chance.choices(range(1, 32), k=5))),
        "escapes": lambda: text.replace(b"dog", b"\x1b]0;title\x07\x1b[31m"),
        "noise": lambda: chance.randbytes(4000),
        "zeros": lambda: bytes(4000),
        "surrogates": lambda: text.replace(b"dog", b"\xed\xa0\x80"),
        "beyond Unicode": lambda: text.replace(b"dog", b"\xf4\x90\x80\x80"),
        "a longer form than needed": lambda: text.replace(b"dog", b"\xc0\x80"),
        "combining characters": lambda: text + b"e" + "\N{COMBINING ACUTE ACCENT}".encode() * 5000,
        "a page of PDF": lambda: b"%PDF-1.7\n" + chance.randbytes(2000),
        "an archive": lambda: b"PK\x03\x04" + chance.randbytes(2000),
        "gzip": lambda: b"\x1f\x8b\x08\x00" + chance.randbytes(2000),
    }
    what = chance.choice(list(ways))
    return ways[what](), what


def own(folder: Path) -> Path:
    (folder / "data/own").mkdir(parents=True)
    return folder / "data/own"


def own_texts(folder: Path, chance: random.Random) -> str:
    place, said = own(folder), []
    for number in range(chance.randint(1, 4)):
        content, what = odd_text(chance) if number == 0 or chance.random() < 0.3 else (some_text(chance), "plain")
        (place / f"{number}.txt").write_bytes(content)
        said.append(what)
    return ", ".join(said)


NAMES = (
    b"caf\xe9.txt", b"a\nb.txt", b"\x1b[31mred.txt", b"-rf.txt", b".txt", b"..txt", b"C:\\x.txt", b"con.txt", b"%2e%2e.txt",
    b"a" * 250 + b".txt", "\N{RIGHT-TO-LEFT OVERRIDE}gnp.txt".encode(), b"$(touch x).txt", b"*.txt", b"[a-z].txt", b"a\tb.txt",
    b"~.txt", b"a;b.txt", b"{x}.txt", b"'\".txt", b"\xff\xfe.txt", b" .txt", b"x.TXT", b"x.txt.gz",
)  # fmt: skip


def own_names(folder: Path, chance: random.Random) -> str:
    """Odd names, and what is no file at all."""
    place, said = own(folder), []
    for number in range(3):
        (place / f"{number}.txt").write_bytes(some_text(chance))
    for _ in range(chance.randint(1, 3)):
        path = place / os.fsdecode(chance.choice(NAMES))
        what = chance.choice(["file", "file", "folder", "fifo", "dangling", "loop", "device", "up", "secret"])
        if os.path.lexists(path):
            continue
        match what:
            case "file":
                path.write_bytes(some_text(chance) if chance.random() < 0.7 else odd_text(chance)[0])
            case "folder":
                path.mkdir()
            case "fifo":
                os.mkfifo(path)
            case "dangling":
                path.symlink_to("nowhere")
            case "loop":
                path.symlink_to(path.name)
            case "device":
                path.symlink_to(chance.choice(["/dev/zero", "/dev/null", "/dev/full", "/dev/tty"]))
            case "up":
                path.symlink_to("..")
            case "secret":
                path.write_bytes(some_text(chance))
                path.chmod(0)
        said.append(f"{what} {path.name!r}")
    return ", ".join(said)


PATHS = (
    "/dev/zero", "/dev/null", "/dev/stdin", ".", "..", "/", "data", "params.yaml", "pipeline", "", " ", "\0", "~", "nowhere",
    "a" * 300, "data/own/*", "data/own/../own", "file:///etc", "data/own/0.txt/x", "models", "é", "\ud800",
)  # fmt: skip
PATTERNS = ("**", "**/**", "/*", "../*", "[", "[z-a]", "*" * 200, "", "\0", "?*")


def own_paths(folder: Path, chance: random.Random) -> str:
    """Paths and patterns of knobs that lead elsewhere."""
    (own(folder) / "0.txt").write_bytes(some_text(chance))
    knob = chance.choice(["path", "path", "pattern"])
    value = chance.choice(PATHS if knob == "path" else PATTERNS)
    about = (folder / "params.yaml").read_text()
    (folder / "params.yaml").write_text(about.replace(f"  {knob}: ", f"  {knob}: {json.dumps(value)} # ", 1))
    return f"prepare.{knob}: {value[:50]!r}"


ODD_JSON = (
    b"", b"[]", b"null", b"{", b'{"text": 1}', b"[" * 5000, b'{"text": "x", "text": "y", "label": "a"}', b"\0", b"NaN", b"\xff",
    b'{"text": "x", "label": ' + b"9" * 5000 + b"}", b'{"text": "\\ud83d", "label": "a"}', b'{"text": "x", "label": {"a": 1}}',
    b'{"text": "x", "label": true}', b'{"text": "x", "label": 1e999}', b'"' * 9,
)  # fmt: skip
ODD_CSV = (
    b"", b",", b",,,,", b'"', b'"x', b'x"y"z,a', b"\0,a", b"x" * 200_000 + b",a", b'"a\nb",a', b"\xff,a", b"=1+1,a", b"x",
    b"\x1b[31mred,a", b"x,\x1b[31mred", b"text,label", b";;", b"\t\t", b"x,1.0", b"x,01", b"x, a ",
)  # fmt: skip


def labelled(folder: Path, chance: random.Random) -> str:
    """Rows of a .csv or lines of a .jsonl, one of them or all of them odd."""
    rows = [{"text": " ".join(chance.choices(WORDS, k=6)) + f" {number}", "label": "ab"[number % 2]} for number in range(40)]
    suffix = chance.choice([".csv", ".jsonl"])
    way = chance.choice(["damage", "lie", "lie", "odd row", "odd row", "odd text"])
    odd = chance.choice(ODD_JSON if suffix == ".jsonl" else ODD_CSV)
    if suffix == ".jsonl":
        lines = [as_json(lied(row, chance) if way == "lie" and chance.random() < 0.2 else row) for row in rows]
    else:
        quoted = chance.choice(['"', ""])
        lines = [b"text,label", *(f"{quoted}{row['text']}{quoted},{row['label']}".encode() for row in rows)]
    if way == "odd row":
        for _ in range(chance.choice([1, 1, 2, 20])):
            lines.insert(chance.randrange(len(lines) + 1), odd)
    content = chance.choice([b"\n", b"\n", b"\r\n", b"\r"]).join(lines) + chance.choice([b"\n", b""])
    if way == "damage":
        content, _ = damaged(content, chance)
    if way == "odd text":
        content, _ = odd_text(chance)
    own(folder).joinpath(f"rows{suffix}").write_bytes(content)
    if chance.random() < 0.2:
        content, _ = odd_text(chance)
        (folder / f"data/own/more{chance.choice(['.csv', '.jsonl'])}").write_bytes(content)
    return f"{suffix}: {way}"


@functools.cache
def an_image(form: str, mode: str, seed: int) -> bytes:
    from PIL import Image

    chance, file = random.Random(seed), io.BytesIO()
    Image.frombytes("RGB", (8, 8), chance.randbytes(192)).convert(mode).save(file, form)
    return file.getvalue()


def bigger(png: bytes, chance: random.Random) -> bytes:
    """A PNG whose header says that it is much larger."""
    import zlib

    width, height = (chance.choice([8, 9, 0, 60_000, 2**31 - 1, 2**32 - 1]) for _ in range(2))
    chunk = b"IHDR" + struct.pack(">II", width, height) + png[24:29]
    return png[:12] + chunk + struct.pack(">I", zlib.crc32(chunk)) + png[33:]


def own_images(folder: Path, chance: random.Random) -> str:
    """Small images of two classes, one of them odd."""
    place = own(folder)
    for name in "ab":
        (place / name).mkdir()
        for number in range(6):
            (place / name / f"{number}.png").write_bytes(an_image("PNG", "RGB", number + 10 * (name == "a")))
    way = chance.choice(["damage", "damage", "damage", "header", "form", "mode", "no image", "names", "empty class", "link"])
    form = chance.choice(["PNG", "JPEG", "BMP", "GIF", "TIFF", "WEBP", "PPM"])
    image, target = an_image(form, "RGB", 99), place / "a" / f"x.{form.lower()}"
    match way:
        case "damage":
            target.write_bytes(damaged(image, chance)[0])
        case "header":
            target.write_bytes(bigger(an_image("PNG", "RGB", 99), chance))
        case "form":
            target.with_suffix(chance.choice([".png", ".svg", ".txt", ""])).write_bytes(image)
        case "mode":
            mode = chance.choice(["L", "1", "P", "RGBA", "LA", "I;16", "CMYK"])
            form = "TIFF" if mode in ("CMYK", "I;16") else "PNG"
            target.write_bytes(an_image(form, mode if mode != "I;16" else "L", 99))
        case "no image":
            target.write_bytes(odd_text(chance)[0])
        case "names":
            (place / "a" / os.fsdecode(chance.choice(NAMES))).write_bytes(image)
        case "empty class":
            (place / chance.choice(["c", ".c", "\N{RIGHT-TO-LEFT OVERRIDE}", "c\nd", "\x1b[31mred"])).mkdir()
        case "link":
            target.symlink_to(chance.choice(["nowhere", target.name, "/dev/zero", "/dev/null", "..", "0.png"]))
    return f"{way} {form}"


TAGS = (
    b"x: !!python/object/apply:os.mkdir [canary]", b"x: !!python/object/new:os.mkdir [canary]", b"x: !!python/name:os.mkdir",
    b"!!python/module:os", b"seed: !!python/tuple [1]", b"x: !x y", b"x: !!binary aaaa", b"x: !!set {a}",
    b"x: !!timestamp 2001-01-01",
)  # fmt: skip
LONG = (b"9" * 5000, b"0x" + b"f" * 5000, b"1e99999", b"-", b".inf ")


def doubled(times: int) -> bytes:
    """Aliases, each of which holds the one before it twice."""
    return b"a0: &a0 [x, x]\n" + b"".join(b"a%d: &a%d [*a%d, *a%d]\n" % (n, n, n - 1, n - 1) for n in range(1, times))


def yaml_file(folder: Path, chance: random.Random) -> str:
    """params.yaml as a careless or hostile hand leaves it."""
    path = folder / "params.yaml"
    text = path.read_bytes()
    ways: dict[str, Callable[[], bytes]] = {
        "damage": lambda: damaged(text, chance)[0],
        "a tag that runs code": lambda: text + b"\n" + chance.choice(TAGS),
        "nesting": lambda: b"x: " + chance.choice([b"[", b"{a: "]) * chance.choice([50, 1500, 4000]) + b"\n" + text,
        "aliases": lambda: doubled(chance.choice([5, 18])) + text,
        "an alias of itself": lambda: b"x: &x [*x]\n" + text,
        "a key twice": lambda: text + b"\nseed: 2\n",
        "two documents": lambda: text + b"\n---\n" + text,
        "a long number": lambda: text.replace(b"seed: ", b"seed: " + chance.choice(LONG), 1),
        "tabs": lambda: text.replace(b"  ", b"\t", 5),
        "UTF-16": lambda: text.decode().encode("utf-16"),
        "NULs": lambda: text.replace(b"lr", b"l\0r", 1),
        "merge keys": lambda: text + b"\n<<: {seed: 3}\n",
        "odd text": lambda: odd_text(chance)[0],
    }
    what = chance.choice(list(ways))
    path.write_bytes(ways[what]())
    return what


def yaml_values(folder: Path, chance: random.Random) -> str:
    """A knob that holds something else."""
    import yaml

    from pipeline.params.yaml12 import read_yaml

    values = read_yaml(folder / "params.yaml")
    changed = lied(values, chance)
    (folder / "params.yaml").write_bytes(as_json(changed) if chance.random() < 0.5 else yaml.safe_dump(changed).encode())
    return str(
        [(key, str(changed.get(key))[:100]) for key in values if isinstance(changed, dict) and changed.get(key) != values[key]]
    )[:300]


OVERRIDES = (
    "train.lr=fast", "train.lr=", "=1", "", "train.lr", "lr=1", "train=1", "train.lr.x=1", "+x=1", "++train.lr=1",
    "~train.lr", "~train", "train.lr=${seed}", "train.lr=${oc.env:HOME}", "train.lr=???", "train.lr=1e-3,1e-2",
    "seed=range(0,1000000000)", "seed=choice(1,2)", "seed=glob(*)", "train.snapshots=[range(0,1,0.5)]",
    "train.snapshots=[0.0,0.5]", "train.snapshots.0=0.5", "model={depth: 2}", "seed=shuffle(1,2)", "seed=int(2)",
    "seed=str(2)", "seed=json_str(x)", "seed=9999999999999999999999", "seed=0x10", "seed=1_000", "prepare.path=[",
    "prepare.path='", 'prepare.path="', "prepare.path=a b", "prepare.path=\n", "prepare.path=\x1b[31m", "seed=NaN",
    "train.lr=inf", "hydra.run.dir=x", "hydra/launcher=basic", "@seed=1", "seed@x=1", "train.lr=1e-3 ", " seed=1", "seed= 1",
    "SEED=1", "train.lr=[1,2", "train.lr={a:1}", "seed=:", "seed=$", "seed=\\",
    "seed=!!python/object/apply:os.mkdir [canary]", "seed=" + "9" * 5000, "seed=" + "[" * 200 + "]" * 200,
    "model.width=" + "1," * 300 + "1", "prepare.dataset=../../x", "train.init_from=/dev/zero",
)  # fmt: skip


def overrides(folder: Path, chance: random.Random) -> str:
    chosen = chance.sample(OVERRIDES, chance.choice([1, 1, 1, 2]))
    (folder / "overrides").write_text(json.dumps(chosen))
    return str([one[:60] for one in chosen])


def studies(folder: Path, chance: random.Random) -> str:
    import yaml

    (folder / "studies").mkdir()
    name = chance.choice(["anchors", "arithmetic", "curricula", "images", "sweeps", "soundness"])
    content = (TOP / f"studies/{name}.yaml").read_bytes()
    if chance.random() < 0.5:
        content = as_json(lied(yaml.safe_load(content), chance))
    else:
        content, _ = damaged(content, chance)
    (folder / "studies" / f"{name}.yaml").write_bytes(content)
    return name


def tokenizer_file(folder: Path, chance: random.Random) -> str:
    """A tokenizer.json of somebody else's."""
    made = json.loads((folder / "data/tokens/tokenizer.json").read_text())
    made.pop("sha256", None)
    way = chance.choice(["lie", "lie", "lie", "damage", "odd text", "pickle"])
    content = {
        "lie": lambda: as_json(lied(made, chance)),
        "damage": lambda: damaged(as_json(made), chance)[0],
        "odd text": lambda: odd_text(chance)[0],
        "pickle": lambda: a_pickle(folder, chance),
    }[way]()
    own(folder).joinpath("tokenizer.json").write_bytes(content)
    return way


def tensors(header: Any, data: bytes, length: int | None = None) -> bytes:
    """A safetensors file with any header."""
    about = header if isinstance(header, bytes) else as_json(header)
    return struct.pack("<Q", len(about) if length is None else length) + about + data


def lying_weights(content: bytes, chance: random.Random) -> tuple[bytes, str]:
    """(weights whose header lies, how)."""
    size = struct.unpack("<Q", content[:8])[0]
    header, data = json.loads(content[8 : 8 + size]), content[8 + size :]
    name = chance.choice([name for name in header if name != "__metadata__"])
    way = chance.choice(["length", "offsets", "shape", "dtype", "lie", "lie", "names", "no header", "data", "damage"])
    match way:
        case "length":
            return tensors(header, data, chance.choice([0, 1, 7, size - 1, size + 1, 10**9, 2**62, 2**64 - 1])), way
        case "offsets":
            header[name]["data_offsets"] = chance.choice(
                [[0, 0], [8, 4], [-1, 4], [0, 2**62], [len(data), len(data) + 4], [0], [], None]
            )
        case "shape":
            header[name]["shape"] = chance.choice(
                [[], [0], [-1], [2**40, 2**40], [1] * 500, [1.5], None, [*header[name]["shape"][::-1], 1]]
            )
        case "dtype":
            header[name]["dtype"] = chance.choice(["F64", "F16", "I8", "BOOL", "F8_E4M3", "X", "", None, 3])
        case "lie":
            header = lied(header, chance)
        case "names":
            header[chance.choice(["", "\0", "../x", "x" * 10_000, "\x1b[31m", "lm_head.weight"])] = header.pop(name)
        case "no header":
            return tensors(
                chance.choice([b"", b"{}", b"[]", b"null", b"{", b"\0", b"[" * 3000, b"{}" + b" " * 5000]), data
            ), way
        case "data":
            data = chance.choice([b"", data[:-1], data + b"\0", data * 2])
        case "damage":
            return damaged(content, chance)[0], way
    return tensors(header, data), way


def given(folder: Path, chance: random.Random) -> str:
    """A folder of ours or of Hugging Face's, that lies about itself; its checksum fits, for whoever lies can count too."""
    ours = chance.random() < 0.5
    place, about = folder / "given", "model.json" if ours else "config.json"
    (folder / ("models/trained" if ours else "stock")).rename(place)
    weights = place / "model.safetensors"
    said = json.loads((place / about).read_text())
    way = chance.choice(["weights", "weights", "about", "about", "damage", "pickle", "missing"])
    match way:
        case "weights":
            content, how = lying_weights(weights.read_bytes(), chance)
            weights.write_bytes(content)
            way = f"weights: {how}"
            if "sha256" in said:
                said["sha256"] = sha256(content).hexdigest()
        case "about":
            said = lied(said, chance)
        case "pickle":
            for name in chance.sample(["model.safetensors", "pytorch_model.bin", "model.pt", "tokenizer.json"], 2):
                (place / name).write_bytes(a_pickle(folder, chance))
        case "missing":
            chance.choice([path for path in place.iterdir() if path.is_file()]).unlink()
    if way != "missing":
        (place / about).write_bytes(as_json(said))
    if way == "damage":
        path = chance.choice([path for path in place.iterdir() if path.is_file()])
        path.write_bytes(damaged(path.read_bytes(), chance)[0])
    return f"{'ours' if ours else 'theirs'}: {way}"


RALLY = "pipeline.lab.cli:main"
PREPARE = (("pipeline.prepare", ()), ("pipeline.tokenize", ()))
BPE = {"tokenize.kind": "bpe", "tokenize.vocab_size": 300}
GPT2 = {"model.position": "learned", "model.norm": "layer", "model.bias": True}

FAMILIES: dict[str, Family] = {
    "own texts": Family("language", own_texts, PREPARE, {"prepare.dataset": "file"}),
    "odd names, links, devices": Family("language", own_names, PREPARE, {"prepare.dataset": "file"}),
    "paths and patterns": Family("language", own_paths, PREPARE, {"prepare.dataset": "file"}, 40),
    "labelled rows": Family("classify", labelled, PREPARE, {"prepare.dataset": "file"}, 160),
    "own images": Family("vision", own_images, PREPARE, {"prepare.dataset": "file"}, 160),
    "params.yaml": Family("language", yaml_file, ((RALLY, ("check-params",)), ("pipeline.prepare", ()))),
    "values of knobs": Family("language", yaml_values, ((RALLY, ("check-params",)), ("pipeline.prepare", ())), count=120),
    "-S": Family("language", overrides, ((RALLY, ("check-params", "exp", "run", "@overrides")),), count=60),
    "studies": Family("language", studies, ((RALLY, ("play",)),), count=60),
    "tokenizer.json": Family("language", tokenizer_file, (("pipeline.tokenize", ()),), BPE, 120),
    "model folders, safetensors": Family(
        "language", given, ((RALLY, ("import", "given")), ("pipeline.train", ())), GPT2, 160,
    ),
}  # fmt: skip
