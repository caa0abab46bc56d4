"""Accuracy of every arm on the same episodes of every protocol."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from tasks.artifacts.image_store import Part
from tasks.backbones.encoder import embed
from tasks.episodes.sampler import Episodes, Pool
from tasks.evaluate.arms import Arm
from tasks.evaluate.statistics import estimate, paired_difference
from tasks.learners.learner import as_learner
from tasks.learners.scoring import episode_scores
from tasks.progress import Track

COMPARISONS = {
    "meta_over_transfer": ("meta", "transfer"),
    "transfer_over_random": ("transfer", "random"),
}


class EpisodeKind(Protocol):
    """A kind of episode, as `params.yaml` describes it."""

    @property
    def domain(self) -> str: ...  # noqa: D102

    @property
    def way(self) -> int: ...  # noqa: D102

    @property
    def shot(self) -> int: ...  # noqa: D102

    @property
    def within_group(self) -> bool: ...  # noqa: D102

    @property
    def name(self) -> str: ...  # noqa: D102


@dataclass(frozen=True)
class Measured:
    """What came of one protocol.

    Attributes:
        domain: where the classes came from.
        way: classes in an episode.
        shot: support images of a class.
        within_group: whether all classes of an episode come from one group.
        title: how tables call the protocol.
        episodes: the episodes, the same for every arm.
        predicted: arm -> predicted position of the class `(episode, query)`.
        accuracy: arm -> share of right answers `(episode,)`, 0..1.
    """

    domain: str
    way: int
    shot: int
    within_group: bool
    title: str
    episodes: Episodes
    predicted: Mapping[str, NDArray[np.int64]]
    accuracy: Mapping[str, NDArray[np.float64]]

    @property
    def key(self) -> str:
        """Name in files, for example `novel_5way_1shot`."""
        within = "_within_group" if self.within_group else ""
        return f"{self.domain}_{self.way}way_{self.shot}shot{within}"

    def summary(self) -> dict[str, Any]:
        """Means, 95 % half-widths and paired differences, as `metrics.json` holds them."""
        estimates = {arm: estimate(values) for arm, values in self.accuracy.items()}
        gains = {
            name: asdict(paired_difference(self.accuracy[ours], self.accuracy[theirs]))
            for name, (ours, theirs) in COMPARISONS.items()
        }
        return {
            "domain": self.domain,
            "way": self.way,
            "shot": self.shot,
            "within_group": self.within_group,
            "accuracy": {arm: one.mean for arm, one in estimates.items()},
            "interval95": {arm: one.interval95 for arm, one in estimates.items()},
            "gain": gains,
        }


def embed_all(
    arms: Mapping[str, Arm], parts: Mapping[str, Part], track: Track
) -> dict[tuple[str, str], Tensor]:
    """Embed every image of every part once for each arm: `(arm, part) -> (image, dim)`."""
    pairs = [(arm, part) for arm in arms for part in parts]
    return {
        (arm, part): embed(arms[arm].encoder, parts[part].images)
        for arm, part in track(pairs, "embedding", len(pairs))
    }


def measure(
    kinds: Sequence[EpisodeKind],
    arms: Mapping[str, Arm],
    parts: Mapping[str, Part],
    track: Track,
    *,
    episodes: int,
    queries: int,
    seed: int,
) -> list[Measured]:
    """Run all protocols.

    Args:
        kinds: the protocols.
        arms: what is compared.
        parts: domain -> its images.
        track: shows progress.
        episodes: of each protocol.
        queries: images of a class in an episode.
        seed: `seed` of `params.yaml`.

    Raises:
        DataError: a domain has too few classes, or too few images in them.
    """
    embeddings = embed_all(arms, parts, track)
    results = []
    for kind in track(kinds, "episodes", len(kinds)):
        part = parts[kind.domain]
        drawn = Pool(part.labels).draw(
            0,
            episodes,
            way=kind.way,
            shot=kind.shot,
            queries=queries,
            seed=seed,
            purpose=f"evaluate {kind.domain}",
            groups=_groups(part) if kind.within_group else None,
        )
        truth = np.repeat(np.arange(kind.way), queries)
        predicted = {
            name: episode_scores(as_learner(arm.learner), embeddings[name, kind.domain], drawn)
            .argmax(dim=-1)
            .numpy()
            for name, arm in arms.items()
        }
        accuracy = {name: (guess == truth).mean(axis=1) for name, guess in predicted.items()}
        results.append(
            Measured(
                kind.domain,
                kind.way,
                kind.shot,
                kind.within_group,
                kind.name,
                drawn,
                predicted,
                accuracy,
            )
        )
    return results


def _groups(part: Part) -> NDArray[np.int64]:
    """The group of each class as a number."""
    names = sorted({one.group for one in part.classes})
    return np.array([names.index(one.group) for one in part.classes])
