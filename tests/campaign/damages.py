"""What becomes of the bytes of a file on a failing disk, in a cut-short copy, under a careless hand."""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from pathlib import Path

Damage = Callable[[bytearray, random.Random], None]


def one_bit(content: bytearray, chance: random.Random) -> None:
    content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)


def some_bits(content: bytearray, chance: random.Random) -> None:
    for _ in range(chance.randint(2, 20)):
        one_bit(content, chance)


def one_byte(content: bytearray, chance: random.Random) -> None:
    content[chance.randrange(len(content))] = chance.randrange(256)


def cut_short(content: bytearray, chance: random.Random) -> None:
    del content[chance.randrange(len(content)) :]


def cut_by_a_little(content: bytearray, chance: random.Random) -> None:
    del content[max(len(content) - chance.randint(1, 16), 0) :]


def a_page_of_zeros(content: bytearray, chance: random.Random) -> None:
    page = min(chance.choice([64, 512, 4096]), len(content))
    at = chance.randrange(-(-len(content) // page)) * page
    content[at : at + page] = bytes(len(content[at : at + page]))


def blocks_that_changed_places(content: bytearray, chance: random.Random) -> None:
    size = max(min(chance.choice([16, 512]), len(content) // 2), 1)
    one, other = (chance.randrange(max(len(content) - size, 1)) for _ in range(2))
    content[one : one + size], content[other : other + size] = content[other : other + size], content[one : one + size]


def something_appended(content: bytearray, chance: random.Random) -> None:
    content += chance.choice(
        [bytes(chance.randint(1, 600)), chance.randbytes(chance.randint(1, 600)), b"\n", b" ", content[:64]]
    )


def noise(content: bytearray, chance: random.Random) -> None:
    at = chance.randrange(len(content))
    size = min(chance.randint(1, 512), len(content) - at)
    content[at : at + size] = chance.randbytes(size)


DAMAGES: tuple[Damage, ...] = (
    one_bit, one_bit, some_bits, one_byte, cut_short, cut_by_a_little, a_page_of_zeros, blocks_that_changed_places,
    something_appended, noise,
)  # fmt: skip


def damaged(content: bytes, chance: random.Random) -> tuple[bytes, str]:
    """(other bytes, what was done to them)."""
    while True:
        damage = chance.choice(DAMAGES)
        changed = bytearray(content or b"\0")
        damage(changed, chance)
        if changed != content:
            return bytes(changed), damage.__name__


def rot(path: Path, content: bytes) -> None:
    """Put other bytes into a file as a rotting disk does: it is the same file (inode), and its times say nothing."""
    known = path.stat()
    mode = known.st_mode
    path.chmod(mode | 0o200)  # DVC's links to its cache may not be written to
    with path.open("r+b") as file:
        file.write(content)
        file.truncate()
    path.chmod(mode)
    os.utime(path, ns=(known.st_atime_ns, known.st_mtime_ns))
