"""An encoder: a backbone with the normalisation that belongs to it."""

from collections.abc import Sequence
from typing import cast

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor, nn

from tasks.backbones.resizing import resize
from tasks.device import PROCESSOR

_PIXELS_AT_ONCE = 512 * 32 * 32
# Feature maps of larger batches of small images are fetched from the system and given back each
# time, which takes longer than the network does.
_IMAGES_AT_ONCE = 128


class Encoder(nn.Module):
    """Embeds images: resized where their side is another, `(images - mean) / std`, the backbone.

    Args:
        backbone: maps `(batch, channels, side, side)` to `(batch, width)`.
        width: length of an embedding.
        mean: of each channel, on the scale of 0 (black) to 1 (white).
        std: of each channel, same scale.
        side_px: of the images that the backbone is given; 0 takes them as they come.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        backbone: nn.Module,
        width: int,
        mean: Sequence[float],
        std: Sequence[float],
        side_px: int = 0,
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.width = width
        self.side_px = side_px
        self.register_buffer("mean", torch.tensor(mean)[:, None, None])
        self.register_buffer("std", torch.tensor(std)[:, None, None])

    @property
    def device(self) -> torch.device:
        """Where it is."""
        return self.mean.device

    def forward(
        self, images: Float[Tensor, "batch channels side side"]
    ) -> Float[Tensor, "batch dim"]:
        """Embed images of 0 (black) to 1 (white): `(batch, width)`."""
        if self.side_px and images.shape[-2:] != (self.side_px, self.side_px):
            images = resize(images, self.side_px)
        return cast(Tensor, self.backbone(_laid_out((images - self.mean) / self.std)))


def pixels(
    images: NDArray[np.uint8], device: torch.device = PROCESSOR
) -> Float[Tensor, "batch channels side side"]:
    """Stored images `(batch, side, side, channels)`, 0..255, as an encoder takes them, 0..1.

    Args:
        images: stored images.
        device: where they are wanted.
    """
    # A copy: torch warns of read-only memory, which is what a memory-mapped store gives.
    stored = torch.from_numpy(np.array(images)).to(device)
    return stored.permute(0, 3, 1, 2).to(torch.float32) / 255


def _laid_out(images: Tensor) -> Tensor:
    """The same images, in memory pixel by pixel.

    In the other order a processor's pooling takes ten times as long. With one channel both are the
    same order, and torch takes it for the other one; what is cloned here it takes for this one.
    """
    if torch.compiler.is_exporting():
        return images
    if images.shape[1] == 1:
        return images.clone(memory_format=torch.channels_last)
    return images.contiguous(memory_format=torch.channels_last)


@torch.no_grad()
def embed(
    encoder: Encoder, images: NDArray[np.uint8], batch: int | None = None
) -> Float[Tensor, "image dim"]:
    """Embed every image once, in evaluation mode: BatchNorm uses its running statistics.

    Args:
        encoder: left in evaluation mode.
        images: stored images `(image, side, side, channels)`, 0..255.
        batch: images at a time; bounds memory and changes nothing else. None is 128 of up to
            64 x 64 pixels, and fewer of larger ones.

    Returns:
        Embeddings `(image, width)`, where the encoder is.
    """
    encoder.eval()
    seen = max(images.shape[1] * images.shape[2], encoder.side_px**2)
    batch = batch or max(1, min(_IMAGES_AT_ONCE, _PIXELS_AT_ONCE // seen))
    starts = range(0, len(images), batch)
    return torch.cat([encoder(pixels(images[at : at + batch], encoder.device)) for at in starts])
