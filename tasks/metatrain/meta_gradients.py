"""How one meta-batch gives a gradient: four ways, by what a learner moves.

Each leaves its gradient in `.grad` of encoder and learner and returns the loss. They differ in what
they can share: embeddings that never change are looked up, a network that stands still within an
episode embeds all episodes of the meta-batch together, and a network that moves goes through them
each by itself, on a thread of its own, which is exact with every normalisation.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from tasks.artifacts.image_store import Part
from tasks.backbones.encoder import Encoder, pixels
from tasks.backbones.normalisation import normalising
from tasks.device import PROCESSOR, seeded
from tasks.episodes.augmentation import Augmentation
from tasks.episodes.sampler import Episodes
from tasks.learners.gradient import NETWORK, GradientLearner
from tasks.learners.learner import Learner, as_learner, episode_logits
from tasks.metatrain.lanes import side_by_side
from tasks.randomness import torch_generator
from tasks.ranks.group import ALONE, Ranks

_QUERIES_AT_ONCE = 16  # as fast as all of them, at a fraction of the memory


class MetaGradient(Protocol):
    """Gives the gradient of one meta-batch."""

    def __call__(self, episodes: Episodes, number: int) -> float:
        """Leave the gradient in `.grad` and return the mean loss of the queries.

        Of several ranks, each goes through its own episodes of the meta-batch, and both are the
        means over those.

        Args:
            episodes: the whole meta-batch.
            number: of the step; names its random stream.
        """
        ...


def meta_loss(
    learner: Learner,
    support: Float[Tensor, "episode way_shot dim"],
    query: Float[Tensor, "episode way_queries dim"],
    way: int,
) -> Float[Tensor, ""]:
    """Mean cross-entropy of the queries after adapting to the support of each episode.

    Args:
        learner: adapts to each episode.
        support: embeddings, class by class.
        query: embeddings of the same classes in the same order.
        way: how many classes.
    """
    classes = torch.arange(way, device=support.device)
    labels = classes.repeat_interleave(support.shape[1] // way).expand(len(support), -1)
    scores = episode_logits(learner, support, labels, classes, query)
    truth = _truth(way, query.shape[1], query.device).repeat(len(query))
    return F.cross_entropy(scores.flatten(0, 1), truth)


def _truth(way: int, queries: int, device: torch.device) -> Tensor:
    return torch.arange(way, device=device).repeat_interleave(queries // way)


@dataclass(frozen=True)
class EpisodeImages:
    """The images of episodes, each varied in its own way, support and queries alike.

    Attributes:
        part: the base classes.
        augmentation: how far an image may stray.
        seed: `seed` of `params.yaml`.
        ranks: among which a meta-batch is split.
        device: where images are wanted.
    """

    part: Part
    augmentation: Augmentation
    seed: int
    ranks: Ranks = ALONE
    device: torch.device = PROCESSOR

    def __call__(
        self, episodes: Episodes, number: int
    ) -> tuple[
        Float[Tensor, "episode way_shot channels side side"],
        Float[Tensor, "episode way_queries channels side side"],
    ]:
        """Support and query images of this rank's episodes, 0 (black) to 1 (white), by class."""
        generator = torch_generator(self.seed, "metatrain", "augmentation", number)
        support, query = (
            self._varied(indices, generator) for indices in (episodes.support, episodes.query)
        )
        return support, query

    def _varied(self, indices: NDArray[np.int64], generator: torch.Generator) -> Tensor:
        own, each = self.ranks.rows(len(indices)), indices[0].size
        rows = slice(own.start * each, own.stop * each)
        images = pixels(self.part.images[indices.ravel()[rows]], self.device)
        flat = self.augmentation(images, generator, rows, of=indices.size)
        return flat.view(own.stop - own.start, -1, *flat.shape[1:])


@dataclass(frozen=True)
class FromEmbeddings:
    """For a frozen encoder: every image was embedded once, and a step is a few matrix products.

    Attributes:
        learner: trained; what it leaves out at random depends on the step alone.
        embeddings: of each view of each base image, `(view, image, dim)`.
        seed: `seed` of `params.yaml`.
    """

    learner: nn.Module
    embeddings: Float[Tensor, "view image dim"]
    seed: int

    def __call__(self, episodes: Episodes, number: int) -> float:
        """See `MetaGradient`."""
        generator = torch_generator(self.seed, "metatrain", "view", number)
        support, query = (
            self._looked_up(torch.from_numpy(indices).flatten(1), generator)
            for indices in (episodes.support, episodes.query)
        )
        with seeded(self.embeddings.device, self.seed, "metatrain", "dropout", number):
            self.learner.train()
            loss = meta_loss(as_learner(self.learner), support, query, episodes.support.shape[1])
        loss.backward()  # type: ignore[no-untyped-call]
        return float(loss.detach())

    def _looked_up(self, images: Tensor, generator: torch.Generator) -> Tensor:
        views = torch.randint(len(self.embeddings), images.shape, generator=generator)
        return self.embeddings[views, images]


