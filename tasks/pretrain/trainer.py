"""Builds a trainer as the params describe it."""

from collections.abc import Sequence

from torch import nn

from tasks import optimisation
from tasks.artifacts.image_store import Part
from tasks.backbones.encoder import Encoder
from tasks.episodes.augmentation import Augmentation
from tasks.params.pretrain import Pretrain
from tasks.pretrain.frozen import embed_once
from tasks.pretrain.numerics import Numerics
from tasks.pretrain.policy import transfer_policy
from tasks.pretrain.replica import Replica
from tasks.pretrain.training import Trainer, batches_per_epoch
from tasks.pretrain.views import Views
from tasks.progress import Track
from tasks.ranks.batch_norm import share_statistics
from tasks.ranks.group import ALONE, Ranks


def build_trainer(
    section: Pretrain,
    encoder: Encoder,
    classifier: nn.Module,
    base: Part,
    seed: int,
    track: Track,
    segment_factors: Sequence[float] = (),
    ranks: Ranks = ALONE,
) -> Trainer:
    """A trainer before its first step.

    Args:
        section: `pretrain` of the params.
        encoder: as it starts.
        classifier: as it starts.
        base: the base classes.
        seed: `seed` of `params.yaml`.
        track: shows the progress of embedding, where a frozen backbone does it once for all.
        segment_factors: of the rate, found by scouts; read by schedule `cross_validation`.
        ranks: that train it together.
    """
    if not ranks.alone:
        share_statistics(encoder, ranks)
    numerics = Numerics(section.precision)
    policy = transfer_policy(
        section.policy,
        encoder,
        layer_decay=section.layer_decay,
        unfreeze_every_epochs=section.unfreeze_every_epochs,
    )
    optimizer = optimisation.optimizer(
        section.optimizer,
        policy.groups(classifier, section.learning_rate),
        section.learning_rate,
        section.weight_decay,
    )
    per_epoch = batches_per_epoch(len(base.images), section.batch_size)
    return Trainer(
        encoder=encoder,
        classifier=classifier,
        part=base,
        views=Views(
            Augmentation(**section.augmentation.model_dump()),
            section.mixing,
            section.mixing_alpha,
            seed,
        ),
        policy=policy,
        optimizer=optimizer,
        schedule=optimisation.schedule(
            section.schedule,
            optimizer,
            total_steps=per_epoch * section.epochs,
            decay=section.exponential_decay,
            decay_every_steps=section.exponential_every_batches or per_epoch,
            plateau_factor=section.plateau.factor,
            plateau_patience=section.plateau.patience,
            segment_factors=segment_factors,
        ),
        numerics=numerics,
        label_smoothing=section.label_smoothing,
        seed=seed,
        embeddings=embed_once(encoder, base.images, track) if section.policy == "frozen" else None,
        ranks=ranks,
        replica=None if ranks.alone else Replica(encoder, classifier),
    )
