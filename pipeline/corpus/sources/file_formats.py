"""What is in a file that is not UTF-8 text, and which command makes text of it? Told by its first bytes, not by its name."""

from __future__ import annotations

import codecs

HEAD = 4096  # bytes at the beginning of a file by which it is told

# What begins so is never text, though some of it (a PDF of plain letters) would pass as UTF-8.
SIGNATURES: tuple[tuple[bytes, str, str], ...] = (
    (b"%PDF-", "a PDF", "take its text out: pdftotext FILE NEW.txt"),
    (b"{\\rtf", "an RTF document", "save it as plain text"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an old Office document", "save it as plain text, or a table as CSV"),
    (b"PK\x03\x04", "a ZIP archive or an Office document", "unzip it, or save the document as plain text, a table as CSV"),
    (b"\x1f\x8b", "packed by gzip", "unpack it: gunzip -c FILE > NEW"),
    (b"BZh", "packed by bzip2", "unpack it: bunzip2 -c FILE > NEW"),
    (b"\xfd7zXZ\x00", "packed by xz", "unpack it: xz -dc FILE > NEW"),
    (b"\x28\xb5\x2f\xfd", "packed by zstd", "unpack it: zstd -dc FILE > NEW"),
    (b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive", "unpack it"),
    (b"\x89PNG\r\n", "a PNG image", "leave it out"),
    (b"\xff\xd8\xff", "a JPEG image", "leave it out"),
    (b"PAR1", "a Parquet table", "write it as CSV or as JSON lines"),
    (b"SQLite format 3\x00", "an SQLite database", "write its table as CSV"),
    (b"\x7fELF", "a program", "leave it out"),
)
BYTE_ORDER_MARKS = (  # the longer ones first: a mark of UTF-32LE begins with that of UTF-16LE
    (codecs.BOM_UTF32_LE, "UTF-32"),
    (codecs.BOM_UTF32_BE, "UTF-32"),
    (codecs.BOM_UTF16_LE, "UTF-16"),
    (codecs.BOM_UTF16_BE, "UTF-16"),
)
PLAIN = bytes([9, 10, 12, 13, *range(32, 127)])


def binary_problem(head: bytes) -> str | None:
    """What a file is whose first bytes no text has, and what to do with it: `is a PDF, not text; …`."""
    for signature, what, advice in SIGNATURES:
        # bzip2's mark is three letters that a text may begin with; its next byte is a digit, and then six that none has.
        if head.startswith(signature) and (signature != b"BZh" or head[4:7] == b"1AY"):
            return f"is {what}, not text; {advice}"
    return None


def encoding_problem(head: bytes, byte: int, place: int) -> str:
    """Why a file is not UTF-8 text, and what to do with it.

    Args:
        head: its first HEAD bytes, or all of them.
        byte: the first that is wrong: 0, or one that UTF-8 does not have there.
        place: its offset.
    """
    if encoding := guess_encoding(head):
        return f"is {encoding} text, and UTF-8 is read; convert it: iconv -f {encoding} -t UTF-8 FILE > NEW"
    if not head.strip(b"\0"):
        return "is not text: it begins with nothing but bytes of 0, as a file does that was never written to its end"
    if not byte:
        return (
            f"is not text: it holds a byte of 0 at offset {place:,}, as writer, archives and programs do; leave it out, or"
            " take those bytes out: tr -d '\\000' < FILE > NEW"
        )
    return (
        f"is not UTF-8 text (byte 0x{byte:02x} near offset {place:,}); save it as UTF-8, or convert it, if it is Latin-1 or"
        " Windows-1252: iconv -f WINDOWS-1252 -t UTF-8 FILE > NEW"
    )


def guess_encoding(head: bytes) -> str | None:
    """UTF-16 or UTF-32, as iconv calls it, if a file that is not UTF-8 is in one of them; told by its mark or its zeros."""
    for mark, name in BYTE_ORDER_MARKS:
        if head.startswith(mark):
            return name
    if not head.strip(b"\0"):
        return None
    zeros, counts = ([part(head[at::4]) for at in range(4)] for part in (lambda some: some.count(0), len))
    full = [zero == count > 0 for zero, count in zip(zeros, counts, strict=True)]
    if full[2] and full[3] and not full[0]:
        return "UTF-32LE"
    if full[0] and full[1] and not full[3]:
        return "UTF-32BE"
    odd, even = zeros[1] + zeros[3], zeros[0] + zeros[2]
    few, many = sorted((odd, even))
    if 20 * few > many or 50 * many < len(head):
        return None
    if 5 * many < 2 * len(head) and not head.translate(None, PLAIN + b"\0"):
        return None  # plain letters with a zero here and there; of two bytes each they would have one in every pair
    name = "UTF-16LE" if odd > even else "UTF-16BE"
    try:
        codecs.getincrementaldecoder(name)().decode(head)
    except UnicodeDecodeError:
        return None
    return name
