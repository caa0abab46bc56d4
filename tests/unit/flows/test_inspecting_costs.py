import hashlib
import os
from pathlib import Path

import pytest

from flows.inspecting.costs import reckon
from flows.inspecting.looking import look_into
from tasks.artifacts.tile_cache import Tile, TileCache
from tasks.prepare.decoding import TileSpec
from tasks.progress import untracked
from tasks.sources.found import FoundImage
from tests.hostile import encoded
from tests.memory_tree import MemoryTree

IMAGES = 600


@pytest.mark.parametrize(("side", "channels"), [(28, 1), (32, 3), (64, 3), (84, 3), (128, 3)])
def test_the_room_for_decoded_images_is_about_what_they_take(
    tmp_path: Path, side: int, channels: int
) -> None:
    files = {f"c/{number}.png": encoded(number) for number in range(3)}
    spec = TileSpec("crop", side, channels, 1_000_000)
    images = [FoundImage(path, "", "c", "") for path in files]
    look = look_into(MemoryTree(files), images, spec, untracked, "test")
    said = reckon(look, IMAGES, {"base": (1, IMAGES)}).cache_bytes
    cache = TileCache(tmp_path)
    for start in range(0, IMAGES, 100):
        numbers = range(start, start + 100)
        sums = [hashlib.sha256(b"%d" % number).digest() for number in numbers]
        cache.put({one[:16]: Tile.of(os.urandom(side * side * channels)) for one in sums})
        marks = [b"class name/%d.png" % number for number in numbers]
        cache.remember("/data/photos", zip(marks, ["12345-1234567890-1"] * 100, sums, strict=True))
    cache.close()
    taken = sum(file.stat().st_size for file in tmp_path.iterdir())
    assert said == pytest.approx(taken, rel=0.15)
