"""Faults of one kind each: of params, of two at once, of signals, of time."""

from __future__ import annotations

import random
import signal
import time
from typing import TYPE_CHECKING

import pytest
import yaml

from tests.faults import invariants
from tests.faults.invariants import working
from tests.faults.kills import kind_of
from tests.faults.project import STAGES, TIMEOUT_S, FaultProject

if TYPE_CHECKING:
    from tests.faults.conftest import Faulty

pytestmark = [pytest.mark.long, pytest.mark.timeout(900)]

GRACE_S = 30  # what schedulers of clusters give before they kill


def wait_for(project: FaultProject, stage: str) -> None:
    """Wait until a stage works."""
    deadline = time.monotonic() + TIMEOUT_S
    while time.monotonic() < deadline:
        for words in working(project, set()).values():
            if kind_of(words) == "stage" and stage in words:
                return
        time.sleep(0.05)
    raise TimeoutError(stage)


def test_params_edited_in_the_middle_of_a_run_are_not_recorded(faulty: Faulty) -> None:
    project = faulty.project
    hang = project.root / "hang-train"
    hang.touch()
    run = project.start("headstart", "run")
    wait_for(project, "train")
    deadline = time.monotonic() + TIMEOUT_S
    while not (project.root / "outputs" / ".train.partial").exists():
        assert time.monotonic() < deadline
        time.sleep(0.05)  # from here on its inputs are taken down
    params = project.root / "params.yaml"
    kept = params.read_text()
    content = yaml.safe_load(kept)
    content["pretrain"]["epochs"] += 1
    params.write_text(yaml.safe_dump(content, sort_keys=False))
    hang.unlink()
    output, _ = run.communicate(timeout=TIMEOUT_S)
    assert run.returncode == 2, output
    assert "params.yaml: pretrain.epochs: 2 -> 3" in output
    faulty.check()
    params.write_text(kept)
    faulty.check_next_run()


@pytest.mark.parametrize("other", [("headstart", "run"), ("dvc", "repro")])
@pytest.mark.parametrize("at_stage", ["prepare", "train", "export"])
def test_two_at_once_leave_what_one_leaves(
    faulty: Faulty, other: tuple[str, ...], at_stage: str
) -> None:
    project = faulty.project
    one = project.start("headstart", "run")
    wait_for(project, at_stage)
    two = project.start(*other)
    told, _ = one.communicate(timeout=TIMEOUT_S)
    also_told, _ = two.communicate(timeout=TIMEOUT_S)
    assert one.returncode == 0, told
    if two.returncode:  # DVC's own lock, or ours, may refuse it; it does nothing then
        assert other[0] == "dvc", also_told
        assert "busy" in also_told or "another" in also_told, also_told
    faulty.check()
    faulty.check_next_run()


@pytest.mark.parametrize("seed", range(4))
def test_sigterm_ends_a_run_well_within_the_grace_of_a_scheduler(faulty: Faulty, seed: int) -> None:
    project = faulty.project
    before = project.outputs()
    run = project.start("headstart", "run")
    wait_for(project, STAGES[seed % len(STAGES)])
    time.sleep(random.Random(seed).uniform(0, 1))  # a stage takes a second or more
    run.send_signal(signal.SIGTERM)
    output, _ = run.communicate(timeout=GRACE_S)
    assert run.returncode == 128 + signal.SIGTERM, output
    assert "Traceback" not in output
    assert project.outputs().keys() == before.keys(), "every output is there: an old or a new one"
    assert list(invariants.leftovers(project)) == [], "nothing half-written is left"
    faulty.check()
    faulty.check_next_run()


def test_a_stage_that_hangs_is_stopped_and_told_what_to_raise(faulty: Faulty) -> None:
    project = faulty.project
    before = project.outputs()
    hang = project.root / "hang-prepare"
    hang.touch()
    code, output = project.run("headstart", "run", "--stage-timeout-s", "8")
    assert code == 124, output
    assert "prepare: still at work after 8 s, so it was stopped" in output
    assert "raise --stage-timeout-s or HEADSTART_STAGE_TIMEOUT_S" in output
    assert "Traceback" not in output
    assert project.outputs() == before, "the previous outputs are back in place"
    hang.unlink()
    faulty.check()
    faulty.check_next_run()
