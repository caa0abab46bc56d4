"""Accuracy against the number of support images of a class."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tasks.episodes.sampler import Pool
from tasks.evaluate.arms import Arm, Embedded
from tasks.evaluate.fan_out import FanOut
from tasks.evaluate.fitting import Size
from tasks.evaluate.measuring import answers
from tasks.params.evaluate import ShotsCurve
from tasks.statistics import estimate


@dataclass(frozen=True)
class Shots:
    """Accuracy of all arms at each number of shots.

    Attributes:
        domain: where the classes came from.
        way: classes in an episode.
        shots: those that the classes carry.
        left_out: those that they do not.
        accuracy: arm -> share of right answers `(episode, shots)`, 0..1.
    """

    domain: str
    way: int
    shots: tuple[int, ...]
    left_out: tuple[int, ...]
    accuracy: Mapping[str, NDArray[np.float64]]

    @property
    def key(self) -> str:
        """Name in files, for example `novel_5way`."""
        return f"{self.domain}_{self.way}way"

    @property
    def title(self) -> str:
        """How the report calls it."""
        return f"{self.domain}, {self.way}-way"

    def summary(self) -> dict[str, Any]:
        """What `metrics.json` holds."""
        points = {
            arm: [estimate(column) for column in values.T] for arm, values in self.accuracy.items()
        }
        return {
            "domain": self.domain,
            "way": self.way,
            "shots": list(self.shots),
            "left_out": list(self.left_out),
            "accuracy": {arm: [one.mean for one in row] for arm, row in points.items()},
            "interval95": {arm: [one.interval95 for one in row] for arm, row in points.items()},
        }


def shots_curve(
    asked: ShotsCurve,
    domain: str,
    arms: Mapping[str, Arm],
    embedded: Embedded,
    fan_out: FanOut,
    seed: int,
) -> Shots | None:
    """Measure all arms at each number of shots.

    Args:
        asked: ways, shots, queries and episodes; the way shrinks to what the classes carry.
        domain: where the classes come from.
        arms: what is compared.
        embedded: embeddings of the domain.
        fan_out: works on the episodes.
        seed: `seed` of `params.yaml`.

    Returns:
        None where the classes carry not even the fewest shots.
    """
    part = embedded.parts[domain]
    pool = Pool(part.labels)
    wanted = sorted(set(asked.shots))
    way = min(asked.way, pool.able(wanted[0] + asked.queries))
    if way < 2:
        return None
    carried = tuple(one for one in wanted if pool.able(one + asked.queries) >= way)
    columns: dict[str, list[NDArray[np.float64]]] = {arm: [] for arm in arms}
    truth = np.repeat(np.arange(way), asked.queries)
    for shot in carried:
        size = Size(way, shot, asked.queries)
        drawn = size.draw(pool, asked.episodes, seed=seed, purpose=f"evaluate shots {domain}")
        for name, arm in arms.items():
            told = answers(arm, embedded.of(name, domain), part.images, drawn, fan_out)
            columns[name].append((told.predicted == truth).mean(axis=1))
    accuracy = {arm: np.stack(values, axis=1) for arm, values in columns.items()}
    return Shots(domain, way, carried, tuple(set(wanted) - set(carried)), accuracy)
