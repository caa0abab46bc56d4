"""Draws episodes in bulk: which classes, which support images, which queries.

Episode `i` is a function of `(seed, purpose, i)` alone: every class and every image gets a random
key from a counter-based generator, and the smallest keys are taken. So any worker can draw any
episode, and 1,000 of them are a few array operations.
"""

from dataclasses import dataclass, replace
from typing import cast

import numpy as np
from numpy.typing import NDArray

from tasks.errors import DataError
from tasks.randomness import entropy

_CHUNK_KEYS = 30_000  # of one bulk draw: 240 kB, which stay in the cache


@dataclass(frozen=True)
class Episodes:
    """Image indices of several episodes of one way, shot and number of queries.

    Attributes:
        classes: pool labels, `(episode, way)`; column `k` is the episode's class `k`.
        support: image indices `(episode, way, shot)`.
        query: image indices `(episode, way, queries)`; never an image of the support.
        present: which of the support are there, `(episode, way, shot)`; None where all are. Of each
            class at least one is.
    """

    classes: NDArray[np.int64]
    support: NDArray[np.int64]
    query: NDArray[np.int64]
    present: NDArray[np.bool_] | None = None

    def support_labels(self) -> NDArray[np.int64]:
        """Position of its class for each support image, `(episode, way * shot)`.

        -1 for an image that is not there: a label of no class, which every learner ignores.
        """
        episodes, way, shot = self.support.shape
        labels = np.tile(np.arange(way)[:, None], (episodes, 1, shot))
        if self.present is not None:
            labels = np.where(self.present, labels, -1)
        return labels.reshape(episodes, way * shot)

    def between(self, start: int, stop: int) -> "Episodes":
        """Episodes `start` .. `stop - 1` of these."""
        part = slice(start, stop)
        present = None if self.present is None else self.present[part]
        return Episodes(self.classes[part], self.support[part], self.query[part], present)


def imbalanced(episodes: Episodes, first: int, *, seed: int, purpose: str) -> Episodes:
    """The same episodes with 1 .. shot support images of each class, every number as likely.

    Args:
        episodes: as `Pool.draw` gives them.
        first: number of the first of them.
        seed: as they were drawn with.
        purpose: likewise.
    """
    count, way, shot = episodes.support.shape
    key = entropy(seed, "episode shots", purpose, way, shot)
    draws = _keys(key, np.arange(first, first + count), way)
    shots = 1 + (draws % np.uint64(shot)).astype(np.int64)
    return replace(episodes, present=np.arange(shot) < shots[..., None])


