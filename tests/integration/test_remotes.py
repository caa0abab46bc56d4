"""A fresh clone beside a remote: what comes from it, what is never used of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.integration.stores import SECRET, Bucket, Store, bucket, store
from tests.integration.test_recipes import commit, states
from tests.repository import git

if TYPE_CHECKING:
    from tests.integration.conftest import Toy

__all__ = ["bucket", "store"]

pytestmark = pytest.mark.long

FIRST = b"source\nfirst 1 glyphs\n"
SECOND = b"source\nfirst 1 glyphs\nsecond 1 glyphs\n"
THIRD = b"source\nfirst 1 glyphs\nsecond 1 glyphs\nthird 1 glyphs\n"


def share(toy: Toy, store: Store, *, run_cache: bool = True) -> None:
    """Commit all, and push what the stages made."""
    store.add_to(toy)
    with (toy.root / ".gitignore").open("a") as ignored:
        ignored.write("/runs/\n__pycache__/\n")
    commit(toy)
    words = ("--run-cache",) if run_cache else ()
    code, output = toy.run("dvc", "push", *words)
    assert code == 0, output


def fresh_clone(toy: Toy, name: str = "clone") -> Toy:
    """With a cache of its own, and nothing but what git holds."""
    root = toy.root.parent / name
    git(toy.root, "clone", "-q", str(toy.root), str(root))
    return type(toy)(root.resolve(), dict(toy.env))


def cached(toy: Toy) -> list[str]:
    folder = toy.root / ".dvc/cache/files/md5"
    return sorted(f"{path.parent.name}{path.name}" for path in folder.rglob("*") if path.is_file())


def run(toy: Toy, *words: str) -> str:
    code, output = toy.run("headstart", "run", *words)
    assert code == 0, output
    assert SECRET not in output
    return output


def test_a_fresh_clone_fetches_what_a_changed_stage_reads_and_nothing_else(
    toy: Toy, store: Store
) -> None:
    share(toy, store)
    clone = fresh_clone(toy)
    if isinstance(store, Bucket):
        store.asked.clear()
    clone.change_params("name: glyphs", "name: others")
    output = run(clone)
    assert states(output) == ["up to date", "up to date", "ran"]
    assert clone.starts() == ["third"]
    read = store.fetched() if isinstance(store, Bucket) else []  # before the test itself reads
    key = store.key_of(SECOND)
    assert f"third: fetched 1 object, {len(SECOND)} B in " in output
    assert f"fetched from DVC's remote: 1 object, {len(SECOND)} B\n" in output
    if isinstance(store, Bucket):
        assert [one for one in read if one.startswith("files/")] == [key]
    assert sorted(clone.outputs()) == ["second", "third"]
    assert key.removeprefix("files/md5/").replace("/", "") in cached(clone)
    assert len(cached(clone)) == 2  # what was read, and what was made of it
    # All else is there on demand.
    code, output = clone.run("dvc", "pull", "outs/first")
    assert code == 0, output
    assert clone.outputs()["first"] == "source\nfirst 1 glyphs\n"
    assert states(run(clone)) == ["up to date"] * 3


def test_where_nothing_changed_a_fresh_clone_fetches_the_results_alone(
    toy: Toy, store: Store
) -> None:
    share(toy, store)
    clone = fresh_clone(toy)
    output = run(clone)
    assert states(output) == ["up to date"] * 3
    assert clone.starts() == []
    assert clone.outputs() == {"third": THIRD.decode()}
    assert f"fetched from DVC's remote: 1 object, {len(THIRD)} B\n" in output
    assert "fetched" not in run(clone)
