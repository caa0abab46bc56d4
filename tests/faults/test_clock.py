"""The clock on the wall jumps, for every process of a run at once."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.faults.project import TIMEOUT_S
from tests.faults.test_single_faults import wait_for

if TYPE_CHECKING:
    from tests.faults.conftest import Faulty

pytestmark = [pytest.mark.long, pytest.mark.timeout(900)]

DAY_S = 86_400
SOURCE = Path(__file__).with_name("clock.c")


@pytest.fixture(scope="module")
def clock(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The library that stands between programs and the kernel's clock."""
    compiler = shutil.which("cc")
    if compiler is None or sys.platform != "linux":
        pytest.skip("needs Linux and a C compiler")
    library = tmp_path_factory.mktemp("clock") / "clock.so"
    words = [compiler, "-shared", "-fPIC", "-o", str(library), str(SOURCE)]
    subprocess.run(words, check=True, timeout=TIMEOUT_S)
    return library


def told_time(environment: dict[str, str]) -> float:
    program = [sys.executable, "-c", "import time; print(time.time())"]
    done = subprocess.run(program, env=environment, capture_output=True, text=True, check=True)
    return float(done.stdout)


@pytest.mark.parametrize("jump_s", [DAY_S, -DAY_S], ids=["on", "back"])
def test_a_clock_that_jumps_in_the_middle_of_a_run_changes_nothing(
    faulty: Faulty, clock: Path, tmp_path: Path, jump_s: int
) -> None:
    project, ahead = faulty.project, tmp_path / "ahead"
    ahead.write_text("0")
    project.env |= {"LD_PRELOAD": str(clock), "CLOCK_AHEAD": str(ahead)}
    del project.env["PREFECT_API_URL"]  # the run has a server of its own, whose clock jumps as well
    hang = project.root / "hang-train"
    hang.touch()
    run = project.start("headstart", "run")
    wait_for(project, "train")
    before = told_time(project.env)
    ahead.write_text(str(jump_s))
    assert told_time(project.env) - before == pytest.approx(jump_s, abs=TIMEOUT_S)
    hang.unlink()
    output, _ = run.communicate(timeout=TIMEOUT_S)
    assert run.returncode == 0, output
    assert "Traceback" not in output
    faulty.check()
    faulty.check_next_run()
