"""What came of one protocol."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tasks.episodes.sampler import Episodes
from tasks.evaluate.calibration import Calibration, calibration
from tasks.params.evaluate import Protocol
from tasks.statistics import Estimate, estimate, paired_difference, worst_decile

COMPARISONS = {
    "meta_over_transfer": ("meta", "transfer"),
    "meta_over_tuned": ("meta", "tuned"),
    "meta_over_alone": ("meta", "alone"),
    "tuned_over_transfer": ("tuned", "transfer"),
    "transfer_over_random": ("transfer", "random"),
}


@dataclass(frozen=True)
class Answers:
    """What one arm said about the queries of all episodes.

    Attributes:
        predicted: position of the class answered `(episode, query)`.
        confidence: its probability `(episode, query)`, 0..1.
    """

    predicted: NDArray[np.int64]
    confidence: NDArray[np.float32]


@dataclass(frozen=True)
class Measured:
    """What came of one protocol.

    Attributes:
        kind: the protocol, as `params.yaml` describes it.
        episodes: the episodes, the same for every arm.
        answers: of each arm; queries run class by class.
        tuned: what transfer at its best adapts by; None where there is no such arm.
    """

    kind: Protocol
    episodes: Episodes
    answers: Mapping[str, Answers]
    tuned: Mapping[str, Any] | None

    @property
    def key(self) -> str:
        """Name in files, for example `novel_5way_1shot`."""
        return self.kind.key

    @property
    def title(self) -> str:
        """How tables call the protocol."""
        return self.kind.name

    @property
    def domain(self) -> str:
        """Where the classes came from."""
        return self.kind.domain

    @property
    def way(self) -> int:
        """Classes in an episode."""
        return int(self.episodes.classes.shape[1])

    @cached_property
    def right(self) -> dict[str, NDArray[np.bool_]]:
        """Arm -> whether each answer is right `(episode, query)`."""
        truth = np.repeat(np.arange(self.way), self.episodes.query.shape[2])
        return {arm: one.predicted == truth for arm, one in self.answers.items()}

    @cached_property
    def accuracy(self) -> dict[str, NDArray[np.float64]]:
        """Arm -> share of right answers of each episode `(episode,)`, 0..1."""
        return {arm: right.mean(axis=1) for arm, right in self.right.items()}

    @cached_property
    def calibration(self) -> dict[str, Calibration]:
        """Arm -> its answers by confidence."""
        return {
            arm: calibration(one.confidence, self.right[arm]) for arm, one in self.answers.items()
        }

    def estimates(self) -> dict[str, Estimate]:
        """Arm -> mean accuracy with its interval."""
        return {arm: estimate(values) for arm, values in self.accuracy.items()}

    def gains(self) -> dict[str, Estimate]:
        """Name of a comparison -> mean of paired differences, for the arms there are."""
        return {
            name: paired_difference(self.accuracy[ours], self.accuracy[theirs])
            for name, (ours, theirs) in COMPARISONS.items()
            if ours in self.accuracy and theirs in self.accuracy
        }

    def summary(self) -> dict[str, Any]:
        """Means, 95 % half-widths and paired differences, as `metrics.json` holds them."""
        estimates = self.estimates()
        told = {
            "domain": self.domain,
            "way": self.way,
            "shot": self.kind.shot,
            "within_group": self.kind.within_group,
            "imbalanced": self.kind.imbalanced,
            "all_classes": self.kind.way == "all",
            "episodes": len(self.episodes.classes),
            "accuracy": {arm: one.mean for arm, one in estimates.items()},
            "interval95": {arm: one.interval95 for arm, one in estimates.items()},
            "gain": {name: asdict(one) for name, one in self.gains().items()},
            "worst_decile": {arm: worst_decile(one) for arm, one in self.accuracy.items()},
            "calibration_error": {arm: one.error for arm, one in self.calibration.items()},
        }
        return told | ({"tuned": dict(self.tuned)} if self.tuned else {})
