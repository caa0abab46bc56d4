"""What archives of every kind share: members, their names, and the limits that stop a bomb."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

MAXIMUM_FILES = 5_000_000
MAXIMUM_TOTAL_BYTES = 2**40
MAXIMUM_RATIO = 200  # all that is unpacked to the archive's size
MAXIMUM_MEMBER_RATIO = 1_000  # deflate cannot pack more tightly than 1,032 to 1
RATIO_COUNTS_FROM_BYTES = 256 * 1024 * 1024  # drawings on plain paper pack well, and do no harm
MEMBER_RATIO_COUNTS_FROM_BYTES = 16 * 1024 * 1024

_DRIVE = re.compile("[A-Za-z]:")


class ArchiveError(Exception):
    """Bytes of an archive that contradict themselves or go beyond a limit; the text says how."""


class RandomAccess(Protocol):
    """The bytes of an archive, wherever they lie."""

    @property
    def size_bytes(self) -> int:
        """Of the whole archive."""
        ...

    @property
    def mark(self) -> str:
        """Another one whenever the content may be another."""
        ...

    def read_at(self, offset: int, length: int) -> bytes:
        """So many bytes from there; fewer only where the archive ends.

        Raises:
            OSError: this part cannot be read.
        """
        ...

    def close(self) -> None:
        """Give back what is held open."""
        ...


class ByteStream(Protocol):
    """Bytes by position, packed or not."""

    def read_at(self, offset: int, length: int) -> bytes:
        """So many bytes from there; fewer only at the end."""
        ...


@dataclass(frozen=True, slots=True)
class Member:
    """A file as the archive lists it.

    Attributes:
        name: as the archive spells it.
        place: where its content lies; only the kind of archive that listed it can tell.
        fault: why it cannot be used; empty where it can.
    """

    name: str
    place: bytes
    fault: str = ""


class Archive(Protocol):
    """An archive of one kind."""

    def members(self, tally: "Tally") -> Iterator[Member]:
        """All files, in the order of the archive; folders are left out.

        Raises:
            ArchiveError: the archive is damaged, or one of the limits is passed.
            OSError: it cannot be read.
        """
        ...

    def size_and_mark(self, place: bytes) -> tuple[int, str]:
        """For `Leaf`, as the archive claims."""
        ...

    def content(self, place: bytes) -> bytes:
        """Of one member, never more than it claimed.

        Raises:
            ArchiveError: damaged, or other than it claimed.
            OSError: it cannot be read.
        """
        ...


@dataclass
class Tally:
    """Counts what an archive would unpack to, and stops at the limits.

    Attributes:
        packed_bytes: size of the archive.
    """

    packed_bytes: int
    files: int = 0
    unpacked_bytes: int = 0

    def add_file(self) -> None:
        """Count one member, of whatever kind.

        Raises:
            ArchiveError: too many.
        """
        self.files += 1
        if self.files > MAXIMUM_FILES:
            raise ArchiveError(
                f"found more than {MAXIMUM_FILES:,} members, needed at most so many; split it"
            )

    def add_bytes(self, count: int) -> None:
        """Count unpacked bytes.

        Raises:
            ArchiveError: too many, or too many for an archive of this size.
        """
        self.unpacked_bytes += count
        if self.unpacked_bytes > MAXIMUM_TOTAL_BYTES:
            raise ArchiveError(
                f"unpacks to {self.unpacked_bytes:,} bytes or more, needed at most "
                f"{MAXIMUM_TOTAL_BYTES:,}; split it"
            )
        if self.unpacked_bytes <= RATIO_COUNTS_FROM_BYTES:
            return
        if self.unpacked_bytes > MAXIMUM_RATIO * self.packed_bytes:
            raise ArchiveError(
                f"unpacks to {self.unpacked_bytes:,} bytes or more from {self.packed_bytes:,}, "
                f"as bombs do; needed at most {MAXIMUM_RATIO} to 1"
            )


def inner_path(name: str) -> str | None:
    """A member's name below the archive's root; empty for the root, None where it leads out."""
    if name.startswith("/") or "\\" in name or _DRIVE.match(name):
        return None
    parts = [part for part in name.split("/") if part not in ("", ".")]
    return None if ".." in parts else "/".join(parts)
