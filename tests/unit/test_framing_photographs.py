"""Photographs of odd sizes: training's framing, the exported graph and torchvision see the same.

The two photographs are those that scikit-learn ships.
"""

from functools import cache

import numpy as np
import onnxruntime
import pytest
import torch
from PIL import Image
from sklearn.datasets import load_sample_images
from torchvision.transforms import v2

from tasks.artifacts.contract import GraphContract, TensorContract, graph_contracts
from tasks.backbones.build import EncoderSpec
from tasks.backbones.encoder import embed
from tasks.export.graphs import serialised, trace
from tasks.export.modules import ImageEncoder
from tasks.export.stage import traced_examples
from tasks.framing.graph import Framing
from tasks.framing.pillow import frame
from tests.small_project import untrained

SIZES = (
    *((427, 640), (640, 427), (333, 500), (301, 400), (101, 333), (85, 301), (256, 256)),
    *((257, 255), (127, 128), (105, 105), (84, 84), (65, 63), (33, 100), (31, 30), (29, 28)),
    *((17, 16), (13, 401), (401, 13), (1, 200), (200, 1), (1, 1), (2, 3)),
)  # fmt: skip
SIDES = (
    28,
    84,
    pytest.param(224, marks=pytest.mark.slow),
    pytest.param(96, marks=pytest.mark.slow),
)


def photograph(height: int, width: int) -> Image.Image:
    """The middle of a photograph, enlarged or turned where it is too small for that."""
    image = Image.fromarray(load_sample_images().images[(height + width) % 2])
    if height > width:
        image = image.rotate(90, expand=True)
    scale = max(1.0, height / image.height, width / image.width)
    size = (max(width, round(image.width * scale)), max(height, round(image.height * scale)))
    image = image.resize(size, Image.Resampling.BICUBIC)
    left, top = (image.width - width) // 2, (image.height - height) // 2
    return image.crop((left, top, left + width, top + height))


@cache
def graph(side_px: int, channels: int) -> onnxruntime.InferenceSession:
    framed = TensorContract("framed", "uint8", ("batch", side_px, side_px, channels), "framed")
    contract = GraphContract("Frames.", graph_contracts(1, 1)["encoder"].inputs, (framed,))
    module = Framing("crop", side_px, channels)
    model = trace(module, contract, traced_examples(contract), name="framing", about={})
    return onnxruntime.InferenceSession(serialised(model))


def framed_by_graph(image: Image.Image, side_px: int, channels: int) -> np.ndarray:
    return graph(side_px, channels).run(None, {"images": np.asarray(image)[None]})[0][0]


def assert_alike(one: np.ndarray, other: np.ndarray) -> None:
    levels = np.abs(one.astype(int) - other.astype(int))
    assert levels.max() <= 1
    assert (levels > 0).mean() <= 0.01


@pytest.mark.parametrize("channels", [3, 1])
@pytest.mark.parametrize("side_px", SIDES)
def test_the_graph_sees_what_training_saw(side_px: int, channels: int) -> None:
    for size in SIZES:
        image = photograph(*size)
        tile = np.asarray(frame(image, "crop", side_px, channels))
        expected = tile.reshape(side_px, side_px, channels)
        assert_alike(framed_by_graph(image, side_px, channels), expected)


@pytest.mark.parametrize("side_px", SIDES)
def test_the_graph_sees_what_torchvision_makes_of_a_file(side_px: int) -> None:
    transform = v2.Compose([v2.Resize(side_px, antialias=True), v2.CenterCrop(side_px)])
    for size in SIZES:
        image = photograph(*size)
        assert_alike(framed_by_graph(image, side_px, 3), np.asarray(transform(image)))


def test_graph_and_module_agree_to_the_level() -> None:
    for size in SIZES:
        image = photograph(*size)
        module = Framing("crop", 28, 3)(torch.from_numpy(np.asarray(image).copy())[None])[0]
        assert np.array_equal(framed_by_graph(image, 28, 3), module.numpy())


@pytest.mark.slow
@pytest.mark.parametrize("input_size_px", [0, 48])
def test_resizing_and_normalisation_in_the_graph_are_those_of_training(input_size_px: int) -> None:
    encoder = untrained(EncoderSpec("conv4", 3, (4, 6, 6, 8), input_size_px))
    module = ImageEncoder(Framing("crop", 33, 3), encoder)
    contract = graph_contracts(encoder.width, 3)["encoder"]
    model = trace(module, contract, traced_examples(contract), name="encoder", about={})
    session = onnxruntime.InferenceSession(serialised(model))
    for size in SIZES:
        image = photograph(*size)
        (found,) = session.run(None, {"images": np.asarray(image)[None]})
        tile = np.asarray(frame(image, "crop", 33, 3))
        expected = embed(encoder, tile[None]).numpy()
        np.testing.assert_allclose(found, expected, atol=5e-3 * np.abs(expected).max())
