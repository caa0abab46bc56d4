"""In which numbers and in which order of memory the network is computed."""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

Precision = Literal["float32", "bfloat16"]


@dataclass(frozen=True)
class Numerics:
    """How steps are computed; parameters, scores and what is written stay float32.

    Attributes:
        precision: `bfloat16` runs what autocast deems safe in it, forward and backward.
        channels_last: whether images lie in memory pixel by pixel and not channel by channel.
    """

    precision: Precision = "float32"
    channels_last: bool = False

    def lay_out(self, module: nn.Module) -> None:
        """Put a module's weights into the order in which images will come."""
        if self.channels_last:
            module.to(memory_format=torch.channels_last)

    def laid_out(self, images: Tensor) -> Tensor:
        """The same images `(batch, channels, side, side)` in the order that is asked for."""
        if self.channels_last:
            return images.contiguous(memory_format=torch.channels_last)
        return images

    def autocast(self, device: str) -> torch.autocast:
        """The context in which the network and its head are called."""
        return torch.autocast(device, torch.bfloat16, enabled=self.precision == "bfloat16")
