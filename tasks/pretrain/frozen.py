"""Embeddings of a backbone that does not learn: each image is embedded once, for all epochs."""

import tempfile

import numpy as np
from numpy.typing import NDArray

from tasks.artifacts.layout import STATE
from tasks.backbones.encoder import Encoder
from tasks.backbones.kept import chunks, embed_kept
from tasks.progress import Track

IN_MEMORY_BYTES = 256_000_000


def embed_once(
    encoder: Encoder, images: NDArray[np.uint8], track: Track, in_memory_bytes: int | None = None
) -> NDArray[np.float32]:
    """Embed every image as it is in the store, without augmentation, in evaluation mode.

    Args:
        encoder: left in evaluation mode.
        images: stored images `(image, side, side, channels)`, 0..255.
        track: shows progress.
        in_memory_bytes: embeddings larger than this lie in a file below `STATE` that has no name,
            so nothing of it remains however the process ends. None is `IN_MEMORY_BYTES`.

    Returns:
        Embeddings `(image, width)`.
    """
    shape = (len(images), encoder.width)
    large = 4 * shape[0] * shape[1] > (in_memory_bytes or IN_MEMORY_BYTES)
    kept = _in_a_file(shape) if large else np.empty(shape, np.float32)
    for rows in track(chunks(len(images)), "embedding"):
        kept[rows] = embed_kept(encoder, images[rows]).cpu().numpy()
    return kept


def _in_a_file(shape: tuple[int, int]) -> NDArray[np.float32]:
    STATE.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=STATE) as file:  # the map keeps it alive
        return np.memmap(file, np.float32, "w+", shape=shape)
