"""Twelve layers in four residual blocks: the large network of the few-shot literature.

Source: Mishra et al., A Simple Neural Attentive Meta-Learner, ICLR 2018, section 4.2 (the
residual network), in the widths of Lee et al., Meta-Learning with Differentiable Convex
Optimization, CVPR 2019, section 4.1, which most later work has taken over.
"""

from collections.abc import Sequence
from typing import cast

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from tasks.backbones.convolution import NormalisedConvolution

WIDTHS = (64, 160, 320, 640)
_SLOPE = 0.1


class ResNet12(nn.Module):
    """Four residual blocks, then the mean over the map; without the papers' DropBlock.

    Args:
        channels: of the images, 1 or 3.
        widths: filters of each block.
    """

    def __init__(self, channels: int, widths: Sequence[int] = WIDTHS) -> None:
        super().__init__()
        inputs = (channels, *widths[:-1])
        self.blocks = nn.Sequential(
            *(_Block(inside, outside) for inside, outside in zip(inputs, widths, strict=True))
        )
        self.width = widths[-1]

    def forward(
        self, images: Float[Tensor, "batch channels height width"]
    ) -> Float[Tensor, "batch dim"]:
        """Embed normalised images of at least 16 pixels a side: `(batch, widths[-1])`."""
        return torch.flatten(self.blocks(images).mean(dim=(2, 3)), 1)


class _Block(nn.Module):
    """Three 3x3 convolutions beside one of 1x1; the sum, leaky ReLU, 2x2 max pooling."""

    def __init__(self, inside: int, outside: int) -> None:
        super().__init__()
        self.path = nn.Sequential(
            _convolution(inside, outside, 3),
            nn.LeakyReLU(_SLOPE),
            _convolution(outside, outside, 3),
            nn.LeakyReLU(_SLOPE),
            _convolution(outside, outside, 3),
        )
        self.shortcut = _convolution(inside, outside, 1)

    def forward(self, maps: Tensor) -> Tensor:
        total = cast(Tensor, self.path(maps) + self.shortcut(maps))
        return F.max_pool2d(F.leaky_relu(total, _SLOPE), 2)


def _convolution(inside: int, outside: int, size: int) -> NormalisedConvolution:
    made = NormalisedConvolution(inside, outside, size)
    weight = cast(nn.Conv2d, made[0]).weight
    nn.init.kaiming_normal_(weight, _SLOPE, mode="fan_out", nonlinearity="leaky_relu")
    return made
