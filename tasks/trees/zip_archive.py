"""Zip files by their directory, which is believed in nothing that would cost memory or time.

The directory is parsed here and not by `zipfile`: that one holds half a kilobyte for each of a
million members, takes members that lie over each other, and unpacks bzip2 without a bound.
"""

import stat
import struct
import zlib
from array import array
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from tasks.trees.archive_members import (
    MAXIMUM_MEMBER_RATIO,
    MEMBER_RATIO_COUNTS_FROM_BYTES,
    ArchiveError,
    Member,
    RandomAccess,
    Tally,
)
from tasks.trees.inflating import Decoder, Inflating, bzip2, raw_deflate
from tasks.trees.tree import MAXIMUM_FILE_BYTES

_END = struct.Struct("<4s4H2IH")  # signature, ..., directory's size and offset, comment's length
_END_64 = struct.Struct("<4sQ2H2I4Q")  # signature, ..., directory's size and offset
_END_64_LOCATOR_BYTES = 20
_ENTRY = struct.Struct("<4s6H3I5H2I")
_LOCAL = struct.Struct("<4s5H3I2H")
_PLACE = struct.Struct("<QQQIH")  # offset, packed and unpacked size, CRC-32, method
_LONGEST_ENTRY_BYTES = _ENTRY.size + 3 * 0xFFFF
_BUFFER_BYTES = 1024 * 1024

_ENCRYPTED = 1 << 0 | 1 << 6 | 1 << 13
_UTF_8 = 1 << 11
_STORED = 0
_DECODERS: dict[int, Callable[[], Decoder]] = {8: raw_deflate, 12: bzip2}


@dataclass(frozen=True, slots=True)
class _Directory:
    start: int
    stop: int
    prefix: int  # bytes before the archive, as in one that unpacks itself


class ZipArchive:
    """A zip file; members can be read in any order."""

    def __init__(self, source: RandomAccess) -> None:
        self._source = source

    def members(self, tally: Tally) -> Iterator[Member]:
        """All files in the directory's order, once the whole directory has been checked.

        Raises:
            ArchiveError: the directory is damaged or cut off, members lie over each other, or one
                of the limits is passed.
            OSError: it cannot be read.
        """
        directory = _find_directory(self._source)
        self._check(directory, tally)
        for member in self._entries(directory):
            if member is not None:
                yield member

    def size_and_mark(self, place: bytes) -> tuple[int, str]:
        """The mark is the checksum with the size; both are checked when the member is read."""
        _, _, size, crc, _ = _PLACE.unpack(place)
        return size, f"{crc:08x}-{size}"

    def content(self, place: bytes) -> bytes:
        """Of one member.

        Raises:
            ArchiveError: damaged, or another size than the directory claims.
            OSError: it cannot be read.
        """
        offset, packed, size, crc, method = _PLACE.unpack(place)
        local = self._source.read_at(offset, _LOCAL.size)
        if len(local) < _LOCAL.size or not local.startswith(b"PK\3\4"):
            raise ArchiveError("damaged: no file where the archive's directory has one")
        start = offset + _LOCAL.size + sum(_LOCAL.unpack(local)[-2:])
        if method == _STORED:
            content = self._source.read_at(start, packed)
        else:
            inflating = Inflating(self._source, start, packed, _DECODERS[method])
            content = inflating.read_at(0, size + 1)
        if len(content) != size:
            more = "more than " if len(content) > size else f"{len(content):,}, not "
            raise ArchiveError(f"damaged: unpacks to {more}the {size:,} bytes it claims")
        if zlib.crc32(content) != crc:
            raise ArchiveError("damaged: found another checksum than the archive's directory has")
        return content

    def _check(self, directory: _Directory, tally: Tally) -> None:
        """Count everything, and see that no byte belongs to two members."""
        starts, stops = array("q"), array("q")
        for member in self._entries(directory):
            tally.add_file()
            if member is None:
                continue
            offset, packed, size, _, _ = _PLACE.unpack(member.place)
            if not member.fault and size <= MAXIMUM_FILE_BYTES:  # others are never unpacked
                tally.add_bytes(size)
            if offset + _LOCAL.size + packed > directory.start:
                raise ArchiveError("damaged: a member lies beyond the archive's directory")
            starts.append(offset)
            stops.append(offset + _LOCAL.size + packed)
        order = np.argsort(starts, kind="stable")
        overlaps = np.asarray(stops)[order][:-1] > np.asarray(starts)[order][1:]
        if overlaps.any():
            raise ArchiveError(
                f"found {overlaps.sum():,} members that lie over the next one, as bombs have them; "
                "needed each byte to belong to one member"
            )

    def _entries(self, directory: _Directory) -> Iterator[Member | None]:
        """Each entry of the directory; None for a folder."""
        at, buffer = 0, b""
        offset = directory.start
        while offset < directory.stop or at < len(buffer):
            if len(buffer) - at < _LONGEST_ENTRY_BYTES and offset < directory.stop:
                wanted = min(_BUFFER_BYTES, directory.stop - offset)
                more = self._source.read_at(offset, wanted)
                if len(more) < wanted:
                    raise ArchiveError("damaged: its directory is cut short")
                offset += wanted
                buffer, at = buffer[at:] + more, 0
                continue
            entry = buffer[at : at + _ENTRY.size]
            if len(entry) < _ENTRY.size or not entry.startswith(b"PK\1\2"):
                raise ArchiveError("damaged: its directory cannot be read")
            fields = _ENTRY.unpack(entry)
            name_length, extra_length, comment_length = fields[10:13]
            name_at = at + _ENTRY.size
            extra_at = name_at + name_length
            at = extra_at + extra_length + comment_length
            if at > len(buffer):
                raise ArchiveError("damaged: its directory cannot be read")
            name = _text(buffer[name_at:extra_at], utf_8=bool(fields[3] & _UTF_8))
            extra = buffer[extra_at : extra_at + extra_length]
            yield _member(name, fields, extra, directory.prefix)


