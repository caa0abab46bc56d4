"""Framing resamples as the tools that people know: Pillow, and torchvision on Pillow images."""

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms import v2

from tasks.framing.graph import Framing
from tasks.framing.rules import INK_MARGIN, INK_THRESHOLD
from tasks.randomness import numpy_generator


def noise(height: int, width: int) -> np.ndarray:
    generator = numpy_generator(1, "test", "noise", height, width)
    coarse = generator.integers(0, 256, (max(2, height // 5), max(2, width // 5), 3), np.uint8)
    return np.array(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC))


@pytest.mark.parametrize(
    ("height", "width"),
    [(37, 53), (53, 37), (28, 28), (29, 28), (85, 301), (400, 301), (101, 333), (31, 30)],
)
def test_a_crop_is_torchvisions_resize_and_centre_crop_within_one_grey_level(
    height: int, width: int
) -> None:
    image = noise(height, width)
    reference = v2.Compose([v2.Resize(28, antialias=True), v2.CenterCrop(28)])
    expected = np.asarray(reference(Image.fromarray(image))).astype(int)
    found = Framing("crop", 28, 3)(torch.from_numpy(image)[None])[0].numpy()
    assert np.abs(found - expected).max() <= 1
    assert (found != expected).mean() < 0.01


@pytest.mark.parametrize(("height", "width"), [(20, 17), (9, 11), (8, 8), (13, 40)])
def test_an_enlarged_crop_is_within_one_grey_level_too(height: int, width: int) -> None:
    # Enlarging by simple fractions makes many exact halves, which float32 may miss by a hair.
    image = noise(height, width)
    reference = v2.Compose([v2.Resize(28, antialias=True), v2.CenterCrop(28)])
    expected = np.asarray(reference(Image.fromarray(image))).astype(int)
    found = Framing("crop", 28, 3)(torch.from_numpy(image)[None])[0].numpy()
    assert np.abs(found - expected).max() <= 1
    assert (found != expected).mean() < 0.06


@pytest.mark.parametrize(("top", "left", "tall", "wide"), [(40, 50, 31, 17), (60, 40, 9, 45)])
def test_ink_is_pillows_resize_of_a_box_within_one_grey_level(
    top: int, left: int, tall: int, wide: int
) -> None:
    grey = np.full((150, 160), 255, np.uint8)
    texture = numpy_generator(1, "test", "ink").integers(0, 120, (tall, wide), np.uint8)
    grey[top : top + tall, left : left + wide] = texture
    grey[top, left] = 0
    assert 255 - texture.max() > INK_THRESHOLD * 255
    side = max(tall, wide) / (1 - 2 * INK_MARGIN)
    middle = (left + wide / 2, top + tall / 2)
    box = (*(one - side / 2 for one in middle), *(one + side / 2 for one in middle))
    expected = np.asarray(
        Image.fromarray(grey).resize((28, 28), Image.Resampling.BILINEAR, box=box)
    ).astype(int)
    rgb = torch.from_numpy(grey)[None, ..., None].expand(-1, -1, -1, 3)
    found = Framing("ink", 28, 1)(rgb)[0, ..., 0].numpy()
    assert np.abs(found - expected).max() <= 1
    assert (found != expected).mean() < 0.01


def test_grey_of_a_crop_is_pillows_grey() -> None:
    image = noise(28, 28)
    expected = np.asarray(Image.fromarray(image).convert("L")).astype(int)
    found = Framing("crop", 28, 1)(torch.from_numpy(image)[None])[0, ..., 0].numpy()
    assert np.abs(found - expected).max() <= 1
