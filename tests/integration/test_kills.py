"""Whatever is killed: nobody works on, nothing is recorded, no lock remains, the next run works."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.integration.conftest import Server, Toy

pytestmark = pytest.mark.slow


def test_a_killed_flow_takes_its_stage_and_its_server_along(toy_alone: Toy, server: Server) -> None:
    toy = toy_alone
    before, lock = toy.outputs(), toy.lock_bytes()
    toy.change_source("changed")
    held = toy.hold("first")
    flow = toy.start("headstart", "run")
    toy.wait_for_start("first")
    flow.kill()
    flow.wait(timeout=10)
    toy.wait_until_alone()
    assert toy.lock_bytes() == lock
    # Nobody is left to bring the outputs back, but one command does.
    assert toy.run("dvc", "checkout", "--force")[0] == 0
    assert toy.outputs() == before
    held.unlink()
    toy.env["PREFECT_API_URL"] = server.api  # saves the start of another server
    code, output = toy.run("headstart", "run")
    assert code == 0, output
    assert toy.outputs()["third"].startswith("changed\n")


def test_dvc_in_a_run_never_writes_into_the_files_that_stand(toy: Toy) -> None:
    names = ("dvc.lock", ".dvc/tmp/rwlock")
    for name in names:
        (toy.root / f"{name}.kept").hardlink_to(toy.root / name)
    before = [(toy.root / name).read_bytes() for name in names]
    toy.change_source("changed")
    code, output = toy.run("headstart", "run")
    assert code == 0, output
    assert [(toy.root / f"{name}.kept").read_bytes() for name in names] == before
    assert toy.lock_bytes() != before[0]
    assert not (toy.root / names[1]).samefile(toy.root / f"{names[1]}.kept")


def test_a_killed_dvc_takes_its_stage_along_and_the_flow_tries_again(toy: Toy) -> None:
    toy.change_source("changed")
    held = toy.hold("first")
    flow = toy.start("headstart", "run")
    pid = toy.wait_for_start("first")
    toy.process_of("flows.bound", "dvc").kill()
    toy.wait_until(lambda: all(process.pid != pid for process in toy.processes()), 10)
    held.unlink()
    code, output = toy.finish(flow)
    assert code == 0, output
    assert "first: DVC was killed (SIGKILL); another try may help" in output
    assert toy.starts() == ["first", "first", "second", "third"]


def test_a_killed_stage_is_tried_again(toy: Toy) -> None:
    toy.change_source("changed")
    held = toy.hold("second")
    flow = toy.start("headstart", "run")
    os.kill(toy.wait_for_start("second"), signal.SIGKILL)
    held.unlink()
    code, output = toy.finish(flow)
    assert code == 0, output
    assert "second: the stage was killed" in output
    assert toy.starts() == ["first", "second", "second", "third"]


@pytest.mark.parametrize("shell", ["/bin/sh", "/bin/bash"])
def test_a_stage_dies_with_a_bare_dvc_whatever_the_shell_between(toy: Toy, shell: str) -> None:
    lock = toy.lock_bytes()
    # Two commands in one line make any shell stay, and a shell that stays outlives DVC.
    path = toy.root / "dvc.yaml"
    path.write_text(path.read_text().replace("toy.py first\n", "toy.py first && true\n"))
    held = toy.hold("first")
    toy.env["SHELL"] = shell
    dvc = toy.start("dvc", "repro", "first")
    toy.wait_for_start("first")
    dvc.kill()
    dvc.wait(timeout=10)
    toy.wait_until_alone()
    assert toy.lock_bytes() == lock
    held.unlink()
    code, output = toy.run("dvc", "repro", "first")
    assert code == 0, output


def test_sigterm_ends_a_flow_with_all_its_children_and_outputs_come_back(toy_alone: Toy) -> None:
    toy = toy_alone
    before = toy.outputs()
    toy.change_source("changed")
    toy.hold("first")
    flow = toy.start("headstart", "run")
    toy.wait_for_start("first")
    flow.terminate()
    code, output = toy.finish(flow)
    assert code == 128 + signal.SIGTERM
    assert "Traceback" not in output
    toy.wait_until_alone()
    assert not (toy.root / ".headstart" / "run.json").exists()
    assert toy.outputs() == before