def _find_directory(source: RandomAccess) -> _Directory:
    tail_at = max(source.size_bytes - _END.size - 0xFFFF, 0)
    tail = source.read_at(tail_at, source.size_bytes - tail_at)
    at = tail.rfind(b"PK\5\6")
    if at < 0 or len(tail) - at < _END.size:
        raise ArchiveError("cut short: no directory at the end of this zip; fetch it again")
    *_, size, offset, _ = _END.unpack_from(tail, at)
    stop = tail_at + at
    located_at = stop - _END_64_LOCATOR_BYTES
    if located_at >= 0 and source.read_at(located_at, 4) == b"PK\6\7":
        stop = located_at - _END_64.size
        end = source.read_at(max(stop, 0), _END_64.size)
        if stop < 0 or len(end) < _END_64.size or not end.startswith(b"PK\6\6"):
            raise ArchiveError("damaged: its directory cannot be found")
        *_, size, offset = _END_64.unpack(end)
    prefix = stop - size - offset
    if prefix < 0:
        raise ArchiveError("damaged: its directory cannot be found, or stands in another part")
    return _Directory(stop - size, stop, prefix)


def _member(name: str, fields: tuple[int, ...], extra: bytes, prefix: int) -> Member | None:
    flags, method = fields[3:5]
    crc, packed, size = fields[7:10]
    attributes, offset = fields[15:17]
    mode = attributes >> 16
    if name.endswith("/") or stat.S_ISDIR(mode):
        return None
    size, packed, offset = _wide((size, packed, offset), extra)
    fault = ""
    if stat.S_IFMT(mode) and not stat.S_ISREG(mode):
        fault = "a link" if stat.S_ISLNK(mode) else "neither file nor folder"
    elif flags & _ENCRYPTED:
        fault = "encrypted, needed a zip without a password"
    elif method != _STORED and method not in _DECODERS:
        fault = f"packed by method {method}, needed stored, deflate or bzip2"
    elif method == _STORED and packed != size:
        fault = f"damaged: claims {size:,} bytes and holds {packed:,}"
    elif size > MEMBER_RATIO_COUNTS_FROM_BYTES and size > MAXIMUM_MEMBER_RATIO * packed:
        fault = (
            f"unpacks to {size:,} bytes from {packed:,}, as bombs do; needed at most "
            f"{MAXIMUM_MEMBER_RATIO:,} to 1"
        )
    try:
        place = _PLACE.pack(offset + prefix, packed, size, crc, method)
    except struct.error:
        raise ArchiveError("damaged: a member lies beyond the archive's directory") from None
    return Member(name, place, fault)


def _wide(values: tuple[int, int, int], extra: bytes) -> Iterator[int]:
    """Sizes and offset, from the zip64 field where they do not fit into 32 bits."""
    at, wide = 0, b""
    while at + 4 <= len(extra):
        kind, length = struct.unpack_from("<HH", extra, at)
        if kind == 1:
            wide = extra[at + 4 : at + 4 + length]
        at += 4 + length
    for value in values:
        if value != 0xFFFFFFFF:
            yield value
            continue
        if len(wide) < 8:
            raise ArchiveError("damaged: a member of more than 4 GiB without its size")
        yield int.from_bytes(wide[:8], "little")
        wide = wide[8:]


def _text(name: bytes, utf_8: bool) -> str:
    """A name; without the flag it may be UTF-8 all the same, as macOS packs."""
    try:
        return name.decode("utf-8")
    except UnicodeDecodeError:
        return name.decode("utf-8", "surrogateescape") if utf_8 else name.decode("cp437")
