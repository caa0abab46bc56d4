"""Four blocks of convolution: the small network of the few-shot literature.

Source: Vinyals et al., Matching Networks for One Shot Learning, 2016, section 4.1.1.
"""

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from tasks.backbones.convolution import NormalisedConvolution


class Conv4(nn.Module):
    """Convolution 3x3, batch normalisation, ReLU and 2x2 max pooling, four times; an embedding.

    Where that is the mean of the last map, pooling drops the last row and column of a map of odd
    side, as in the paper: the one place that is left of 28 x 28 pixels lies over 16 x 16 of them.
    Where it is the map itself, nothing is dropped: four places, over 16 x 16 each.

    Args:
        channels: of the images, 1 or 3.
        widths: filters of each block; the paper has 64 in all four.
        flat_side_px: of the images, if the embedding is to be the whole last map, of
            `ceil(side / 16)` places each way; 0 takes the mean of its places, of images of any
            side from 16 pixels.
    """

    def __init__(self, channels: int, widths: Sequence[int], flat_side_px: int = 0) -> None:
        super().__init__()
        inputs = (channels, *widths[:-1])
        self.flat = flat_side_px > 0
        self.blocks = nn.Sequential(
            *(_Block(one, other, self.flat) for one, other in zip(inputs, widths, strict=True))
        )
        self.width = widths[-1] * (math.ceil(flat_side_px / 16) ** 2 if self.flat else 1)

    def forward(
        self, images: Float[Tensor, "batch channels height width"]
    ) -> Float[Tensor, "batch dim"]:
        """Embed normalised images: `(batch, width)`."""
        maps = self.blocks(images)
        return torch.flatten(maps if self.flat else maps.mean(dim=(2, 3)), 1)


class _Block(NormalisedConvolution):
    """The order of ReLU and pooling changes no number, and pooling first leaves ReLU a quarter.

    Args:
        inside: channels of what comes in.
        outside: channels of what goes out.
        whole: the last row and column of a map of odd side are pooled too, and not dropped.
    """

    def __init__(self, inside: int, outside: int, whole: bool) -> None:
        super().__init__(inside, outside, 3)
        self.whole = whole

    def forward(self, maps: Tensor) -> Tensor:
        normalised = super().forward(maps)
        if torch.compiler.is_exporting():  # the order that has int8 kernels
            return F.max_pool2d(F.relu(normalised), 2, ceil_mode=self.whole)
        return F.relu(F.max_pool2d(normalised, 2, ceil_mode=self.whole))
