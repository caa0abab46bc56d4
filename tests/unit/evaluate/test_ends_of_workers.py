"""However a stage ends, its workers end with it."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest

from tasks.episodes.sampler import Episodes
from tasks.errors import DataError, LostProcessError
from tasks.evaluate.fan_out import FanOut
from tasks.evaluate.workers import DASK_VARIABLE, LENT, open_workers
from tests.conftest import ROOT
from tests.endless import faulty

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]

TIMEOUT_S = 400  # of a machine that has much else to do
STAGE = """
import signal
import sys
import numpy as np
from tasks.episodes.sampler import Episodes
from tasks.errors import HeadstartError
from tasks.evaluate.fan_out import FanOut
from tasks.evaluate.workers import open_workers
from tests.endless import endless
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job has none
episodes = Episodes(*(np.zeros((9, 2, 1), np.int64) for _ in range(3)))
try:
    with open_workers(2, sys.argv[1]) as runner:
        FanOut(runner).over(episodes, 1, endless)
except HeadstartError as error:
    print(error)
    sys.exit(error.exit_code)
except KeyboardInterrupt:
    sys.exit(130)
"""


def episodes() -> Episodes:
    return Episodes(*(np.zeros((9, 2, 1), np.int64) for _ in range(3)))


def wait_until(fact: Callable[[], bool]) -> None:
    deadline = time.monotonic() + TIMEOUT_S
    while not fact():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)


@pytest.fixture
def start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[str], "subprocess.Popen[str]"]]:
    """Starts a stage with two workers, and gives it once both are at work."""
    monkeypatch.chdir(tmp_path)
    started: list[subprocess.Popen[str]] = []

    def begin(runner: str) -> "subprocess.Popen[str]":
        process = subprocess.Popen(
            [sys.executable, "-c", STAGE, runner],
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            process_group=0,
        )
        started.append(process)
        wait_until(lambda: len(at_work()) == 2 or process.poll() is not None)
        assert process.poll() is None, process.communicate()[0]
        return process

    yield begin
    for process in started:
        for one in [*descendants(process.pid), process]:
            one.kill()
        process.communicate()


def at_work() -> list[int]:
    return [int(path.name.rpartition("-")[2]) for path in Path.cwd().glob("at-work-*")]


def descendants(pid: int) -> list[psutil.Process]:
    try:
        return psutil.Process(pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def gone(processes: list[psutil.Process]) -> bool:
    return not any(one.is_running() and one.status() != psutil.STATUS_ZOMBIE for one in processes)


@pytest.mark.parametrize("runner", ["processes", "dask"])
def test_ctrl_c_ends_all_workers_without_a_word(
    start: Callable[[str], "subprocess.Popen[str]"], runner: str
) -> None:
    stage = start(runner)
    below = descendants(stage.pid)
    os.killpg(stage.pid, signal.SIGINT)
    output, _ = stage.communicate(timeout=TIMEOUT_S)
    assert stage.returncode == 130, output
    assert output == ""
    wait_until(lambda: gone(below))
    assert not LENT.exists()


@pytest.mark.parametrize("runner", ["processes", "dask"])
def test_a_killed_stage_takes_its_workers_along(
    start: Callable[[str], "subprocess.Popen[str]"], runner: str
) -> None:
    stage = start(runner)
    below = descendants(stage.pid)
    assert {one.pid for one in below} >= set(at_work())
    stage.kill()
    stage.wait(timeout=TIMEOUT_S)
    wait_until(lambda: gone(below))


def test_a_killed_worker_is_told_and_the_others_end(
    start: Callable[[str], "subprocess.Popen[str]"],
) -> None:
    stage = start("processes")
    below = descendants(stage.pid)
    os.kill(at_work()[0], signal.SIGKILL)
    output, _ = stage.communicate(timeout=TIMEOUT_S)
    assert stage.returncode == LostProcessError.exit_code
    assert "a worker of this stage is gone" in output and "evaluate.workers" in output
    assert "Traceback" not in output
    wait_until(lambda: gone(below))


@pytest.mark.parametrize("runner", ["processes", "dask"])
def test_a_fault_in_a_worker_is_the_fault_of_the_stage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, runner: str
) -> None:
    monkeypatch.chdir(tmp_path)
    before = descendants(os.getpid())
    with (
        pytest.raises(DataError, match="found nothing, needed something"),
        open_workers(2, runner) as workers,  # type: ignore[arg-type]
    ):
        FanOut(workers).over(episodes(), 1, faulty)
    # What tracks shared memory for multiprocessing stays as long as the process.
    left = set(descendants(os.getpid())) - set(before)
    assert not [one for one in left if "resource_tracker" not in " ".join(one.cmdline())]


def test_an_address_where_nobody_answers_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(DASK_VARIABLE, "tcp://127.0.0.1:9")
    monkeypatch.setattr("tasks.evaluate.workers._CONNECT_S", 2)
    with pytest.raises(LostProcessError, match=DASK_VARIABLE), open_workers(2, "dask"):
        pass
