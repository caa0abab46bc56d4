"""What kind of archive a file is, by its content and not by its name."""

from typing import Literal

from tasks.trees.archive_members import ArchiveError, RandomAccess
from tasks.trees.tar_archive import parse_header

Kind = Literal["zip", "tar", "gzip", "bzip2", "xz"]

NEEDED = "needed a zip or tar file, or one of tar.gz, tar.bz2 and tar.xz"

_SIGNATURES: tuple[tuple[bytes, Kind], ...] = (
    (b"PK\3\4", "zip"),
    (b"PK\5\6", "zip"),
    (b"\x1f\x8b", "gzip"),
    (b"BZh", "bzip2"),
    (b"\xfd7zXZ\0", "xz"),
)
_OTHERS = (
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
    (b"Rar!", "a rar archive"),
    (b"\x28\xb5\x2f\xfd", "a file packed by zstd"),
    (b"<", "a text or a web page"),
    (b"PAR1", "a Parquet table"),
)
_LONGEST_ZIP_END_BYTES = 22 + 0xFFFF


def recognise(source: RandomAccess) -> Kind:
    """What kind of archive a file is, by its content.

    Raises:
        ArchiveError: none that is known; says what was found.
        OSError: it cannot be read.
    """
    start = source.read_at(0, 512)
    for signature, kind in _SIGNATURES:
        if start.startswith(signature):
            return kind
    if not start:
        raise ArchiveError(f"found an empty file, {NEEDED}")
    if len(start) == 512 and (not start.strip(b"\0") or parse_header(start) is not None):
        return "tar"
    others = (words for signature, words in _OTHERS if start.startswith(signature))
    if found := next(others, None):
        raise ArchiveError(f"found {found}, {NEEDED}")
    tail_at = max(source.size_bytes - _LONGEST_ZIP_END_BYTES, 0)
    if b"PK\5\6" in source.read_at(tail_at, _LONGEST_ZIP_END_BYTES):
        return "zip"
    raise ArchiveError(f"found no archive, {NEEDED}")
