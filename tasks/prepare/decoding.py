"""What one worker does: read image files of unknown origin, and frame them."""

import hashlib
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.synchronize import Lock
from types import FrameType
from typing import Literal

import PIL

from tasks.artifacts.image_files import ImageError, decode_image
from tasks.artifacts.tile_cache import Tile
from tasks.framing.pillow import frame, is_blank
from tasks.trees.tree import Refusal, Tree

SECONDS_AN_IMAGE = 60.0


@dataclass(frozen=True)
class TileSpec:
    """Everything that shapes a tile, given the file.

    Attributes:
        mode: how it is framed.
        size_px: its side.
        channels: 1 for grey, 3 for RGB.
        maximum_pixels: width times height of the largest image to decode.
    """

    mode: Literal["ink", "crop"]
    size_px: int
    channels: Literal[1, 3]
    maximum_pixels: int

    def key(self, turned_deg: int) -> str:
        """The same as text; another Pillow may decode otherwise."""
        shape = f"{self.mode} {self.size_px} {self.channels} {self.maximum_pixels} {turned_deg}"
        return f"2 {shape} pillow {PIL.__version__}"


@dataclass(frozen=True, slots=True)
class Request:
    """One image to read."""

    path: str
    turned_deg: int


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of it; the SHA-256 is empty where the file could not be read at all."""

    sha256: bytes
    tile: Tile


def read_and_frame(
    tree: Tree, requests: Sequence[Request], spec: TileSpec, large: Lock | None = None
) -> list[Answer]:
    """Read and frame some images.

    Args:
        tree: where they are.
        requests: which.
        spec: how to frame them.
        large: held while a large image is decoded, so that few are in memory at a time.

    Returns:
        An answer to each request.
    """
    contents = tree.read([request.path for request in requests])
    return [
        frame_content(content, request.turned_deg, spec, large)
        for content, request in zip(contents, requests, strict=True)
    ]


def frame_content(
    content: bytes | Refusal, turned_deg: int, spec: TileSpec, large: Lock | None = None
) -> Answer:
    """Frame one image from the content of its file."""
    if isinstance(content, Refusal):
        return Answer(b"", Tile.rejected(content.reason))
    try:
        tile = _tile(content, turned_deg, spec, large)
    except _HereAndNowError as error:
        return Answer(b"", Tile.rejected(str(error)))
    return Answer(hashlib.sha256(content).digest(), tile)


class _HereAndNowError(BaseException):
    """A fault of this machine at this moment, which is not to be remembered of the image.

    No `Exception`, for decoders answer damaged bytes with almost any, and all are caught.
    """


def _tile(content: bytes, turned_deg: int, spec: TileSpec, large: Lock | None) -> Tile:
    try:
        with _time_limit(SECONDS_AN_IMAGE):
            alone = None if large is None else _alone(large)
            image = decode_image(content, spec.maximum_pixels, alone)
            if turned_deg:
                image = image.rotate(turned_deg, expand=True)
            tile = frame(image, spec.mode, spec.size_px, spec.channels)
    except ImageError as error:
        return Tile.rejected(str(error))
    except MemoryError:
        raise _HereAndNowError("too large for the memory there is") from None
    if is_blank(tile):
        return Tile.rejected("blank: nothing in it stands out from the rest")
    return Tile.of(tile.tobytes())


@contextmanager
def _time_limit(seconds: float) -> Iterator[None]:
    """End what decodes for too long; only the main thread of a process can be interrupted."""
    before = signal.signal(signal.SIGALRM, _too_long)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@contextmanager
def _alone(large: Lock) -> Iterator[None]:
    """Hold the lock; the time that waiting for it takes does not count."""
    signal.setitimer(signal.ITIMER_REAL, 0)
    with large:
        signal.setitimer(signal.ITIMER_REAL, SECONDS_AN_IMAGE)
        yield


def _too_long(number: int, frame: FrameType | None) -> None:
    del number, frame
    raise _HereAndNowError(f"took longer than {SECONDS_AN_IMAGE:g} s to decode")
