"""Inputs to check graphs with: drawings of odd sizes, support sets of uneven shots."""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float, Int64
from numpy.typing import NDArray
from torch import Tensor

from tasks.randomness import numpy_generator

# (batch, height, width): none is the size that a graph is traced with.
IMAGE_SIZES = ((1, 28, 28), (3, 105, 105), (2, 37, 53), (5, 17, 64), (1, 400, 301), (2, 1, 3))
# Shots of each class: even, many, a single class, a class without support, more support than way.
SHOTS = ((1,) * 5, (5,) * 20, (1,), (3, 0, 2), (40, 7), (0, 0))

_STROKES = 4


def drawings(seed: int, batch: int, height: int, width: int) -> NDArray[np.uint8]:
    """Strokes of a pen on tinted, unevenly lit paper; every other image light on dark.

    Args:
        seed: of all their randomness, together with their size.
        batch: how many.
        height: in pixels.
        width: in pixels.

    Returns:
        RGB `(batch, height, width, 3)`, 0..255.
    """
    generator = numpy_generator(seed, "export", "drawings", batch, height, width)
    row, column = np.mgrid[0:height, 0:width] / max(height, width, 2)
    images = np.empty((batch, height, width, 3), np.uint8)
    for image in range(batch):
        ink = np.zeros((height, width))
        for ends in generator.uniform(0.1, 0.7, (_STROKES, 4)):
            ink = np.maximum(ink, _stroke(row, column, ends, generator.uniform(0.02, 0.06)))
        light = (
            generator.uniform(200, 255, 3) - 25 * (row * generator.uniform() + column)[..., None]
        )
        drawing = light + ink[..., None] * (generator.uniform(0, 70, 3) - light)
        images[image] = np.clip(drawing if image % 2 == 0 else 255 - drawing, 0, 255)
    return images


def support_set(
    seed: int, dim: int, shots: Sequence[int]
) -> tuple[Float[Tensor, "support dim"], Int64[Tensor, " support"], Int64[Tensor, " way"]]:
    """Embeddings of a few classes in no order, with two rows of a class nobody asks for.

    Args:
        seed: of all their randomness, together with the shots.
        dim: length of an embedding.
        shots: rows of each class.

    Returns:
        Embeddings, labels and classes, as `adapt` takes them; labels are no indices.
    """
    generator = numpy_generator(seed, "export", "support", dim, *shots)
    names = generator.permutation(1000)[: len(shots) + 1] - 500
    labels = generator.permutation(np.repeat(names, [*shots, 2]))
    embeddings = generator.standard_normal((len(labels), dim)).astype(np.float32)
    return (
        torch.from_numpy(embeddings),
        torch.from_numpy(labels.astype(np.int64)),
        torch.from_numpy(names[:-1].astype(np.int64)),
    )


def _stroke(
    row: NDArray[np.float64],
    column: NDArray[np.float64],
    ends: NDArray[np.float64],
    thickness: float,
) -> NDArray[np.float64]:
    """How much of each pixel a line covers, 0..1, with soft edges."""
    top, left, down, right = ends
    along = ((row - top) * down + (column - left) * right) / (down**2 + right**2)
    reach = np.clip(along, 0, 1)
    distance = np.hypot(row - top - reach * down, column - left - reach * right)
    covered: NDArray[np.float64] = np.clip((thickness - distance) / thickness * 2, 0, 1)
    return covered
