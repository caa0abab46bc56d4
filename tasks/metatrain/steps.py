"""The steps of meta-training: meta-batches, a score at each checkpoint, a state to go on from."""

import logging
from dataclasses import dataclass, field
from typing import Any

from tasks.artifacts.checkpoints import Checkpoints
from tasks.artifacts.image_store import Part
from tasks.episodes.sampler import Pool
from tasks.learners.selection import Selector
from tasks.metatrain.outer_loop import OuterLoop
from tasks.params.metatrain import Metatrain
from tasks.progress import Track

logger = logging.getLogger(__name__)

Row = dict[str, float | None]


@dataclass
class Progress:
    """How far a meta-training is.

    Attributes:
        done: steps.
        losses: of the steps since the last checkpoint.
        history: a row a checkpoint, the start included.
    """

    done: int = 0
    losses: list[float] = field(default_factory=list)
    history: list[Row] = field(default_factory=list)

    def state(self, loop: OuterLoop, selector: Selector) -> dict[str, Any]:
        """What a checkpoint holds."""
        return {
            "done": self.done,
            "losses": self.losses,
            "history": self.history,
            "loop": loop.state_dict(),
            "selector": selector.state_dict(),
        }

    def go_on(self, state: dict[str, Any], loop: OuterLoop, selector: Selector) -> None:
        """Stand where a checkpoint was kept."""
        self.done, self.losses, self.history = state["done"], state["losses"], state["history"]
        loop.load_state_dict(state["loop"])
        selector.load_state_dict(state["selector"])


def train(
    loop: OuterLoop,
    selector: Selector,
    base: Part,
    section: Metatrain,
    checkpoints: Checkpoints,
    track: Track,
    seed: int,
) -> list[Row]:
    """All steps; returns a row a checkpoint.

    Args:
        loop: takes the steps.
        selector: scores each checkpoint.
        base: the base classes.
        section: of the params.
        checkpoints: where the state is kept, and may have been kept before.
        track: shows progress.
        seed: `seed` of `params.yaml`.
    """
    pool, groups = Pool(base.labels), base.groups if section.within_group else None
    progress = Progress()
    if (kept := checkpoints.load()) is not None:
        progress.go_on(kept, loop, selector)
        logger.info("resumed at step %d", progress.done)
    else:
        progress.history.append(_start(loop, selector))
    remaining = range(progress.done, section.steps)
    for number in track(remaining, "meta-training", len(remaining)):
        rate = loop.schedule.rate
        episodes = pool.draw(
            number * section.meta_batch,
            section.meta_batch,
            way=section.way,
            shot=section.shot,
            queries=section.queries,
            seed=seed,
            purpose="metatrain",
            groups=groups,
        )
        progress.losses.append(loop.step(episodes, number))
        progress.done = number + 1
        scored = not progress.done % section.checkpoint_every_steps
        if scored or progress.done == section.steps:
            _score(loop, selector, progress, section.steps, rate)
        if checkpoints.due(milestone=scored):
            checkpoints.save(progress.state(loop, selector))
    return progress.history


def _start(loop: OuterLoop, selector: Selector) -> Row:
    encoder, learner = loop.kept
    accuracy = selector.score(0, encoder, learner, learner=learner)
    logger.info("before the first step: validation episodes %.2f %%", 100 * accuracy)
    return {"step": 0, "loss": None, "validation_accuracy": accuracy, "learning_rate": None}


def _score(
    loop: OuterLoop, selector: Selector, progress: Progress, steps: int, rate: float
) -> None:
    encoder, learner = loop.kept
    accuracy = selector.score(progress.done, encoder, learner, learner=learner)
    loop.schedule.listen(accuracy)
    loss = sum(progress.losses) / len(progress.losses)
    progress.losses.clear()
    progress.history.append(
        {
            "step": progress.done,
            "loss": loss,
            "validation_accuracy": accuracy,
            "learning_rate": rate,
        }
    )
    logger.info(
        "step %d of %d: loss %.3f, validation episodes %.2f %%",
        progress.done,
        steps,
        loss,
        100 * accuracy,
    )
