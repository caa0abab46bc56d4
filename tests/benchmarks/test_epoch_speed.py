"""An epoch of pretraining against its floor: the same network on numbers that lie in memory."""

from collections.abc import Callable

import pytest
import torch
from torch.nn import functional as F

from tasks.backbones.build import build
from tasks.heads.classifier import build_classifier
from tests.benchmarks.epochs import CLASSES, IMAGES, SECTION, SIDE_PX, SPEC, default_trainer, epoch
from tests.benchmarks.turns import Figure, compared, taking_turns

pytestmark = [
    pytest.mark.benchmark,
    pytest.mark.timeout(1800),
    pytest.mark.usefixtures("two_threads"),
]


def test_an_epoch_of_the_default(figure: Callable[[Figure], None]) -> None:
    trainer = default_trainer()
    encoder = build(SPEC)
    classifier = build_classifier("cosine", encoder.width, CLASSES)
    images = torch.rand(SECTION.batch_size, 1, SIDE_PX, SIDE_PX)
    labels = torch.randint(0, CLASSES, (SECTION.batch_size,))

    def floor() -> None:
        encoder.train()
        for _ in range(IMAGES // SECTION.batch_size):
            encoder.zero_grad()
            classifier.zero_grad()
            scores = classifier(encoder(images))
            F.cross_entropy(scores, labels, label_smoothing=SECTION.label_smoothing).backward()

    ours, theirs = taking_turns(lambda: epoch(trainer), floor, rounds=15)
    figure(
        compared(
            f"pretraining on {IMAGES:,} images of the default: epoch over forward and backward",
            "1.15 or less",
            ("epoch", ours),
            ("floor", theirs),
        )
    )
