"""Framed images by content, kept between runs so that an image is decoded once.

A convenience outside DVC, shared by all checkouts of a user: one SQLite file, safe for several
processes at once, bounded in size. Whatever is wrong with it costs time, never a result: it is
made anew, or done without.
"""

import hashlib
import logging
import os
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from tasks.artifacts.user_cache import cache_folder

logger = logging.getLogger(__name__)

LIMIT_VARIABLE = "HEADSTART_CACHE_GB"
DEFAULT_LIMIT_GB = 20.0

_NAME = "tiles-1.sqlite"  # another layout gets another number
_BUSY_S = 30.0
_DAY_S = 86_400
_KEYS_AT_ONCE = 500
_PAGE_BYTES = 16_384
_SCHEMA = """
BEGIN IMMEDIATE;
CREATE TABLE IF NOT EXISTS tiles (
    key BLOB PRIMARY KEY, used_day INTEGER NOT NULL, digest BLOB NOT NULL, reason TEXT NOT NULL,
    pixels BLOB NOT NULL
);
CREATE INDEX IF NOT EXISTS tiles_by_day ON tiles (used_day);
CREATE TABLE IF NOT EXISTS marks (
    tree TEXT NOT NULL, path BLOB NOT NULL, mark TEXT NOT NULL, sha256 BLOB NOT NULL,
    PRIMARY KEY (tree, path)
) WITHOUT ROWID;
COMMIT;
"""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Tile:
    """What became of one image.

    Attributes:
        pixels: `(side, side, channels)` uint8, flattened; empty where there is a reason.
        digest: of the pixels; equal for images that look the same once framed.
        reason: why the image cannot be used; empty where it can.
    """

    pixels: bytes
    digest: bytes
    reason: str = ""

    @classmethod
    def of(cls, pixels: bytes) -> "Tile":
        """A tile that can be used."""
        return cls(pixels, _digest(pixels))

    @property
    def is_sound(self) -> bool:
        """Whether the pixels are those that the digest was made of."""
        return bool(self.reason) or _digest(self.pixels) == self.digest

    @classmethod
    def rejected(cls, reason: str) -> "Tile":
        """What stands for an image that cannot be used."""
        return cls(b"", b"", reason)


def _digest(pixels: bytes) -> bytes:
    return hashlib.sha256(pixels).digest()[:16]


def tile_key(sha256: bytes, framing: str) -> bytes:
    """What a tile is kept under.

    Args:
        sha256: of the file's content.
        framing: everything that shapes the tile besides, as text.
    """
    return hashlib.blake2b(sha256 + framing.encode(), digest_size=16).digest()


