"""Finds images whose nearest neighbours all carry one label, and another one than theirs."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tasks.artifacts.bundle import Bundle
from tasks.progress import Track

NEIGHBOURS = 5
SMALLEST_CLASS = 3  # images that were looked into
SHOWN = 20

_PIXEL_SIDE = 16
_SIMILARITIES_AT_ONCE = 16_000_000  # bounds the memory of one chunk to some hundred MB
_EMBEDDED_AT_ONCE = 256


@dataclass(frozen=True)
class Suspicion:
    """An image whose label may be wrong.

    Attributes:
        position: of the image, among all that were looked into.
        suggested: a position that carries the label of its neighbours.
        neighbours: the positions of the nearest images, the nearest first.
        margin: how much nearer they are on average than the nearest image of its own class, as a
            difference of cosines.
    """

    position: int
    suggested: int
    neighbours: Sequence[int]
    margin: float


@dataclass(frozen=True)
class Suspected:
    """What neighbours tell about the labels.

    Attributes:
        by: what the images were compared by, in words.
        images: how many were compared.
        agreement: share of them whose nearest neighbour is of their class, 0..1.
        suspicions: the strongest first.
    """

    by: str
    images: int
    agreement: float
    suspicions: Sequence[Suspicion]


def comparable(positions: NDArray[np.int64], labels: NDArray[np.int64]) -> NDArray[np.int64]:
    """Those positions whose class has enough of them.

    Args:
        positions: of images that can be used.
        labels: class of every image, also of others.
    """
    counts = np.bincount(labels[positions], minlength=1)
    return positions[counts[labels[positions]] >= SMALLEST_CLASS]


def pixel_features(tiles: NDArray[np.uint8], positions: NDArray[np.int64]) -> NDArray[np.float32]:
    """Framed images shrunk to at most 16 px a side, less their mean: `(position, number)`."""
    _, side, _, channels = tiles.shape
    factor = -(-side // _PIXEL_SIDE)
    cells = side // factor
    features = np.empty((len(positions), cells * cells * channels), np.float32)
    for start in range(0, len(positions), _EMBEDDED_AT_ONCE):
        some = tiles[positions[start : start + _EMBEDDED_AT_ONCE]]
        some = some[:, : cells * factor, : cells * factor]
        small = some.reshape(len(some), cells, factor, cells, factor, channels).mean(axis=(2, 4))
        flat = small.reshape(len(some), -1)
        features[start : start + len(some)] = flat - flat.mean(axis=1, keepdims=True)
    return features


def bundle_features(
    bundle: Bundle, tiles: NDArray[np.uint8], positions: NDArray[np.int64], track: Track
) -> NDArray[np.float32]:
    """Embeddings of framed images by a bundle's encoder: `(position, dim)`.

    Raises:
        BundleError: the encoder is damaged.
    """
    starts = range(0, len(positions), _EMBEDDED_AT_ONCE)
    parts = []
    for start in track(starts, "embedding images", len(starts)):
        some = tiles[positions[start : start + _EMBEDDED_AT_ONCE]]
        parts.append(bundle.embed(list(np.broadcast_to(some, (*some.shape[:3], 3)))))
    return np.concatenate(parts)


def suspect(
    features: NDArray[np.float32],
    labels: NDArray[np.int64],
    positions: NDArray[np.int64],
    by: str,
    track: Track,
) -> Suspected:
    """Compare images with each other by the cosine of their features.

    Args:
        features: `(image, number)`; changed in place.
        labels: class of each of them `(image,)`.
        positions: what the results call each of them `(image,)`.
        by: what the features are.
        track: shows progress.
    """
    features /= np.maximum(np.linalg.norm(features, axis=1, keepdims=True), 1e-12)
    agreeing = 0
    found: list[Suspicion] = []
    size = max(1, _SIMILARITIES_AT_ONCE // len(features))
    chunks = [range(at, min(at + size, len(features))) for at in range(0, len(features), size)]
    for rows in track(chunks, "comparing images", len(chunks)):
        similar = features[rows.start : rows.stop] @ features.T
        similar[np.arange(len(rows)), rows] = -np.inf  # itself
        agreeing += int((labels[similar.argmax(axis=1)] == labels[rows]).sum())
        found += _suspicions(similar, rows, labels, positions)
    found.sort(key=lambda one: (-one.margin, one.position))
    return Suspected(by, len(features), agreeing / len(features), found)


def _suspicions(
    similar: NDArray[np.float32],
    rows: range,
    labels: NDArray[np.int64],
    positions: NDArray[np.int64],
) -> Iterator[Suspicion]:
    if similar.shape[1] <= NEIGHBOURS:
        return
    nearest = np.argpartition(-similar, NEIGHBOURS - 1, axis=1)[:, :NEIGHBOURS]
    theirs = labels[nearest]
    alike = (theirs == theirs[:, :1]).all(axis=1) & (theirs[:, 0] != labels[rows])
    for index in np.flatnonzero(alike).tolist():
        to = nearest[index][np.argsort(-similar[index, nearest[index]], kind="stable")]
        own = similar[index, labels == labels[rows[index]]].max(initial=-1.0)
        margin = float(similar[index, to].mean() - max(own, -1.0))
        yield Suspicion(
            int(positions[rows[index]]), int(positions[to[0]]), positions[to].tolist(), margin
        )
