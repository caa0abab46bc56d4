"""Four blocks of convolution: the small network of the few-shot literature.

Source: Vinyals et al., Matching Networks for One Shot Learning, 2016, section 4.1.1.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn


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
            *(_block(inside, outside) for inside, outside in zip(inputs, widths, strict=True))
        )
        self.width = widths[-1]

    def forward(
        self, images: Float[Tensor, "batch channels height width"]
    ) -> Float[Tensor, "batch dim"]:
        """Embed normalised images of at least 16 pixels a side: `(batch, widths[-1])`."""
        return torch.flatten(self.blocks(images).mean(dim=(2, 3)), 1)


def _block(inside: int, outside: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inside, outside, 3, padding=1, bias=False),
        nn.BatchNorm2d(outside),
        nn.ReLU(),
        nn.MaxPool2d(2),
    )
