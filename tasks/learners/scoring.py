"""Accuracy of a learner on episodes of images that are embedded once."""

import torch
from jaxtyping import Float
from torch import Tensor

from tasks.episodes.sampler import Episodes
from tasks.learners.learner import Learner, episode_logits

_CHUNK_FLOATS = 20_000_000  # bounds the memory of a chunk of episodes, 80 MB


@torch.no_grad()
def episode_scores(
    learner: Learner, embeddings: Float[Tensor, "image dim"], episodes: Episodes
) -> Float[Tensor, "episode query way"]:
    """Class scores of every query of every episode, in batched matrix products.

    Args:
        learner: adapts to each support set.
        embeddings: of all images that the episodes may name.
        episodes: which images.

    Returns:
        Logits; queries run class by class in the order of the episode's classes.
    """
    count, way, shot = episodes.support.shape
    per_episode = (way * shot + episodes.query[0].size + way) * embeddings.shape[1]
    chunk = max(1, _CHUNK_FLOATS // per_episode)
    classes = torch.arange(way)
    labels = classes.repeat_interleave(shot)
    parts = []
    for at in range(0, count, chunk):
        support = embeddings[torch.from_numpy(episodes.support[at : at + chunk]).flatten(1)]
        query = embeddings[torch.from_numpy(episodes.query[at : at + chunk]).flatten(1)]
        parts.append(
            episode_logits(learner, support, labels.expand(len(support), -1), classes, query)
        )
    return torch.cat(parts)


def episode_accuracies(
    learner: Learner, embeddings: Float[Tensor, "image dim"], episodes: Episodes
) -> Float[Tensor, " episode"]:
    """Share of right answers in each episode, 0..1; ties go to the first class."""
    scores = episode_scores(learner, embeddings, episodes)
    _, way, queries = episodes.query.shape
    truth = torch.arange(way).repeat_interleave(queries)
    return (scores.argmax(dim=-1) == truth).to(torch.float64).mean(dim=-1)
