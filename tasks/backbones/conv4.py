"""Four blocks of convolution: the small network of the few-shot literature.

Source: Vinyals et al., Matching Networks for One Shot Learning, 2016, section 4.1.1.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from tasks.backbones.convolution import NormalisedConvolution


class Conv4(nn.Module):
    """Convolution 3x3, batch normalisation, ReLU and 2x2 max pooling, four times; then the mean.

    Args:
        channels: of the images, 1 or 3.
        widths: filters of each block; the paper has 64 in all four.
    """

    def __init__(self, channels: int, widths: Sequence[int]) -> None:
        super().__init__()
        inputs = (channels, *widths[:-1])
        self.blocks = nn.Sequential(
            *(_Block(inside, outside, 3) for inside, outside in zip(inputs, widths, strict=True))
        )
        self.width = widths[-1]

    def forward(
        self, images: Float[Tensor, "batch channels height width"]
    ) -> Float[Tensor, "batch dim"]:
        """Embed normalised images of at least 16 pixels a side: `(batch, widths[-1])`."""
        return torch.flatten(self.blocks(images).mean(dim=(2, 3)), 1)


class _Block(NormalisedConvolution):
    """The order of ReLU and pooling changes no number, and pooling first leaves ReLU a quarter."""

    def forward(self, maps: Tensor) -> Tensor:
        normalised = super().forward(maps)
        if torch.compiler.is_exporting():  # the order that has int8 kernels
            return F.max_pool2d(F.relu(normalised), 2)
        return F.relu(F.max_pool2d(normalised, 2))
