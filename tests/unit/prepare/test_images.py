"""Folders of images become parts of the store, each image decoded once in its life."""

import csv
import os
import shutil
import signal
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tasks.artifacts.files import sha256
from tasks.artifacts.image_store import ImageStore
from tasks.artifacts.layout import LISTING, PREPARED
from tasks.artifacts.tile_cache import TileCache
from tasks.artifacts.user_cache import FOLDER_VARIABLE
from tasks.errors import DataError, MovedInputsError, ParametersError
from tasks.framing.pillow import frame
from tasks.params import Params
from tasks.prepare import decoding, framing_pool
from tasks.prepare.decoding import Answer, Request, TileSpec
from tasks.prepare.framing_pool import frame_batches
from tasks.prepare.stage import prepare
from tasks.progress import untracked
from tasks.scan.stage import scan
from tasks.trees.local_tree import LocalTree
from tests.conftest import TINY, merged, write_params
from tests.hostile import encoded, picture

SPLITS = {"by": "share", "base": [], "validation": ["c2", "c3", "c4"], "novel": []}
PHOTOGRAPHS = {
    "prepare": {
        "source": "image_folder",
        "root": "photos",
        "channels": 3,
        "framing": "crop",
        "domains": [],
        "splits": SPLITS,
    },
    "evaluate": {"protocols": [{"domain": "novel", "way": 3, "shot": 1}]},
}
SPEC = TileSpec("crop", 16, 3, 1_000_000)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Params]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path / "cache"))
    for index in range(20):
        folder = tmp_path / "photos" / f"c{index}"
        folder.mkdir(parents=True)
        for number in range(8):
            (folder / f"{number}.png").write_bytes(encoded(100 * index + number))

    def make(**changes: Any) -> Params:
        return write_params(tmp_path, merged(TINY, PHOTOGRAPHS), changes)

    return make


def rejected() -> dict[str, str]:
    with (PREPARED / "rejected.csv").open(newline="", encoding="utf-8") as file:
        return {row["path"]: row["reason"] for row in csv.DictReader(file)}


def home_of(name: str) -> str:
    store = ImageStore(PREPARED)
    return next(
        part
        for part in ("base", "validation", "novel")
        if name in {one.name for one in store.classes(part)}
    )


