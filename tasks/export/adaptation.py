"""Which part of its adaptation a learner brings into the bundle, and what the rest was worth.

A bundle adapts from embeddings. A learner that moves the network in its inner loop too leaves that
part behind: the bundle has the meta-trained network as it is and the inner steps of the head.
"""

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from tasks.artifacts.image_store import ImageStore, Part
from tasks.backbones.encoder import Encoder, embed
from tasks.episodes.protocol import draw_protocol
from tasks.episodes.sampler import Episodes
from tasks.export.figures import mean_with_interval, stored
from tasks.export.parts import Parts
from tasks.learners.gradient import GradientLearner
from tasks.learners.learner import as_learner
from tasks.learners.scoring import accuracies, episode_scores, model_scores
from tasks.params.evaluate import Protocol
from tasks.progress import Track

EPISODES = 300
_PURPOSE = "export, head only"


def describe_adaptation(
    parts: Parts,
    store: ImageStore,
    kind: Protocol,
    *,
    queries: int,
    seed: int,
    track: Track,
) -> dict[str, Any]:
    """What the bundle carries of the learner's adaptation, for the manifest.

    Args:
        parts: what the bundle is made of.
        store: holds the images of the protocol.
        kind: the protocol that the cost is measured by.
        queries: images of a class in an episode.
        seed: `seed` of `params.yaml`.
        track: shows progress.

    Returns:
        `carried`, `all` or `head`; `words`; and for `head` the `cost` of leaving the rest out.

    Raises:
        DataError: the images are too few for such episodes.
    """
    learner = parts.adapt.learner
    told: dict[str, Any] = {"carried": carried(learner), "words": in_words(learner)}
    if told["carried"] == "head":
        part = store.read(kind.domain)
        episodes = draw_protocol(
            kind, part, queries=queries, seed=seed, purpose=_PURPOSE, episodes=EPISODES
        )
        told["cost"] = {
            "protocol": kind.name,
            "queries": queries,
            **cost_of_head_only(parts.encoder.encoder, learner, part, episodes, track),
        }
    return told


def carried(learner: nn.Module) -> str:
    """`all` or `head`: how much of its adaptation a learner brings into the bundle."""
    return "head" if as_learner(learner).moves_network else "all"


def in_words(learner: nn.Module) -> str:
    """The same for people."""
    if not isinstance(learner, GradientLearner):
        return "all of it; it takes no gradient steps"
    steps = f"{learner.rates.steps} gradient {'step' if learner.rates.steps == 1 else 'steps'}"
    if not learner.moves_network:
        return f"all of it: {steps} of the head"
    statistics = ""
    if learner.normalisation == "transductive":
        statistics = (
            "; BatchNorm normalises by its running statistics, not by the images of an episode as "
            "in training"
        )
    return (
        f"the head alone: {steps} of the head over the network as meta-trained; the steps that the "
        f"network takes beside it in training are left out{statistics}"
    )


def cost_of_head_only(
    encoder: Encoder, learner: nn.Module, part: Part, episodes: Episodes, track: Track
) -> dict[str, Any]:
    """What adapting the head alone loses against adapting network and head.

    Args:
        encoder: as in the bundle.
        learner: a `GradientLearner` that moves the network.
        part: the images that the episodes name.
        episodes: both ways of adapting answer the same ones.
        track: shows progress.

    Returns:
        `episodes`, how many; `all` and `head`, mean accuracies, 0..1; `all_over_head`, the mean of
        the paired differences with half of its 95 % interval.
    """
    count = len(episodes.classes)
    # One by one: where episodes take every class, the scores of many would fill the memory.
    found = np.array(
        [
            _accuracies(encoder, learner, part.images, episodes.between(at, at + 1))
            for at in track(range(count), "adapting with and without the network", count)
        ]
    )
    return {
        "episodes": count,
        "all": stored(found[:, 0].mean()),
        "head": stored(found[:, 1].mean()),
        "all_over_head": mean_with_interval(found[:, 0] - found[:, 1]),
    }


def _accuracies(
    encoder: Encoder, learner: nn.Module, images: NDArray[np.uint8], episode: Episodes
) -> tuple[float, float]:
    """Accuracy of one episode, 0..1: network and head adapted, and the head alone."""
    shot = episode.support.shape[2]
    named = np.concatenate([episode.support, episode.query], axis=2)
    places = np.arange(named.size).reshape(named.shape)
    own = replace(episode, support=places[..., :shot], query=places[..., shot:])
    used = images[named.ravel()]
    embeddings = embed(encoder, used)
    full = model_scores(encoder, learner, used, embeddings, own)
    head = episode_scores(as_learner(learner), embeddings, own)
    return accuracies(full, own).item(), accuracies(head, own).item()
