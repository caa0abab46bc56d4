"""Remotes that hold too little, something else, take nothing, or are gone."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.integration.conftest import TIMEOUT_S
from tests.integration.stores import SECRET, Bucket, Folder, Store, bucket, store
from tests.integration.test_recipes import commit, states
from tests.integration.test_remotes import FIRST, SECOND, THIRD, cached, fresh_clone, run, share
from tests.repository import git

if TYPE_CHECKING:
    from tests.integration.conftest import Server, Toy

__all__ = ["bucket", "store"]

pytestmark = pytest.mark.long

OTHERS = ("name: glyphs", "name: others")


@pytest.mark.parametrize("damage", [lambda text: text[:-3], lambda text: b"X" + text[1:]])
def test_a_damaged_object_is_refused_never_used_and_the_next_run_takes_the_mended_one(
    toy: Toy, store: Store, damage: object
) -> None:
    share(toy, store)
    key = store.key_of(SECOND)
    store.write(key, damage(SECOND))  # type: ignore[operator]
    clone = fresh_clone(toy)
    clone.change_params(*OTHERS)
    lock = clone.lock_bytes()
    code, output = clone.run("headstart", "run")
    assert code == 2, output
    assert "came damaged from the remote; once more" in output
    assert f"{key}, which is damaged" in output and "Traceback" not in output
    assert (clone.starts(), clone.outputs(), clone.lock_bytes()) == ([], {}, lock)
    assert cached(clone) == []
    store.write(key, SECOND)
    assert states(run(clone)) == ["up to date", "up to date", "ran"]


def test_an_object_that_is_not_on_the_remote_is_made_anew(toy: Toy, store: Store) -> None:
    share(toy, store, run_cache=False)
    store.remove(store.key_of(SECOND))
    clone = fresh_clone(toy)
    clone.change_params(*OTHERS)
    output = run(clone)
    assert "second: its outputs are neither in DVC's cache nor in its remote; made anew" in output
    assert clone.starts() == ["second", "third"]
    # What the second reads was there.
    assert clone.outputs()["first"] == FIRST.decode()
    # The toy writes the name into every output, though only the third declares it.
    third = "source\nfirst 1 glyphs\nsecond 1 others\nthird 1 others\n"
    assert clone.outputs()["third"] == third


@pytest.mark.parametrize("damaged", ["", "entry", "object"])
def test_what_another_made_of_the_same_inputs_comes_from_the_remote_if_it_is_sound(
    toy: Toy, store: Store, damaged: str
) -> None:
    share(toy, store)
    before = set(store.keys())
    toy.change_params(*OTHERS)
    run(toy)
    assert toy.run("dvc", "push", "--run-cache")[0] == 0
    git(toy.root, "checkout", "-q", "--", "dvc.lock", "params.yaml")
    fresh = sorted(set(store.keys()) - before)
    entry = next(key for key in fresh if key.startswith("runs/"))
    made = next(key for key in fresh if key.startswith("files/"))
    if damaged:
        key = {"entry": entry, "object": made}[damaged]
        store.write(key, store.read(key).replace(b"1", b"2"))
    clone = fresh_clone(toy)
    clone.change_params(*OTHERS)
    output = run(clone)
    assert states(output) == ["up to date", "up to date", "ran" if damaged else "restored"]
    assert clone.starts() == (["third"] if damaged else [])
    assert clone.outputs()["third"] == toy.outputs()["third"]
    assert ("damaged" in output) is bool(damaged)


def cut_push(toy: Toy, bucket: Bucket, requests: int) -> bool:
    """Kill a push with -9 when it sends its next object; whether it was still at work."""
    sent = 0

    def kill(method: str) -> bool:
        nonlocal sent
        sent += method == "PUT"
        if sent > requests:
            os.killpg(process.pid, signal.SIGKILL)
        return sent > requests

    bucket.refuse = kill
    process = toy.start("dvc", "push", "--run-cache", "--jobs", "1")
    process.communicate(timeout=TIMEOUT_S)
    bucket.refuse = lambda _: False
    return process.returncode == -signal.SIGKILL


@pytest.mark.parametrize("requests", [0, 2, 4, 5])
def test_a_push_cut_at_any_object_leaves_a_bucket_of_use_and_the_next_push_completes_it(
    toy: Toy, bucket: Bucket, requests: int
) -> None:
    bucket.add_to(toy)
    commit(toy)
    assert cut_push(toy, bucket, requests)
    clone = fresh_clone(toy)
    clone.change_params(*OTHERS)
    run(clone)
    assert clone.outputs()["third"].endswith("third 1 others\n")
    assert clone.starts()[-1] == "third"
    assert toy.run("dvc", "push", "--run-cache")[0] == 0
    assert {bucket.read(key) for key in bucket.objects()} >= {FIRST, SECOND, THIRD}
    other = fresh_clone(toy, "other")
    other.change_params(*OTHERS)
    assert states(run(other)) == ["up to date", "up to date", "ran"]


def test_a_push_to_a_folder_cut_at_several_moments_leaves_only_whole_objects(
    toy: Toy, tmp_path: Path
) -> None:
    store = Folder(tmp_path / "store")
    store.add_to(toy)
    blobs = toy.root / "blobs"
    blobs.mkdir()
    for index in range(1000):
        (blobs / f"{index}.bin").write_bytes(os.urandom(100_000))
    assert toy.run("dvc", "add", "-q", "blobs")[0] == 0
    commit(toy)
    seen = []
    for count in (1, 100, 400, 750):
        process = toy.start("dvc", "push", "--run-cache")
        toy.wait_until(
            lambda count=count, process=process: (  # type: ignore[misc]
                len(store.objects()) >= count or process.poll() is not None
            )
        )
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate(timeout=TIMEOUT_S)
        seen.append(len(store.objects()))
        for key in store.objects():
            whole = subprocess.run(
                ["md5sum", str(store.place / key)], capture_output=True, text=True, check=True
            ).stdout.split()[0]
            name = key.removeprefix("files/md5/").replace("/", "").removesuffix(".dir")
            # What a killed copy leaves bears a name of its own.
            assert whole == name or len(name) != 32
    assert seen[0] < 1004, "the first push was cut"
    clone = fresh_clone(toy)
    clone.change_params(*OTHERS)
    run(clone)
    assert toy.run("dvc", "push", "--run-cache")[0] == 0
    other = fresh_clone(toy, "other")
    assert other.run("dvc", "pull")[0] == 0
    assert len(list((other.root / "blobs").iterdir())) == 1000


def test_a_bucket_that_cannot_be_written_to_serves_runs(toy: Toy, bucket: Bucket) -> None:
    share(toy, bucket)
    bucket.refuse = lambda method: method in ("PUT", "POST", "DELETE")
    clone = fresh_clone(toy)
    clone.change_params(*OTHERS)
    assert states(run(clone)) == ["up to date", "up to date", "ran"]
    code, output = clone.run("dvc", "push")
    assert code != 0 and SECRET not in output


def test_a_remote_that_is_gone_is_told_and_nothing_is_lost(
    toy: Toy, bucket: Bucket, server: Server
) -> None:
    share(toy, bucket)
    clone = fresh_clone(toy)
    clone.change_params(*OTHERS)
    lock = clone.lock_bytes()
    bucket.refuse = lambda _: True
    code, output = clone.run("headstart", "run")
    assert code == 2, output
    assert "DVC's remote 'store', which cannot be used" in output
    assert "Traceback" not in output and SECRET not in output
    assert (clone.starts(), clone.lock_bytes()) == ([], lock)
    bucket.refuse = lambda _: False
    run(clone)
    # Nothing that was written on the way holds the secret: logs, records, settings, objects.
    places = [toy.root.parent, server.database.parent]
    files = [path for place in places for path in place.rglob("*") if path.is_file()]
    assert not [path for path in files if SECRET.encode() in path.read_bytes()]
    (toy.root / ".dvc/config.local").unlink(missing_ok=True)
    words = ("dvc", "remote", "modify", "-q", "store", "secret_access_key", SECRET)
    assert clone.run(*words)[0] == 0
    code, output = clone.run("headstart", "run")
    assert code == 2, output
    assert ".dvc/config: found secret_access_key, needed no credentials" in output
    assert SECRET not in output
