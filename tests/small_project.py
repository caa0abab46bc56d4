"""A project whose networks are small and untrained: what `export` reads, in no time.

`tests/golden/bundle_format_1` is what stage export made of `write_project(root)`, then with blank
images, when format 1 of the bundle was new. It is kept, so that later code must still read it.
"""

import json
from pathlib import Path

import numpy as np
import torch

from tasks.artifacts.image_store import ImageClass, Part, write_image_store
from tasks.artifacts.layout import METATRAINED, METRICS, PREPARED, PRETRAINED
from tasks.artifacts.model_store import write_model
from tasks.backbones.build import EncoderSpec, build
from tasks.backbones.encoder import Encoder
from tasks.heads.classifier import build_classifier
from tasks.learners.learner import build_learner
from tasks.learners.spec import LearnerSpec
from tasks.params.metatrain import MOVE_NETWORK

BASE_CLASSES = 6
NOVEL_IMAGES = 16  # what an episode of one shot and the 15 queries of params.yaml needs
SIDE_PX = 28
WIDTHS = (4, 6, 6, 8)


def write_project(
    root: Path,
    *,
    framing: str = "ink",
    channels: int = 1,
    backbone: str = "conv4",
    learner: str = "cosine",
    input_size_px: int = 0,
    projection_dim: int = 0,
    flat: bool = False,
) -> None:
    spec = EncoderSpec(backbone, channels, WIDTHS, input_size_px, flat=flat)
    folders = [root / path for path in (PREPARED, PRETRAINED, METATRAINED, METRICS.parent)]
    for folder in folders:
        folder.mkdir(parents=True)
    _write_store(folders[0], framing, channels)
    classifier = {"name": "cosine", "dim": untrained(spec).width, "classes": BASE_CLASSES}
    with torch.random.fork_rng():
        torch.manual_seed(1)
        write_model(
            folders[1],
            {"encoder": untrained(spec, 1), "classifier": build_classifier(**classifier)},
            {"encoder": spec.as_json(), "classifier": classifier},
        )
        encoder = untrained(spec, 2)
        adapts = LearnerSpec(
            learner,
            encoder.width,
            inner_steps=3,
            network_learning_rate=0.1,
            projection_dim=projection_dim,
            network_shapes={
                name: list(value.shape)
                for name, value in encoder.named_parameters()
                if learner in MOVE_NETWORK
            },
        )
        write_model(
            folders[2],
            {"encoder": encoder, "learner": build_learner(adapts)},
            {"encoder": spec.as_json(), "learner": adapts.as_json()},
        )
    (root / METRICS).write_text(json.dumps(_metrics()))


def untrained(spec: EncoderSpec, seed: int = 0) -> Encoder:
    """With running statistics as after some training, so that embeddings are not all alike."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        encoder = build(spec)
        batch = torch.rand(16, spec.channels, 32, 32).round()
        for _ in range(5):
            encoder(batch)
    return encoder.eval()


def _write_store(folder: Path, framing: str, channels: int) -> None:
    parts = {}
    for name, count in (("base", 2), ("validation", 2), ("novel", NOVEL_IMAGES)):
        labels = np.repeat(np.arange(BASE_CLASSES), count)
        classes = [ImageClass(f"{name} {at}", "GROUP", count) for at in range(BASE_CLASSES)]
        parts[name] = Part(_patterns(labels, channels), labels, tuple(classes))
    sizes = {"image_size_px": SIDE_PX, "channels": channels}
    write_image_store(folder, parts, {"source": "test", "framing": framing, **sizes}, [])


def _patterns(labels: np.ndarray, channels: int) -> np.ndarray:
    """Dots, those of a class mostly in the same places."""
    generator = np.random.default_rng(0)
    shape = (SIDE_PX, SIDE_PX, channels)
    own = generator.integers(0, 256, (BASE_CLASSES, *shape))[labels]
    others = generator.integers(0, 256, (len(labels), *shape))
    same = generator.random((len(labels), *shape)) < 0.5
    return np.where(same, own, others).astype(np.uint8)


def _metrics() -> dict[str, object]:
    starts = {"random": 0.5, "transfer": 0.8, "meta": 0.9}
    result = {
        "domain": "novel",
        "way": 5,
        "shot": 1,
        "accuracy": starts,
        "interval95": dict.fromkeys(starts, 0.01),
        "gain": {"meta_over_transfer": {"mean": 0.1, "interval95": 0.01}},
    }
    return {"format": 1, "episodes": 1000, "queries": 15, "results": {"novel_5way_1shot": result}}