class Pool:
    """The images that episodes are drawn from, by class.

    Args:
        labels: class of each image `(image,)`, 0 .. classes - 1.
    """

    def __init__(self, labels: NDArray[np.int64]) -> None:
        self.counts = np.bincount(labels)
        self._order = np.argsort(labels, kind="stable")
        self._starts = np.cumsum(self.counts) - self.counts

    def draw(
        self,
        first: int,
        episodes: int,
        *,
        way: int,
        shot: int,
        queries: int,
        seed: int,
        purpose: str,
        groups: NDArray[np.int64] | None = None,
    ) -> Episodes:
        """Draw episodes `first` .. `first + episodes - 1`.

        Args:
            first: number of the first episode.
            episodes: how many.
            way: classes in an episode.
            shot: support images of a class.
            queries: query images of a class.
            seed: `seed` of `params.yaml`.
            purpose: what the episodes are for; other purposes get unrelated episodes.
            groups: the group of each class `(classes,)`; all classes of an episode then come from
                one group, and every group that has enough of them is as likely. None mixes all.

        Raises:
            DataError: fewer classes than `way`, of any one group, have `shot + queries` images.
        """
        able = self._able(way, shot + queries, groups)
        asked = (way, shot, queries)
        class_key = entropy(seed, "episode classes", purpose, *asked)
        image_key = entropy(seed, "episode images", purpose, *asked)
        group_key = entropy(seed, "episode groups", purpose, *asked)
        chunk = max(1, _CHUNK_KEYS // (way * int(self.counts.max()) + len(able)))
        classes = np.empty((episodes, way), np.int64)
        images = np.empty((episodes, way, shot + queries), np.int64)
        for start in range(0, episodes, chunk):
            numbers = first + np.arange(start, min(start + chunk, episodes))
            part = slice(start, start + len(numbers))
            keys = _keys(class_key, numbers, len(able))
            if groups is not None:
                keys = _confined(keys, groups[able], way, _keys(group_key, numbers, 1)[:, 0])
            classes[part] = able[_smallest(keys, way)]
            images[part] = self._images(classes[part], numbers, shot + queries, image_key)
        support, query = (np.ascontiguousarray(one) for one in np.split(images, [shot], axis=2))
        return Episodes(classes, support, query)

    def able(self, images: int, groups: NDArray[np.int64] | None = None) -> int:
        """How many classes have at least `images` images; with groups, of the largest group."""
        able = np.flatnonzero(self.counts >= images)
        return len(able) if groups is None else int(np.bincount(groups[able]).max(initial=0))

    def _able(self, way: int, images: int, groups: NDArray[np.int64] | None) -> NDArray[np.int64]:
        most = self.able(images, groups)
        if most < way:
            where = "" if groups is None else " of one group"
            raise DataError(
                f"found {most} classes{where} with at least {images} images (shot + queries), "
                f"needed {way} (way); the pool has {len(self.counts)} classes, the smallest of "
                f"{self.counts.min(initial=0)} images: ask for fewer ways, shots or queries"
            )
        return np.flatnonzero(self.counts >= images)

    def _images(
        self, classes: NDArray[np.int64], numbers: NDArray[np.int64], images: int, key: int
    ) -> NDArray[np.int64]:
        """Different images of each class, `(episode, way, images)`."""
        counts = self.counts[classes]
        widest = int(self.counts.max())
        keys = _keys(key, numbers, classes.shape[1] * widest).reshape(*classes.shape, widest)
        # Positions that a small class does not have sort behind all that it has.
        keys = np.where(np.arange(widest) < counts[..., None], keys >> np.uint64(1), ~np.uint64(0))
        chosen = _smallest(keys, images)
        return cast(NDArray[np.int64], self._order[self._starts[classes][..., None] + chosen])


def _confined(
    keys: NDArray[np.uint64], groups: NDArray[np.int64], way: int, draws: NDArray[np.uint64]
) -> NDArray[np.uint64]:
    """Class keys with those outside each episode's group moved behind all others.

    Args:
        keys: of each episode's classes `(episode, class)`.
        groups: of each class `(class,)`.
        way: how many classes a group must have.
        draws: a random number for each episode `(episode,)`, which picks its group.
    """
    large = np.flatnonzero(np.bincount(groups) >= way)
    chosen = large[(draws % np.uint64(len(large))).astype(np.int64)]
    return np.where(groups == chosen[:, None], keys >> np.uint64(1), ~np.uint64(0))


def _smallest(keys: NDArray[np.uint64], count: int) -> NDArray[np.int64]:
    """Positions of the smallest keys of each row, from the smallest up, `(..., count)`.

    The last bits of each key give way to its position, and keys are sorted themselves: less than
    half the time of sorting positions by them. Two keys that differ in those bits alone, of 40 or
    more that are left in any pool, go by position.

    Args:
        keys: random, `(..., key)`; written over.
        count: how many of each row.
    """
    width = keys.shape[-1]
    bits = np.uint64((1 << (width - 1).bit_length()) - 1)
    keys &= ~bits
    keys |= np.arange(width, dtype=np.uint64)
    keys.sort(axis=-1)
    return (keys[..., :count] & bits).astype(np.int64)


def _keys(key: int, numbers: NDArray[np.int64], width: int) -> NDArray[np.uint64]:
    """Random 64-bit keys `(number, width)`: SplitMix64 of counters that start at random places.

    Source: Steele, Lea and Flood, Fast Splittable Pseudorandom Number Generators, 2014, figure 14.
    """
    rows = _mixed(numbers.astype(np.uint64) + np.uint64(key % 2**64))
    columns = np.arange(width, dtype=np.uint64) + np.uint64(key >> 64)
    counters: NDArray[np.uint64] = rows[:, None] + columns
    return _mixed(counters)


def _mixed(counter: NDArray[np.uint64]) -> NDArray[np.uint64]:
    with np.errstate(over="ignore"):
        z = (counter + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return z ^ (z >> np.uint64(31))
