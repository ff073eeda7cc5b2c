"""The formats of files that are not UTF-8 text, recognized by their first bytes, and the command that converts each."""

from __future__ import annotations

import codecs

HEAD = 4096  # bytes at the beginning of a file

# Files that begin with these bytes are never text, even if some (such as a PDF in ASCII) are valid UTF-8.
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
BYTE_ORDER_MARKS = (  # longer ones first: that of UTF-32LE begins with that of UTF-16LE
    (codecs.BOM_UTF32_LE, "UTF-32"),
    (codecs.BOM_UTF32_BE, "UTF-32"),
    (codecs.BOM_UTF16_LE, "UTF-16"),
    (codecs.BOM_UTF16_BE, "UTF-16"),
)
PLAIN = bytes([9, 10, 12, 13, *range(32, 127)])


def binary_problem(head: bytes) -> str | None:
    """Why a file with these first bytes is not text, and what to do: `is a PDF, not text; …`; None if it may be text."""
    for signature, what, advice in SIGNATURES:
        # A text may begin with bzip2's three letters; then a digit follows, and six bytes that no text has.
        if head.startswith(signature) and (signature != b"BZh" or head[4:7] == b"1AY"):
            return f"is {what}, not text; {advice}"
    return None


def encoding_problem(head: bytes, byte: int, place: int) -> str:
    """Why a file is not UTF-8 text, and what to do.

    Args:
        head: its first HEAD bytes, or all of them.
        byte: the first invalid byte: 0, or one that is not valid UTF-8 there.
        place: its offset.
    """
    if encoding := guess_encoding(head):
        return f"is {encoding} text, not UTF-8; convert it: iconv -f {encoding} -t UTF-8 FILE > NEW"
    if not head.strip(b"\0"):
        return "is not text: it begins with zero bytes only, like a file that was not written completely"
    if not byte:
        return (
            f"is not text: it has a zero byte at offset {place:,}, like images, archives and programs; leave it out, or"
            " remove those bytes: tr -d '\\000' < FILE > NEW"
        )
    return (
        f"is not UTF-8 text (byte 0x{byte:02x} near offset {place:,}); save it as UTF-8, or if it is Latin-1 or Windows-1252,"
        " convert it: iconv -f WINDOWS-1252 -t UTF-8 FILE > NEW"
    )


def guess_encoding(head: bytes) -> str | None:
    """UTF-16 or UTF-32, by iconv's name, if a file that is not UTF-8 is in one, by its byte order mark or zeros; else None."""
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
        return None  # ASCII with a few zeros; in UTF-16 every pair of bytes would have one
    name = "UTF-16LE" if odd > even else "UTF-16BE"
    try:
        codecs.getincrementaldecoder(name)().decode(head)
    except UnicodeDecodeError:
        return None
    return name
