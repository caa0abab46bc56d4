"""The episodes that stage export measures by, and the interval of what it finds."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from tasks.artifacts.image_store import Part
from tasks.episodes.sampler import Episodes, Pool, imbalanced
from tasks.params.evaluate import Protocol

FIGURE_DIGITS = 4  # of shares that are stored: a hundredth of a point


def draw_episodes(
    kind: Protocol, part: Part, *, queries: int, seed: int, purpose: str, episodes: int
) -> Episodes:
    """Draw episodes of one kind.

    Args:
        kind: the protocol.
        part: the images of its domain, or some of them.
        queries: images of a class in an episode.
        seed: `seed` of `params.yaml`.
        purpose: what they are for; other purposes get unrelated episodes.
        episodes: how many.

    Raises:
        DataError: the images are too few for such episodes.
    """
    pool = Pool(part.labels)
    drawn = pool.draw(
        0,
        episodes,
        way=kind.way if isinstance(kind.way, int) else max(2, pool.able(kind.shot + queries)),
        shot=kind.shot,
        queries=queries,
        seed=seed,
        purpose=purpose,
        groups=part.groups if kind.within_group else None,
    )
    return imbalanced(drawn, 0, seed=seed, purpose=purpose) if kind.imbalanced else drawn


def mean_with_interval(values: NDArray[np.float64]) -> Mapping[str, float]:
    """Mean, and half of Student's 95 % t interval, of one value an episode, at least two."""
    half = stats.t.ppf(0.975, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values))
    return {"mean": stored(values.mean()), "interval95": stored(half)}


def stored(share: float | np.floating[Any]) -> float:
    """A measured share as it is written down; the digits that are cut off hang on the processor."""
    return round(float(share), FIGURE_DIGITS)
