"""Reads image files of unknown origin: cheap to refuse, upright, RGB."""

import warnings
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from tasks.errors import DataError

SUFFIXES = (".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")

# Named, because a file chooses its decoder by its content, and Pillow's list holds some that
# start other programs (EPS).
_FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")


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
    try:
        with warnings.catch_warnings():
            # Pillow warns of large images; here the header decides, and the limit is lower.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(path, formats=_FORMATS) as image:
                _check_size(path, image, maximum_side_px)
                image.load()
                return np.array(_rgb(path, ImageOps.exif_transpose(image)))
    except DataError:
        raise
    except UnidentifiedImageError:
        raise DataError(f"{path}: not an image; needed one of {', '.join(_FORMATS)}") from None
    except Image.DecompressionBombError:
        raise DataError(
            f"{path}: its header claims more pixels than Pillow accepts, needed at most "
            f"{maximum_side_px} px a side; shrink it"
        ) from None
    except (FileNotFoundError, IsADirectoryError, PermissionError) as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from None
    except Exception as error:  # a decoder answers damaged bytes with almost any exception
        reason = " ".join(str(error).split()) or type(error).__name__
        raise DataError(f"{path}: damaged image ({reason}); replace it") from None


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


def _check_size(path: Path, image: Image.Image, maximum_side_px: int) -> None:
    width, height = image.size
    if max(width, height) > maximum_side_px:
        raise DataError(
            f"{path}: found {width:,} x {height:,} px, needed at most {maximum_side_px:,} px a "
            "side; shrink it, or raise export.maximum_image_side_px and export again"
        )


def _rgb(path: Path, image: Image.Image) -> Image.Image:
    if image.mode.startswith("I;16"):
        return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8)).convert("RGB")
    if image.mode in ("I", "F"):
        raise DataError(
            f"{path}: found 32-bit grey levels (mode {image.mode}), needed 8 or 16 bits a channel"
        )
    if image.has_transparency_data:
        layers = image.convert("RGBA")
        paper = Image.new("RGBA", layers.size, "white")
        return Image.alpha_composite(paper, layers).convert("RGB")
    return image.convert("RGB")
