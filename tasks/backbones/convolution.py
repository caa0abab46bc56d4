"""Convolution and BatchNorm as one operation, wherever the statistics stand still.

With running mean `m` and variance `v`, BatchNorm of a convolution is a convolution:

    gamma (W x - m) / sqrt(v + eps) + beta  =  (W k) x + (beta - m k),   k = gamma / sqrt(v + eps)

`k` is a few numbers, the map between the two operations is thousands of times as many. Not making
that map saves its time and its memory, most of all where gradients are differentiated again
(second-order meta-learning), and autograd goes through `k` to all four parameters as before.

Source: Jacob et al., Quantization and Training of Neural Networks, 2018, section 3.2 (folding).
"""

from typing import cast

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F


class NormalisedConvolution(nn.Sequential):
    """A convolution without bias, which keeps height and width, and BatchNorm; by name 0 and 1.

    Args:
        inside: channels of what comes in.
        outside: channels of what goes out.
        size: of the kernel, odd.
    """

    def __init__(self, inside: int, outside: int, size: int) -> None:
        super().__init__(
            nn.Conv2d(inside, outside, size, padding=size // 2, bias=False),
            nn.BatchNorm2d(outside),
        )

    def forward(
        self, maps: Float[Tensor, "batch inside height width"]
    ) -> Float[Tensor, "batch outside height width"]:
        """Convolve and normalise."""
        convolution, norm = cast(nn.Conv2d, self[0]), cast(nn.BatchNorm2d, self[1])
        mean, variance = norm.running_mean, norm.running_var
        by_batch = norm.training or not norm.track_running_stats
        if by_batch or mean is None or variance is None or torch.compiler.is_exporting():
            return cast(Tensor, norm(convolution(maps)))  # exporters fold by themselves
        factor = norm.weight * torch.rsqrt(variance + norm.eps)
        weight = convolution.weight * factor[:, None, None, None]
        return F.conv2d(maps, weight, norm.bias - mean * factor, padding=convolution.padding)
