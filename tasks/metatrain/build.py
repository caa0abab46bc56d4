"""Wires what meta-training needs, by learner."""

import logging
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from tasks import optimisation
from tasks.artifacts.image_store import Part
from tasks.backbones.encoder import Encoder, embed, pixels
from tasks.backbones.kept import embed_kept, kept
from tasks.backbones.scale_and_shift import add_scale_and_shift
from tasks.episodes.augmentation import Augmentation
from tasks.learners.cosine import CentredCosine
from tasks.learners.gradient import FAMILIES, GradientLearner
from tasks.learners.learner import build_learner
from tasks.learners.spec import LearnerSpec
from tasks.metatrain.meta_gradients import (
    Difference,
    EpisodeImages,
    FromEmbeddings,
    MetaGradient,
    OneByOne,
    Together,
)
from tasks.metatrain.outer_loop import OuterLoop
from tasks.params.metatrain import Metatrain
from tasks.randomness import torch_generator
from tasks.ranks.group import ALONE, Ranks

logger = logging.getLogger(__name__)

_SETTLING_IMAGES = 2048
_SETTLING_BATCH = 128


def learner_spec(section: Metatrain, encoder: Encoder) -> LearnerSpec:
    """What learner the params ask for, over this encoder."""
    moves = section.learner in FAMILIES and FAMILIES[section.learner].moves_network
    shapes = {name: list(value.shape) for name, value in encoder.named_parameters()}
    return LearnerSpec(
        section.learner,
        encoder.width,
        initial_temperature=section.initial_temperature,
        inner_steps=section.inner_steps,
        inner_learning_rate=section.inner_learning_rate,
        network_learning_rate=section.inner_network_learning_rate,
        first_order=section.first_order,
        initial_penalty=section.initial_penalty,
        initial_penalty_of_one=section.initial_penalty_of_one,
        projection_dim=section.projection.dim,
        dropout=section.projection.dropout,
        normalisation=section.normalisation,
        network_shapes=shapes if moves else {},
    )


def outer_loop(
    section: Metatrain,
    encoder: Encoder,
    spec: LearnerSpec,
    base: Part,
    seed: int,
    ranks: Ranks = ALONE,
) -> OuterLoop:
    """Everything that takes steps.

    Args:
        section: of the params.
        encoder: where meta-training starts; changed in place.
        spec: of the learner.
        base: the base classes.
        seed: `seed` of `params.yaml`.
        ranks: that take every step together, each on episodes of its own.
    """
    learner = build_learner(spec).to(encoder.device)
    augmentation = Augmentation(**section.augmentation.model_dump())
    embeddings = None
    if section.freezes_backbone:
        encoder.requires_grad_(False)
        embeddings = _views(encoder, base, augmentation, section.views, seed)
    elif section.learner == "mtl":
        add_scale_and_shift(encoder)
    if isinstance(learner, CentredCosine):
        as_stored = embed(encoder, base.images) if embeddings is None else embeddings[0]
        learner.centre.copy_(as_stored.mean(dim=0))
    optimizer = optimisation.optimizer(
        section.optimizer,
        [*encoder.parameters(), *learner.parameters()],
        section.learning_rate,
        section.weight_decay,
    )
    schedule = optimisation.schedule(
        section.schedule,
        optimizer,
        total_steps=max(1, section.steps),
        decay=section.exponential_decay,
        decay_every_steps=section.exponential_every_batches or section.checkpoint_every_steps,
        plateau_factor=section.plateau.factor,
        plateau_patience=section.plateau.patience,
    )
    images = EpisodeImages(base, augmentation, seed, ranks, encoder.device)
    gradient = _meta_gradient(encoder, learner, images, embeddings)
    return OuterLoop(
        encoder,
        learner,
        gradient,
        optimizer,
        schedule,
        section.averaging,
        section.interpolation,
        ranks,
    )


def _meta_gradient(
    encoder: Encoder, learner: nn.Module, images: EpisodeImages, embeddings: Tensor | None
) -> MetaGradient:
    if embeddings is not None:
        return FromEmbeddings(learner, embeddings, images.seed)
    if isinstance(learner, GradientLearner) and learner.moves_network:
        way = Difference if learner.family.order == 0 else OneByOne
        return way(encoder, learner, images)
    return Together(encoder, learner, images)


@torch.no_grad()
def _views(
    encoder: Encoder, base: Part, augmentation: Augmentation, views: int, seed: int
) -> Tensor:
    """Embeddings `(view, image, dim)`: as stored, and as varied in `views - 1` other ways."""
    encoder.eval()
    seen = [embed_kept(encoder, base.images)]
    for view in range(1, views):
        make = partial(_varied, encoder, base.images, augmentation, seed, view)
        seen.append(kept(encoder, base.images, make, augmentation, seed, view))
    logger.info("the backbone is frozen: %d images embedded, %d view(s) each", len(seen[0]), views)
    return torch.stack(seen)


@torch.no_grad()
def _varied(
    encoder: Encoder,
    images: NDArray[np.uint8],
    augmentation: Augmentation,
    seed: int,
    view: int,
) -> Tensor:
    generator = torch_generator(seed, "metatrain", "views", view)
    at_once = 256
    return torch.cat(
        [
            encoder(augmentation(pixels(images[at : at + at_once], encoder.device), generator))
            for at in range(0, len(images), at_once)
        ]
    )


@torch.no_grad()
def settle_statistics(encoder: Encoder, base: Part, seed: int) -> None:
    """Give the BatchNorm of an untrained encoder the statistics of some base images.

    Its running statistics would otherwise be those of no data, and meta-training, which leaves
    them alone, would have nothing to normalise by.

    Args:
        encoder: untrained; left in evaluation mode.
        base: the base classes.
        seed: `seed` of `params.yaml`.
    """
    layers = [one for one in encoder.modules() if isinstance(one, nn.modules.batchnorm._BatchNorm)]
    momenta = [one.momentum for one in layers]
    for one in layers:
        one.momentum = None  # the plain average of all batches
    order = torch.randperm(len(base.images), generator=torch_generator(seed, "metatrain", "settle"))
    chosen = order[:_SETTLING_IMAGES].sort().values.numpy()
    encoder.train()
    for at in range(0, len(chosen), _SETTLING_BATCH):
        if len(batch := chosen[at : at + _SETTLING_BATCH]) > 1 or at == 0:
            encoder(pixels(base.images[batch], encoder.device))
    for one, momentum in zip(layers, momenta, strict=True):
        one.momentum = momentum
    encoder.eval()
