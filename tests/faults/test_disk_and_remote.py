"""The disk fills up, the cache cannot be written to, the remote is gone."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.faults.conftest import Faulty

pytestmark = [pytest.mark.long, pytest.mark.timeout(900)]


@contextmanager
def mounted(folder: Path, *words: str) -> Iterator[None]:
    """A file system of its own at a folder; skips where that needs rights that are missing."""
    folder.mkdir(exist_ok=True)
    done = subprocess.run(["mount", *words, str(folder)], check=False, capture_output=True)
    if done.returncode != 0:
        pytest.skip("mounting needs root")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def remount(folder: Path, options: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{options}", str(folder)], check=True)


def used_bytes(folder: Path) -> int:
    told = subprocess.run(
        ["df", "--block-size=1", "--output=used", str(folder)],
        check=True,
        capture_output=True,
        text=True,
    )
    return int(told.stdout.split()[1])


@pytest.mark.parametrize(
    "room_bytes", [20_000, 120_000, 300_000]
)  # less than what one run on new data writes
def test_a_full_disk_is_told_and_with_room_again_the_next_run_succeeds(
    open_faulty: Callable[[Path], Faulty], tmp_path: Path, room_bytes: int
) -> None:
    disk = tmp_path / "disk"
    with mounted(disk, "-t", "tmpfs", "-o", "size=64m", "tmpfs"):
        faulty = open_faulty(disk)
        remount(disk, f"size={(used_bytes(disk) + room_bytes) // 1024}k")
        code, output = faulty.project.run("headstart", "run")
        assert code != 0
        assert "No space left on device" in output or "disk is full" in output
        assert "Traceback" not in output
        faulty.check()
        remount(disk, "size=64m")
        faulty.check_next_run()


def test_a_cache_that_cannot_be_written_to_is_told_and_nothing_untrue_is_recorded(
    faulty: Faulty,
) -> None:
    cache = faulty.project.root / ".dvc" / "cache"
    with mounted(cache, "--bind", str(cache)):
        remount(cache, "ro,bind")
        code, output = faulty.project.run("headstart", "run")
        assert code != 0
        assert "Read-only file system" in output
        assert "Traceback" not in output
        faulty.check()
        remount(cache, "rw,bind")
        faulty.check_next_run()


def test_without_its_remote_a_run_succeeds_and_a_release_is_told_and_tags_nothing(
    faulty: Faulty,
) -> None:
    store = faulty.project.folder / "store"
    faulty.project.git("commit", "--all", "--quiet", "--message", "New data")
    gone = store.rename(store.with_name("gone"))
    store.touch()  # a file where the folder was: it cannot be made anew either
    code, output = faulty.project.run("headstart", "run")
    assert code == 0, output
    code, output = faulty.project.run("headstart", "release")
    assert code != 0
    assert "DVC's remote took not all of the candidate" in output
    assert "Traceback" not in output
    store.unlink()
    gone.rename(store)
    faulty.check()
    faulty.check_next_run()
    # What the remote lacked arrives with the next release, and no stage runs for it.
    code, output = faulty.project.run("headstart", "release")
    assert code == 0, output
    assert "Running stage" not in output
    assert "bundle@v0.2.0" in faulty.project.git("tag")
