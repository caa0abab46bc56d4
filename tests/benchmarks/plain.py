"""The floor of preparing photographs: what nobody can do without, importing nothing else."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image


def decode(path: str, side_px: int = 64) -> NDArray[np.uint8]:
    """Decode and resize one image with Pillow."""
    with Image.open(path) as image:
        small = image.convert("RGB").resize((side_px, side_px), Image.Resampling.BILINEAR)
        return np.asarray(small)
