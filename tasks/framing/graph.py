"""Framing as tensor operations: what `export` traces into `encoder.onnx`.

`prepare` runs this very module on the glyphs it renders, so a model never meets images framed
otherwise than those it was trained on.

Resampling is the antialiased triangle filter of Pillow (`Image.resize(..., BILINEAR, box=...)`),
width first, rounded to whole grey levels, then height. Each pass is one matrix product, which is
what lets every image of a batch have a box of its own. For an output pixel whose centre lies at
`c` on an axis of the input, with `s` input pixels to an output pixel and `f = max(s, 1)`,

    weight of input pixel r  =  max(0, 1 - |r + 1/2 - c| / f)  /  sum of the same over r.

A crop sums over the pixels that the image has, as Pillow does. Framing by ink sums over an axis
without ends, which pads the image with as much paper as the frame needs.
"""

from typing import Literal, cast

import numpy as np
import torch
from jaxtyping import Float, UInt8
from numpy.typing import NDArray
from torch import Tensor, nn

from tasks.framing.rules import INK_MARGIN, INK_THRESHOLD, LUMA, MINIMUM_CONTRAST

_HALF = 2.0**11
_UNITS = _HALF**2


class Framing(nn.Module):
    """Frames images of any height and width as `size_px` by `size_px`.

    `ink`: grey; stretched so that paper is white and the strongest ink black, whichever of the
    two was darker; cropped to the ink and centred. For drawings and print on plain paper.
    `crop`: shorter side to `size_px`, then the central square. For photographs.
    """

    def __init__(self, mode: Literal["ink", "crop"], size_px: int, channels: Literal[1, 3]) -> None:
        super().__init__()
        self.mode = mode
        self.size_px = size_px
        self.channels = channels

    def forward(
        self, images: UInt8[Tensor, "batch height width 3"]
    ) -> UInt8[Tensor, "batch size size channels"]:
        """Frame a batch.

        Args:
            images: RGB as decoded, 0..255, all of one height and width.

        Returns:
            `(batch, size_px, size_px, channels)`, 0..255.
        """
        if self.mode == "ink" or self.channels == 1:
            return self.frame_grey(_grey(images))
        return _stored(self._frame_crop(images.permute(0, 3, 1, 2).to(torch.float32)))

    def frame_grey(
        self, grey: Float[Tensor, "batch height width"]
    ) -> UInt8[Tensor, "batch size size channels"]:
        """Frame a batch of which only whole grey levels are known.

        Args:
            grey: 0 (black) to 255 (white), all of one height and width.

        Returns:
            `(batch, size_px, size_px, channels)`, 0..255; equal channels.
        """
        if self.mode == "ink":
            return _stored(self._frame_ink(grey))
        framed = _stored(self._frame_crop(grey[:, None]))
        return framed if self.channels == 1 else framed.expand(-1, -1, -1, self.channels)

    def _frame_ink(self, grey: Tensor) -> Tensor:
        ink = _ink(grey)
        figure = ink > INK_THRESHOLD * 255
        top, bottom = _extent(figure.any(dim=2))
        left, right = _extent(figure.any(dim=1))
        inner_px = self.size_px * (1 - 2 * INK_MARGIN)
        scale = torch.maximum(bottom - top, right - left) / inner_px
        rows = self._ink_weights((top + bottom) / 2, scale, grey.shape[1])
        columns = self._ink_weights((left + right) / 2, scale, grey.shape[2])
        narrow = _whole_levels(ink @ columns.transpose(1, 2))
        return 255 - _whole_levels(rows @ narrow)[:, None].expand(-1, self.channels, -1, -1)

    def _ink_weights(self, middle: Tensor, scale: Tensor, pixels: int) -> Tensor:
        centres, reach = self._centres(middle, scale)
        weights = _resampling(centres, reach, pixels)
        return weights / _endless_sum(centres, reach)[:, :, None]

    def _frame_crop(self, images: Tensor) -> Tensor:
        # In float64, as Pillow has them, so that weights are rounded to the same whole numbers.
        height = torch.ones_like(images[0, 0, :, 0]).sum().to(torch.float64)
        width = torch.ones_like(images[0, 0, 0]).sum().to(torch.float64)
        shorter = torch.minimum(height, width)
        rows, columns = (
            self._crop_weights(side, shorter, pixels)
            for side, pixels in ((height, images.shape[2]), (width, images.shape[3]))
        )
        narrow = _from_halves(images @ columns.transpose(1, 2), dim=3)
        return _from_halves(rows @ narrow, dim=2)

    def _crop_weights(self, side: Tensor, shorter: Tensor, pixels: int) -> Tensor:
        # torchvision's Resize truncates the longer side, its CenterCrop rounds half to even.
        resized = torch.floor(self.size_px * side / shorter)
        offset = torch.round((resized - self.size_px) / 2)
        scale = side / resized
        middle = (offset + self.size_px / 2) * scale
        weights = _resampling(*self._centres(middle[None], scale[None]), pixels)
        return _in_halves(weights / weights.sum(dim=2, keepdim=True))

    def _centres(self, middle: Tensor, scale: Tensor) -> tuple[Tensor, Tensor]:
        """Centre of each output pixel on the input's axis, and how far its filter reaches."""
        steps = torch.arange(self.size_px, dtype=middle.dtype) + 0.5 - self.size_px / 2
        return middle[:, None] + steps * scale[:, None], scale.clamp(min=1.0)[:, None]


