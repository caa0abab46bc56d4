"""A softmax head on its way: what it answers after so many gradient steps on the support.

All of the support is in every step, and all episodes and rates go at once. Gradients lie in the
span of the support features `X (n, dim)`, so where `n < dim` everything is turned into that span
first, by the orthonormal `Q (dim, n)` of a QR decomposition: with `W = V Q' + W_rest` only `V`
moves, and `W_rest` adds the same to a query's scores at every step. The numbers are those of the
descent in full, at a tenth of the cost.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from tasks.episodes.sampler import Episodes
from tasks.heads.linear import linear_logits
from tasks.heads.prototype import membership
from tasks.heads.softmax import cross_entropy_gradient
from tasks.learners.inner_loop import Parameters, descend
from tasks.learners.learner import Learner

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


def steps_of_head(
    features: Tensor, member: Tensor, weight: Tensor, bias: Tensor, rates: Tensor
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield weight and bias before the first step and after each one.

    Args:
        features: of the support, `(episode, support, dim)`.
        member: its one-hot rows, `(episode, support, way)`.
        weight: to start from, `(episode, way, dim)`.
        bias: to start from, `(episode, way)`.
        rates: of each option and step, `(option, step)`.

    Yields:
        `(option, episode, way, dim)` and `(option, episode, way)`.
    """
    options = rates.shape[0]
    features, member, weight, bias = (
        one.expand(options, *one.shape) for one in (features, member, weight, bias)
    )

    def gradient(at: Parameters) -> Parameters:
        slopes = cross_entropy_gradient(features, member, at["weight"], at["bias"])
        return dict(zip(("weight", "bias"), slopes, strict=True))

    each = [{"weight": rate[:, None, None, None], "bias": rate[:, None, None]} for rate in rates.T]
    for state in descend({"weight": weight, "bias": bias}, gradient, each):
        yield state["weight"], state["bias"]


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
    way, shot = (int(one) for one in episodes.support.shape[1:])
    support = way * shot
    dim = embeddings.shape[1]
    floats = way * min(support, dim) * len(rates) + (int(episodes.query[0].size) + support) * dim
    return max(1, _CHUNK_FLOATS // floats)


def _chunk(
    start: Start, embeddings: Tensor, episodes: Episodes, rates: Tensor, listed: Sequence[int]
) -> Tensor:
    count, way, _ = episodes.support.shape
    classes = torch.arange(way)
    raw = embeddings[torch.from_numpy(episodes.support).flatten(1)]
    labels = torch.from_numpy(episodes.support_labels())
    member = membership(labels, classes, raw.dtype)
    features = start.features.features(raw)
    query = start.features.features(embeddings[torch.from_numpy(episodes.query).flatten(1)])
    if start.head is None:
        weight, bias = features.new_zeros(count, way, features.shape[-1]), raw.new_zeros(count, way)
    else:
        weight, bias = start.head.adapt(raw, labels, classes)
    rest: Tensor | float = 0.0
    if features.shape[-2] < features.shape[-1]:
        span = torch.linalg.qr(features.transpose(-1, -2)).Q
        inside = weight @ span
        rest = query @ (weight - inside @ span.transpose(-1, -2)).transpose(-1, -2)
        features, query, weight = features @ span, query @ span, inside
    truth = classes.repeat_interleave(episodes.query.shape[2])
    found = []
    for step, (now, offset) in enumerate(steps_of_head(features, member, weight, bias, rates)):
        if step in listed:
            scores = linear_logits(query.expand(len(now), *query.shape), now, offset) + rest
            found.append((scores.argmax(dim=-1) == truth).to(torch.float64).mean(dim=-1))
    return torch.stack(found, dim=1)
