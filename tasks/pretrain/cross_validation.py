"""Rates that follow cross-validation: scouts find them, then the model trains with them.

The base classes are dealt into K folds. A scout for each fold trains on the base classes without
that fold, from weights of its own. Where a segment of the training begins, every scout branches
three ways: with the rate as it is, `factor` times it, and the `factor`-th of it. Each branch trains
through the segment on the same batches, and is scored by the same few-shot episodes of the fold
that its scout never sees. The rate with the best mean over the folds wins, every scout goes on from
its branch with that rate, and the next segment begins.

The model itself is not a scout: it trains on all base classes, anew, at the rates found. So what it
is scored on later took no part, and no scout's score is of classes that it was trained on.

Cost: a scout trains through every segment three times, on `(K - 1) / K` of the images, so that all
of it is `1 + 3 (K - 1)` plain trainings: seven for three folds.

What it cannot see: a branch is judged at the end of its segment, and a high rate pays off later,
when it has been lowered. Greedy choices of rates lean to low ones for it.

Source: the choice by K folds is common; the leaning is of Wu, Ren, Liao and Grosse, Understanding
Short-Horizon Bias in Stochastic Meta-Optimization, 2018, section 2. The procedure is our own.
"""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from tasks.artifacts.checkpoints import Checkpoints
from tasks.optimisation import segment_starts
from tasks.pretrain.scouts import Scout
from tasks.progress import Track

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Decision:
    """What was tried at the start of one segment.

    Attributes:
        segment: its number from 0.
        starts_at_epoch: of the training, in epochs, 0.0 for the first.
        exponents: of the rates tried, which are `learning_rate * factor ** exponent`.
        scores: mean accuracy of each rate on each fold `(rate, fold)`, 0..1.
        chosen: which of the rates won.
    """

    segment: int
    starts_at_epoch: float
    exponents: list[int]
    scores: list[list[float]]
    chosen: int

    @property
    def winner(self) -> int:
        """The exponent that won."""
        return self.exponents[self.chosen]


def find_rates(
    scouts: Sequence[Scout],
    *,
    points: int,
    factor: float,
    checkpoints: Checkpoints,
    track: Track,
) -> list[Decision]:
    """Send the scouts ahead; begins after the last decision that a checkpoint holds.

    Args:
        scouts: as made.
        points: at how many equally spaced points of the training rates are tried.
        factor: between neighbouring rates, above 1.
        checkpoints: of the search, which are none of the training's. A point that was decided is
            not tried again after an interruption, unless saving it took too large a share of the
            time; then it is, with the same result.
        track: shows progress.

    Returns:
        A decision for each point.
    """
    count = min(points, *(scout.total_steps for scout in scouts))
    starts = [[*segment_starts(scout.total_steps, count), scout.total_steps] for scout in scouts]
    decisions: list[Decision] = []
    if (state := checkpoints.load()) is not None:
        decisions = [Decision(**one) for one in state["decisions"]]
        for scout, kept in zip(scouts, state["scouts"], strict=False):
            scout.go_back(kept)
        logger.info("%d of %d rates were found before", len(decisions), count)
    for segment in range(len(decisions), count):
        spans = [(of_scout[segment], of_scout[segment + 1]) for of_scout in starts]
        exponent = decisions[-1].winner if decisions else 0
        branches = _Branches(scouts, spans, factor, [exponent, exponent + 1, exponent - 1])
        steps = 3 * sum(end - start for start, end in spans)
        for _ in track(branches.run(segment), f"trying rates, {segment + 1} of {count}", steps):
            pass
        decisions.append(branches.decide(segment, scouts[0].epochs * segment / count))
        last = segment + 1 == count
        if last or checkpoints.due(milestone=True):
            # After the last segment nobody needs the scouts.
            states = [] if last else [scout.state() for scout in scouts]
            checkpoints.save({"decisions": [asdict(one) for one in decisions], "scouts": states})
    return decisions


class _Branches:
    """The three branches of all scouts at one point; at the end, the scouts are the winner's.

    Only the start and the best branch so far are kept, not all three.
    """

    def __init__(
        self,
        scouts: Sequence[Scout],
        spans: Sequence[tuple[int, int]],
        factor: float,
        exponents: list[int],
    ) -> None:
        self._scouts = scouts
        self._spans = spans
        self._factor = factor
        self._exponents = exponents
        self._scores: list[list[float]] = []
        self._best = -1
        self._ends: list[dict[str, Any]] = []

    def run(self, segment: int) -> Iterator[float]:
        """Train and score every branch of every scout; yields the loss of each step."""
        begun = [scout.state() for scout in self._scouts]
        for place, exponent in enumerate(self._exponents):
            scores = []
            for scout, state, span in zip(self._scouts, begun, self._spans, strict=True):
                scout.go_back(state)
                yield from scout.run(*span, self._factor**exponent)
                scores.append(scout.score(segment))
            self._scores.append(scores)
            # The rate as it is comes first, and another must be better, not equal, to win.
            if self._best < 0 or np.mean(scores) > np.mean(self._scores[self._best]):
                self._best, self._ends = place, [scout.state() for scout in self._scouts]
        for scout, state in zip(self._scouts, self._ends, strict=True):
            scout.go_back(state)

    def decide(self, segment: int, starts_at_epoch: float) -> Decision:
        """Tell what won, rates from high to low."""
        order = sorted(range(len(self._exponents)), key=lambda place: -self._exponents[place])
        exponents = [self._exponents[place] for place in order]
        scores = [self._scores[place] for place in order]
        chosen = order.index(self._best)
        logger.info(
            "from epoch %.1f: %s; chosen is the first rate times %.3g",
            starts_at_epoch,
            ", ".join(
                f"times {self._factor**exponent:.3g} gives {100 * np.mean(each):.2f} %"
                for exponent, each in zip(exponents, scores, strict=True)
            ),
            self._factor ** exponents[chosen],
        )
        return Decision(segment, starts_at_epoch, exponents, scores, chosen)


def decision_rows(
    decisions: Sequence[Decision], learning_rate: float, factor: float
) -> list[dict[str, float]]:
    """The rows of `rates.csv`, one for each rate that was tried.

    Columns: `segment` from 0; `starts_at_epoch`; `rate`; `score`, the mean accuracy over the folds,
    0..1; `chosen`, 1 for the rate that won its segment and 0 for the others; `fold_1`, `fold_2` and
    so on, the accuracy on each fold. Segments in order, in each the rates from high to low.

    Args:
        decisions: as found.
        learning_rate: that exponents are relative to.
        factor: between neighbouring rates.
    """
    return [
        {
            "segment": one.segment,
            "starts_at_epoch": one.starts_at_epoch,
            "rate": learning_rate * factor**exponent,
            "score": float(np.mean(scores)),
            "chosen": int(place == one.chosen),
            **{f"fold_{fold}": score for fold, score in enumerate(scores, start=1)},
        }
        for one in decisions
        for place, (exponent, scores) in enumerate(zip(one.exponents, one.scores, strict=True))
    ]
