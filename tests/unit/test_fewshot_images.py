"""The client reads images as training and the commands do."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tasks.artifacts.image_files import read_image as read_for_training
from tasks.errors import DataError
from tasks.fewshot import FewShotError, read_image
from tests.bomb import png_header

LIMIT = 4096
SUFFIXES = {
    "bmp": ("1", "L", "P", "RGB", "RGBA"),
    "gif": ("1", "L", "P", "RGB", "RGBA"),
    "jpg": ("L", "RGB", "CMYK"),
    "pgm": ("L", "I;16"),
    "png": ("1", "L", "LA", "P", "RGB", "RGBA", "I;16"),
    "ppm": ("RGB",),
    "tif": ("1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "LAB", "I;16"),
    "webp": ("RGB", "RGBA"),
}


def drawn(mode: str) -> Image.Image:
    """Colours, grey levels and opacities of every value, a little taller than wide."""
    rng = np.random.default_rng(len(mode))
    if mode == "I;16":
        return Image.fromarray(rng.integers(0, 2**16, (19, 13), np.uint16))
    if mode in ("LA", "RGBA"):
        channels = 2 if mode == "LA" else 4
        return Image.fromarray(rng.integers(0, 256, (19, 13, channels), np.uint8), mode)
    colours = Image.fromarray(rng.integers(0, 256, (19, 13, 3), np.uint8))
    return Image.new("LAB", (13, 19), (90, 120, 130)) if mode == "LAB" else colours.convert(mode)


@pytest.mark.parametrize(
    ("suffix", "mode"),
    [(suffix, mode) for suffix, modes in SUFFIXES.items() for mode in modes],
)
@pytest.mark.parametrize("turned", range(0, 10, 2))
def test_a_file_is_the_same_array_as_in_training(
    tmp_path: Path, suffix: str, mode: str, turned: int
) -> None:
    path = tmp_path / f"image.{suffix}"
    exif = Image.Exif()
    exif[0x0112] = turned
    carries = suffix in ("jpg", "png", "webp", "tif") and turned
    # Pillow 13 misreads a turned TIFF that is not compressed.
    how = {"compression": "tiff_lzw"} if suffix == "tif" else {}
    drawn(mode).save(path, **how, **({"exif": exif} if carries else {}))
    expected = read_for_training(path, LIMIT)
    found = read_image(path, LIMIT)
    assert (found.dtype, found.shape) == (np.uint8, expected.shape)
    assert np.array_equal(found, expected)
    with Image.open(path) as image:
        image.load()  # Pillow itself turns a TIFF
        before = image.size
        assert np.array_equal(read_image(image, LIMIT), expected)
        assert image.size == before, "the caller's image was turned"


def transparent_palette(path: Path) -> None:
    palette = Image.new("P", (2, 1))
    palette.putpalette([10, 20, 30, 200, 0, 0])
    palette.putpixel((1, 0), 1)
    palette.save(path, transparency=0)


def deep_pgm(path: Path) -> None:
    path.write_bytes(b"P5\n3 1\n1000\n" + np.array([0, 500, 1000], ">u2").tobytes())


def several_frames(path: Path) -> None:
    frames = [Image.new("RGB", (9, 9), colour) for colour in ("red", "green")]
    frames[0].save(path, save_all=True, append_images=frames[1:])


def cut(path: Path) -> None:
    Image.effect_noise((64, 64), 80).save(path)
    path.write_bytes(path.read_bytes()[:900])


@pytest.mark.parametrize(
    ("name", "write"),
    [
        ("p.png", transparent_palette),
        ("p.gif", transparent_palette),
        ("deep.pgm", deep_pgm),
        ("two.gif", several_frames),
        ("two.png", several_frames),
        ("two.webp", several_frames),
        ("two.tif", several_frames),
    ],
)
def test_odd_files_are_the_same_arrays_as_in_training(
    tmp_path: Path, name: str, write: Callable[[Path], object]
) -> None:
    write(tmp_path / name)
    assert np.array_equal(
        read_image(str(tmp_path / name), LIMIT), read_for_training(tmp_path / name, LIMIT)
    )


@pytest.mark.parametrize(
    ("name", "write", "line"),
    [
        ("no.png", lambda path: path.write_text("hello"), "not an image; needed one of BMP, GIF"),
        ("empty.png", lambda path: path.write_bytes(b""), "not an image"),
        ("cut.png", cut, "damaged image"),
        ("cut.jpg", cut, "damaged image"),
        ("cut.tif", cut, "damaged image"),
        ("drawing.eps", lambda path: Image.new("L", (9, 9)).save(path), "not an image"),
        ("gone.png", Path.exists, "cannot be read: No such file"),
        ("folder.png", lambda path: path.mkdir(), "cannot be read: Is a directory"),
        ("deep.tif", lambda path: Image.new("F", (9, 9)).save(path), "32-bit grey levels"),
        ("large.png", lambda path: path.write_bytes(png_header(5_000, 9)), "found 5,000 x 9 px"),
        ("bomb.png", lambda path: path.write_bytes(png_header(30_000, 30_000)), "more pixels than"),
    ],
)
def test_what_training_refuses_is_refused_in_one_line_with_its_name(
    tmp_path: Path, name: str, write: Callable[[Path], object], line: str
) -> None:
    write(tmp_path / name)
    with pytest.raises(DataError):
        read_for_training(tmp_path / name, LIMIT)
    with pytest.raises(FewShotError, match=line) as refused:
        read_image(tmp_path / name, LIMIT)
    assert str(refused.value).startswith(f"{tmp_path / name}: ")
    assert "\n" not in str(refused.value)
