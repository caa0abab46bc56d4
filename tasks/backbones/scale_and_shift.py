"""Scale and shift of frozen filters: few numbers that are hard to overfit with a few episodes.

A filter of output channel `o` sees input channel `i` through its frozen weights times a learned
`s[o, i]`, which starts at 1, and its output is shifted by a learned bias. Where a convolution has
no bias because a normalisation with one follows, that bias is the shift: with running statistics
both span the same functions.

Source: Sun et al., Meta-Transfer Learning for Few-Shot Learning, 2019, section 4.2, equations 3-5.
"""

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.utils import parametrize

from tasks.errors import DataError


class _Scale(nn.Module):
    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self.factor = nn.Parameter(torch.ones_like(weight[:, :, :1, :1]))

    def forward(self, weight: Tensor) -> Tensor:
        return weight * self.factor


def add_scale_and_shift(network: nn.Module) -> None:
    """Freeze a network but for a scale and a shift of each of its filters.

    Args:
        network: changed in place; computes the same as before.

    Raises:
        DataError: it has no convolutions.
    """
    convolutions = [one for one in network.modules() if isinstance(one, nn.Conv2d)]
    if not convolutions:
        raise DataError(
            "found a backbone without convolutions, needed some for metatrain.learner mtl to scale"
        )
    network.requires_grad_(False)
    for one in convolutions:
        parametrize.register_parametrization(one, "weight", _Scale(one.weight))
    for layer in (*convolutions, *(m for m in network.modules() if isinstance(m, _BatchNorm))):
        if isinstance(layer.bias, nn.Parameter):
            layer.bias.requires_grad_(True)


def merge_scale_and_shift(network: nn.Module) -> None:
    """Multiply the scales into the filters, so that the network is a plain one again."""
    for one in network.modules():
        if isinstance(one, nn.Conv2d) and parametrize.is_parametrized(one, "weight"):
            parametrize.remove_parametrizations(one, "weight", leave_parametrized=True)
