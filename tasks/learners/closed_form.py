"""Closed forms by inner products: each image against each once, and episodes look them up.

What a closed-form rule chooses lies in the span of the support features `x_i`,

    weight of class c  =  sum_i  a_ci x_i,       score of query z  =  sum_i  a_ci <x_i, z>  +  b_c,

and its coefficients `a` and bias `b` follow from the inner products of the support alone. So an
episode needs `support * (support + query)` numbers of the Gram matrix of all images and no
embedding, which saves most of the work where embeddings are long and images few.

Source: Schoelkopf, Herbrich and Smola, A Generalized Representer Theorem, 2001, theorem 1.
"""

from typing import Protocol, TypeGuard, runtime_checkable

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from tasks.episodes.sampler import Episodes
from tasks.learners.learner import Learner

# Measured on two cores, in units of what it costs to copy one number of an embedding.
_LOOK_UP = 4
_PRODUCTS_FOR_ONE = 32
_MOST_IMAGES = 4096  # whose Gram matrix has 64 MB

_LOOK_UPS_AT_ONCE = 150_000  # what stays in the cache


@runtime_checkable
class ClosedForm(Learner, Protocol):
    """A learner whose rule follows from the inner products of its features."""

    def coefficients(
        self,
        products: Float[Tensor, "*episodes support support"],
        labels: Int64[Tensor, "*episodes support"],
        classes: Int64[Tensor, " way"],
    ) -> tuple[Float[Tensor, "*episodes way support"], Float[Tensor, "*episodes way"]]:
        """The rule of `adapt` in terms of the support features.

        Args:
            products: inner products of the features of each two support images.
            labels: class of each support image; one that is not in `classes` is ignored.
            classes: labels to tell apart, in the order of the scores wanted.

        Returns:
            What each support feature counts in the weight of each class, and the bias.
        """
        ...


def pays(
    learner: Learner, embeddings: Float[Tensor, "image dim"], episodes: Episodes
) -> TypeGuard[ClosedForm]:
    """Whether scores are had sooner by inner products than from the embeddings themselves."""
    images, dim = embeddings.shape
    support = episodes.support[0].size
    rows = len(episodes.support) * (support + episodes.query[0].size)
    by_products = images**2 * dim / _PRODUCTS_FOR_ONE + _LOOK_UP * rows * support
    return isinstance(learner, ClosedForm) and images <= _MOST_IMAGES and by_products < rows * dim


@torch.no_grad()
def scores_by_products(
    learner: ClosedForm,
    embeddings: Float[Tensor, "image dim"],
    episodes: Episodes,
    labels: Int64[Tensor, "episode support"],
) -> Float[Tensor, "episode query way"]:
    """Class scores of every query of every episode; as `episode_scores`, but for rounding.

    Args:
        learner: adapts to each support set.
        embeddings: of all images that the episodes may name.
        episodes: which images.
        labels: position of the class of each support image, -1 for one left out.
    """
    count, way, _ = episodes.support.shape
    device = embeddings.device
    classes = torch.arange(way, device=device)
    features = learner.features(embeddings)
    products = (features @ features.T).flatten()
    support, query = (
        torch.from_numpy(images.reshape(count, -1)).to(device, torch.int32)
        for images in (episodes.support, episodes.query)
    )
    either = torch.cat([support, query], 1)
    shape = support.shape[1], either.shape[1]
    scores = embeddings.new_empty(count, query.shape[1], way)
    chunk = max(1, _LOOK_UPS_AT_ONCE // (shape[0] * shape[1]))
    for at in range(0, count, chunk):
        part = slice(at, at + chunk)
        places = support[part, :, None] * len(embeddings) + either[part, None, :]
        found = products.index_select(0, places.flatten()).view(-1, *shape)
        inner, outer = found[..., : shape[0]], found[..., shape[0] :]
        weight, bias = learner.coefficients(inner, labels[part], classes)
        scores[part] = (weight @ outer).transpose(-1, -2) + bias[:, None, :]
    return scores
