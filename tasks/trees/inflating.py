"""Packed bytes as if they were unpacked, a little at a time, whatever they claim to hold."""

import bz2
import lzma
import zlib
from collections.abc import Callable
from typing import Protocol

from tasks.trees.archive_members import ArchiveError, ByteStream

CHUNK_BYTES = 64 * 1024
MAXIMUM_DICTIONARY_BYTES = 256 * 1024 * 1024  # `xz -9` needs 65 MiB
FREE_STREAMS = 1_000
MINIMUM_STREAM_BYTES = 1_024  # on average, once there are more streams than that


class Decoder(Protocol):
    """What `bz2` and `lzma` offer, and `Deflate` for zlib."""

    @property
    def eof(self) -> bool:
        """Whether the packed stream is complete."""
        ...

    @property
    def needs_input(self) -> bool:
        """Whether nothing comes out before more is put in."""
        ...

    @property
    def unused_data(self) -> bytes:
        """What followed the stream."""
        ...

    def decompress(self, data: bytes, max_length: int, /) -> bytes:
        """At most `max_length` bytes, at least 1."""
        ...


class Deflate:
    """zlib's decoder with the face of the others."""

    def __init__(self, window_bits: int) -> None:
        self._decoder = zlib.decompressobj(window_bits)

    @property
    def eof(self) -> bool:
        """Whether the packed stream is complete."""
        return self._decoder.eof

    @property
    def needs_input(self) -> bool:
        """Whether nothing comes out before more is put in."""
        return not self._decoder.unconsumed_tail

    @property
    def unused_data(self) -> bytes:
        """What followed the stream."""
        return self._decoder.unused_data

    def decompress(self, data: bytes, max_length: int, /) -> bytes:
        """At most `max_length` bytes, at least 1."""
        return self._decoder.decompress(self._decoder.unconsumed_tail + data, max_length)


def raw_deflate() -> Decoder:
    """Inside of zip."""
    return Deflate(-zlib.MAX_WBITS)


def gzip() -> Decoder:
    """With gzip's header and checksum."""
    return Deflate(16 + zlib.MAX_WBITS)


def bzip2() -> Decoder:
    """As `bzip2` packs."""
    return bz2.BZ2Decompressor()


def xz() -> Decoder:
    """As `xz` packs; what asks for more memory than `xz -9` needs is refused."""
    return lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=MAXIMUM_DICTIONARY_BYTES)


class Inflating:
    """Reads onwards through packed bytes, and from their start again for what was passed.

    Memory stays at what one call asks for, whatever comes out of how little.
    """

    def __init__(
        self,
        source: ByteStream,
        start: int,
        length: int,
        decoder: Callable[[], Decoder],
        count: Callable[[int], None] = lambda _: None,
    ) -> None:
        """Nothing is read yet.

        Args:
            source: holds the packed bytes.
            start: where they begin.
            length: how many there are.
            decoder: makes a decoder; there may be several streams, one after the other.
            count: is told how many bytes came out, and may raise.
        """
        self._source = source
        self._start = start
        self._stop = start + length
        self._new_decoder = decoder
        self._count = count
        self._rewind()

    def read_at(self, offset: int, length: int) -> bytes:
        """So many unpacked bytes from there; fewer only at the end.

        Raises:
            ArchiveError: damaged or cut short.
            OSError: the source cannot be read.
        """
        if offset < self._position:
            self._rewind()
        while self._position < offset:
            if not self._next(min(CHUNK_BYTES, offset - self._position)):
                return b""
        content = bytearray()
        while len(content) < length:
            piece = self._next(length - len(content))
            if not piece:
                break
            content += piece
        return bytes(content)

    def _rewind(self) -> None:
        self._decoder: Decoder | None = self._new_decoder()
        self._packed_at = self._start
        self._unfed = b""
        self._position = 0
        self._streams = 1

    def _next(self, limit: int) -> bytes:
        """Up to `limit` bytes; none only at the end."""
        while self._decoder is not None:
            if self._decoder.eof:
                self._begin_stream(self._decoder.unused_data)
                continue
            hungry = self._decoder.needs_input
            packed = self._packed() if hungry else b""
            try:
                piece = self._decoder.decompress(packed, limit)
            except (zlib.error, lzma.LZMAError, OSError, EOFError, ValueError) as error:
                raise ArchiveError(f"damaged: {error}") from None
            if piece:
                self._position += len(piece)
                self._count(len(piece))
                return piece
            if hungry and not packed and not self._decoder.eof:
                raise ArchiveError("cut short")
        return b""

    def _packed(self) -> bytes:
        if self._unfed:
            packed, self._unfed = self._unfed, b""
            return packed
        packed = self._source.read_at(
            self._packed_at, min(CHUNK_BYTES, self._stop - self._packed_at)
        )
        self._packed_at += len(packed)
        return packed

    def _begin_stream(self, following: bytes) -> None:
        self._unfed = following.lstrip(b"\0")  # padding
        while not self._unfed:
            packed = self._packed()
            if not packed:
                self._decoder = None
                return
            self._unfed = packed.lstrip(b"\0")
        self._streams += 1
        if self._streams > FREE_STREAMS and self._position < self._streams * MINIMUM_STREAM_BYTES:
            raise ArchiveError(f"packed in {self._streams:,} streams of next to nothing; repack it")
        self._decoder = self._new_decoder()
