"""Makes `encoder.int8.onnx`, measures what it costs, and refuses one that costs too much.

Ranges of activations are read off images of base classes; the cost is measured on images that no
training saw: the cosine between both embeddings of an image, and the accuracy of the learner on
the same episodes with the one and with the other.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray

from tasks.artifacts.contract import INT8, graph_file
from tasks.artifacts.image_store import ImageStore, Part
from tasks.episodes.protocol import draw_protocol
from tasks.episodes.sampler import Episodes
from tasks.errors import BundleError
from tasks.export.figures import mean_with_interval, stored
from tasks.export.graphs import serialised
from tasks.export.int8_graph import Int8Form, NotQuantisableError, core
from tasks.export.int8_writer import Seen
from tasks.export.parts import Parts
from tasks.export.running import run, single_threaded
from tasks.learners.learner import Learner, as_learner
from tasks.learners.scoring import episode_accuracies
from tasks.params.evaluate import Protocol
from tasks.params.export import Export
from tasks.progress import Track
from tasks.randomness import numpy_generator

logger = logging.getLogger(__name__)

CALIBRATION_IMAGES = 256
HELD_OUT_IMAGES = 2000  # about so many; all classes, and at least what an episode takes of each
EPISODES = 1000
_BATCH = 32
_PURPOSE = "export, int8"
_WORDS = (
    "activations uint8, one scale a tensor; weights int8, one scale an output channel, from -64 to "
    "64 (depthwise: 127), so that sums of two products fit into 16 bits; framing, "
    "normalisation and the last averaging in float32"
)


@dataclass(frozen=True)
class Quantised:
    """What became of the encoder's int8 form.

    Attributes:
        model: the graph; None where there is none.
        figures: what it is and costs, or the `reason` why there is none, for the manifest.
    """

    model: onnx.ModelProto | None
    figures: Mapping[str, Any]


def quantise(
    model: onnx.ModelProto,
    parts: Parts,
    store: ImageStore,
    section: Export,
    kind: Protocol,
    *,
    queries: int,
    seed: int,
    track: Track,
) -> Quantised:
    """Make the int8 form of the encoder and measure it.

    Args:
        model: the encoder in float32.
        parts: holds the learner that accuracy is measured with.
        store: base images calibrate; those of the protocol's domain measure.
        section: whether it is wanted, and what it may cost.
        kind: the protocol that accuracy is measured by.
        queries: images of a class in an episode.
        seed: `seed` of `params.yaml`.
        track: shows progress.

    Raises:
        BundleError: accuracy drops by more than `export.max_accuracy_drop`.
        DataError: the images are too few for such episodes.
    """
    if not section.int8:
        return Quantised(None, {"file": None, "reason": "export.int8 is false"})
    images = calibration_images(store, seed)
    try:
        form = Int8Form(model)
        smaller = form.write(calibrate(model, form, images, track))
    except NotQuantisableError as error:
        logger.warning("%s: left out: %s", graph_file(INT8), error)
        return Quantised(None, {"file": None, "reason": str(error)})
    part = held_out(store.read(kind.domain), kind.shot + queries)
    episodes = draw_protocol(
        kind, part, queries=queries, seed=seed, purpose=_PURPOSE, episodes=EPISODES
    )
    wide = embed_framed(model, part.images, track, "embedding with float32")
    narrow = embed_framed(smaller, part.images, track, "embedding with int8")
    figures = {
        "file": graph_file(INT8),
        "words": _WORDS,
        "calibration": {"part": "base", "images": len(images)},
        "bytes": _bytes(model, smaller),
        "cosine": {"part": kind.domain, "images": len(part.images), **cosines(wide, narrow)},
        "accuracy": {
            "protocol": kind.name,
            "queries": queries,
            **accuracy_drop(as_learner(parts.adapt.learner), wide, narrow, episodes),
        },
        "maximum_accuracy_drop": section.max_accuracy_drop,
    }
    _gate(figures)
    return Quantised(smaller, figures)


def calibration_images(store: ImageStore, seed: int) -> NDArray[np.uint8]:
    """Some hundred stored images of base classes, `(image, side, side, channels)`, 0..255."""
    images = store.read("base").images
    count = min(CALIBRATION_IMAGES, len(images))
    rows = numpy_generator(seed, "export", "calibration").choice(len(images), count, replace=False)
    return np.asarray(images[np.sort(rows)])


def calibrate(
    model: onnx.ModelProto, form: Int8Form, images: NDArray[np.uint8], track: Track
) -> dict[str, Seen]:
    """Lowest and highest value of each tensor of the form's plan, and the mean of each channel.

    Args:
        model: the encoder in float32.
        form: of the same model.
        images: stored images `(image, side, side, channels)`, 0..255.
        track: shows progress.

    Returns:
        All of each with four digits: further ones hang on the processor.
    """
    names = list(form.plan.tensors)
    session = single_threaded(core(model, names))
    lows, highs = dict.fromkeys(names, np.inf), dict.fromkeys(names, -np.inf)
    sums: dict[str, Any] = dict.fromkeys(names, 0.0)
    for batch in track(_batches(images), "calibrating int8"):
        found = run(session, names, _core_inputs(session, batch))
        for name, values in zip(names, found, strict=True):
            lows[name] = min(lows[name], values.min())
            highs[name] = max(highs[name], values.max())
            of_an_image = values.reshape(*values.shape[:2], -1).mean(axis=2, dtype=np.float64)
            sums[name] = sums[name] + of_an_image.sum(axis=0)
    return {
        name: Seen(
            _four_digits(lows[name]),
            _four_digits(highs[name]),
            np.array([_four_digits(one) for one in sums[name] / len(images)]),
        )
        for name in names
    }


def _four_digits(value: float) -> float:
    return float(f"{value:.4g}")


def held_out(part: Part, least: int) -> Part:
    """As many images of every class, `HELD_OUT_IMAGES` in all, or `least` of each if that is more.

    Args:
        part: images and labels.
        least: what an episode takes of a class.
    """
    each = max(least, HELD_OUT_IMAGES // len(part.classes))
    order = np.argsort(part.labels, kind="stable")
    counts = np.bincount(part.labels)
    place = np.arange(len(order)) - np.repeat(np.cumsum(counts) - counts, counts)
    rows = np.sort(order[place < each])
    return replace(part, images=np.asarray(part.images[rows]), labels=part.labels[rows])


def embed_framed(
    model: onnx.ModelProto, images: NDArray[np.uint8], track: Track, label: str
) -> NDArray[np.float32]:
    """Embed stored images `(image, side, side, channels)` by a graph: `(image, dim)`."""
    session = single_threaded(core(model))
    output = session.get_outputs()[0].name
    found = [
        run(session, [output], _core_inputs(session, batch))[0]
        for batch in track(_batches(images), label)
    ]
    return np.concatenate(found)


def cosines(one: NDArray[np.float32], other: NDArray[np.float32]) -> dict[str, float]:
    """`mean` and `minimum` cosine between both embeddings `(image, dim)` of an image."""
    wide, others = one.astype(np.float64), other.astype(np.float64)
    norms = np.linalg.norm(wide, axis=1) * np.linalg.norm(others, axis=1)
    found = (wide * others).sum(axis=1) / np.maximum(norms, np.finfo(np.float64).tiny)
    return {
        "mean": stored(found.mean()),
        "minimum": stored(found.min()),
    }


def accuracy_drop(
    learner: Learner,
    wide: NDArray[np.float32],
    smaller: NDArray[np.float32],
    episodes: Episodes,
) -> dict[str, Any]:
    """Accuracy with either embedding of the same episodes.

    Args:
        learner: as in the bundle.
        wide: float32 embeddings `(image, dim)`.
        smaller: those of int8.
        episodes: name rows of both.

    Returns:
        `episodes`, how many; `float32` and `int8`, mean accuracies, 0..1; `drop`, the mean of the
        paired differences with half of its 95 % interval.
    """
    found = [
        episode_accuracies(learner, torch.from_numpy(one), episodes).numpy()
        for one in (wide, smaller)
    ]
    return {
        "episodes": len(episodes.classes),
        "float32": stored(found[0].mean()),
        "int8": stored(found[1].mean()),
        "drop": mean_with_interval(found[0] - found[1]),
    }


def _gate(figures: Mapping[str, Any]) -> None:
    accuracy, limit = figures["accuracy"], figures["maximum_accuracy_drop"]
    drop = accuracy["drop"]
    line = (
        f"{figures['file']}: {accuracy['protocol']}: accuracy {100 * accuracy['int8']:.2f} % where "
        f"float32 has {100 * accuracy['float32']:.2f} %, a drop of {100 * drop['mean']:.2f} ± "
        f"{100 * drop['interval95']:.2f} points, limit {100 * limit:.2f}"
    )
    if not drop["mean"] <= limit:
        raise BundleError(
            f"{line}: raise export.max_accuracy_drop, or go without by export.int8: false"
        )
    logger.info(line)
    size, cosine = figures["bytes"], figures["cosine"]
    logger.info(
        "%s: %d bytes, a %.2fth of float32; cosine to it %.4f, at the least %.4f",
        *(figures["file"], size["int8"], size["ratio"], cosine["mean"], cosine["minimum"]),
    )


def _bytes(model: onnx.ModelProto, smaller: onnx.ModelProto) -> dict[str, float]:
    wide, narrow = len(serialised(model)), len(serialised(smaller))
    return {"float32": wide, "int8": narrow, "ratio": round(wide / narrow, 3)}


def _batches(images: NDArray[np.uint8]) -> list[NDArray[np.uint8]]:
    return [images[at : at + _BATCH] for at in range(0, len(images), _BATCH)]


def _core_inputs(session: Any, images: NDArray[np.uint8]) -> dict[str, NDArray[np.uint8]]:
    """Framed images as `core` takes them, and stand-ins where it asks for the batch's size."""
    framed, *others = [one.name for one in session.get_inputs()]
    inputs = {framed: np.ascontiguousarray(images.transpose(0, 3, 1, 2))}
    return inputs | {name: np.zeros((len(images), 1, 1, 3), np.uint8) for name in others}
