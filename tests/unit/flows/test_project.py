"""What every process started for the project inherits."""

import os
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from flows.automations import FLOWS, SILENCE_S
from flows.bound import start_bound
from flows.project import HEARTBEAT_S, QUIET, prepare_environment

ROOT = Path(__file__).parents[3]
SILENT = {
    "DO_NOT_TRACK": "1",
    "DVC_NO_ANALYTICS": "1",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
}


def test_telemetry_is_off_in_every_process_that_is_started(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in (*QUIET, "PREFECT_FLOWS_HEARTBEAT_FREQUENCY"):
        monkeypatch.setenv(name, "")  # so that it is as before after this test
        monkeypatch.delenv(name)
    prepare_environment()
    assert SILENT.items() <= os.environ.items()
    with (tmp_path / "output").open("wb") as output:
        child = start_bound(["dvc", "--version"], output)
        process, deadline = psutil.Process(child.pid), time.monotonic() + 30
        # Between fork and exec a process has no environment of its own yet.
        while not SILENT.items() <= process.environ().items():
            assert time.monotonic() < deadline, process.environ()
            time.sleep(0.01)
        assert child.wait(timeout=60) == 0


def test_what_a_person_has_set_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DO_NOT_TRACK", "0")
    prepare_environment()
    assert os.environ["DO_NOT_TRACK"] == "0"


@pytest.mark.slow
def test_prefects_own_commands_in_this_folder_send_nothing_and_beat_in_time() -> None:
    program = (
        "from prefect.settings import get_current_settings as now;"
        "print(now().server.analytics_enabled, now().flows.heartbeat_frequency)"
    )
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("PREFECT", "DO_NOT"))}
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert done.stdout.split() == ["False", str(HEARTBEAT_S)]
    assert SILENCE_S >= 3 * HEARTBEAT_S


@pytest.mark.slow
def test_automations_look_after_every_flow_and_no_other() -> None:
    from flows.release import release
    from flows.sweep import sweep
    from flows.training import training

    assert set(FLOWS) == {one.name for one in (release, sweep, training)}
