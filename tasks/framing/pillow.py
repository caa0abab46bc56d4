"""Framing with Pillow: the same rules as `tasks.framing.graph`, for many images without torch."""

from math import ceil, floor
from typing import Literal, cast

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tasks.framing.rules import (
    INK_MARGIN,
    INK_THRESHOLD,
    LUMA,
    MINIMUM_CONTRAST,
    crop_place,
    crop_span,
)

Mode = Literal["ink", "crop"]
Box = tuple[float, float, float, float]

_SLENDER = 4  # longer side over shorter; beyond it, most of a resized image would be cut away
_PIXELS_AT_ONCE = 1 << 20  # bounds the memory of arithmetic in float32


def frame(image: Image.Image, mode: Mode, size_px: int, channels: Literal[1, 3]) -> Image.Image:
    """Frame one image.

    Args:
        image: RGB, of any height and width.
        mode: `ink` or `crop`, as `tasks.framing.graph.Framing` describes them.
        size_px: side of the square.
        channels: 1 for grey, 3 for RGB.

    Returns:
        `size_px` by `size_px`, of mode L or RGB.
    """
    if mode == "ink":
        framed = _frame_ink(_grey(image), size_px)
    elif channels == 1:
        framed = _frame_crop(Image.fromarray(_grey(image)), size_px)
    else:
        framed = _frame_crop(image, size_px)
    mode_of_tile = "L" if channels == 1 else "RGB"
    return framed if framed.mode == mode_of_tile else framed.convert(mode_of_tile)


def is_blank(tile: Image.Image) -> bool:
    """Whether a framed image shows nothing: no channel has contrast worth the name."""
    extrema = tile.getextrema()
    pairs = extrema if isinstance(extrema[0], tuple) else (extrema,)
    return all(high - low < MINIMUM_CONTRAST for low, high in pairs)


def _frame_crop(image: Image.Image, size_px: int) -> Image.Image:
    shorter = min(image.size)
    if max(image.size) <= _SLENDER * shorter:
        return _resized_and_cut(image, size_px)
    (left, right), (top, bottom) = (crop_span(side, shorter, size_px) for side in image.size)
    # A hair beyond the edge, by rounding, is more than Pillow accepts.
    box = (left, top, min(right, image.width), min(bottom, image.height))
    return _resampled(image, size_px, box)


def _resized_and_cut(image: Image.Image, size_px: int) -> Image.Image:
    """A crop by whole pixels, as torchvision does it; the edges of a box are rounded to float32."""
    shorter = min(image.size)
    (wide, left), (tall, top) = (crop_place(side, shorter, size_px) for side in image.size)
    narrow = image.resize((wide, image.height), Image.Resampling.BILINEAR)
    narrow = narrow.crop((left, 0, left + size_px, image.height))
    low = narrow.resize((size_px, tall), Image.Resampling.BILINEAR)
    return low.crop((0, top, size_px, top + size_px))


def _frame_ink(grey: NDArray[np.uint8], size_px: int) -> Image.Image:
    ink = _ink(grey)
    figure = ink > INK_THRESHOLD * 255
    spans = [_extent(np.asarray(figure.any(axis=axis))) for axis in (0, 1)]
    side = max(end - start for start, end in spans) / (1 - 2 * INK_MARGIN)
    box = [(start + end) / 2 - side / 2 for start, end in spans]
    box += [start + side for start in box]
    # Paper beyond the edges, enough for the box and for the reach of the filter.
    reach = side / size_px + 2
    before = [max(0, ceil(reach - start)) for start in box[:2]]
    ends = zip(box[2:], ink.T.shape, strict=True)
    after = [max(0, ceil(end + reach - length)) for end, length in ends]
    paper = Image.fromarray(np.pad(ink, ((before[1], after[1]), (before[0], after[0]))))
    shifted = tuple(edge + before[index % 2] for index, edge in enumerate(box))
    small = _resampled(paper, size_px, cast(Box, shifted))
    return small.point(lambda level: 255 - level)


def _resampled(image: Image.Image, size_px: int, box: Box) -> Image.Image:
    """A part of an image as a square, width first: left to itself, Pillow may take height first."""
    left, top, right, bottom = box
    reach = max((bottom - top) / size_px, 1)
    first, last = max(0, floor(top - reach)), min(image.height, ceil(bottom + reach))
    narrow = image.resize(
        (size_px, last - first), Image.Resampling.BILINEAR, (left, first, right, last)
    )
    return narrow.resize(
        (size_px, size_px), Image.Resampling.BILINEAR, (0, top - first, size_px, bottom - first)
    )


def _grey(image: Image.Image) -> NDArray[np.uint8]:
    """ITU-R 601 luma, rounded half to even as `torch.round` does; Pillow's own rounds otherwise."""
    pixels = np.asarray(image)
    grey = np.empty(pixels.shape[:2], np.uint8)
    rows = max(1, _PIXELS_AT_ONCE // pixels.shape[1])
    for top in range(0, len(grey), rows):
        block = pixels[top : top + rows].astype(np.float32)
        red, green, blue = (block[..., index] * np.float32(LUMA[index]) for index in range(3))
        grey[top : top + rows] = np.round(red + green + blue)
    return grey


def _ink(grey: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Ink from 0 (paper) to 255; the border of an image tells which of its levels is paper."""
    lightest, darkest = float(grey.max()), float(grey.min())
    contrast = lightest - darkest
    if contrast < MINIMUM_CONTRAST:
        return np.zeros(grey.shape, np.uint8)
    border = np.mean([edge.mean() for edge in (grey[0], grey[-1], grey[:, 0], grey[:, -1])])
    levels = np.arange(256, dtype=np.float32)
    ink = lightest - levels if border >= (lightest + darkest) / 2 else levels - darkest
    table = np.round(ink * np.float32(255 / contrast)).clip(0, 255).astype(np.uint8)
    return table[grey]


def _extent(occupied: NDArray[np.bool_]) -> tuple[int, int]:
    """First and one past the last occupied position; all of it where none is."""
    positions = np.flatnonzero(occupied)
    return (int(positions[0]), int(positions[-1]) + 1) if len(positions) else (0, len(occupied))
