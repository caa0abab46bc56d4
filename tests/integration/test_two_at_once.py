"""Two runs never work in one project at the same time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.integration.conftest import Toy

pytestmark = pytest.mark.slow


def test_a_second_flow_waits_and_says_for_whom(toy: Toy) -> None:
    toy.change_source("changed")
    held = toy.hold("first")
    one = toy.start("headstart", "run")
    toy.wait_for_start("first")
    two = toy.start("headstart", "run")
    assert two.stdout is not None
    seen = ""
    while "waiting for" not in seen:
        line = two.stdout.readline()
        assert line, seen
        seen += line
    assert f"pid {one.pid} on" in seen
    held.unlink()
    assert toy.finish(one)[0] == 0
    code, output = toy.finish(two)
    assert code == 0, output
    assert toy.starts() == ["first", "second", "third"]


def test_who_does_not_want_to_wait_is_told_who_runs(toy: Toy) -> None:
    toy.change_source("changed")
    held = toy.hold("first")
    one = toy.start("headstart", "run")
    toy.wait_for_start("first")
    code, output = toy.run("headstart", "run", "--wait-s", "0")
    assert code == 75
    assert "the project is busy: flow run" in output
    assert f"pid {one.pid} on" in output
    assert "Traceback" not in output
    # The other door is no way in either: not past DVC's lock on the same stage ...
    code, output = toy.run("dvc", "repro", "first")
    assert code != 0
    # ... nor by starting the stage itself.
    code, output = toy.run("python", "toy.py", "first")
    assert code == 75
    assert output.startswith("first: the project is busy: flow run")
    held.unlink()
    assert toy.finish(one)[0] == 0
    assert toy.starts() == ["first", "second", "third"]


def test_a_flow_does_not_start_beside_a_stage_of_a_bare_dvc(toy: Toy) -> None:
    toy.change_source("changed")
    held = toy.hold("first")
    bare = toy.start("dvc", "repro", "first")
    toy.wait_for_start("first")
    code, output = toy.run("headstart", "run", "--wait-s", "0")
    assert code == 75
    assert "python -m tasks.first" in output
    held.unlink()
    assert toy.finish(bare)[0] == 0


def test_what_a_killed_holder_left_neither_blocks_nor_is_reported(toy: Toy) -> None:
    toy.change_source("changed")
    held = toy.hold("first")
    bare = toy.start("python", "toy.py", "first")
    toy.wait_for_start("first")
    bare.kill()
    bare.wait(timeout=10)
    assert (toy.root / ".headstart" / "run.json").exists()
    again = toy.start("python", "toy.py", "first")
    toy.wait_for_start("first", times=2)
    code, output = toy.run("python", "toy.py", "second")
    assert code == 75
    assert f"pid {again.pid} on" in output
    held.unlink()
    assert toy.finish(again)[0] == 0
    toy.wait_until(lambda: not (toy.root / ".headstart" / "run.json").exists())
