"""What both ways of framing agree on."""

from math import floor

INK_THRESHOLD = 0.4  # share of the darkest ink from which a pixel belongs to the figure
INK_MARGIN = 1 / 14  # of the output's side, left free around the figure
MINIMUM_CONTRAST = 16.0  # grey levels; below it an image counts as blank
LUMA = (0.299, 0.587, 0.114)  # ITU-R 601, as Pillow's `convert("L")`


def crop_place(side: int, shorter: int, size_px: int) -> tuple[int, int]:
    """Length of one axis when the shorter is `size_px`, and where the central square begins on it.

    Args:
        side: pixels of the image along the axis.
        shorter: pixels of its shorter side.
        size_px: side of the square to make.
    """
    resized = floor(size_px * side / shorter)
    return resized, round((resized - size_px) / 2)


def crop_span(side: int, shorter: int, size_px: int) -> tuple[float, float]:
    """Where the central square lies on one axis.

    Args:
        side: pixels of the image along the axis.
        shorter: pixels of its shorter side.
        size_px: side of the square to make.

    Returns:
        Start and end in pixels of the image, as torchvision has them: `Resize` truncates the
        longer side, `CenterCrop` rounds half to even.
    """
    resized, offset = crop_place(side, shorter, size_px)
    scale = side / resized
    return offset * scale, (offset + size_px) * scale
