"""Guesses from a few pictures how all of them are best framed."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from flows.inspecting.headers import Header

PROBE_PX = 64
PROBED = 64

_GREY_LEVELS = 6.0  # mean distance of the channels up to which a picture counts as grey
_PAPER_LEVELS = 24.0  # distance from the border's level up to which a pixel is paper
_BORDER_SHARE = 0.8  # of the border that is to be paper, in a drawing
_PAPER_SHARE = 0.4  # of all of it
_MOST = 0.9
_INK_PX, _SMALL_PX, _PHOTOGRAPH_PX = 28, 32, 64


@dataclass(frozen=True)
class Framing:
    """How to frame.

    Attributes:
        mode: `ink` for drawings, `crop` for anything else.
        channels: 1 for grey, 3 for colour.
        size_px: of the square's side.
        why: in words.
    """

    mode: Literal["ink", "crop"]
    channels: Literal[1, 3]
    size_px: int
    why: str


def guess_framing(tiles: NDArray[np.uint8], headers: Sequence[Header | None]) -> Framing:
    """Guess from pictures framed by `crop` in colour.

    Args:
        tiles: `(image, side, side, 3)` uint8.
        headers: of the files.
    """
    if not len(tiles):
        return Framing("crop", 3, _PHOTOGRAPH_PX, "no picture could be decoded; as for photographs")
    grey = float(np.mean([_is_grey(tile) for tile in tiles]))
    drawn = float(np.mean([_is_drawing(tile) for tile in tiles]))
    of = f"of {len(tiles)} pictures, {grey:.0%} are grey and {drawn:.0%} plain around a figure"
    if min(grey, drawn) >= _MOST:
        return Framing("ink", 1, _INK_PX, f"{of}: drawings".replace("%", " %"))
    channels: Literal[1, 3] = 1 if grey == 1 else 3
    shorter = [min(one.width, one.height) for one in headers if one]
    small = bool(shorter) and float(np.median(shorter)) <= 1.5 * _SMALL_PX
    size_px = _SMALL_PX if small else _PHOTOGRAPH_PX
    return Framing("crop", channels, size_px, f"{of}: photographs".replace("%", " %"))


def _is_grey(tile: NDArray[np.uint8]) -> bool:
    pixels = tile.astype(np.int16)
    return float((pixels.max(axis=2) - pixels.min(axis=2)).mean()) <= _GREY_LEVELS


def _is_drawing(tile: NDArray[np.uint8]) -> bool:
    """Whether one level fills most of the border and much of the rest, and is an extreme one."""
    grey = tile.mean(axis=2)
    border = np.concatenate([grey[0], grey[-1], grey[:, 0], grey[:, -1]])
    paper = float(np.median(border))
    low, high = float(grey.min()), float(grey.max())
    at_an_end = min(paper - low, high - paper) <= 0.2 * (high - low)
    on_border = float((abs(border - paper) <= _PAPER_LEVELS).mean())
    all_over = float((abs(grey - paper) <= _PAPER_LEVELS).mean())
    return at_an_end and on_border >= _BORDER_SHARE and all_over >= _PAPER_SHARE
