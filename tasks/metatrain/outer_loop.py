"""The outer loop: one optimizer step for each meta-batch of episodes."""

from dataclasses import dataclass
from typing import cast

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import Optimizer
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from tasks.artifacts.image_store import Part
from tasks.backbones.encoder import Encoder, pixels
from tasks.episodes.augmentation import Augmentation
from tasks.episodes.sampler import Episodes
from tasks.learners.learner import Learner, as_learner, episode_logits
from tasks.optimisation import Schedule
from tasks.randomness import torch_generator


def meta_loss(
    encoder: Encoder,
    learner: Learner,
    support: Float[Tensor, "episode way shot channels side side"],
    query: Float[Tensor, "episode way queries channels side side"],
) -> Float[Tensor, ""]:
    """Mean cross-entropy of the queries after adapting to the support of each episode.

    All images of the meta-batch pass the encoder together; its BatchNorm is expected to use its
    running statistics, so no image sees another.

    Args:
        encoder: embeds the images.
        learner: adapts to each episode.
        support: images, 0 (black) to 1 (white).
        query: images of the same classes in the same order.
    """
    episodes, way, shot = support.shape[:3]
    queries = query.shape[2]
    embeddings = encoder(torch.cat([support.flatten(0, 2), query.flatten(0, 2)]))
    cut = episodes * way * shot
    classes = torch.arange(way)
    scores = episode_logits(
        learner,
        embeddings[:cut].view(episodes, way * shot, -1),
        classes.repeat_interleave(shot).expand(episodes, -1),
        classes,
        embeddings[cut:].view(episodes, way * queries, -1),
    )
    truth = classes.repeat_interleave(queries).expand(episodes, -1)
    return F.cross_entropy(scores.flatten(0, 1), truth.flatten())


@dataclass
class OuterLoop:
    """Takes meta-training steps.

    Attributes:
        encoder: trained, with the BatchNorm statistics that it came with.
        learner: its parameters are trained too.
        part: the base classes.
        augmentation: applied to support and query images alike, each in its own way.
        optimizer: over encoder and learner.
        schedule: stepped once a meta-batch.
        averaging: how much of the average of the weights each step keeps; 0 is no averaging.
        seed: `seed` of `params.yaml`.
    """

    encoder: Encoder
    learner: nn.Module
    part: Part
    augmentation: Augmentation
    optimizer: Optimizer
    schedule: Schedule
    averaging: float
    seed: int

    def __post_init__(self) -> None:
        """Start the average at the weights as they are."""
        # Source: Tarvainen and Valpola, Mean teachers are better role models, 2017, section 2.
        self._trained = nn.ModuleList([self.encoder, self.learner])
        self._average = AveragedModel(
            self._trained,
            multi_avg_fn=get_ema_multi_avg_fn(self.averaging),  # type: ignore[no-untyped-call]
            use_buffers=True,
        )
        self._average.update_parameters(self._trained)

    @property
    def averaged(self) -> tuple[Encoder, nn.Module]:
        """Encoder and learner with weights averaged over the steps: what is scored and kept."""
        encoder, learner = cast(nn.ModuleList, self._average.module)
        return cast(Encoder, encoder), learner

    def step(self, episodes: Episodes, number: int) -> float:
        """Take one step on a meta-batch and return its loss.

        Args:
            episodes: the meta-batch.
            number: of the step; names its random stream.
        """
        self.encoder.eval()
        generator = torch_generator(self.seed, "metatrain", "augmentation", number)
        support, query = (
            self._images(torch.from_numpy(indices), generator)
            for indices in (episodes.support, episodes.query)
        )
        loss = meta_loss(self.encoder, as_learner(self.learner), support, query)
        self.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        self.schedule.step()
        self._average.update_parameters(self._trained)
        return float(loss.detach())

    def _images(self, indices: Tensor, generator: torch.Generator) -> Tensor:
        flat = self.augmentation(pixels(self.part.images[indices.flatten().numpy()]), generator)
        return flat.view(*indices.shape, *flat.shape[1:])
