from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from flows.inspecting.guessing import guess_framing
from flows.inspecting.headers import Header, read_header
from flows.inspecting.looking import Look, look_into, usable
from flows.inspecting.opened import describe
from flows.inspecting.suspicion import comparable, pixel_features, suspect
from tasks.prepare.decoding import TileSpec
from tasks.progress import untracked
from tasks.sources.found import FoundImage
from tests.hostile import damaged_files
from tests.memory_tree import MemoryTree
from tests.pictures import drawing, photograph

SPEC = TileSpec("crop", 16, 3, 1_000_000)


def encoded(image: Image.Image, form: str = "PNG", **options: object) -> bytes:
    file = BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


def sideways(kind: int) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6
    image = photograph(kind, 0).resize((30, 20))
    return encoded(image, "JPEG", exif=exif)


def looked(files: dict[str, bytes], spec: TileSpec = SPEC) -> Look:
    images = [FoundImage(path, "", path.rpartition("/")[0], "") for path in files]
    return look_into(MemoryTree(files), images, spec, untracked, "test")


@pytest.fixture(scope="module")
def mixed() -> Look:
    files = {f"a/{number}.png": encoded(photograph(1, number)) for number in range(3)}
    files["a/again.png"] = files["a/0.png"]
    files["a/wide.jpg"] = encoded(photograph(2, 0).resize((60, 20)), "JPEG")
    files["a/sideways.jpg"] = sideways(3)
    files["b/elsewhere.png"] = files["a/2.png"]
    files["b/grey.png"] = encoded(photograph(4, 0).convert("L"))
    files["b/blank.png"] = encoded(Image.new("RGB", (9, 9)))
    files["b/text.png"] = b"no image"
    return looked(files)


def test_sizes_formats_and_doubles_are_told_exactly(mixed: Look) -> None:
    opened = describe(mixed)
    assert (opened.images, opened.classes, opened.turned) == (10, 2, 1)
    assert opened.forms == {"PNG": 7, "JPEG": 2}
    assert opened.modes == {"RGB": 8, "L": 1}
    assert opened.width is not None and opened.height is not None and opened.aspect is not None
    assert (opened.width.least, opened.width.median, opened.width.most) == (9, 24, 60)
    assert (opened.height.least, opened.height.most) == (9, 30)  # of the one that is turned
    assert opened.aspect.most == 3
    assert opened.within == [["a/0.png", "a/again.png"]]
    assert opened.across == [["a/2.png", "b/elsewhere.png"]]
    assert sorted(one.kind for one in opened.unfit) == ["blank", "not an image"]


def test_what_prepare_would_leave_out_does_not_count(mixed: Look) -> None:
    kept = [mixed.images[position].path for position in mixed.sound.tolist()]
    assert kept == ["a/0.png", "a/1.png", "a/wide.jpg", "a/sideways.jpg", "b/grey.png"]
    assert usable(mixed, {"a": 60, "b": 4, "unseen": 7}) == {"a": 40, "b": 1, "unseen": 7}


def test_no_damage_stops_the_look() -> None:
    files = {f"bad/{name}": content for name, content in damaged_files().items()}
    look = looked(files)
    assert len(look.reasons) == len(files) and sum(map(bool, look.reasons)) > 30
    assert len(describe(look).unfit) < 15


def test_a_header_is_read_without_decoding() -> None:
    cut = encoded(photograph(0, 0))[:60]
    assert read_header(cut) == Header("PNG", "RGB", 24, 24, False)
    assert read_header(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n") is None


def test_drawings_are_told_from_photographs() -> None:
    drawn = np.stack([np.asarray(drawing(kind, 0).convert("RGB")) for kind in range(9)])
    photographs = np.stack([np.asarray(photograph(kind, 0)) for kind in range(9)])
    ink = guess_framing(drawn, [])
    assert (ink.mode, ink.channels, ink.size_px) == ("ink", 1, 28)
    assert guess_framing(255 - drawn, []).mode == "ink"  # light on dark
    large = Header("PNG", "RGB", 640, 480, False)
    crop = guess_framing(photographs, [large, None])
    assert (crop.mode, crop.channels, crop.size_px) == ("crop", 3, 64)
    small = Header("PNG", "RGB", 32, 32, False)
    assert guess_framing(photographs, [small]).size_px == 32
    grey = np.broadcast_to(photographs[..., :1], photographs.shape)
    assert (guess_framing(grey, []).mode, guess_framing(grey, []).channels) == ("crop", 1)
    assert guess_framing(photographs[:0], []).mode == "crop"


def test_a_wrong_label_is_suspected_and_the_right_one_suggested() -> None:
    tiles = [np.asarray(photograph(kind, number)) for kind in range(4) for number in range(7)]
    labels = np.repeat(np.arange(4), 7)
    labels[9] = 3  # an image of class 1 among those of class 3
    positions = np.arange(len(labels))
    features = pixel_features(np.stack(tiles), positions)
    found = suspect(features, labels, positions, "pixels", untracked)
    [one] = found.suspicions
    assert one.position == 9
    assert {labels[to] for to in one.neighbours} == {1} == {labels[one.suggested]}
    assert len(one.neighbours) == 5 and 9 not in one.neighbours
    assert 0.8 < found.agreement < 1  # it is the nearest of some others, too


def test_the_clearest_suspicion_comes_first() -> None:
    angles = np.array([0.01 * step for step in range(8)] + [1 + 0.01 * step for step in range(8)])
    angles = np.append(angles, 0.35)
    labels = np.array([1] + [0] * 7 + [1] * 9)
    features = np.stack([np.cos(angles), np.sin(angles)], 1).astype(np.float32)
    found = suspect(features, labels, np.arange(17) + 100, "angles", untracked)
    assert [one.position for one in found.suspicions] == [100, 116]
    first, second = found.suspicions
    assert first.margin > second.margin > 0


def test_small_classes_are_not_compared() -> None:
    labels = np.array([0, 0, 0, 1, 1, 2, 2, 2])
    assert comparable(np.array([0, 1, 2, 3, 4, 5, 6]), labels).tolist() == [0, 1, 2]
