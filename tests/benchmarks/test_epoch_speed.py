"""An epoch of pretraining against its floor: the same network on numbers that lie in memory."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from tasks.artifacts.image_store import Part
from tasks.backbones.build import EncoderSpec, build
from tasks.heads.classifier import build_classifier
from tasks.params_file import load_params
from tasks.pretrain.trainer import build_trainer
from tasks.pretrain.training import batches
from tasks.progress import untracked
from tests.benchmarks.turns import Figure, compared, taking_turns
from tests.conftest import ROOT

pytestmark = [
    pytest.mark.benchmark,
    pytest.mark.timeout(1800),
    pytest.mark.usefixtures("two_threads"),
]

CLASSES, IMAGES = 390, 128 * 40


def test_an_epoch_of_the_default(figure: Callable[[Figure], None]) -> None:
    params = load_params(ROOT / "params.yaml")
    section, side = params.pretrain, params.prepare.image_size_px
    rng = np.random.default_rng(1)
    base = Part(
        rng.integers(0, 256, (IMAGES, side, side, 1), dtype=np.uint8),
        rng.integers(0, CLASSES, IMAGES),
        (),
    )
    spec = EncoderSpec("conv4", 1, tuple(section.conv4_widths))
    torch.manual_seed(1)
    trainer = build_trainer(
        section,
        build(spec),
        build_classifier(section.classifier, spec.widths[-1], CLASSES),
        base,
        1,
        untracked,
    )
    encoder, classifier = build(spec), build_classifier("cosine", spec.widths[-1], CLASSES)
    images = torch.rand(section.batch_size, 1, side, side)
    labels = torch.randint(0, CLASSES, (section.batch_size,))

    def epoch() -> None:
        trainer.encoder.train()
        for number, batch in enumerate(batches(IMAGES, section.batch_size, 1, 1)):
            trainer.step(batch, number)

    def floor() -> None:
        encoder.train()
        for _ in range(IMAGES // section.batch_size):
            encoder.zero_grad()
            classifier.zero_grad()
            scores = classifier(encoder(images))
            F.cross_entropy(scores, labels, label_smoothing=section.label_smoothing).backward()

    ours, theirs = taking_turns(epoch, floor, rounds=7)
    figure(
        compared(
            f"pretraining on {IMAGES:,} images of the default: epoch over forward and backward",
            "1.15 or less",
            ("epoch", ours),
            ("floor", theirs),
        )
    )
