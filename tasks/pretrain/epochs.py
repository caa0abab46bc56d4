"""The epochs of pretraining: steps, a score after each epoch, and a checkpoint to go on from."""

import logging

from tasks.artifacts.checkpoints import Checkpoints
from tasks.learners.cosine import Cosine
from tasks.learners.selection import Selector
from tasks.params.pretrain import Pretrain
from tasks.pretrain.training import Trainer, batches, batches_per_epoch
from tasks.progress import Track

logger = logging.getLogger(__name__)


def train(
    trainer: Trainer,
    selector: Selector,
    checkpoints: Checkpoints,
    section: Pretrain,
    track: Track,
) -> list[dict[str, float]]:
    """All epochs, each scored; begins where the last checkpoint was kept.

    Args:
        trainer: takes the steps.
        selector: scores each epoch.
        checkpoints: of the stage.
        section: `pretrain` of the params.
        track: shows progress.

    Returns:
        A row an epoch; its rate is that of the epoch's last step.
    """
    images = len(trainer.part.images)
    per_epoch = batches_per_epoch(images, section.batch_size)
    # Only the order of the scores counts, and no temperature changes that.
    prototypes = Cosine(initial_temperature=1.0)
    history: list[dict[str, float]] = []
    losses: list[float] = []
    done = 0
    if (state := checkpoints.load()) is not None:
        trainer.load_state_dict(state["trainer"])
        selector.load_state_dict(state["selector"])
        history, losses, done = state["history"], state["losses"], state["done"]
        logger.info("resumed at epoch %d", 1 + done // per_epoch)
    total = per_epoch * section.epochs
    steps = batches(images, section.batch_size, section.epochs, trainer.seed, start=done)
    for batch in track(steps, "training", total - done):
        rate = trainer.schedule.rate
        losses.append(trainer.step(batch, done))
        done += 1
        if batch.ends_epoch:
            epoch, loss = batch.epoch + 1, sum(losses) / len(losses)
            losses.clear()
            accuracy = selector.score(
                epoch, trainer.encoder, trainer.classifier, learner=prototypes
            )
            trainer.schedule.listen(accuracy)
            history.append(
                {
                    "epoch": epoch,
                    "loss": loss,
                    "validation_accuracy": accuracy,
                    "learning_rate": rate,
                }
            )
            logger.info(
                "epoch %d of %d: loss %.3f, validation episodes %.2f %%",
                epoch,
                section.epochs,
                loss,
                100 * accuracy,
            )
        if checkpoints.due(milestone=batch.ends_epoch):
            checkpoints.save(
                {
                    "trainer": trainer.state_dict(),
                    "selector": selector.state_dict(),
                    "history": history,
                    "losses": losses,
                    "done": done,
                }
            )
    return history
