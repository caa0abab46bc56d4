"""Stages that are really killed in mid training go on, and end with the same bytes."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tasks.artifacts.checkpoints import FOLDER
from tasks.artifacts.files import sha256
from tasks.params import Params
from tests.conftest import ROOT

pytestmark = pytest.mark.slow

TIMEOUT_S = 120

# What makes a stage long enough to be killed in it.
LONGER: dict[str, dict[str, Any]] = {
    "pretrain": {"pretrain": {"epochs": 40}},
    "metatrain": {"metatrain": {"steps": 400, "checkpoint_every_steps": 5}},
}
BEFORE = {"pretrain": [], "metatrain": ["pretrain"]}


def start(stage: str) -> subprocess.Popen[str]:
    environment = {key: value for key, value in os.environ.items() if key != "DVC_STAGE"}
    return subprocess.Popen(
        [sys.executable, "-m", f"tasks.{stage}"],
        # The project's own copy of the code: it is among the inputs, and must not move.
        env=environment | {"PYTHONPATH": str(Path.cwd()), "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def finish(process: subprocess.Popen[str]) -> str:
    output, _ = process.communicate(timeout=TIMEOUT_S)
    assert process.returncode == 0, output
    return output


def kill_after_checkpoint(stage: str) -> None:
    """Start a stage and kill it as soon as it has kept a checkpoint of its own."""
    before = written(stage)
    process = start(stage)
    deadline = time.monotonic() + TIMEOUT_S
    while written(stage) in (before, set()):
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < deadline, "no checkpoint was kept in time"
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=TIMEOUT_S)


def written(stage: str) -> set[tuple[str, int]]:
    """Names and moments of the checkpoints there are."""
    found = set()
    for path in (FOLDER / stage).glob("*.pt"):
        try:
            found.add((path.name, path.stat().st_mtime_ns))
        except FileNotFoundError:
            continue
    return found


def outputs(stage: str) -> dict[str, str]:
    files = sorted(path for path in Path("outputs", stage).rglob("*") if path.is_file())
    return {str(path): sha256(path) for path in files}


@pytest.mark.parametrize("stage", list(LONGER))
def test_a_stage_killed_twice_ends_with_the_bytes_of_one_that_ran_through(
    tiny_project: Callable[..., Params], stage: str
) -> None:
    tiny_project(**LONGER[stage])
    shutil.copytree(ROOT / "tasks", "tasks", ignore=shutil.ignore_patterns("__pycache__"))
    for earlier in BEFORE[stage]:
        finish(start(earlier))
    finish(start(stage))
    through = outputs(stage)
    shutil.rmtree(Path("outputs", stage))
    for _ in range(2):
        kill_after_checkpoint(stage)
        assert not Path("outputs", stage).exists()
    assert "resumed at" in finish(start(stage))
    assert outputs(stage) == through
    assert not (FOLDER / stage).exists()
