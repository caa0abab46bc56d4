from pathlib import Path

import numpy as np
import pytest

from tasks.artifacts.files import read_json, write_json
from tasks.artifacts.image_store import (
    ImageClass,
    ImageStore,
    Part,
    Rejected,
    write_image_store,
)
from tasks.errors import DataError

DESCRIPTION = {"source": "test", "framing": "ink", "image_size_px": 4, "channels": 1, "seed": 1}


def part(prefix: str, classes: int = 2) -> Part:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (classes * 3, 4, 4, 1), np.uint8)
    names = tuple(ImageClass(f"{prefix} {index}", "group", 3) for index in range(classes))
    return Part(images, np.repeat(np.arange(classes), 3), names)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    parts = {name: part(name) for name in ("base", "validation", "novel", "digits")}
    write_image_store(tmp_path, parts, DESCRIPTION, [Rejected("<b>\n", 'a,"b', "blank")])
    return tmp_path


def test_what_was_written_is_read_and_stays_on_disk(folder: Path) -> None:
    store = ImageStore(folder)
    novel = store.read("novel")
    assert isinstance(novel.images, np.memmap)
    assert np.array_equal(novel.images, part("novel").images)
    assert novel.classes == part("novel").classes
    assert (store.side_px, store.channels, store.domains) == (4, 1, ("novel", "digits"))
    assert store.class_sizes()["base"] == [("group", 3)] * 2


def test_a_changed_byte_is_noticed(folder: Path) -> None:
    path = folder / "novel.images.npy"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(DataError, match="novel.images.npy.*differs"):
        ImageStore(folder).read("novel")


def test_a_missing_part_and_another_format_are_told(folder: Path) -> None:
    with pytest.raises(DataError, match="found parts base, validation, novel, digits, needed x"):
        ImageStore(folder).read("x")
    (folder / "base.labels.npy").unlink()
    with pytest.raises(DataError, match="base.labels.npy: not found"):
        ImageStore(folder).read("base")
    manifest = read_json(folder / "manifest.json", "prepare")
    write_json(folder / "manifest.json", {**manifest, "format": 99})
    with pytest.raises(DataError, match="found format 99, needed 1"):
        ImageStore(folder)


def test_a_class_in_two_splits_is_refused(tmp_path: Path) -> None:
    parts = {"base": part("same"), "validation": part("v"), "novel": part("same")}
    with pytest.raises(DataError, match="same 0 stands in base and in novel"):
        write_image_store(tmp_path, parts, DESCRIPTION, [])
