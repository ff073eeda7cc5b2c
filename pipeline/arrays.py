"""Arrays that stages write as .npy files: types and shapes are checked, content is memory-mapped."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.params.errors import UserError

if TYPE_CHECKING:
    import numpy.typing as npt
from pipeline.artifacts.checksums import how_to_restore, verified
from pipeline.artifacts.paths import ends_of, parts_of, text_of
from pipeline.artifacts.writing import atomic_write, errors_naming


def write_array(path: Path, numbers: npt.NDArray[Any]) -> None:
    """Write an .npy file, in C order and without pickle."""
    import numpy as np  # here, so that stages without arrays do not load it

    with atomic_write(path) as file:
        np.lib.format.write_array(file, np.ascontiguousarray(numbers), allow_pickle=False)


PART = [("end", "<i8"), ("difficulty", "<f4"), ("source", "|u1")]  # of {split}.parts.npy; see corpus/encode/difficulty.py


ARRAYS = (  # .npy files by the end of their name: number of dimensions, valid types
    (".ends.npy", 1, ("int64",)),
    (".labels.npy", 1, ("uint16",)),
    (".images.npy", 4, ("uint8",)),
    (".difficulty.npy", 1, ("float32",)),
    (".parts.npy", 1, (PART,)),
    (".npy", 1, ("uint8", "uint16", "uint32")),
)


def memory_mapped(path: Path) -> npt.NDArray[Any]:
    """The memory-mapped array of an .npy file of an earlier stage.

    Raises:
        UserError: it is missing or damaged, or its type or shape does not fit its name.
    """
    import numpy as np

    verified(path)
    try:
        with errors_naming(path):
            numbers: npt.NDArray[Any] = np.lib.format.open_memmap(path, mode="r")  # never a pickle, nor an archive
    except OSError:
        raise
    except Exception as error:  # numpy parses the header with Python's own parser, and passes on whatever it raises
        raise UserError(f"{path}: is damaged (not an array: {_first_line(error)}); {how_to_restore(path)}") from None
    dimensions, types = next((of[1:] for of in ARRAYS if path.name.endswith(of[0])), (numbers.ndim, (numbers.dtype,)))
    if numbers.ndim != dimensions or numbers.dtype not in [np.dtype(one) for one in types] or not numbers.flags.c_contiguous:
        wanted = " or ".join(str(np.dtype(one)) for one in types)
        raise UserError(
            f"{path}: holds {numbers.dtype} in {numbers.ndim} dimensions"
            f"{'' if numbers.flags.c_contiguous else ', column by column'}; expected {wanted} in {dimensions};"
            f" {how_to_restore(path)}"
        )
    return numbers


def read_blocks(path: Path, size: int) -> Iterator[npt.NDArray[Any]]:
    """The numbers of an .npy file, flat and in file order, in blocks of this size.

    The pages of a memory map that were read count as memory of the process while the map exists; here, only one block does.

    Raises:
        UserError: as `memory_mapped`.
    """
    import numpy as np

    mapped = memory_mapped(path)
    with path.open("rb") as file, errors_naming(path):
        file.seek(path.stat().st_size - mapped.nbytes)
        while len(block := np.frombuffer(file.read(size * mapped.itemsize), mapped.dtype)):
            yield block


def document_ends(folder: Path, split: str) -> npt.NDArray[Any]:
    """int64 [documents]: the byte offset in the text of a split at which each document ends, the last at its end.

    Raises:
        UserError: the file is missing or damaged, or does not belong to the text.
    """
    path, size = ends_of(folder, split), text_of(folder, split).stat().st_size
    ends = memory_mapped(path)
    if not len(ends) or ends[0] < 0 or ends[-1] != size or (ends[1:] < ends[:-1]).any():
        raise UserError(
            f"{path}: is damaged (it does not divide the {size:,} bytes of {text_of(folder, split).name} into documents);"
            f" {how_to_restore(path)}"
        )
    return ends


def load_parts(tokens: Path, count: int) -> npt.NDArray[Any]:
    """(end, difficulty, source) [parts] of the training ids; see corpus/encode/difficulty.py.

    Args:
        count: number of training ids.

    Raises:
        UserError: the file is missing or damaged, or does not belong to the ids.
    """
    path = parts_of(tokens)
    parts = memory_mapped(path)
    ends = parts["end"]
    if not len(ends) or ends[0] <= 0 or ends[-1] != count or (ends[1:] <= ends[:-1]).any():
        raise UserError(
            f"{path}: is damaged (it does not divide the {count:,} training tokens into parts); {how_to_restore(path)}"
        )
    return parts


def check_below(path: Path, numbers: npt.NDArray[Any], bound: int, what: str) -> None:
    """Check that all numbers of a file are valid indices.

    Args:
        numbers: unsigned; the content of the file.
        bound: the number of things that they index.
        what: the things, in the plural, such as "classes".

    Raises:
        UserError: one is too large.
    """
    import numpy as np

    if np.iinfo(numbers.dtype).max >= bound and (highest := int(numbers.max(initial=0))) >= bound:
        raise UserError(f"{path}: holds {highest}, and there are {bound} {what}, from 0 on; {how_to_restore(path)}")


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
