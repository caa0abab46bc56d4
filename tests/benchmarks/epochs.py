"""An epoch of the default's pretraining, on images that mean nothing.

`python -m tests.benchmarks.epochs` prints the seconds of one, after one that does not count.
"""

from pathlib import Path

import numpy as np
import torch

from tasks.artifacts.image_store import Part
from tasks.backbones.build import build, describe
from tasks.heads.classifier import build_classifier
from tasks.memory import keep_freed_memory
from tasks.params_file import load_params
from tasks.pretrain.trainer import build_trainer
from tasks.pretrain.training import Trainer, batches
from tasks.progress import untracked
from tests.benchmarks.turns import timed

# Not by way of tests.conftest, which leaves torch one thread.
PARAMS = load_params(Path(__file__).parents[2] / "params.yaml")
MANY = {"epochs": 1000}  # more than anybody times: a schedule refuses steps after its last
SECTION, SIDE_PX = PARAMS.pretrain.model_copy(update=MANY), PARAMS.prepare.image_size_px
SPEC = describe(
    SECTION.backbone,
    channels=PARAMS.prepare.channels,
    conv4_widths=SECTION.conv4_widths,
    conv4_embedding=SECTION.conv4_embedding,
    stored_px=SIDE_PX,
    input_size_px=SECTION.input_size_px,
    weights=SECTION.weights,
)
CLASSES, IMAGES = 3155, 128 * 6  # as many classes as the default has


def default_trainer() -> Trainer:
    """What takes the steps, in a process set up as the stage sets up its own."""
    keep_freed_memory()
    rng = np.random.default_rng(1)
    base = Part(
        rng.integers(0, 256, (IMAGES, SIDE_PX, SIDE_PX, 1), dtype=np.uint8),
        rng.integers(0, CLASSES, IMAGES),
        (),
    )
    torch.manual_seed(1)
    encoder = build(SPEC)
    classifier = build_classifier(SECTION.classifier, encoder.width, CLASSES)
    return build_trainer(SECTION, encoder, classifier, base, 1, untracked)


def epoch(trainer: Trainer) -> None:
    """All batches once."""
    trainer.encoder.train()
    for number, batch in enumerate(batches(IMAGES, SECTION.batch_size, 1, 1)):
        trainer.step(batch, number)


if __name__ == "__main__":
    taken = default_trainer()
    epoch(taken)
    print(timed(lambda: epoch(taken)))
