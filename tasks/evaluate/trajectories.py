"""A softmax head on its way: what it answers after so many gradient steps on the support.

All of the support is in every step, and all episodes and rates go at once, in terms of scores
(`tasks.learners.steps_by_scores`).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from tasks.episodes.sampler import Episodes
from tasks.heads.linear import linear_logits
from tasks.heads.prototype import membership
from tasks.learners.learner import Learner
from tasks.learners.steps_by_scores import scores_after, steps_by_scores

STEPS = (0, 1, 2, 3, 5, 10, 20, 50, 100)
_CHUNK_FLOATS = 2_000_000  # of one chunk of episodes, 8 MB: what a processor keeps at hand


@dataclass(frozen=True)
class Start:
    """Where a head starts, and over which features.

    Attributes:
        features: a learner's, which the head is linear in.
        head: gives the weight and bias to start from; None starts at zero, where every class is
            as likely.
    """

    features: Learner
    head: Learner | None

    def rule(self, raw: Tensor, labels: Tensor, classes: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Features of the support, and the weight and bias to start from.

        Args:
            raw: embeddings of the support, `(episode, support, dim)`.
            labels: class of each, `(episode, support)`.
            classes: labels to tell apart.
        """
        features = self.features.features(raw)
        if self.head is not None:
            return features, *self.head.adapt(raw, labels, classes)
        bias = features.new_zeros(len(raw), len(classes))
        return features, features.new_zeros(*bias.shape, features.shape[-1]), bias


@torch.no_grad()
def accuracies_along(
    start: Start,
    embeddings: Tensor,
    episodes: Episodes,
    rates: Tensor,
    listed: Sequence[int] = STEPS,
) -> Tensor:
    """Accuracy of every episode after each listed number of steps.

    Args:
        start: of the head.
        embeddings: of all images that the episodes may name, `(image, dim)`.
        episodes: which images.
        rates: of each option and step, `(option, max(listed))`.
        listed: numbers of steps, ascending.

    Returns:
        Shares of right answers `(option, step, episode)`, 0..1, float64; ties go to the first
        class.
    """
    chunk = episodes_at_once(embeddings, episodes, rates)
    parts = [
        _chunk(start, embeddings, episodes.between(at, at + chunk), rates, listed)
        for at in range(0, len(episodes.classes), chunk)
    ]
    return torch.cat(parts, dim=-1)


def episodes_at_once(embeddings: Tensor, episodes: Episodes, rates: Tensor) -> int:
    """How many episodes are descended on together; arguments as in `accuracies_along`."""
    way, queries = (int(one) for one in episodes.query.shape[1:])
    support = way * int(episodes.support.shape[2])
    images = support + way * queries
    floats = images * (embeddings.shape[1] + support + way * len(rates))
    return max(1, _CHUNK_FLOATS // floats)


def _chunk(
    start: Start, embeddings: Tensor, episodes: Episodes, rates: Tensor, listed: Sequence[int]
) -> Tensor:
    classes = torch.arange(episodes.support.shape[1])
    raw = embeddings[torch.from_numpy(episodes.support).flatten(1)]
    labels = torch.from_numpy(episodes.support_labels())
    member = membership(labels, classes, raw.dtype)
    features, weight, bias = start.rule(raw, labels, classes)
    query = start.features.features(embeddings[torch.from_numpy(episodes.query).flatten(1)])
    begun = linear_logits(query, weight, bias).transpose(-1, -2)
    products = features @ query.transpose(-1, -2)
    truth = classes.repeat_interleave(episodes.query.shape[2])
    found = []
    for step, taken in enumerate(steps_by_scores(features, member, weight, bias, rates)):
        if step in listed:
            answers = scores_after(begun, products, taken).argmax(dim=-2)
            found.append((answers == truth).to(torch.float64).mean(dim=-1).T)
    return torch.stack(found, dim=1)
