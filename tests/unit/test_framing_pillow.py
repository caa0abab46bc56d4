"""Both tellings of the framing rules agree: what `prepare` stores is what `encoder.onnx` sees."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from tasks.framing.graph import Framing
from tasks.framing.pillow import frame, is_blank
from tasks.randomness import numpy_generator

SIZES = [
    (1, 1), (1, 40), (40, 1), (2, 3), (16, 16), (17, 16), (27, 29), (28, 28), (31, 30), (33, 100),
    (64, 64), (65, 63), (84, 84), (85, 301), (101, 333), (105, 105), (127, 128), (200, 133),
    (256, 256), (301, 400), (333, 500), (640, 480),
]  # fmt: skip


def photograph(height: int, width: int) -> np.ndarray:
    generator = numpy_generator(1, "test", "photograph", height, width)
    coarse = generator.integers(0, 256, (max(2, height // 5), max(2, width // 5), 3), np.uint8)
    return np.array(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC))


def drawing(height: int, width: int) -> np.ndarray:
    """A dark figure somewhere on light paper, never at the edge."""
    generator = numpy_generator(1, "test", "drawing", height, width)
    grey = np.full((height, width, 3), 240, np.uint8)
    top, left = (
        generator.integers(1, max(2, height // 3)),
        generator.integers(1, max(2, width // 3)),
    )
    texture = generator.integers(0, 90, (max(1, height // 2), max(1, width // 2), 1), np.uint8)
    area = grey[top : top + len(texture), left : left + texture.shape[1]]
    area[:] = texture[: area.shape[0], : area.shape[1]]
    return grey


def both(
    image: np.ndarray, mode: str, size_px: int, channels: int
) -> tuple[np.ndarray, np.ndarray]:
    graph = Framing(mode, size_px, channels)(torch.from_numpy(image)[None])[0].numpy()
    tile = np.asarray(frame(Image.fromarray(image), mode, size_px, channels))
    return graph.astype(int), tile.reshape(size_px, size_px, channels).astype(int)


@pytest.mark.parametrize("size_px", [28, 64])
@pytest.mark.parametrize(("height", "width"), SIZES)
@pytest.mark.parametrize(("mode", "channels"), [("crop", 3), ("crop", 1), ("ink", 1), ("ink", 3)])
def test_pillow_and_graph_differ_by_one_level_and_rarely_by_two(
    height: int, width: int, mode: str, channels: int, size_px: int
) -> None:
    image = (drawing if mode == "ink" else photograph)(height, width)
    graph, tile = both(image, mode, size_px, channels)
    # Simple fractions make exact halves, and there are two passes to round: rarely two levels.
    assert np.abs(graph - tile).max() <= 2
    assert (np.abs(graph - tile) > 1).mean() < 0.005


def test_shrinking_photographs_leaves_less_than_one_in_a_hundred_pixels_apart() -> None:
    for height, width in [(301, 400), (333, 500), (640, 480), (256, 256), (200, 133)]:
        graph, tile = both(photograph(height, width), "crop", 64, 3)
        assert (graph != tile).mean() < 0.01


@settings(max_examples=300)
@given(
    height=st.integers(1, 90), width=st.integers(1, 90), seed=st.integers(0, 9), dark=st.booleans()
)
def test_any_drawing_is_framed_alike(height: int, width: int, seed: int, dark: bool) -> None:
    generator = np.random.default_rng(seed)
    image = np.where(generator.random((height, width, 1)) < 0.1, 20, 230).astype(np.uint8)
    image = np.repeat(255 - image if dark else image, 3, axis=2)
    graph, tile = both(image, "ink", 28, 1)
    assert np.abs(graph - tile).max() <= 2
    assert (np.abs(graph - tile) > 1).mean() < 0.005


def test_blank_is_what_has_no_contrast_in_any_channel() -> None:
    assert is_blank(frame(Image.new("RGB", (50, 40), "teal"), "crop", 16, 3))
    assert is_blank(frame(Image.new("RGB", (50, 40), "teal"), "ink", 16, 1))
    image = Image.new("RGB", (50, 40), (0, 0, 100))
    image.paste((0, 0, 160), (10, 10, 30, 30))
    assert not is_blank(frame(image, "crop", 16, 3))
