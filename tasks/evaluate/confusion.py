"""The pairs of classes that are hardest to tell apart, over all episodes of a protocol."""

from collections import Counter
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tasks.evaluate.measured import Measured

_LOOKED_AT = 200  # most frequent pairs, whose rates are worked out
_LEAST_MEETINGS = 5  # episodes that must hold both, or a rate is chance


@dataclass(frozen=True)
class HardPair:
    """Two classes that are taken for one another.

    Attributes:
        first: label in the part.
        second: likewise.
        rate: share of queries of either, in episodes that hold both, that were answered with the
            other one, 0..1.
        meetings: how many episodes hold both.
        queries: image indices of some that were mistaken, each with the label answered.
    """

    first: int
    second: int
    rate: float
    meetings: int
    queries: tuple[tuple[int, int], ...]


def hardest_pairs(
    measured: Measured, arm: str, pairs: int = 6, examples: int = 4
) -> list[HardPair]:
    """The pairs with the highest rate of mistakes.

    Args:
        measured: the protocol's results.
        arm: whose mistakes.
        pairs: at most so many.
        examples: of mistaken queries of each.
    """
    classes = measured.episodes.classes
    queries = measured.episodes.query.shape[2]
    wrong = ~measured.right[arm]
    episode, column = np.nonzero(wrong)
    truth = classes[episode, column // queries]
    answered = classes[episode, measured.answers[arm].predicted[wrong]]
    image = measured.episodes.query.reshape(len(classes), -1)[wrong]
    low, high = np.minimum(truth, answered), np.maximum(truth, answered)
    counted = Counter(zip(low.tolist(), high.tolist(), strict=True))
    found = []
    for (first, second), count in counted.most_common(_LOOKED_AT):
        meetings = _meetings(classes, first, second)
        if meetings < min(_LEAST_MEETINGS, len(classes)):
            continue
        mine = np.flatnonzero((low == first) & (high == second))
        # One look at each picture, in the order of the episodes.
        shown = {int(image[at]): int(answered[at]) for at in mine}
        rate = count / (2 * queries * meetings)
        shown_queries = tuple(shown.items())[:examples]
        found.append(HardPair(first, second, rate, meetings, shown_queries))
    return sorted(found, key=lambda one: (-one.rate, one.first, one.second))[:pairs]


def _meetings(classes: NDArray[np.int64], first: int, second: int) -> int:
    holds_both = (classes == first).any(axis=1) & (classes == second).any(axis=1)
    return int(holds_both.sum())
