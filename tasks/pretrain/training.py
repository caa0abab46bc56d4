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
from tasks.backbones.encoder import Encoder
from tasks.device import seeded
from tasks.optimisation import Schedule
from tasks.pretrain.distillation import Teacher
from tasks.pretrain.numerics import Numerics
from tasks.pretrain.policy import Policy
from tasks.pretrain.replica import Replica
from tasks.pretrain.views import Views
from tasks.randomness import numpy_generator
from tasks.ranks.group import ALONE, Ranks


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
    images: int,
    batch_size: int,
    epochs: int,
    seed: int,
    *,
    start: int = 0,
    epochs_before: int = 0,
) -> Iterator[Batch]:
    """The batches of all epochs from one on; every epoch in an order of its own.

    Args:
        images: how many there are.
        batch_size: the incomplete rest of an epoch is left out, so that BatchNorm never meets a
            batch of one; with fewer images than this, all of them are one batch.
        epochs: how many.
        seed: `seed` of `params.yaml`.
        start: number of the first batch wanted, counted over all epochs.
        epochs_before: how many other ones came before, whose orders these must not repeat.
    """
    count = batches_per_epoch(images, batch_size)
    for epoch in range(start // count, epochs):
        stream = numpy_generator(seed, "pretrain", "order", epochs_before + epoch)
        order = stream.permutation(images)
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
        encoder: trained as far as the policy says.
        classifier: maps embeddings to logits over the base classes; trained.
        part: the base classes.
        views: shows their images.
        policy: says what learns in which epoch.
        optimizer: over whatever learns in some epoch.
        schedule: stepped once a batch.
        numerics: how steps are computed.
        label_smoothing: share of the target spread over all classes.
        seed: `seed` of `params.yaml`.
        embeddings: of all images of `part`, `(image, width)`, where the backbone never learns; no
            image is then looked at again. None embeds the views of every step.
        teacher: whose opinion counts beside the labels; None is nobody.
        ranks: that go through each batch together; every one has a trainer like this.
        replica: encoder and classifier as one module that adds up gradients, where there are
            several ranks.
    """

    encoder: Encoder
    classifier: nn.Module
    part: Part
    views: Views
    policy: Policy
    optimizer: Optimizer
    schedule: Schedule
    numerics: Numerics
    label_smoothing: float
    seed: int
    embeddings: NDArray[np.float32] | None = None
    teacher: Teacher | None = None
    ranks: Ranks = ALONE
    replica: Replica | None = None

    def step(self, batch: Batch, number: int) -> float:
        """Take one step and return its loss.

        Args:
            batch: which images.
            number: of the step, counted over the whole training; names its random streams.
        """
        self.policy.apply(batch.epoch)
        # Dropout and stochastic depth draw from torch's own generator and take no other.
        with seeded(self.encoder.device, self.seed, "pretrain", "dropout", number):
            loss = self._loss(batch, number)
        self.optimizer.zero_grad()
        self._backward(loss, len(batch.images))
        self.optimizer.step()
        self.schedule.step()
        return float(self._mean(loss.detach(), len(batch.images)))

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

    def _loss(self, batch: Batch, number: int) -> Tensor:
        device = self.encoder.device
        labels = torch.from_numpy(self.part.labels[batch.images]).to(device)
        if self.embeddings is not None:
            embeddings = torch.from_numpy(self.embeddings[batch.images]).to(device)
            with self.numerics.autocast(device.type):
                logits = self.classifier(embeddings)
            return self._labelled(logits.float(), labels)
        rows = self.ranks.rows(len(batch.images))
        seen = self.views(self.part.images, batch.images, number, rows, device)
        images = seen.images
        with self.numerics.autocast(device.type):
            logits = self._logits(images).float()
            opinion = self.teacher.logits(images).float() if self.teacher else None
        loss = seen.loss(labels, lambda these: self._labelled(logits, these), rows)
        if self.teacher is None or opinion is None:
            return loss
        return self.teacher.loss(logits, opinion, loss)

    def _logits(self, images: Tensor) -> Tensor:
        logits: Tensor
        if self.replica is None:
            logits = self.classifier(self.encoder(images))
        else:
            logits = self.replica(images)
        return logits

    def _backward(self, loss: Tensor, images: int) -> None:
        if not self.ranks.alone:
            # What comes of it is the plain mean over ranks, and some may have a row more.
            loss = loss * (self.ranks.share(images) * self.ranks.size)
        loss.backward()  # type: ignore[no-untyped-call]

    def _mean(self, loss: Tensor, images: int) -> Tensor:
        return loss if self.ranks.alone else self.ranks.sum(loss * self.ranks.share(images))

    def _labelled(self, logits: Tensor, labels: Tensor) -> Tensor:
        return F.cross_entropy(logits, labels, label_smoothing=self.label_smoothing)
