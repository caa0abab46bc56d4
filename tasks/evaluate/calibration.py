"""Whether a model is right as often as it says: expected calibration error and its bins.

Answers fall into bins by their confidence, the probability of the class answered. With the share
of right answers `acc(b)` and the mean confidence `conf(b)` in each bin of `n_b` out of `n` answers,

    ECE  =  sum over b of  n_b / n  |acc(b) - conf(b)|.

Source: Guo et al., On Calibration of Modern Neural Networks, 2017, equations 2 and 3.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

BINS = 15


@dataclass(frozen=True)
class Calibration:
    """Answers by confidence.

    Attributes:
        error: expected calibration error, 0..1.
        confidence: mean of each bin that holds answers `(bin,)`, 0..1.
        accuracy: share of right answers in it `(bin,)`, 0..1.
        share: of all answers, what lies in it `(bin,)`, 0..1.
    """

    error: float
    confidence: NDArray[np.float64]
    accuracy: NDArray[np.float64]
    share: NDArray[np.float64]


def calibration(
    confidence: NDArray[np.float32], right: NDArray[np.bool_], bins: int = BINS
) -> Calibration:
    """Sort answers into bins of equal width.

    Args:
        confidence: probability of each answer, any shape, 0..1.
        right: whether it was right, of the same shape.
        bins: how many.
    """
    sure = confidence.astype(np.float64).ravel()
    place = np.minimum((sure * bins).astype(np.int64), bins - 1)
    count = np.bincount(place, minlength=bins)
    held = count > 0
    mean = np.bincount(place, sure, bins)[held] / count[held]
    accuracy = np.bincount(place, right.ravel(), bins)[held] / count[held]
    share = count[held] / max(1, sure.size)
    return Calibration(float((share * np.abs(accuracy - mean)).sum()), mean, accuracy, share)
