import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tasks.errors import BusyError
from tasks.run_lock import NOTE_FILE, TOKEN_VARIABLE, current_holder, hold_run, join_run

HOLDER = """
import sys
from tasks.run_lock import hold_run
with hold_run("the other run"):
    print("held", flush=True)
    sys.stdin.readline()
"""


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(TOKEN_VARIABLE, raising=False)


def start_holder() -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def test_a_second_run_fails_at_once_and_names_the_first() -> None:
    other = start_holder()
    with pytest.raises(BusyError, match=f"the other run .pid {other.pid} on"), hold_run("mine"):
        pass
    other.communicate("\n", timeout=10)
    with hold_run("mine"):
        pass


def test_a_waiting_run_says_for_whom_and_goes_on_when_the_other_ends() -> None:
    other = start_holder()
    told: list[str] = []

    def tell(line: str) -> None:
        told.append(line)
        other.communicate("\n", timeout=10)

    with hold_run("mine", wait_s=30, tell=tell):
        pass
    assert len(told) == 1
    assert told[0].startswith("waiting for the other run")


def test_a_killed_holder_neither_blocks_nor_is_named() -> None:
    other = start_holder()
    other.kill()
    other.communicate(timeout=10)
    assert NOTE_FILE.exists()
    assert current_holder() is None
    with hold_run("mine"):
        holder = current_holder()
        assert holder is not None
        assert holder.command == "mine"
    assert not NOTE_FILE.exists()


def test_what_a_run_starts_belongs_to_it(monkeypatch: pytest.MonkeyPatch) -> None:
    with hold_run("mine"):
        assert json.loads(NOTE_FILE.read_text())["token"] == os.environ[TOKEN_VARIABLE]
        with join_run("its stage"):
            holder = current_holder()
        assert holder is not None
        assert holder.command == "mine"
        assert NOTE_FILE.exists()
        with monkeypatch.context() as stranger:
            stranger.setenv(TOKEN_VARIABLE, "of an older run")
            with pytest.raises(BusyError), join_run("a stranger"):
                pass


def test_the_token_goes_when_the_run_ends() -> None:
    with hold_run("mine"):
        pass
    assert TOKEN_VARIABLE not in os.environ


def test_a_process_of_a_run_that_is_gone_does_not_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(TOKEN_VARIABLE, "token of a flow that was killed")
    with pytest.raises(BusyError, match="is gone"), join_run("python -m tasks.toy"):
        pytest.fail("it joined a dead run")
