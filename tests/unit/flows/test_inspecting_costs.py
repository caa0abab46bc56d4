import hashlib
import os
from pathlib import Path

import pytest

from flows.inspecting import costs
from flows.inspecting.costs import Costs, reckon, with_trainings
from flows.inspecting.looking import look_into
from flows.inspecting.timing import Timed
from tasks.artifacts.tile_cache import Tile, TileCache
from tasks.prepare.decoding import TileSpec
from tasks.progress import untracked
from tasks.sources.found import FoundImage
from tests.conftest import TINY, write_params
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


@pytest.mark.parametrize(
    ("changes", "steps", "scorings"),
    [
        ({}, 20, 2),
        ({"policy": "frozen"}, 20, 1),  # embeddings that stay have one score
        ({"distillation": {"generations": 2, "weight": 0.5, "temperature": 4.0}}, 60, 6),
    ],
)
def test_pretraining_is_reckoned_as_it_is_asked_for(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    changes: dict[str, object],
    steps: int,
    scorings: int,
) -> None:
    asked = {"epochs": 2, "batch_size": 100, **changes}
    params = write_params(tmp_path, TINY, {"pretrain": asked})
    timed = Timed(
        pretrain_step_s=1.0,
        metatrain_step_s=1.0,
        embed_image_s=0.0,
        selection_episode_s=1.0,
        checkpoint_episode_s=1.0,
        protocol_episode_s=(1.0,),
        width=8,
        peak_bytes=1,
    )
    monkeypatch.setattr(costs, "_measured", lambda *_: (0.0, timed))
    sizes = {"base": (6, 1000), "validation": (6, 100), "novel": (6, 100)}
    found = with_trainings(Costs([], 0, 0), params, sizes, untracked).stages[0]
    episodes = params.pretrain.selection.episodes
    assert found.stage == "pretrain"
    assert found.seconds == steps + scorings * episodes