@dataclass(frozen=True)
class Together:
    """For a network that stands still within an episode: all images pass it at once.

    Its BatchNorm uses running statistics, so no image sees another.

    Attributes:
        encoder: trained, with the BatchNorm statistics that it came with.
        learner: trained.
        images: of the episodes.
    """

    encoder: Encoder
    learner: nn.Module
    images: EpisodeImages

    def __call__(self, episodes: Episodes, number: int) -> float:
        """See `MetaGradient`."""
        support, query = self.images(episodes, number)
        self.encoder.eval()
        embeddings = self.encoder(torch.cat([support.flatten(0, 1), query.flatten(0, 1)]))
        cut = support.shape[0] * support.shape[1]
        loss = meta_loss(
            as_learner(self.learner),
            embeddings[:cut].view(*support.shape[:2], -1),
            embeddings[cut:].view(*query.shape[:2], -1),
            episodes.support.shape[1],
        )
        loss.backward()  # type: ignore[no-untyped-call]
        return float(loss.detach())


@dataclass(frozen=True)
class OneByOne:
    """For a network that moves: each episode adapts a network of its own.

    Attributes:
        encoder: trained.
        learner: trained; moves the network.
        images: of the episodes.
    """

    encoder: Encoder
    learner: GradientLearner
    images: EpisodeImages

    def __call__(self, episodes: Episodes, number: int) -> float:
        """See `MetaGradient`."""
        supports, queries = self.images(episodes, number)
        way, share = episodes.support.shape[1], 1 / len(supports)
        trained = (*self.encoder.parameters(), *self.learner.parameters())
        moving = [one for one in trained if one.requires_grad]

        def episode(encoder: Encoder, index: int) -> tuple[float, Sequence[Tensor | None]]:
            with normalising(encoder, self.learner.normalisation):
                return self._episode(encoder, moving, supports[index], queries[index], way)

        total = 0.0
        for loss, slopes in side_by_side(episode, self.encoder, len(supports)):
            total += share * loss
            for parameter, slope in zip(moving, slopes, strict=True):
                if slope is not None:
                    before = parameter.grad
                    parameter.grad = share * slope if before is None else before + share * slope
        return total

    def _episode(
        self,
        encoder: Encoder,
        moving: Sequence[nn.Parameter],
        support: Tensor,
        query: Tensor,
        way: int,
    ) -> tuple[float, Sequence[Tensor | None]]:
        """Loss of an episode's queries and its gradient; `encoder` shares the parameters.

        Some queries at a time: their gradient is taken at the adapted parameters, summed there, and
        led back through the inner loop once.
        """
        truth = _truth(way, len(query), query.device)
        labels = _truth(way, len(support), query.device)
        classes = torch.arange(way, device=query.device)
        adapted = self.learner.adapt_network(encoder, support, labels, classes)
        at = {name: value.detach().requires_grad_() for name, value in adapted.items()}
        together = self.learner.normalisation == "transductive"
        count, loss = len(query) if together else _QUERIES_AT_ONCE, 0.0
        for images, labels in zip(
            torch.split(query, count), torch.split(truth, count), strict=True
        ):
            scores = self.learner.network_logits(encoder, at, images)
            part = F.cross_entropy(scores, labels, reduction="sum") / len(query)
            part.backward()  # type: ignore[no-untyped-call]
            loss += float(part.detach())
        # The gradient of <adapted, its slope>, which is the chain rule. Given slopes by themselves,
        # torch imports its tracer of graphs first: 45 MB that stay.
        products = [
            torch.sum(adapted[name] * slope)
            for name, value in at.items()
            if adapted[name].requires_grad and (slope := value.grad) is not None
        ]
        slopes = torch.autograd.grad(torch.stack(products).sum(), moving, allow_unused=True)
        return loss, slopes


@dataclass(frozen=True)
class Difference:
    """Reptile: the gradient is the way back from where the inner loop went, on average.

    All images of an episode are its support; there are no queries. Only the network is moved; the
    learned scale of the head stays.

    Attributes:
        encoder: trained.
        learner: moves the network.
        images: of the episodes.

    Source: Nichol, Achiam and Schulman, On First-Order Meta-Learning Algorithms, 2018, algorithm 1
    and section 5 (batched, with the difference given to an optimizer).
    """

    encoder: Encoder
    learner: GradientLearner
    images: EpisodeImages

    def __call__(self, episodes: Episodes, number: int) -> float:
        """See `MetaGradient`; the loss is that of all images after the last inner step."""
        supports, queries = self.images(episodes, number)
        way = episodes.support.shape[1]
        classes, total = torch.arange(way, device=supports.device), 0.0
        for support, query in zip(supports, queries, strict=True):
            images = torch.cat([support, query])
            truth = torch.cat([_truth(way, len(one), one.device) for one in (support, query)])
            with torch.no_grad(), normalising(self.encoder, self.learner.normalisation):
                adapted = self.learner.adapt_network(self.encoder, images, truth, classes)
                scores = self.learner.network_logits(self.encoder, adapted, images)
                total += float(F.cross_entropy(scores, truth)) / len(supports)
            self._add(adapted, 1 / len(supports))
        return total

    @torch.no_grad()
    def _add(self, adapted: dict[str, Tensor], share: float) -> None:
        for name, parameter in self.encoder.named_parameters():
            difference = share * (parameter - adapted[NETWORK + name])
            before = parameter.grad
            parameter.grad = difference if before is None else before + difference
