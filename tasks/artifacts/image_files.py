"""Reads image files of unknown origin: cheap to refuse, upright, RGB."""

import warnings
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from io import BytesIO
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from tasks.errors import DataError

SUFFIXES = (".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")

LARGE_PIXELS = 24_000_000  # more than phones make by themselves; some 300 MB while decoded

# Named, because a file chooses its decoder by its content, and Pillow's list holds some that
# start other programs (EPS).
_FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")
_OF_ONE_FRAME = ("PNG", "TIFF", "WEBP")  # of a GIF, the first of its frames is as good as any


class ImageError(DataError):
    """One image cannot be used; the text says what was found and what was needed."""


def decode_image(
    content: bytes,
    maximum_pixels: int,
    large: AbstractContextManager[object] | None = None,
) -> Image.Image:
    """Decode one image: turned as its EXIF says, transparency on white, 8 bits a channel.

    The size in the header is checked before anything is decoded.

    Args:
        content: of the file.
        maximum_pixels: width times height to accept at most.
        large: entered while an image of more than `LARGE_PIXELS` is decoded: a lock that keeps
            several of them from being in memory at once.

    Returns:
        RGB; of a GIF the first frame.

    Raises:
        ImageError: empty, no image, damaged, animated, or larger than accepted.
    """
    if not content:
        raise ImageError("empty file")
    needed = f"at most {maximum_pixels:,} pixels (prepare.maximum_image_pixels)"

    def check(image: Image.Image) -> None:
        width, height = image.size
        if width * height > maximum_pixels:
            raise ImageError(f"found {width:,} x {height:,} px, needed {needed}")
        frames = getattr(image, "n_frames", 1) if image.format in _OF_ONE_FRAME else 1
        if frames > 1:
            raise ImageError(f"animated or of several pages: found {frames} frames, needed one")

    return _decode(BytesIO(content), check, needed, large)


def read_image(path: Path, maximum_side_px: int) -> NDArray[np.uint8]:
    """Read one image file: turned as its EXIF says, transparency on white, 8 bits a channel.

    The size in the header is checked before anything is decoded.

    Args:
        path: the file.
        maximum_side_px: the longest side to accept.

    Returns:
        RGB `(height, width, 3)`, 0..255.

    Raises:
        DataError: no such file, no image, damaged, or larger than accepted.
    """
    needed = f"at most {maximum_side_px:,} px a side"

    def check(image: Image.Image) -> None:
        width, height = image.size
        if max(width, height) > maximum_side_px:
            raise ImageError(
                f"found {width:,} x {height:,} px, needed {needed}; shrink it, or raise "
                "export.maximum_image_side_px and export again"
            )

    try:
        with path.open("rb") as file:
            return np.array(_decode(file, check, needed))
    except ImageError as fault:
        raise DataError(f"{path}: {fault}") from None
    except MemoryError:
        raise DataError(f"{path}: too large for the memory there is; shrink it") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from None


def image_files(folder: Path) -> list[Path]:
    """The image files directly in a folder, by suffix, sorted; hidden files are left out.

    Raises:
        DataError: the folder cannot be read.
    """
    try:
        return sorted(
            path
            for path in folder.iterdir()
            if path.suffix.lower() in SUFFIXES and not path.name.startswith(".") and path.is_file()
        )
    except OSError as error:
        raise DataError(f"{folder}: cannot be read: {error.strerror}") from None


def class_folders(root: Path) -> list[Path]:
    """The folders directly in `root`, sorted; hidden ones are left out.

    Raises:
        DataError: `root` is no folder, or cannot be read.
    """
    try:
        return sorted(
            path for path in root.iterdir() if path.is_dir() and not path.name.startswith(".")
        )
    except OSError as error:
        raise DataError(f"{root}: cannot be read as a folder: {error.strerror}") from None


def _decode(
    file: IO[bytes],
    check: Callable[[Image.Image], None],
    needed: str,
    large: AbstractContextManager[object] | None = None,
) -> Image.Image:
    try:
        with warnings.catch_warnings():
            # Pillow warns of large images; here the header decides, and the limit is lower.
            warnings.simplefilter("ignore")
            with Image.open(file, formats=_FORMATS) as image:
                check(image)
                is_large = image.width * image.height > LARGE_PIXELS
                with large if large is not None and is_large else nullcontext():
                    image.load()
                    ImageOps.exif_transpose(image, in_place=True)  # copies nothing that is upright
                    return _rgb(image)
    except (ImageError, MemoryError):
        raise
    except UnidentifiedImageError:
        raise ImageError(f"not an image; needed one of {', '.join(_FORMATS)}") from None
    except Image.DecompressionBombError:
        raise ImageError(
            f"its header claims more pixels than Pillow accepts, needed {needed}; shrink it"
        ) from None
    except Exception as error:  # a decoder answers damaged bytes with almost any exception
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ImageError(f"damaged image ({reason}); replace it") from None


def _rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I;16"):
        return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8)).convert("RGB")
    if image.mode == "I" and image.format == "PPM":  # Pillow scales these to 16 bits
        return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8)).convert("RGB")
    if image.mode in ("I", "F"):
        raise ImageError(
            f"found 32-bit grey levels (mode {image.mode}), needed 8 or 16 bits a channel"
        )
    if not image.has_transparency_data:
        return image if image.mode == "RGB" else image.convert("RGB")
    layers = image if image.mode in ("RGBA", "LA") else image.convert("RGBA")
    opacity = layers.getchannel("A")
    paper = Image.new("RGB", layers.size, "white")
    paper.paste(layers.convert("RGB"), mask=opacity)
    return paper
