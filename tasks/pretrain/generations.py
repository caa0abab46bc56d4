"""Generations of training: one, or several of which each learns from the one before.

Source: Tian et al., Rethinking Few-Shot Image Classification: a Good Embedding Is All You Need?,
2020, section 3.3: the last generation is kept.
"""

import logging
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

from torch import nn

from tasks.artifacts.checkpoints import Checkpoints
from tasks.backbones.encoder import Encoder
from tasks.learners.selection import Selector
from tasks.params.pretrain import Pretrain
from tasks.pretrain.distillation import Teacher
from tasks.pretrain.epochs import Progress, train
from tasks.pretrain.training import Trainer, batches_per_epoch
from tasks.progress import Track

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Trained:
    """What came of it.

    Attributes:
        encoder: in the state that was kept.
        classifier: likewise.
        epoch: at which they were in that state, counted over all generations.
        accuracy: of the validation episodes at that state, 0..1.
        history: a row an epoch.
    """

    encoder: Encoder
    classifier: nn.Module
    epoch: int
    accuracy: float
    history: list[dict[str, float]]


def train_generations(
    start: Callable[[int], Trainer],
    selector: Selector,
    checkpoints: Checkpoints,
    section: Pretrain,
    track: Track,
) -> Trained:
    """Train all generations, from where the last checkpoint was kept.

    Args:
        start: the trainer of a generation (0-based) before its first step; its weights are its own.
        selector: scores epochs; has scored none yet.
        checkpoints: of the stage.
        section: `pretrain` of the params.
        track: shows progress.
    """
    blank = selector.state_dict()
    state = checkpoints.load()
    progress = Progress(**state["progress"]) if state else Progress()
    teacher = _teacher_again(start, state, section)
    while True:
        trainer = start(progress.generation)
        trainer.teacher = teacher
        if state:
            trainer.load_state_dict(state["trainer"])
            selector.load_state_dict(state["selector"])
            _tell_resumed(trainer, progress, section)
            state = None
        train(
            trainer,
            selector,
            progress,
            partial(_keep, checkpoints, trainer, selector, progress),
            epochs=section.epochs,
            batch_size=section.batch_size,
            track=track,
        )
        trained = _best(trainer, selector, progress)
        if progress.generation == section.distillation.generations:
            return trained
        teacher = _teacher(trainer, section)
        selector.load_state_dict(blank)
        progress.generation, progress.done = progress.generation + 1, 0
        logger.info("generation %d learns from the one before", progress.generation)


def _best(trainer: Trainer, selector: Selector, progress: Progress) -> Trained:
    """Put the best state into the trainer; the last, where no score tells the states apart."""
    last = int(progress.history[-1]["epoch"])
    if trainer.embeddings is None:
        selector.restore(trainer.encoder, trainer.classifier)
    return Trained(
        trainer.encoder,
        trainer.classifier,
        selector.best_at if trainer.embeddings is None else last,
        selector.best_accuracy,
        progress.history,
    )


def _keep(
    checkpoints: Checkpoints,
    trainer: Trainer,
    selector: Selector,
    progress: Progress,
    ends_epoch: bool,
) -> None:
    if checkpoints.due(milestone=ends_epoch):
        checkpoints.save(
            {
                "progress": asdict(progress),
                "trainer": trainer.state_dict(),
                "selector": selector.state_dict(),
                "teacher": trainer.teacher.state_dict() if trainer.teacher else None,
            }
        )


def _teacher(trainer: Trainer, section: Pretrain) -> Teacher:
    asked = section.distillation
    return Teacher(trainer.encoder, trainer.classifier, asked.weight, asked.temperature)


def _teacher_again(
    start: Callable[[int], Trainer], state: dict[str, Any] | None, section: Pretrain
) -> Teacher | None:
    if state is None or state["teacher"] is None:
        return None
    teacher = _teacher(start(0), section)
    teacher.load_state_dict(state["teacher"])
    return teacher


def _tell_resumed(trainer: Trainer, progress: Progress, section: Pretrain) -> None:
    per_epoch = batches_per_epoch(len(trainer.part.images), section.batch_size)
    epochs = progress.generation * section.epochs + progress.done // per_epoch
    logger.info("resumed at epoch %d", 1 + epochs)
