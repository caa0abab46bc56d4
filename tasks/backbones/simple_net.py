"""The two-layer network of a first tutorial: every pixel is a feature, nothing is shared.

It is here as the smallest thing that trains, and as the negative control of recipe `tutorial`:
what it learns of random images is noise.
"""

from typing import cast

from jaxtyping import Float
from torch import Tensor, nn

HIDDEN = 128
WIDTH = 64


class SimpleNet(nn.Module):
    """Flatten, a layer of 128 with ReLU, a layer of 64: the embedding.

    Args:
        channels: of the images, 1 or 3.
        side_px: of the images; the first layer has a weight for each of their values.
    """

    def __init__(self, channels: int, side_px: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Flatten(),
            nn.Linear(channels * side_px**2, HIDDEN),
            nn.ReLU(),
            nn.Linear(HIDDEN, WIDTH),
        )
        self.width = WIDTH

    def forward(
        self, images: Float[Tensor, "batch channels side side"]
    ) -> Float[Tensor, "batch 64"]:
        """Embed normalised images of `side_px`: `(batch, 64)`."""
        return cast(Tensor, self.layers(images))
