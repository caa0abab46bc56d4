"""Stored images as small pictures in the page."""

from base64 import b64encode
from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image

_SIDE_PX = 112  # larger ones are shrunk: twice what the page shows


def data_uri(image: NDArray[np.uint8]) -> str:
    """A link that carries the picture, as PNG.

    Args:
        image: `(side, side, channels)`, 0..255.
    """
    picture = Image.fromarray(
        np.ascontiguousarray(image[..., 0] if image.shape[-1] == 1 else image)
    )
    picture.thumbnail((_SIDE_PX, _SIDE_PX))
    buffer = BytesIO()
    picture.save(buffer, format="PNG")
    return "data:image/png;base64," + b64encode(buffer.getvalue()).decode("ascii")
