"""Accuracy of a learner on episodes: many at once where images need to be embedded only once."""

import numpy as np
import torch
from jaxtyping import Float, Int64
from numpy.typing import NDArray
from torch import Tensor, nn

from tasks.backbones.encoder import Encoder, pixels
from tasks.backbones.normalisation import normalising
from tasks.device import PROCESSOR
from tasks.episodes.sampler import Episodes
from tasks.learners.closed_form import pays, scores_by_products
from tasks.learners.gradient import GradientLearner
from tasks.learners.learner import Learner, as_learner, episode_logits
from tasks.progress import Track, untracked

_CHUNK_FLOATS = 1_000_000  # of embeddings at a time: 4 MB, which stay in the cache


def model_scores(
    encoder: Encoder,
    learner: nn.Module,
    images: NDArray[np.uint8],
    embeddings: Float[Tensor, "image dim"],
    episodes: Episodes,
    track: Track = untracked,
) -> Float[Tensor, "episode query way"]:
    """Class scores of every query of every episode, whatever the learner moves.

    Args:
        encoder: left in evaluation mode.
        learner: adapts to each support set, left in evaluation mode; a `Learner`.
        images: stored images that the episodes name, `(image, side, side, channels)`, 0..255.
        embeddings: of the same images.
        episodes: which images.
        track: shows the progress of learners that go through the network for every episode.

    Returns:
        Logits; queries run class by class in the order of the episode's classes.
    """
    learner.eval()
    if isinstance(learner, GradientLearner) and learner.moves_network:
        with normalising(encoder, learner.normalisation):
            return _network_scores(encoder, learner, images, episodes, track)
    return episode_scores(as_learner(learner), embeddings, episodes)


@torch.no_grad()
def episode_scores(
    learner: Learner, embeddings: Float[Tensor, "image dim"], episodes: Episodes
) -> Float[Tensor, "episode query way"]:
    """Class scores of every query of every episode, in batched matrix products.

    From the embeddings, or by their inner products where that is less work.

    Args:
        learner: adapts to each support set.
        embeddings: of all images that the episodes may name.
        episodes: which images.

    Returns:
        Logits; queries run class by class in the order of the episode's classes.
    """
    labels = support_labels(episodes, embeddings.device)
    if pays(learner, embeddings, episodes):
        return scores_by_products(learner, embeddings, episodes, labels)
    count, way, shot = episodes.support.shape
    per_episode = (way * shot + episodes.query[0].size + way) * embeddings.shape[1]
    chunk = max(1, _CHUNK_FLOATS // per_episode)
    classes = torch.arange(way, device=embeddings.device)
    supports, queries = _LookUp(embeddings), _LookUp(embeddings)
    scores = embeddings.new_empty(count, episodes.query[0].size, way)
    for at in range(0, count, chunk):
        part = slice(at, at + chunk)
        support, query = supports(episodes.support[part]), queries(episodes.query[part])
        scores[part] = episode_logits(learner, support, labels[part], classes, query)
    return scores


class _LookUp:
    """Looks up embeddings, always into the same memory.

    Given back and asked for again, blocks of this size leave holes in which the next one does not
    fit: at times a process grew to four times of what it needs.
    """

    def __init__(self, embeddings: Float[Tensor, "image dim"]) -> None:
        self._embeddings = embeddings
        self._memory = embeddings.new_empty(0)

    def __call__(self, images: NDArray[np.int64]) -> Float[Tensor, "episode images dim"]:
        places = torch.from_numpy(images).flatten().to(self._embeddings.device)
        size = len(places) * self._embeddings.shape[1]
        if len(self._memory) < size:
            self._memory = self._embeddings.new_empty(size)
        found = self._memory[:size].view(len(places), -1)
        torch.index_select(self._embeddings, 0, places, out=found)
        return found.view(len(images), -1, self._embeddings.shape[1])


@torch.no_grad()
def _network_scores(
    encoder: Encoder,
    learner: GradientLearner,
    images: NDArray[np.uint8],
    episodes: Episodes,
    track: Track,
) -> Float[Tensor, "episode query way"]:
    count, way, _ = episodes.support.shape
    device = encoder.device
    classes = torch.arange(way, device=device)
    labels = support_labels(episodes, device)
    parts = []
    for number in track(range(count), "adapting the network", count):
        support = pixels(images[episodes.support[number].ravel()], device)
        query = pixels(images[episodes.query[number].ravel()], device)
        adapted = learner.adapt_network(encoder, support, labels[number], classes)
        parts.append(learner.network_logits(encoder, adapted, query))
    return torch.stack(parts)


def support_labels(
    episodes: Episodes, device: torch.device = PROCESSOR
) -> Int64[Tensor, "episode support"]:
    """Position of the class of each support image, class by class; -1 for one left out."""
    return torch.tensor(episodes.support_labels(), device=device)


def episode_accuracies(
    learner: Learner, embeddings: Float[Tensor, "image dim"], episodes: Episodes
) -> Float[Tensor, " episode"]:
    """Share of right answers in each episode, 0..1; ties go to the first class."""
    return accuracies(episode_scores(learner, embeddings, episodes), episodes)


def accuracies(
    scores: Float[Tensor, "episode query way"], episodes: Episodes
) -> Float[Tensor, " episode"]:
    """Share of right answers in each episode, 0..1; ties go to the first class."""
    _, way, queries = episodes.query.shape
    truth = torch.arange(way, device=scores.device).repeat_interleave(queries)
    return (scores.argmax(dim=-1) == truth).to(torch.float64).mean(dim=-1)