def decoded_by(params: Params, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The paths that a run reads and decodes."""
    seen: list[str] = []
    real = framing_pool._Pool.submit

    def submit(self: Any, batch: Any, contents: Any) -> None:
        seen.extend(request.path for request in batch)
        real(self, batch, contents)

    with monkeypatch.context() as patch:
        patch.setattr(framing_pool._Pool, "submit", submit)
        prepare(params, untracked)
    return seen


def test_images_are_framed_and_split_by_class(project: Callable[..., Params]) -> None:
    prepare(project(), untracked)
    store = ImageStore(PREPARED)
    assert (store.side_px, store.channels) == (16, 3)
    assert sum(len(store.classes(part)) for part in ("base", "validation", "novel")) == 20
    assert {"c2", "c3", "c4"} <= {one.name for one in store.classes("validation")}
    part = store.read(home_of("c7"))
    label = [one.name for one in part.classes].index("c7")
    expected = [np.asarray(frame(picture(700 + one), "crop", 16, 3)) for one in range(8)]
    assert np.array_equal(part.images[part.labels == label], np.stack(expected))


def test_turned_characters_train_and_measure_nothing(
    project: Callable[..., Params],
) -> None:
    params = project(
        prepare={
            "source": "omniglot",
            "root": "omniglot",
            "omniglot": {"rotated_classes": True},
            "splits": {"by": "group", "base": ["A"], "validation": ["B"]},
        }
    )
    for half, alphabets in (("background", "AB"), ("evaluation", "C")):
        for alphabet in alphabets:
            for character in range(6):
                folder = Path("omniglot", f"images_{half}", alphabet, f"character{character:02d}")
                folder.mkdir(parents=True)
                for index in range(8):
                    number = 1000 * ord(alphabet) + 10 * character + index
                    picture(number).save(folder / f"{character:04d}_{index:02d}.png")
    prepare(params, untracked)
    counts = {
        part: len(ImageStore(PREPARED).classes(part)) for part in ("base", "validation", "novel")
    }
    assert counts == {"base": 24, "validation": 6, "novel": 6}


def test_a_second_run_decodes_nothing_and_gives_the_same_bytes(
    project: Callable[..., Params], monkeypatch: pytest.MonkeyPatch
) -> None:
    params = project()
    assert len(decoded_by(params, monkeypatch)) == 160
    first = {path.name: sha256(path) for path in PREPARED.iterdir()}
    assert decoded_by(params, monkeypatch) == []
    assert {path.name: sha256(path) for path in PREPARED.iterdir()} == first
    shutil.rmtree(os.environ[FOLDER_VARIABLE])
    assert len(decoded_by(params, monkeypatch)) == 160
    assert {path.name: sha256(path) for path in PREPARED.iterdir()} == first


def test_only_what_is_new_or_changed_is_decoded_and_what_is_gone_is_gone(
    project: Callable[..., Params], monkeypatch: pytest.MonkeyPatch
) -> None:
    params = project()
    prepare(params, untracked)
    Path("photos/c5/new.png").write_bytes(encoded(9_001))
    Path("photos/c6/0.png").write_bytes(encoded(9_002))
    Path("photos/c7/0.png").unlink()
    assert sorted(decoded_by(params, monkeypatch)) == ["c5/new.png", "c6/0.png"]
    store = ImageStore(PREPARED)
    counts = {
        one.name: one.images
        for part in ("base", "validation", "novel")
        for one in store.classes(part)
    }
    assert (counts["c5"], counts["c6"], counts["c7"]) == (9, 8, 7)


def test_a_damaged_image_is_decoded_once_too_and_told_every_time(
    project: Callable[..., Params], monkeypatch: pytest.MonkeyPatch
) -> None:
    params = project()
    Path("photos/c5/cut.png").write_bytes(encoded(9_001)[:300])
    prepare(params, untracked)
    first = rejected()
    assert "damaged image" in first["c5/cut.png"]
    assert decoded_by(params, monkeypatch) == []
    assert rejected() == first


def test_a_framing_of_its_own_has_tiles_of_its_own(project: Callable[..., Params]) -> None:
    prepare(project(), untracked)
    prepare(project(prepare={"image_size_px": 20}), untracked)
    assert ImageStore(PREPARED).read("base").images.shape[1:] == (20, 20, 3)


def test_a_duplicate_is_left_out_and_names_the_one_that_stays(
    project: Callable[..., Params],
) -> None:
    shutil.copy("photos/c5/0.png", "photos/c5/copy.png")
    picture(501).save("photos/c5/other bytes.bmp")
    prepare(project(), untracked)
    assert rejected() == {
        "c5/copy.png": "duplicate of c5/0.png",
        "c5/other bytes.bmp": "duplicate of c5/1.png",
    }


def test_one_image_under_two_labels_is_used_under_neither_and_reported_for_both(
    project: Callable[..., Params],
) -> None:
    params = project()
    prepare(params, untracked)
    other = next(name for name in ("c0", "c1", "c8", "c9") if home_of(name) != home_of("c5"))
    for name in ("c5", other, "c2"):
        Path(f"photos/{name}/same.png").write_bytes(encoded(9_001))
    prepare(params, untracked)
    found = rejected()
    assert set(found) == {"c5/same.png", f"{other}/same.png", "c2/same.png"}
    assert all("also stands under another label" in reason for reason in found.values())
    store = ImageStore(PREPARED)
    for part in ("base", "validation", "novel"):
        content = store.read(part)
        assert len(content.images) == sum(one.images for one in content.classes)
        assert {one.images for one in content.classes} == {8}
        for label, one in enumerate(content.classes):
            number = int(one.name[1:])
            expected = np.asarray(frame(picture(100 * number), "crop", 16, 3))
            assert np.array_equal(content.images[content.labels == label][0], expected)


def test_too_many_rejected_stop_the_run_and_name_the_worst_folders(
    project: Callable[..., Params],
) -> None:
    params = project()
    prepare(params, untracked)
    before = sha256(PREPARED / "manifest.json")
    for index in range(6):
        Path(f"photos/c9/bad {index}.png").write_bytes(b"no image")
    for index in range(4):
        Path(f"photos/c8/bad {index}.png").write_bytes(b"")
    with pytest.raises(DataError) as told:
        prepare(params, untracked)
    lines = str(told.value).splitlines()
    assert "found 10 of 170 images (5.9 %)" in lines[0] and "at most 5 %" in lines[0]
    assert lines[1].startswith("  c9: 6, such as c9/bad 0.png: not an image")
    assert lines[2].startswith("  c8: 4, such as c8/bad 0.png: empty file")
    assert Path(".headstart/rejected.csv").read_text().count("\n") == 11
    assert sha256(PREPARED / "manifest.json") == before
    prepare(project(prepare={"max_rejected_share": 0.06}), untracked)


def test_episodes_that_cannot_be_drawn_are_told_before_anything_is_decoded(
    project: Callable[..., Params], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(framing_pool, "process_pool", lambda *_: pytest.fail("decoding began"))
    params = project(evaluate={"protocols": [{"domain": "novel", "way": 99, "shot": 1}]})
    with pytest.raises(ParametersError, match=r"protocols\[0\].way: found 99, needed at most"):
        prepare(params, untracked)


def test_a_scan_lists_what_stands_there_and_prepare_holds_to_it(
    project: Callable[..., Params],
) -> None:
    params = project(prepare={"watch": ["root"]})
    with pytest.raises(DataError, match=r"data/scan/listing.csv: not found; stage scan makes it"):
        prepare(params, untracked)
    scan(params, untracked)
    first = LISTING.read_bytes()
    prepare(params, untracked)
    os.utime("photos/c5/0.png", (1, 1))
    scan(params, untracked)
    assert LISTING.read_bytes() == first  # by content, not by date
    Path("photos/c5/new.png").write_bytes(encoded(9_001))
    with pytest.raises(MovedInputsError, match="the images changed since"):
        prepare(params, untracked)
    scan(params, untracked)
    assert LISTING.read_bytes() != first
    prepare(params, untracked)


def test_how_many_processes_read_changes_nothing(project: Callable[..., Params]) -> None:
    project()
    paths = [f"c{index}/{number}.png" for index in range(20) for number in range(8)]
    batches = [[Request(path, 0) for path in paths[at : at + 7]] for at in range(0, 160, 7)]
    answers = [
        list(frame_batches(LocalTree("photos"), batches, SPEC, processes)) for processes in (1, 3)
    ]
    assert answers[0] == answers[1]
    assert sum(map(len, answers[0])) == 160


def test_turning_turns_counter_clockwise(project: Callable[..., Params]) -> None:
    project()
    [[plain, turned]] = frame_batches(
        LocalTree("photos"), [[Request("c1/1.png", 0), Request("c1/1.png", 90)]], SPEC, 1
    )
    shape = (16, 16, 3)
    images = [np.frombuffer(one.tile.pixels, np.uint8).reshape(shape) for one in (plain, turned)]
    assert np.abs(np.rot90(images[0]).astype(int) - images[1]).max() <= 1


def _crash_on_red(image: Image.Image, *_: Any) -> Image.Image:
    if image.getpixel((0, 0)) == (255, 0, 0):
        os.kill(os.getpid(), signal.SIGSEGV)
    return image.resize((16, 16))


class CrashingTree(LocalTree):
    """Its workers use a decoder that dies on red images."""

    def __setstate__(self, state: Any) -> None:
        self.__dict__.update(state)
        decoding.frame = _crash_on_red  # type: ignore[assignment]


def test_an_image_that_crashes_its_decoder_is_rejected_alone(
    project: Callable[..., Params],
) -> None:
    project()
    Image.new("RGB", (20, 20), (255, 0, 0)).save("photos/c3/red.png")
    paths = [f"c{index}/{number}.png" for index in range(6) for number in range(8)]
    paths.insert(20, "c3/red.png")
    batches = [[Request(path, 0) for path in paths[at : at + 10]] for at in range(0, 49, 10)]
    found = [
        one for batch in frame_batches(CrashingTree("photos"), batches, SPEC, 2) for one in batch
    ]
    assert [index for index, one in enumerate(found) if one.tile.reason] == [20]
    assert found[20].tile.reason == "the decoder crashed on it"


def _dawdle(image: Image.Image, *_: Any) -> Image.Image:
    while True:
        image = image.copy()


def test_an_image_that_takes_too_long_is_rejected(
    project: Callable[..., Params], monkeypatch: pytest.MonkeyPatch
) -> None:
    project()
    monkeypatch.setattr(decoding, "SECONDS_AN_IMAGE", 0.2)
    monkeypatch.setattr(decoding, "frame", _dawdle)
    answer: Answer = decoding.frame_content(encoded(1), 0, SPEC)
    assert "to decode" in answer.tile.reason


def _no_memory(image: Image.Image, *_: Any) -> Image.Image:
    raise MemoryError


def test_what_this_machine_cannot_do_now_is_not_remembered_of_the_image(
    project: Callable[..., Params], monkeypatch: pytest.MonkeyPatch
) -> None:
    project()
    monkeypatch.setattr(decoding, "frame", _no_memory)
    answer = decoding.frame_content(encoded(1), 0, SPEC)
    assert (answer.sha256, answer.tile.reason) == (b"", "too large for the memory there is")


def test_a_damaged_tile_is_decoded_again(
    project: Callable[..., Params], monkeypatch: pytest.MonkeyPatch
) -> None:
    params = project()
    prepare(params, untracked)
    first = {path.name: sha256(path) for path in PREPARED.iterdir()}
    cache = TileCache()
    with sqlite3.connect(cache.path) as db:
        db.execute("UPDATE tiles SET pixels = zeroblob(768) WHERE rowid % 20 = 0")
        db.execute("UPDATE tiles SET pixels = x'00' WHERE rowid % 20 = 1")
    assert len(decoded_by(params, monkeypatch)) == 16
    assert {path.name: sha256(path) for path in PREPARED.iterdir()} == first


class SlowlySubmitted(list[Any]):
    """Batches that come late enough for a crash to be noticed in between."""

    def __iter__(self) -> Any:
        for one in list.__iter__(self):
            time.sleep(0.2)
            yield one


def test_a_crash_between_two_batches_is_recovered_from_too(
    project: Callable[..., Params],
) -> None:
    project()
    Image.new("RGB", (20, 20), (255, 0, 0)).save("photos/c0/red.png")
    paths = ["c0/red.png", *(f"c{index}/{number}.png" for index in range(6) for number in range(4))]
    batches = SlowlySubmitted([Request(path, 0)] for path in paths)
    found = [
        one for batch in frame_batches(CrashingTree("photos"), batches, SPEC, 1) for one in batch
    ]
    assert [index for index, one in enumerate(found) if one.tile.reason] == [0]
