"""Where a bundle's client says `unknown`: a threshold measured on validation classes.

Episodes are drawn of twice as many classes as are enrolled; queries come half from the enrolled
ones and half from the others. Two scores of a query are compared by their AUROC, the chance that a
query of an enrolled class scores higher than one of another class:

    probability   the highest that the rule gives
    similarity    mean cosine between the query and the support of the likeliest class, which lies
                  as high for one shot as for many; that to the mean of the support would rise

The threshold is where the better score errs as often in both ways (equal error rate): neither
error is known to cost more, and it moves less from sample to sample than the place where the mean
of both is lowest, about which that mean is nearly flat. Score and threshold are chosen on one half
of the episodes, and what they do is measured on the other.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int64
from numpy.typing import NDArray
from torch import Tensor, nn

from tasks.episodes.sampler import Episodes, Pool
from tasks.export.figures import stored
from tasks.heads.cosine import direction
from tasks.learners.learner import as_learner
from tasks.learners.scoring import episode_scores
from tasks.progress import Track

WAY = 5
SHOTS = (5, 1)  # the first that enough classes have the images for
QUERIES = 5
EPISODES = 400
_AT_ONCE = 20  # episodes between two signs of progress; bounds memory
_PURPOSE = "export, unknown"


@dataclass(frozen=True)
class Scored:
    """Scores of queries, one kind of score.

    Attributes:
        enrolled: of classes that were enrolled `(query,)`.
        other: of classes that were not `(query,)`.
    """

    enrolled: NDArray[np.float64]
    other: NDArray[np.float64]

    def false_accept(self, threshold: float) -> float:
        """Share of queries of other classes that get an answer, 0..1."""
        return float((self.other >= threshold).mean())

    def false_reject(self, threshold: float) -> float:
        """Share of queries of enrolled classes that are called unknown, 0..1."""
        return float((self.enrolled < threshold).mean())

    def auroc(self) -> float:
        """Chance that an enrolled class scores above another one; ties count half."""
        other = np.sort(self.other)
        twice = sum(np.searchsorted(other, self.enrolled, side).sum() for side in ("left", "right"))
        return float(twice / 2 / (len(self.enrolled) * len(other)))


def calibrate_unknown(
    learner: nn.Module,
    embeddings: Float[Tensor, "image dim"],
    labels: NDArray[np.int64],
    *,
    seed: int,
    track: Track,
    episodes: int = EPISODES,
) -> dict[str, Any] | None:
    """The manifest's section on unknown images.

    Args:
        learner: as in the bundle; left in evaluation mode. Of one that moves the network, the head.
        embeddings: of the validation images, as the bundle's encoder gives them.
        labels: class of each image `(image,)`.
        seed: `seed` of `params.yaml`.
        track: shows progress.
        episodes: how many to draw, at least two; half of them choose, half of them measure.

    Returns:
        `score`, `threshold`, `false_accept`, `false_reject` and `auroc`, 0..1, with `way`, `shot`,
        `episodes` and `words`; None where fewer than four classes have the images.
    """
    learner.eval()
    drawn = _draw(Pool(labels), seed, episodes)
    if drawn is None:
        return None
    scores = _score(learner, embeddings, drawn, track)
    half = episodes // 2
    chosen = {name: _scored(values[:half]) for name, values in scores.items()}
    score = max(chosen, key=lambda name: chosen[name].auroc())
    threshold = stored(equal_error_threshold(chosen[score]))
    measured = _scored(scores[score][half:])
    _, way, shot = drawn.support.shape
    found = {
        "score": score,
        "threshold": threshold,
        "false_accept": stored(measured.false_accept(threshold)),
        "false_reject": stored(measured.false_reject(threshold)),
        "auroc": stored(measured.auroc()),
        "way": way,
        "shot": shot,
        "episodes": episodes,
    }
    return {**found, "words": _in_words(found)}


def equal_error_threshold(scored: Scored) -> float:
    """The threshold that errs as often in both ways, or as nearly as any.

    It lies half-way between two scores that occur, so that it says the same of both as any other
    place between them.
    """
    values = np.unique(np.concatenate([scored.enrolled, scored.other]))
    between = (values[1:] + values[:-1]) / 2 if len(values) > 1 else values
    enrolled, other = np.sort(scored.enrolled), np.sort(scored.other)
    false_reject = np.searchsorted(enrolled, between) / len(enrolled)
    false_accept = 1 - np.searchsorted(other, between) / len(other)
    return float(between[np.abs(false_accept - false_reject).argmin()])


def _draw(pool: Pool, seed: int, episodes: int) -> Episodes | None:
    """Episodes whose support has the first half of the classes, and whose query has all of them."""
    for shot in SHOTS:
        queries = min(QUERIES, shot)
        way = min(WAY, pool.able(shot + queries) // 2)
        if way >= 2:
            drawn = pool.draw(
                0,
                episodes,
                way=2 * way,
                shot=shot,
                queries=queries,
                seed=seed,
                purpose=_PURPOSE,
            )
            return Episodes(drawn.classes[:, :way], drawn.support[:, :way], drawn.query)
    return None


@torch.no_grad()
def _score(
    learner: nn.Module, embeddings: Float[Tensor, "image dim"], drawn: Episodes, track: Track
) -> dict[str, NDArray[np.float64]]:
    """Both scores of every query `(episode, query)`, those of enrolled classes first."""
    count = len(drawn.classes)
    parts: dict[str, list[NDArray[np.float64]]] = {"similarity": [], "probability": []}
    for at in track(range(0, count, _AT_ONCE), "scoring unknown images"):
        some = drawn.between(at, min(at + _AT_ONCE, count))
        probabilities = episode_scores(as_learner(learner), embeddings, some).softmax(dim=-1)
        highest, best = probabilities.max(dim=-1)
        parts["probability"].append(highest.numpy().astype(np.float64))
        parts["similarity"].append(_similarity(embeddings, some, best).numpy().astype(np.float64))
    return {name: np.concatenate(each) for name, each in parts.items()}


def _similarity(
    embeddings: Float[Tensor, "image dim"], some: Episodes, best: Int64[Tensor, "episode query"]
) -> Float[Tensor, "episode query"]:
    """Mean cosine between each query and the support of its class `best`."""
    means = direction(embeddings[torch.from_numpy(some.support)]).mean(dim=2)
    query = direction(embeddings[torch.from_numpy(some.query)].flatten(1, 2))
    return (query @ means.transpose(1, 2)).gather(2, best[..., None])[..., 0]


def _scored(values: NDArray[np.float64]) -> Scored:
    enrolled, other = np.split(values, 2, axis=1)
    return Scored(enrolled.ravel(), other.ravel())


def _in_words(found: Mapping[str, Any]) -> str:
    meant = {
        "probability": "the highest probability",
        "similarity": "the mean cosine to the images of the likeliest class",
    }
    return (
        f"{meant[found['score']]} below {found['threshold']:g} is unknown; set where both errors "
        f"are as frequent, on half of {found['episodes']} {found['way']}-way {found['shot']}-shot "
        "episodes of validation classes, half of whose queries are of classes that are not "
        f"enrolled; on the other half {100 * found['false_accept']:.1f} % of these got an answer, "
        f"and {100 * found['false_reject']:.1f} % of the enrolled ones were called unknown"
    )
