"""What stage pretrain does: image store -> backbone and base classifier."""

import logging

import torch
from torch import nn

from tasks import optimisation
from tasks.artifacts.checkpoints import Checkpoints
from tasks.artifacts.files import complete_folder, write_csv
from tasks.artifacts.image_store import ImageStore, Part
from tasks.artifacts.layout import PREPARED, PRETRAINED
from tasks.artifacts.model_store import write_model
from tasks.backbones.build import EncoderSpec, build, describe
from tasks.backbones.encoder import Encoder
from tasks.backbones.weights import load_weights
from tasks.episodes.augmentation import Augmentation
from tasks.heads.classifier import build_classifier
from tasks.learners.selection import validation_selector
from tasks.params import Params
from tasks.params.pretrain import Pretrain
from tasks.pretrain.epochs import train
from tasks.pretrain.training import Trainer, batches_per_epoch
from tasks.progress import Track
from tasks.randomness import entropy

logger = logging.getLogger(__name__)


def pretrain(params: Params, track: Track, key: str | None = None) -> None:
    """Train on the base classes; keep the epoch that serves the validation classes best.

    Args:
        params: all of them.
        track: shows progress.
        key: fingerprint of all inputs. A run that was interrupted goes on where its last
            checkpoint under this key was kept, and ends with the same bits. None keeps none.

    Raises:
        DataError: the image store or the ImageNet weights are missing.
        ParametersError: the episodes asked for cannot be drawn from the classes there are.
    """
    section = params.pretrain
    optimisation.deterministic()
    store = ImageStore(PREPARED)
    params.check_episodes(store.class_sizes())
    base = store.read("base")
    spec = describe(
        section.backbone,
        channels=store.channels,
        conv4_widths=section.conv4_widths,
        stored_px=store.side_px,
        input_size_px=section.input_size_px,
        weights=section.weights,
    )
    encoder, classifier = _start(section, spec, len(base.classes), params.seed)
    trainer = _trainer(section, encoder, classifier, base, params.seed)
    selector = validation_selector(
        store.read("validation"),
        trainer.augmentation,
        **section.selection.model_dump(),
        seed=params.seed,
    )
    checkpoints = Checkpoints("pretrain", key)
    history = train(trainer, selector, checkpoints, section, track)
    selector.restore(encoder, classifier)
    logger.info("kept epoch %d of %d", selector.best_at, section.epochs)
    description = {
        "encoder": spec.as_json(),
        "classifier": {
            "name": section.classifier,
            "dim": encoder.width,
            "classes": len(base.classes),
        },
        "best_epoch": selector.best_at,
        "validation_accuracy": selector.best_accuracy,
    }
    with complete_folder(PRETRAINED) as folder:
        write_model(folder, {"encoder": encoder, "classifier": classifier}, description)
        write_csv(folder / "history.csv", history, list(history[0]))
    checkpoints.clear()


def _start(
    section: Pretrain, spec: EncoderSpec, classes: int, seed: int
) -> tuple[Encoder, nn.Module]:
    with torch.random.fork_rng():
        torch.manual_seed(entropy(seed, "pretrain", "weights") % 2**63)
        encoder = build(spec)
        classifier = build_classifier(section.classifier, encoder.width, classes)
    load_weights(encoder, spec, section.weights, section.weights_sha256)
    encoder.requires_grad_(not section.freeze_backbone)
    return encoder, classifier


def _trainer(
    section: Pretrain, encoder: Encoder, classifier: nn.Module, base: Part, seed: int
) -> Trainer:
    per_epoch = batches_per_epoch(len(base.images), section.batch_size)
    optimizer = optimisation.optimizer(
        section.optimizer,
        [*encoder.parameters(), *classifier.parameters()],
        section.learning_rate,
        section.weight_decay,
    )
    return Trainer(
        encoder=encoder,
        classifier=classifier,
        part=base,
        augmentation=Augmentation(**section.augmentation.model_dump()),
        optimizer=optimizer,
        schedule=optimisation.schedule(
            section.schedule,
            optimizer,
            total_steps=per_epoch * section.epochs,
            decay=section.exponential_decay,
            decay_every_steps=section.exponential_every_batches or per_epoch,
            plateau_factor=section.plateau.factor,
            plateau_patience=section.plateau.patience,
        ),
        label_smoothing=section.label_smoothing,
        frozen=section.freeze_backbone,
        seed=seed,
    )
