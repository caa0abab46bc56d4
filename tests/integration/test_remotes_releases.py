"""Releases beside a remote: imported data, pushes that are cut, objects that are damaged."""

from __future__ import annotations

import os
import shutil
import signal
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.integration.conftest import TIMEOUT_S
from tests.integration.stores import SECRET, Bucket, Folder, bucket
from tests.integration.test_releases import (
    BETTER,
    GOOD,
    Project,
    fresh,
    fresh_template,
    project,
    template,
)

if TYPE_CHECKING:
    from tests.integration.conftest import Toy

__all__ = ["bucket", "fresh", "fresh_template", "project", "template"]

# Several real releases each: a busy machine needs more than the usual limit for a test.
pytestmark = [pytest.mark.long, pytest.mark.timeout(900)]


def encoder_of(place: Project, store: Folder) -> tuple[str, bytes]:
    content = (place.root / "released/bundle/encoder.onnx").read_bytes()
    return store.key_of(content), content


def test_a_damaged_bundle_is_refused_at_rollback_and_fetched_once_it_is_mended(
    project: Project,
) -> None:
    store = Folder(project.store)
    bits = project.bits()
    key, content = encoder_of(project, store)
    clone = project.clone("other")
    for damaged in (content[:-100], b"?" + content[1:]):
        store.write(key, damaged)
        code, output = clone.run("headstart", "rollback", "v0.1.0")
        assert code == 2, output
        assert f"{key}, which is damaged" in output
        assert not (clone.root / "released/bundle").exists()
        assert not (clone.root / ".dvc/cache" / key).exists()
    store.write(key, content)
    code, output = clone.run("headstart", "rollback", "v0.1.0")
    assert code == 0, output
    assert clone.bits() == bits

    # What the cache here holds is no more trusted.
    shutil.rmtree(clone.root / "released")
    Folder(clone.root / ".dvc/cache").write(key, content[:-100])
    code, output = clone.run("headstart", "rollback", "v0.1.0")
    assert code == 0, output
    assert "in DVC's cache is damaged; it is fetched anew" in output
    assert clone.bits() == bits


def test_a_release_puts_back_what_the_remote_lost_or_holds_cut_short(project: Project) -> None:
    store = Folder(project.store)
    lists = [key for key in store.objects() if key.endswith(".dir")]
    gone, short = [key for key in store.objects() if key not in lists
                   and b"NUMPY" in store.read(key)[:8]][:2]  # fmt: skip
    before = store.read(gone), store.read(short)
    store.remove(gone)
    store.write(short, before[1][:-1])
    project.commit(quality=BETTER)
    output = project.release()
    assert "2 objects were missing or cut short on the remote; put there" in output
    assert (store.read(gone), store.read(short)) == before


def test_a_release_whose_push_is_refused_or_killed_leaves_no_tag_and_the_next_completes_it(
    fresh: Project, bucket: Bucket
) -> None:
    bucket.add_to(fresh)
    fresh.commit("Another remote")
    bucket.refuse = lambda method: method == "PUT"
    output = fresh.refused(2)
    assert "DVC's remote took not all of the candidate" in output
    assert "nothing was tagged" in output and SECRET not in output
    assert (fresh.tags(), bucket.objects()) == ([], [])

    for requests in (1, 8):
        kill_at(fresh, bucket, requests)
        assert fresh.tags() == []
        assert not (fresh.root / "released/bundle").exists()
    output = fresh.release()
    assert "prepare: up to date" in output and "export: up to date" in output
    clone = fresh.clone("other")
    code, output = clone.run("headstart", "rollback", "v0.1.0")
    assert code == 0, output
    assert clone.bits() == fresh.bits()


def kill_at(project: Toy, bucket: Bucket, requests: int) -> None:
    """Kill -9 a release and all it started, at an object of its push."""
    sent = 0

    def kill(method: str) -> bool:
        nonlocal sent
        sent += method == "PUT"
        if sent == requests + 1:
            for process in project.processes() + candidates(project):
                os.kill(process.pid, signal.SIGKILL)
        return sent > requests

    bucket.refuse = kill
    process = project.start("headstart", "release")
    output, _ = process.communicate(timeout=TIMEOUT_S)
    bucket.refuse = lambda _: False
    assert sent > requests, output
    assert process.returncode == -signal.SIGKILL, output


def candidates(project: Toy) -> list[object]:
    """Processes that work in the candidate's clone."""
    inside = type(project)(project.root / "runs/release", project.env)
    return list(inside.processes())


def test_a_release_takes_imported_data_as_its_source_holds_it_today(
    fresh: Project, bucket: Bucket
) -> None:
    put_source(bucket, GOOD)
    bucket.add_to(fresh)
    fresh.git("rm", "-q", "quality.txt")
    source = f"s3://{bucket.bucket}/source/quality.txt"
    code, output = fresh.run("dvc", "import-url", "-q", source, "quality.txt")
    assert code == 0, output
    fresh.git("add", "--all")
    fresh.git("commit", "-qm", "Import the quality")
    fresh.release()
    first = fresh.bits()
    put_source(bucket, BETTER)
    output = fresh.release()
    assert "data that changed at its source: quality.txt.dvc" in output
    assert "v0.2.0: released" in output
    # The branch and the checkout are as they were; the tag knows which data it was.
    assert fresh.git("status", "--porcelain") == ""
    assert "quality.txt.dvc" in fresh.git("diff", "--name-only", "HEAD", "bundle@v0.2.0")
    second, tags = fresh.bits(), fresh.tags()
    assert second != first
    bucket.client.delete_object(Bucket=bucket.bucket, Key="source/quality.txt")
    output = fresh.refused(2)
    assert "quality.txt.dvc: its source cannot be read" in output
    assert (fresh.bits(), fresh.tags()) == (second, tags)


def put_source(bucket: Bucket, quality: str) -> None:
    bucket.client.put_object(
        Bucket=bucket.bucket, Key="source/quality.txt", Body=f"{quality}\n".encode()
    )


def test_a_source_folder_that_is_tracked_reaches_the_clone(fresh: Project, tmp_path: Path) -> None:
    code, output = fresh.run("dvc", "add", "-q", "classes.txt")
    if code != 0:  # git holds it so far
        fresh.git("rm", "-q", "--cached", "classes.txt")
        code, output = fresh.run("dvc", "add", "-q", "classes.txt")
    assert code == 0, output
    fresh.git("add", "--all")
    fresh.git("commit", "-qm", "Track the classes")
    assert "v0.1.0: released" in fresh.release()
