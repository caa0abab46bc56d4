"""The epochs of pretraining: steps, a score after each epoch, and a moment to keep the state."""

import logging
from collections.abc import Callable
from dataclasses import dataclass, field

from tasks.learners.cosine import Cosine
from tasks.learners.selection import Selector
from tasks.pretrain.training import Trainer, batches, batches_per_epoch
from tasks.progress import Track

logger = logging.getLogger(__name__)


@dataclass
class Progress:
    """How far a training is; what a checkpoint keeps of it beside the state of its parts.

    Attributes:
        generation: 0-based; later ones learn from the one before.
        done: steps of this generation.
        losses: of the epoch that is under way.
        history: a row an epoch, over all generations.
    """

    generation: int = 0
    done: int = 0
    losses: list[float] = field(default_factory=list)
    history: list[dict[str, float]] = field(default_factory=list)


def train(
    trainer: Trainer,
    selector: Selector,
    progress: Progress,
    keep: Callable[[bool], None],
    *,
    epochs: int,
    batch_size: int,
    track: Track,
) -> None:
    """The epochs of one generation, each scored, from where `progress` stands.

    Args:
        trainer: takes the steps.
        selector: scores each epoch.
        progress: moved on; the rate of its rows is that of the epoch's last step.
        keep: called after every step, told whether it ended an epoch; may keep the state.
        epochs: of a generation.
        batch_size: see `batches`.
        track: shows progress.
    """
    images = len(trainer.part.images)
    per_epoch = batches_per_epoch(images, batch_size)
    before = progress.generation * epochs
    steps = batches(
        images, batch_size, epochs, trainer.seed, start=progress.done, epochs_before=before
    )
    for batch in track(steps, "training", per_epoch * epochs - progress.done):
        rate = trainer.schedule.rate
        progress.losses.append(trainer.step(batch, before * per_epoch + progress.done))
        progress.done += 1
        if batch.ends_epoch:
            epoch = before + batch.epoch + 1
            accuracy = _score(trainer, selector, epoch)
            trainer.schedule.listen(accuracy)
            progress.history.append(
                {
                    "epoch": epoch,
                    "loss": sum(progress.losses) / len(progress.losses),
                    "validation_accuracy": accuracy,
                    "learning_rate": rate,
                }
            )
            progress.losses.clear()
            _tell(progress.history[-1], before + epochs)
        keep(batch.ends_epoch)


def _score(trainer: Trainer, selector: Selector, epoch: int) -> float:
    # Embeddings that never change have one score.
    if trainer.embeddings is not None and selector.best_at >= 0:
        return selector.best_accuracy
    # Only the order of the scores counts, and no temperature changes that.
    prototypes = Cosine(initial_temperature=1.0).to(trainer.encoder.device)
    return selector.score(epoch, trainer.encoder, trainer.classifier, learner=prototypes)


def _tell(row: dict[str, float], epochs: int) -> None:
    logger.info(
        "epoch %d of %d: loss %.3f, validation episodes %.2f %%",
        row["epoch"],
        epochs,
        row["loss"],
        100 * row["validation_accuracy"],
    )
