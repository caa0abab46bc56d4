"""Means over episodes, with intervals."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit  # `scipy.stats` takes a second to import

CONFIDENCE = 0.95
RESAMPLES = 2000
USUAL_EPISODES = 600  # what few-shot papers report; fewer are told


@dataclass(frozen=True)
class Estimate:
    """A mean and the half-width of its 95 % interval; both in the unit of the values."""

    mean: float
    interval95: float


def estimate(values: NDArray[np.float64]) -> Estimate:
    """Mean of independent values with Student's t interval.

    Args:
        values: one an episode, `(episode,)`, at least two.
    """
    count = len(values)
    error = float(values.std(ddof=1)) / count**0.5
    spread = float(stdtrit(count - 1, (1 + CONFIDENCE) / 2)) * error
    return Estimate(float(values.mean()), spread)


def paired_difference(ours: NDArray[np.float64], theirs: NDArray[np.float64]) -> Estimate:
    """Mean of `ours - theirs` on the same episodes, whose difficulty cancels.

    Args:
        ours: one value an episode, `(episode,)`.
        theirs: of the same episodes in the same order.
    """
    return estimate(ours - theirs)


def worst_decile(values: NDArray[np.float64]) -> float:
    """Mean of the lowest tenth of the values, of at least one.

    Args:
        values: one an episode, `(episode,)`.
    """
    count = max(1, len(values) // 10)
    return float(np.sort(values)[:count].mean())


def bootstrap_interval(
    values: NDArray[np.float64],
    statistic: Callable[[NDArray[np.float64]], float],
    generator: np.random.Generator,
    resamples: int = RESAMPLES,
) -> tuple[float, float]:
    """95 % percentile interval of a statistic of means over episodes, resampled together.

    All columns keep their episode, so that what is compared stays paired. Ends are values that the
    statistic took, never between two of them: it may count steps, and may be infinite.

    Args:
        values: of each episode `(episode, quantity)`.
        statistic: maps means `(quantity,)` to a number.
        generator: draws the resamples.
        resamples: how many.

    Source: Efron and Tibshirani, An Introduction to the Bootstrap, 1993, section 13.3.
    """
    count = len(values)
    draws = generator.multinomial(count, np.full(count, 1 / count), size=resamples)
    found = np.sort([statistic(means) for means in draws @ values / count])
    tail = (1 - CONFIDENCE) / 2
    low, high = int(np.floor(tail * (resamples - 1))), int(np.ceil((1 - tail) * (resamples - 1)))
    return float(found[low]), float(found[high])
