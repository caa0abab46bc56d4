from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tasks.artifacts.image_files import class_folders, decode_image, image_files, read_image
from tasks.errors import DataError
from tests.bomb import png_header

LIMIT = 4096


@pytest.mark.parametrize("side", [5_000, 12_000, 30_000])
def test_a_bomb_is_refused_by_its_header(tmp_path: Path, side: int) -> None:
    path = tmp_path / "bomb.png"
    path.write_bytes(png_header(side, side))
    with pytest.raises(DataError, match=r"bomb\.png: .*needed at most 4,?096 px a side") as refused:
        read_image(path, LIMIT)
    assert "\n" not in str(refused.value)


def test_a_larger_limit_accepts_a_larger_image(tmp_path: Path) -> None:
    Image.new("1", (5_000, 2)).save(tmp_path / "wide.png")
    assert read_image(tmp_path / "wide.png", 5_000).shape == (2, 5_000, 3)


def damaged(path: Path) -> None:
    Image.effect_noise((64, 64), 80).save(path)
    path.write_bytes(path.read_bytes()[:900])


@pytest.mark.parametrize(
    ("name", "make", "line"),
    [
        ("no.png", lambda path: path.write_text("hello"), "not an image; needed one of BMP, GIF"),
        ("empty.png", lambda path: path.write_bytes(b""), "not an image"),
        ("cut.png", damaged, "damaged image"),
        ("cut.jpg", damaged, "damaged image"),
        ("cut.tif", damaged, "damaged image"),
        ("drawing.eps", lambda path: Image.new("L", (9, 9)).save(path), "not an image"),
        ("gone.png", Path.exists, "cannot be read: No such file"),
        ("folder.png", lambda path: path.mkdir(), "cannot be read: Is a directory"),
        (
            "float.tif",
            lambda path: Image.new("F", (9, 9)).save(path),
            "found 32-bit grey levels (mode F), needed 8 or 16 bits a channel",
        ),
    ],
)
def test_what_is_no_image_is_told_in_one_line_with_its_name(
    tmp_path: Path, name: str, make, line: str
) -> None:
    make(tmp_path / name)
    with pytest.raises(DataError) as refused:
        read_image(tmp_path / name, LIMIT)
    assert str(refused.value).startswith(f"{tmp_path / name}: {line}")
    assert "\n" not in str(refused.value)


def test_every_mode_becomes_rgb(tmp_path: Path) -> None:
    for mode in ("1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "I;16"):
        path = tmp_path / ("image.tif" if mode in ("CMYK", "YCbCr") else "image.png")
        Image.new(mode, (5, 3)).save(path)
        image = read_image(path, LIMIT)
        assert (image.shape, image.dtype) == ((3, 5, 3), np.uint8), mode


def test_what_is_transparent_becomes_white(tmp_path: Path) -> None:
    image = Image.new("RGBA", (2, 1), (0, 0, 0, 0))
    image.putpixel((1, 0), (200, 0, 0, 255))
    image.save(tmp_path / "clear.png")
    assert read_image(tmp_path / "clear.png", LIMIT).tolist() == [[[255] * 3, [200, 0, 0]]]
    palette = Image.new("P", (2, 1))
    palette.putpalette([10, 20, 30, 200, 0, 0])
    palette.putpixel((1, 0), 1)
    palette.save(tmp_path / "palette.png", transparency=0)
    assert read_image(tmp_path / "palette.png", LIMIT).tolist() == [[[255] * 3, [200, 0, 0]]]


def test_sixteen_bits_are_scaled_not_clipped(tmp_path: Path) -> None:
    levels = np.array([[0, 128 << 8, 65_535]], np.uint16)
    Image.fromarray(levels).save(tmp_path / "deep.png")
    assert read_image(tmp_path / "deep.png", LIMIT)[0, :, 0].tolist() == [0, 128, 255]


@pytest.mark.parametrize("maximum", [1_000, 65_535])
def test_grey_levels_of_a_deep_pgm_are_scaled_by_its_own_maximum(maximum: int) -> None:
    levels = np.array([0, maximum // 2, maximum], ">u2").tobytes()
    image = decode_image(b"P5\n3 1\n%d\n" % maximum + levels, LIMIT)
    assert image.mode == "RGB"
    assert np.asarray(image)[0, :, 0].tolist() == [0, 127 if maximum % 2 else 128, 255]


def test_exif_says_which_side_is_up(tmp_path: Path) -> None:
    image = Image.new("RGB", (4, 2), "white")
    image.putpixel((0, 0), (0, 0, 0))
    exif = Image.Exif()
    exif[0x0112] = 6  # turned a quarter clockwise
    image.save(tmp_path / "turned.png", exif=exif)
    upright = read_image(tmp_path / "turned.png", LIMIT)
    assert upright.shape == (4, 2, 3)
    assert upright[0, 1].tolist() == [0, 0, 0]


def test_folders_are_listed_in_order_without_what_is_hidden(tmp_path: Path) -> None:
    for name in ("b", "a", ".git"):
        (tmp_path / name).mkdir()
    for name in ("2.PNG", "1.jpg", "notes.txt", ".3.png"):
        (tmp_path / name).touch()
    (tmp_path / "folder.png").mkdir()
    assert [path.name for path in image_files(tmp_path)] == ["1.jpg", "2.PNG"]
    assert [path.name for path in class_folders(tmp_path)] == ["a", "b", "folder.png"]
    for missing in (image_files, class_folders):
        with pytest.raises(DataError, match="cannot be read"):
            missing(tmp_path / "nowhere")
