import logging
import multiprocessing
import os
from multiprocessing.synchronize import Barrier
from pathlib import Path

import pytest

from tasks.artifacts.tile_cache import Tile, TileCache, tile_key


def keys(count: int) -> list[bytes]:
    return [tile_key(index.to_bytes(32, "little"), "crop") for index in range(count)]


def test_what_was_put_is_got_again_by_another_process_and_nothing_else(tmp_path: Path) -> None:
    one, two, three = keys(3)
    tiles = {one: Tile.of(b"abc"), two: Tile.rejected("blank")}
    TileCache(tmp_path).put(tiles)
    cache = TileCache(tmp_path)
    assert cache.get([one, two, three]) == tiles
    assert cache.holds([one, two, three]) == {one, two}
    assert cache.get([]) == {}


def test_framing_and_content_both_make_the_key() -> None:
    assert len({tile_key(b"a", "crop"), tile_key(b"b", "crop"), tile_key(b"a", "ink")}) == 3


def test_marks_are_kept_by_root_whatever_the_bytes_of_a_path(tmp_path: Path) -> None:
    cache = TileCache(tmp_path)
    odd = b"a\xff\n\x00/b.jpg"
    cache.remember("/one", [(odd, "m1", b"1" * 32), (b"x", "m2", b"2" * 32)])
    cache.remember("/one", [(odd, "m3", b"3" * 32)])
    cache.forget("/one", [b"x"])
    assert cache.known("/one") == {odd: ("m3", b"3" * 32)}
    assert cache.known("/two") == {}


def test_trimming_takes_what_was_not_used_for_longest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = TileCache(tmp_path, limit_bytes=4_000_000)
    for day, start in ((1, 0), (2, 300)):
        monkeypatch.setattr("tasks.artifacts.tile_cache._today", lambda day=day: day)
        cache.put({key: Tile.of(os.urandom(10_000)) for key in keys(600)[start : start + 300]})
    monkeypatch.setattr("tasks.artifacts.tile_cache._today", lambda: 3)
    assert len(cache.holds(keys(600)[:10])) == 10
    cache.trim()
    kept = cache.holds(keys(600))
    assert set(keys(600)[:10]) <= kept
    assert not set(keys(600)[10:250]) & kept
    assert len(set(keys(600)[300:]) & kept) > 200
    assert cache.path.stat().st_size <= 4_300_000


@pytest.mark.parametrize("content", [b"", b"not a database at all" * 100])
def test_a_damaged_cache_is_told_and_the_next_run_has_a_new_one(
    tmp_path: Path, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    cache = TileCache(tmp_path)
    cache.path.write_bytes(content)
    [one] = keys(1)
    cache.put({one: Tile.of(b"abc")})
    if content:
        assert "decoded without a cache" in caplog.text
        assert cache.get([one]) == {}
    again = TileCache(tmp_path)
    again.put({one: Tile.of(b"abc")})
    assert again.get([one]) == {one: Tile.of(b"abc")}


def test_no_place_to_write_is_no_fault(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").touch()
    cache = TileCache(tmp_path / "file")
    cache.put({keys(1)[0]: Tile.of(b"abc")})
    assert cache.get(keys(1)) == {}
    assert caplog.text.count("decoded without a cache") == 1


def _fill(folder: Path, start: int, barrier: Barrier) -> None:
    cache = TileCache(folder)
    barrier.wait()  # all find that there is no file yet
    for index in range(start, start + 50):
        cache.put({keys(index + 1)[index]: Tile.of(b"x" * 2_000)})


def test_two_processes_write_at_once(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    barrier = context.Barrier(3)
    writers = [
        context.Process(target=_fill, args=(tmp_path, start, barrier)) for start in (0, 25, 50)
    ]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert [writer.exitcode for writer in writers] == [0, 0, 0]
    assert TileCache(tmp_path).holds(keys(100)) == set(keys(100))


def test_a_limit_that_is_no_number_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("HEADSTART_CACHE_GB", "plenty")
    assert TileCache(tmp_path).limit_bytes == 20e9
    assert "HEADSTART_CACHE_GB: not a number" in caplog.text
    monkeypatch.setenv("HEADSTART_CACHE_GB", "0.5")
    monkeypatch.setenv("HEADSTART_CACHE", str(tmp_path / "named"))
    cache = TileCache()
    assert (cache.limit_bytes, cache.path.parent) == (500_000_000, tmp_path / "named")