class TileCache:
    """The cache of this user.

    Args:
        folder: where it lies; None is `HEADSTART_CACHE` or the system's place for caches.
        limit_bytes: what `trim` leaves; None is `HEADSTART_CACHE_GB` or 20 GB.
    """

    def __init__(self, folder: Path | None = None, limit_bytes: int | None = None) -> None:
        self.path = (folder or cache_folder()) / _NAME
        self.limit_bytes = _default_limit_bytes() if limit_bytes is None else limit_bytes
        self._broken = False
        self._open: sqlite3.Connection | None = None

    def known(self, tree: str) -> dict[bytes, tuple[str, bytes]]:
        """Of each file that was read below a root: path -> (mark, SHA-256) as they were then."""
        query = "SELECT path, mark, sha256 FROM marks WHERE tree = ?"
        rows = self._rows(query, (tree,))
        return {path: (mark, sha256) for path, mark, sha256 in rows}

    def remember(self, tree: str, read: Iterable[tuple[bytes, str, bytes]]) -> None:
        """Remember `(path, mark, SHA-256)` of files that were read below a root."""
        rows = [(tree, *one) for one in read]
        self._do(
            lambda db: db.executemany("INSERT OR REPLACE INTO marks VALUES (?, ?, ?, ?)", rows),
            None,
        )

    def forget(self, tree: str, paths: Iterable[bytes]) -> None:
        """Forget files that are gone."""
        rows = [(tree, path) for path in paths]
        self._do(lambda db: db.executemany("DELETE FROM marks WHERE tree=? AND path=?", rows), None)

    def holds(self, keys: Sequence[bytes]) -> set[bytes]:
        """Which of these tiles are kept; they count as used today, so `trim` takes others first."""
        today = _today()
        days = dict(self._select("key, used_day", keys))
        stale = [(today, key) for key, day in days.items() if day < today]
        if stale:
            update = "UPDATE tiles SET used_day = ? WHERE key = ?"
            self._do(lambda db: db.executemany(update, stale), None)
        return set(days)

    def get(self, keys: Sequence[bytes]) -> dict[bytes, Tile]:
        """The tiles that are kept and undamaged, of those asked for."""
        found = {
            key: Tile(pixels, digest, reason)
            for key, pixels, digest, reason in self._select("key, pixels, digest, reason", keys)
        }
        return {key: tile for key, tile in found.items() if tile.is_sound}

    def put(self, tiles: Mapping[bytes, Tile]) -> None:
        """Keep tiles."""
        today = _today()
        rows = [(key, today, tile.digest, tile.reason, tile.pixels) for key, tile in tiles.items()]
        self._do(
            lambda db: db.executemany("INSERT OR REPLACE INTO tiles VALUES (?, ?, ?, ?, ?)", rows),
            None,
        )

    def trim(self) -> None:
        """Remove what was not used for longest, until the cache is within its limit."""
        self._do(self._trim, None)

    def _trim(self, db: sqlite3.Connection) -> None:
        while (excess := self._used_bytes(db) - self.limit_bytes) > 0:
            rows = db.execute(
                "SELECT key, length(pixels) FROM tiles ORDER BY used_day LIMIT 1000"
            ).fetchall()
            if not rows:
                return
            gone = []
            for key, size in rows:
                gone.append((key,))
                excess -= -(-size // _PAGE_BYTES) * _PAGE_BYTES  # a tile fills whole pages
                if excess <= 0:
                    break
            db.executemany("DELETE FROM tiles WHERE key = ?", gone)
            db.commit()
            db.executescript("PRAGMA incremental_vacuum")  # `execute` would free one page

    @staticmethod
    def _used_bytes(db: sqlite3.Connection) -> int:
        pages, free, size = (
            db.execute(f"PRAGMA {name}").fetchone()[0]
            for name in ("page_count", "freelist_count", "page_size")
        )
        return int((pages - free) * size)

    def _select(self, columns: str, keys: Sequence[bytes]) -> Iterator[tuple[Any, ...]]:
        for start in range(0, len(keys), _KEYS_AT_ONCE):
            some = keys[start : start + _KEYS_AT_ONCE]
            places = ",".join("?" * len(some))
            query = f"SELECT {columns} FROM tiles WHERE key IN ({places})"
            yield from self._rows(query, some)

    def _rows(self, query: str, values: Sequence[Any]) -> list[tuple[Any, ...]]:
        nothing: list[tuple[Any, ...]] = []
        return self._do(lambda db: db.execute(query, values).fetchall(), nothing)

    def _do(self, work: Callable[[sqlite3.Connection], T], otherwise: T) -> T:
        """Do something with the database; `otherwise` where it cannot be had."""
        if self._broken:
            return otherwise
        try:
            with self._connection() as db:
                return work(db)
        except sqlite3.DatabaseError as error:
            if not isinstance(error, sqlite3.OperationalError):  # its content is damaged
                self._discard()
            self._broken = True
            logger.warning("%s: %s; images are decoded without a cache", self.path, error)
        except OSError as error:
            self._broken = True
            logger.warning("%s: %s; images are decoded without a cache", self.path, error.strerror)
        return otherwise

    def _connection(self) -> sqlite3.Connection:
        """The connection, opened when first needed; a change ends with its `with`."""
        if self._open is None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            db = self._open = sqlite3.connect(self.path, timeout=_BUSY_S)
            db.execute(f"PRAGMA page_size = {_PAGE_BYTES}")  # these two count for a new file alone
            db.execute("PRAGMA auto_vacuum = INCREMENTAL")
            db.execute("PRAGMA synchronous = OFF")  # a lost cache is no loss
            # Not write-ahead, which would write every tile twice.
            db.execute("PRAGMA journal_mode = TRUNCATE").fetchone()
            db.executescript(_SCHEMA)
        return self._open

    def close(self) -> None:
        """Let go of the file; the next call opens it again."""
        if self._open is not None:
            self._open.close()
            self._open = None

    def _discard(self) -> None:
        self.close()
        for suffix in ("", "-journal"):
            self.path.with_name(self.path.name + suffix).unlink(missing_ok=True)


def _today() -> int:
    return int(time.time() // _DAY_S)


def _default_limit_bytes() -> int:
    try:
        return int(float(os.environ.get(LIMIT_VARIABLE, DEFAULT_LIMIT_GB)) * 1e9)
    except ValueError:
        logger.warning("%s: not a number; the cache may hold 20 GB", LIMIT_VARIABLE)
        return int(DEFAULT_LIMIT_GB * 1e9)
