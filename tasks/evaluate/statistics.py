"""Means over episodes, with intervals."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

CONFIDENCE = 0.95


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
    spread = float(stats.t.ppf((1 + CONFIDENCE) / 2, count - 1)) * float(stats.sem(values))
    return Estimate(float(values.mean()), spread)


def paired_difference(ours: NDArray[np.float64], theirs: NDArray[np.float64]) -> Estimate:
    """Mean of `ours - theirs` on the same episodes, whose difficulty cancels.

    Args:
        ours: one value an episode, `(episode,)`.
        theirs: of the same episodes in the same order.
    """
    return estimate(ours - theirs)
