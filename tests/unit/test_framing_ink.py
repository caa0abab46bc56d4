from typing import Literal

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw

from tasks.framing.graph import Framing, frame_grey

INK = Framing("ink", 28, 1)


def drawing(
    side: tuple[int, int] = (120, 90), corner: tuple[int, int] = (20, 30), size: int = 30
) -> np.ndarray:
    figure = Image.new("L", (size, size // 2), 255)
    draw = ImageDraw.Draw(figure)
    draw.rectangle((0, 0, size - 1, size // 2 - 1), outline=0, width=4)
    draw.line((0, 0, size, size // 2), fill=0, width=4)
    image = Image.new("L", side, 255)
    image.paste(figure, corner)
    return np.asarray(image)


def framed(image: np.ndarray) -> np.ndarray:
    return frame_grey(INK, image[None])[0, :, :, 0]


def test_paper_is_white_ink_is_black_and_the_figure_fills_the_frame() -> None:
    image = framed(drawing()).astype(int)
    assert image.shape == (28, 28)
    assert image[0].min() == 255 and image.min() < 40
    columns = np.flatnonzero((image < 128).any(axis=0))
    assert columns[0] == 2 and columns[-1] == 25


def test_light_ink_on_dark_paper_is_framed_as_its_negative() -> None:
    assert np.array_equal(framed(drawing()), framed(255 - drawing()))


def test_pale_ink_on_grey_paper_is_stretched() -> None:
    pale = (drawing().astype(np.float32) / 255 * 60 + 120).round().astype(np.uint8)
    assert np.abs(framed(pale).astype(int) - framed(drawing())).max() <= 3


@settings(max_examples=25, deadline=None)
@given(x=st.integers(0, 90), y=st.integers(0, 75))
def test_where_the_figure_stands_does_not_matter(x: int, y: int) -> None:
    centred = framed(drawing(corner=(40, 30))).astype(int)
    assert np.abs(framed(drawing(corner=(x, y))).astype(int) - centred).max() <= 2


def test_size_hardly_matters() -> None:
    large = framed(drawing((400, 400), (50, 60), 120)).astype(int)
    assert np.abs(large - framed(drawing((400, 400), (50, 60), 116))).mean() < 12


@pytest.mark.parametrize("level", [0, 7, 255])
def test_a_blank_image_becomes_blank_paper(level: int) -> None:
    assert (framed(np.full((30, 50), level, np.uint8)) == 255).all()


def test_images_of_a_batch_are_framed_each_by_itself() -> None:
    several = np.stack([drawing(), drawing(corner=(5, 50)), np.full((90, 120), 255, np.uint8)])
    together = frame_grey(INK, several)
    assert np.array_equal(together[1], frame_grey(INK, several[1:2])[0])


def test_a_single_pixel_is_an_image_too() -> None:
    assert INK(torch.zeros(1, 1, 1, 3, dtype=torch.uint8)).shape == (1, 28, 28, 1)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("mode", ["ink", "crop"])
def test_grey_is_framed_as_equal_red_green_and_blue(
    mode: Literal["ink", "crop"], channels: Literal[1, 3]
) -> None:
    levels = np.arange(256, dtype=np.uint8)
    grey = np.stack([drawing(), np.resize(levels, (90, 120)), np.full((90, 120), 255, np.uint8)])
    framing = Framing(mode, 28, channels)
    rgb = framing(torch.from_numpy(np.repeat(grey[..., None], 3, axis=-1))).numpy()
    assert np.array_equal(frame_grey(framing, grey), rgb)
