"""What stage export writes down of a figure: its mean, its interval, so many digits."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit  # `scipy.stats` takes a second to import

FIGURE_DIGITS = 4  # of shares that are stored: a hundredth of a point


def mean_with_interval(values: NDArray[np.float64]) -> Mapping[str, float]:
    """Mean, and half of Student's 95 % t interval, of one value an episode, at least two."""
    half = stdtrit(len(values) - 1, 0.975) * values.std(ddof=1) / np.sqrt(len(values))
    return {"mean": stored(values.mean()), "interval95": stored(half)}


def stored(share: float | np.floating[Any]) -> float:
    """A measured share as it is written down; the digits that are cut off hang on the processor."""
    return round(float(share), FIGURE_DIGITS)