@torch.no_grad()
def frame_grey(framing: Framing, images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Frame grey images `(batch, height, width)`, 0..255, as `Framing` frames equal RGB."""
    # A copy: torch warns of memory that is read-only. Of equal channels the luma is the channel.
    grey = torch.from_numpy(np.array(images)).to(torch.float32)
    return cast(NDArray[np.uint8], framing.frame_grey(grey).numpy())


def _stored(framed: Tensor) -> Tensor:
    return framed.clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1)


def _grey(images: Tensor) -> Tensor:
    channels = images.to(torch.float32)
    return torch.round(
        LUMA[0] * channels[..., 0] + LUMA[1] * channels[..., 1] + LUMA[2] * channels[..., 2]
    )


def _ink(grey: Tensor) -> Tensor:
    """Ink from 0 (paper) to 255; the border of an image tells which of its levels is paper."""
    lightest = grey.amax(dim=(1, 2), keepdim=True)
    darkest = grey.amin(dim=(1, 2), keepdim=True)
    edges = (
        grey[:, :1].mean(2),
        grey[:, -1:].mean(2),
        grey[:, :, :1].mean(1),
        grey[:, :, -1:].mean(1),
    )
    border = torch.stack([edge[:, 0] for edge in edges]).mean(0)[:, None, None]
    light_paper = border >= (lightest + darkest) / 2
    contrast = lightest - darkest
    ink = torch.where(light_paper, lightest - grey, grey - darkest)
    stretch = torch.where(contrast < MINIMUM_CONTRAST, 0.0, 255 / contrast.clamp(min=1))
    return torch.round(ink * stretch)


def _extent(occupied: Tensor) -> tuple[Tensor, Tensor]:
    """First and one past the last occupied position of each row; all of it where none is."""
    length = occupied.shape[1]
    positions = torch.arange(length, dtype=torch.float32)[None].expand_as(occupied)
    first = torch.where(occupied, positions, 1e9).amin(dim=1)
    last = torch.where(occupied, positions, -1e9).amax(dim=1)
    empty = first > last
    first = torch.where(empty, positions[:, 0], first)
    last = torch.where(empty, positions[:, -1], last)
    return first, last + 1


def _whole_levels(values: Tensor) -> Tensor:
    """Rounded to grey levels, halves up as Pillow does; `torch.round` would take them to even."""
    return torch.floor(values + 0.5)


def _in_halves(weights: Tensor) -> Tensor:
    """Weights as whole numbers of 2^-22, which is what Pillow sums with, in two halves of 11 bits.

    A product of a grey level and half a weight, and the sum of those of one output pixel, is a
    whole number that float32 holds exactly, in whatever order it is summed. So both programs
    round the very same number to a level, also where it lies half-way between two. Only images
    shrunk to less than a thirtieth may have sums that are too large for that.

    Args:
        weights: float64 `(1, size_px, pixels)`, 0..1.

    Returns:
        float32 `(1, 2 size_px, pixels)`, in units of 2^-11 above and 2^-22 below.
    """
    whole = torch.floor(weights * _UNITS + 0.5)
    high = torch.floor(whole / _HALF + 0.5)
    return torch.cat([high, whole - high * _HALF], dim=1).to(torch.float32)


def _from_halves(sums: Tensor, dim: int) -> Tensor:
    """Grey levels from sums with the weights of `_in_halves`, which lie along an axis."""
    high, low = (half.to(torch.float64) for half in sums.chunk(2, dim=dim))
    return torch.floor((high * _HALF + low + _UNITS / 2) / _UNITS).to(torch.float32)


def _resampling(centres: Tensor, reach: Tensor, pixels: int) -> Tensor:
    """Weights before they are made to sum to one: `(batch, size_px, pixels)`."""
    positions = torch.arange(pixels, dtype=centres.dtype) + 0.5
    return (1 - (positions - centres[:, :, None]).abs() / reach[:, :, None]).clamp(min=0)


def _endless_sum(centres: Tensor, reach: Tensor) -> Tensor:
    """Sum of the weights over an axis without ends: what lies beyond the image counts as paper.

    Positions lie one apart, the nearest one below a centre at distance `d`, so each side is an
    arithmetic series.
    """
    below = (centres - 0.5) - torch.floor(centres - 0.5)
    return sum((_series(distance, reach) for distance in (below, 1 - below)), torch.zeros(()))


def _series(distance: Tensor, reach: Tensor) -> Tensor:
    terms = torch.floor(reach - distance) + 1
    return terms * (1 - distance / reach) - terms * (terms - 1) / (2 * reach)
