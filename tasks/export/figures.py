"""What stage export writes down of a figure: its mean, its interval, so many digits."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tasks.statistics import estimate

FIGURE_DIGITS = 4  # of shares that are stored: a hundredth of a point


def mean_with_interval(values: NDArray[np.float64]) -> Mapping[str, float]:
    """Mean, and half of Student's 95 % t interval, of one value an episode, at least two."""
    found = estimate(values)
    return {"mean": stored(found.mean), "interval95": stored(found.interval95)}


def stored(share: float | np.floating[Any]) -> float:
    """A measured share as it is written down; the digits that are cut off hang on the processor."""
    return round(float(share), FIGURE_DIGITS)
