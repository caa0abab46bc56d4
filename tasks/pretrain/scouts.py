"""Scouts of cross-validation: networks that try rates ahead of the one to be trained."""

import copy
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tasks.artifacts.image_store import Part
from tasks.episodes.augmentation import Augmentation
from tasks.learners.cosine import Cosine
from tasks.learners.selection import Selector, validation_selector
from tasks.pretrain.folds import deal_folds, held_out
from tasks.pretrain.training import Trainer, batches, batches_per_epoch

logger = logging.getLogger(__name__)


@dataclass
class Scout:
    """Tries rates on the base classes without one fold.

    Attributes:
        trainer: of a network of its own.
        images: those of the classes it trains on, indices into the trainer's part `(image,)`. The
            part stays whole: its images may be too many to copy, and the classifier keeps a column
            for every class, as that of the model to be trained has.
        selector: scores by episodes of the fold it does not train on.
        batch_size: as in the training.
        epochs: likewise.
    """

    trainer: Trainer
    images: NDArray[np.int64]
    selector: Selector
    batch_size: int
    epochs: int

    def __post_init__(self) -> None:
        """Take down the rates that exponents are relative to."""
        self._first_rates = [group["lr"] for group in self.trainer.optimizer.param_groups]

    @property
    def total_steps(self) -> int:
        """Of all segments."""
        return batches_per_epoch(len(self.images), self.batch_size) * self.epochs

    def run(self, start: int, end: int, rate_factor: float) -> Iterator[float]:
        """Train from step `start` to before `end` at one rate; yields each loss."""
        for group, first in zip(
            self.trainer.optimizer.param_groups, self._first_rates, strict=True
        ):
            group["lr"] = first * rate_factor
        steps = batches(
            len(self.images), self.batch_size, self.epochs, self.trainer.seed, start=start
        )
        for number, batch in zip(range(start, end), steps, strict=False):
            yield self.trainer.step(replace(batch, images=self.images[batch.images]), number)

    def state(self) -> dict[str, Any]:
        """A copy of where it stands, which further steps do not touch."""
        return copy.deepcopy(self.trainer.state_dict())

    def go_back(self, state: Mapping[str, Any]) -> None:
        """Stand again where it stood when `state` was taken, which stays as it is."""
        # An optimizer would go on in the very tensors it is given.
        self.trainer.load_state_dict(copy.deepcopy(dict(state)))

    def score(self, at: int) -> float:
        """Mean accuracy on the held-out fold, 0..1; images are told apart by nearest prototype."""
        prototypes = Cosine(initial_temperature=1.0)  # which no order of scores depends on
        return self.selector.score(at, self.trainer.encoder, learner=prototypes)


def make_scouts(
    base: Part,
    trainer_of: Callable[[int], Trainer],
    augmentation: Augmentation,
    *,
    folds: int,
    selection: Mapping[str, Any],
    batch_size: int,
    epochs: int,
    seed: int,
) -> list[Scout]:
    """A scout for each fold.

    Args:
        base: the base classes.
        trainer_of: makes a trainer over all of `base`, whose schedule is `constant`, given the
            number of the fold.
        augmentation: varies the held-out images once.
        folds: how many.
        selection: way, shot, queries and number of the episodes; the way is lowered to what the
            folds have.
        batch_size: of the training.
        epochs: likewise.
        seed: `seed` of `params.yaml`.

    Raises:
        ParametersError: there are too few base classes for so many folds.
    """
    needed = selection["shot"] + selection["queries"]
    dealt = deal_folds(base.labels, len(base.classes), folds, needed, seed)
    parts = [held_out(base, fold, seed) for fold in dealt]
    fewest = min(sum(one.images >= needed for one in part.classes) for part in parts)
    asked = {**selection, "way": min(selection["way"], fewest)}
    logger.info("folds of the base classes: %s; scored %d-way", _sizes(parts), asked["way"])
    scouts = []
    for number, (fold, part) in enumerate(zip(dealt, parts, strict=True)):
        trainer = trainer_of(number)
        selector = validation_selector(part, augmentation, **asked, seed=seed)
        selector.ranks = trainer.ranks
        images = np.flatnonzero(~np.isin(base.labels, fold))
        scouts.append(Scout(trainer, images, selector, batch_size, epochs))
    return scouts


def _sizes(parts: Sequence[Part]) -> str:
    return ", ".join(f"{len(part.classes)} classes" for part in parts)
