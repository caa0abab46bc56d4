"""Tar files, header by header; what a header asks for is never believed beyond a limit.

Single headers are parsed by the standard library. Chains of them are not left to it: a name of
gigabytes would be read into memory, and a negative size would be walked for ever.
"""

import struct
import tarfile
from collections.abc import Iterator

from tasks.trees.archive_members import ArchiveError, ByteStream, Member, Tally

MAXIMUM_HEADER_BYTES = 1024 * 1024  # of a long name or of extended headers
_BLOCK_BYTES = 512
_TRAILER_BYTES = 1024 * 1024
_PLACE = struct.Struct("<QQq")  # offset of the content, size, seconds

_FILES = (tarfile.REGTYPE, tarfile.AREGTYPE, tarfile.CONTTYPE)
_WITHOUT_CONTENT = {
    tarfile.DIRTYPE: "",
    tarfile.LNKTYPE: "a hard link, needed a file",
    tarfile.SYMTYPE: "a link, needed a file",
    tarfile.CHRTYPE: "a device, needed a file",
    tarfile.BLKTYPE: "a device, needed a file",
    tarfile.FIFOTYPE: "a pipe, needed a file",
}
_EXTENDED = (tarfile.XHDTYPE, tarfile.SOLARIS_XHDTYPE)
_DESCRIPTIONS = (tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK, tarfile.XGLTYPE, *_EXTENDED)


class TarArchive:
    """A tar file, packed or not; content of a packed one is best read in the order of members."""

    def __init__(self, stream: ByteStream, archive_mark: str) -> None:
        """Nothing is read yet.

        Args:
            stream: the unpacked bytes.
            archive_mark: becomes part of each member's, as tar has no checksum of content; where
                it is empty, so are theirs.
        """
        self._stream = stream
        self._archive_mark = archive_mark

    def members(self, tally: Tally) -> Iterator[Member]:
        """All files in the archive's order.

        Raises:
            ArchiveError: damaged, cut short, or one of the limits is passed.
            OSError: it cannot be read.
        """
        offset = 0
        described: dict[str, str] = {}  # by the headers before the one of the file itself
        while (block := self._block(offset)).strip(b"\0"):
            tally.add_file()
            header = _checked_header(block, offset)
            content_at = offset + _BLOCK_BYTES
            if header.type in _DESCRIPTIONS:
                described |= self._description(header, content_at)
                offset = content_at + _padded(header.size)
                continue
            if header.type == tarfile.GNUTYPE_SPARSE:
                content_at = self._after_sparse_map(content_at, block)
            name, size = described.get("path", header.name), _size(header, described)
            offset = content_at
            if header.type not in _WITHOUT_CONTENT:
                offset += _padded(size)
            fault = _fault(header, described)
            described = {}
            if header.type != tarfile.DIRTYPE:
                yield Member(name, _PLACE.pack(content_at, size, int(header.mtime)), fault)
        # So that the checksum at the end of a packed stream is looked at.
        self._stream.read_at(offset, _TRAILER_BYTES)

    def size_and_mark(self, place: bytes) -> tuple[int, str]:
        """The mark is where it lies, its size and time, and the archive's own mark."""
        offset, size, seconds = _PLACE.unpack(place)
        mark = self._archive_mark and f"{offset}-{size}-{seconds}-{self._archive_mark}"
        return size, mark

    def content(self, place: bytes) -> bytes:
        """Of one member.

        Raises:
            ArchiveError: damaged or cut short.
            OSError: it cannot be read.
        """
        offset, size, _ = _PLACE.unpack(place)
        content = self._stream.read_at(offset, size)
        if len(content) != size:
            raise ArchiveError(f"cut short: found {len(content):,} bytes of {size:,}")
        return content

    def _block(self, offset: int) -> bytes:
        block = self._stream.read_at(offset, _BLOCK_BYTES)
        if len(block) < _BLOCK_BYTES:
            raise ArchiveError("cut short: no empty block at the end of this tar; fetch it again")
        return block

    def _description(self, header: tarfile.TarInfo, content_at: int) -> dict[str, str]:
        """What a header says of the one that follows it."""
        if header.size > MAXIMUM_HEADER_BYTES:
            raise ArchiveError(
                f"damaged: found a header of {header.size:,} bytes, needed at most "
                f"{MAXIMUM_HEADER_BYTES:,}"
            )
        content = self._stream.read_at(content_at, header.size)
        if header.type in _EXTENDED:
            return _records(content)
        if header.type == tarfile.GNUTYPE_LONGNAME:
            return {"path": _text(content.partition(b"\0")[0])}
        return {}

    def _after_sparse_map(self, offset: int, block: bytes) -> int:
        more = block[482]
        while more:
            more = self._block(offset)[504]
            offset += _BLOCK_BYTES
        return offset


def parse_header(block: bytes) -> tarfile.TarInfo | None:
    """One header of 512 bytes; None where it is none."""
    try:
        return tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
    except (tarfile.TarError, ValueError, OverflowError, struct.error):
        return None


def _checked_header(block: bytes, offset: int) -> tarfile.TarInfo:
    header = parse_header(block)
    if header is None or not 0 <= header.size < 2**62 or abs(header.mtime) >= 2**62:
        what = "damaged: no header of a member" if offset else "found no tar, but something else,"
        raise ArchiveError(f"{what} at byte {offset:,}")
    return header


def _fault(header: tarfile.TarInfo, described: dict[str, str]) -> str:
    if header.type in _WITHOUT_CONTENT:
        return _WITHOUT_CONTENT[header.type]
    if header.type == tarfile.GNUTYPE_SPARSE or any(
        key.startswith("GNU.sparse.") for key in described
    ):
        return "a file with holes, needed a whole one"
    return "" if header.type in _FILES else "neither file nor folder"


def _size(header: tarfile.TarInfo, described: dict[str, str]) -> int:
    size = described.get("size")
    if size is None:
        return header.size
    if not (size.isascii() and size.isdigit()) or len(size) > 18:
        raise ArchiveError("damaged: found an extended header with a size that is no number")
    return int(size)


def _records(content: bytes) -> dict[str, str]:
    """Lines `LENGTH KEY=VALUE`, each as long as it says."""
    found = {}
    at = 0
    while at < len(content):
        digits = content[at : at + 20].partition(b" ")[0]
        length = int(digits) if digits.isdigit() else 0
        record = content[at + len(digits) + 1 : at + length]
        key, equals, value = record.partition(b"=")
        if not equals or at + length > len(content) or not value.endswith(b"\n"):
            raise ArchiveError("damaged: found an extended header that cannot be read")
        found[_text(key)] = _text(value[:-1])
        at += length
    return found


def _text(name: bytes) -> str:
    return name.decode("utf-8", "surrogateescape")


def _padded(size: int) -> int:
    return -(-size // _BLOCK_BYTES) * _BLOCK_BYTES
