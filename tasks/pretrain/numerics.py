"""In which numbers the network is computed."""

from dataclasses import dataclass
from typing import Literal

import torch

Precision = Literal["float32", "bfloat16"]


@dataclass(frozen=True)
class Numerics:
    """How steps are computed; parameters, scores and what is written stay float32.

    Attributes:
        precision: `bfloat16` runs what autocast deems safe in it, forward and backward.
    """

    precision: Precision = "float32"

    def autocast(self, device: str) -> torch.autocast:
        """The context in which the network and its head are called."""
        return torch.autocast(device, torch.bfloat16, enabled=self.precision == "bfloat16")
