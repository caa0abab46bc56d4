"""Enlarges or shrinks images to the side that a network takes, by two matrix products.

The weights are those of the triangle filter, as in `tasks.framing.graph`: for an output pixel
whose centre lies at `c`, with `s` input pixels to an output pixel and `f = max(s, 1)`,

    weight of input pixel r  =  max(0, 1 - |r + 1/2 - c| / f)  /  sum of the same over r.

Enlarging, f is 1: plain bilinear interpolation. Shrinking, it is antialiased. This is what
`torch.nn.functional.interpolate(mode="bilinear", antialias=True)` does; as constants in a product
it is the same in every runtime, which an ONNX Resize with antialiasing is not.
"""

import torch
from jaxtyping import Float
from torch import Tensor


def resize(
    images: Float[Tensor, "batch channels height width"], side_px: int
) -> Float[Tensor, "batch channels side side"]:
    """Resize each image to a square of `side_px`; values keep their range."""
    height, width = (_weights(pixels, side_px).to(images) for pixels in images.shape[-2:])
    return height @ images @ width.T


def _weights(pixels: int, side_px: int) -> Float[Tensor, "side pixels"]:
    step = pixels / side_px
    centres = (torch.arange(side_px, dtype=torch.float64) + 0.5) * step
    distances = (torch.arange(pixels, dtype=torch.float64) + 0.5 - centres[:, None]).abs()
    weights = (1 - distances / max(step, 1.0)).clamp(min=0)
    return weights / weights.sum(dim=1, keepdim=True)
