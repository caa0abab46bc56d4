"""Supervised training over the base classes, an epoch at a time."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import Optimizer

from tasks.artifacts.image_store import Part
from tasks.backbones.encoder import Encoder, pixels
from tasks.episodes.augmentation import Augmentation
from tasks.optimisation import Schedule
from tasks.randomness import numpy_generator, torch_generator


@dataclass(frozen=True)
class Batch:
    """One step of training.

    Attributes:
        epoch: 0-based.
        ends_epoch: whether it is the epoch's last.
        images: indices of its images `(batch,)`.
    """

    epoch: int
    ends_epoch: bool
    images: NDArray[np.int64]


def batches(
    images: int, batch_size: int, epochs: int, seed: int, start: int = 0
) -> Iterator[Batch]:
    """The batches of all epochs from one on; every epoch in an order of its own.

    Args:
        images: how many there are.
        batch_size: the incomplete rest of an epoch is left out, so that BatchNorm never meets a
            batch of one; with fewer images than this, all of them are one batch.
        epochs: how many.
        seed: `seed` of `params.yaml`.
        start: number of the first batch wanted, counted over all epochs.
    """
    count = batches_per_epoch(images, batch_size)
    for epoch in range(start // count, epochs):
        order = numpy_generator(seed, "pretrain", "order", epoch).permutation(images)
        for index in range(max(0, start - epoch * count), count):
            chosen = order[index * batch_size : (index + 1) * batch_size]
            yield Batch(epoch, index == count - 1, chosen)


def batches_per_epoch(images: int, batch_size: int) -> int:
    """How many batches `batches` makes of an epoch."""
    return max(1, images // batch_size)


@dataclass
class Trainer:
    """Takes training steps.

    Attributes:
        encoder: trained, unless it is frozen.
        classifier: maps embeddings to logits over the base classes; trained.
        part: the base classes.
        augmentation: applied to every image anew in every epoch.
        optimizer: over whatever is trained.
        schedule: stepped once a batch.
        label_smoothing: share of the target spread over all classes.
        frozen: whether the encoder stays as it is, its BatchNorm statistics included.
        seed: `seed` of `params.yaml`.
    """

    encoder: Encoder
    classifier: nn.Module
    part: Part
    augmentation: Augmentation
    optimizer: Optimizer
    schedule: Schedule
    label_smoothing: float
    frozen: bool
    seed: int

    def step(self, batch: Batch, number: int) -> float:
        """Take one step and return its loss.

        Args:
            batch: which images.
            number: of the step, counted over all epochs; names its random stream.
        """
        self.encoder.train(not self.frozen)
        images = self.augmentation(
            pixels(self.part.images[batch.images]),
            torch_generator(self.seed, "pretrain", "augmentation", number),
        )
        loss = self._loss(images, batch)
        self.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        self.schedule.step()
        return float(loss.detach())

    def state_dict(self) -> dict[str, Any]:
        """All that a later `load_state_dict` needs to take the next step."""
        return {name: part.state_dict() for name, part in self._parts().items()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state_dict` gave."""
        for name, part in self._parts().items():
            part.load_state_dict(state[name])

    def _parts(self) -> dict[str, nn.Module | Optimizer | Schedule]:
        return {
            "encoder": self.encoder,
            "classifier": self.classifier,
            "optimizer": self.optimizer,
            "schedule": self.schedule,
        }

    def _loss(self, images: Tensor, batch: Batch) -> Tensor:
        labels = torch.from_numpy(self.part.labels[batch.images])
        return F.cross_entropy(
            self.classifier(self.encoder(images)), labels, label_smoothing=self.label_smoothing
        )
