"""What image files say about themselves before they are decoded."""

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from io import BytesIO

from PIL import ExifTags, Image

from tasks.artifacts.image_files import SUFFIXES
from tasks.trees.tree import Leaf, Refusal, Tree

_ON_THEIR_SIDE = (5, 6, 7, 8)  # EXIF orientations that swap width and height


@dataclass(frozen=True, slots=True)
class Header:
    """What stands at the beginning of an image file.

    Attributes:
        form: JPEG, PNG and so on, whatever the suffix says.
        mode: Pillow's word for the kind of pixels: RGB, L, P, RGBA, CMYK, I;16 and so on.
        width: in pixels, upright.
        height: likewise.
        turned: whether EXIF says that the image is to be turned or mirrored.
    """

    form: str
    mode: str
    width: int
    height: int
    turned: bool


def read_header(content: bytes) -> Header | None:
    """Read the header of one file; None where it is no image."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of sizes, which are told in other ways
            with Image.open(BytesIO(content), formats=_formats()) as image:
                orientation = _orientation(image)
                width, height = image.size
                if orientation in _ON_THEIR_SIDE:
                    width, height = height, width
                form = image.format or "?"
                return Header(form, image.mode, width, height, orientation not in (0, 1))
    except Exception:  # a damaged header is answered with almost any exception
        return None


class PeekedTree:
    """Another tree, read once in this process, whose headers are noted on the way.

    It says of itself that only reading in order is fast, so `frame_batches` reads it here and
    hands the content to its workers.

    Attributes:
        headers: of the files read so far, in the order read; None for what is no image.
        bytes_read: of all of them together.
    """

    def __init__(self, tree: Tree) -> None:
        self._tree = tree
        self.headers: list[Header | None] = []
        self.bytes_read = 0

    @property
    def root(self) -> str:
        """As people named it."""
        return self._tree.root

    @property
    def sequential(self) -> bool:
        """Yes."""
        return True

    def walk(self) -> Iterator[Leaf | Refusal]:
        """As the other tree."""
        return self._tree.walk()

    def stat(self, paths: Sequence[str]) -> Iterator[Leaf | Refusal]:
        """As the other tree."""
        return self._tree.stat(paths)

    def read(self, paths: Sequence[str]) -> Iterator[bytes | Refusal]:
        """As the other tree; notes the header of each file.

        Raises:
            DataError: the root cannot be read any more.
        """
        for content in self._tree.read(paths):
            if isinstance(content, Refusal):
                self.headers.append(None)
            else:
                self.bytes_read += len(content)
                self.headers.append(read_header(content))
            yield content


def _orientation(image: Image.Image) -> int:
    """What EXIF says of the way up; 0 where it says nothing."""
    if image.format in ("JPEG", "TIFF", "WEBP") or "exif" in image.info:  # a PNG's would decode it
        value = image.getexif().get(ExifTags.Base.Orientation, 0)
        return value if isinstance(value, int) and 1 <= value <= 8 else 0
    return 0


@cache
def _formats() -> tuple[str, ...]:
    """The formats of the suffixes that count as images, and no others."""
    known = Image.registered_extensions()
    return tuple(sorted({known[suffix] for suffix in SUFFIXES}))
