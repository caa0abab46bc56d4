import os
import subprocess
import sys
import time

import psutil
import pytest

from tasks import lifeline

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the means are Linux's")

CHILD = """
import time
from tasks.lifeline import bind_to_parent
print(bind_to_parent({expected}), flush=True)
time.sleep(60)
"""
PARENT = """
import subprocess, sys, time
child = subprocess.Popen({words!r})
print(child.pid, flush=True)
time.sleep(60)
"""


def gone(pid: int, within_s: float = 10) -> bool:
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        if not lifeline.is_alive(pid):
            return True
        time.sleep(0.02)
    return False


def start_family(words: list[str]) -> tuple[subprocess.Popen[str], list[int]]:
    """A parent with a bound child; the parent, and the pids of all below it."""
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT.format(words=words)], stdout=subprocess.PIPE, text=True
    )
    assert parent.stdout is not None
    lines = {parent.stdout.readline().strip() for _ in range(2)}
    assert "True" in lines
    return parent, [child.pid for child in psutil.Process(parent.pid).children(recursive=True)]


@pytest.mark.parametrize("through_shell", [False, True])
def test_a_bound_process_dies_when_its_parent_is_killed(through_shell: bool) -> None:
    words = [sys.executable, "-c", CHILD.format(expected="")]
    if through_shell:  # `; true` keeps the shell in between
        words = ["sh", "-c", f"'{words[0]}' -c '{words[2]}'; true"]
    parent, pids = start_family(words)
    assert len(pids) == 1 + through_shell
    parent.kill()
    parent.communicate(timeout=10)
    assert gone(pids[-1])


def test_a_process_whose_parent_is_gone_already_dies_at_once() -> None:
    done = subprocess.run(
        [sys.executable, "-c", CHILD.format(expected=os.getpid() + 1)],
        capture_output=True,
        timeout=10,
        check=False,
    )
    assert done.returncode == -9


def test_without_the_means_it_says_so_and_goes_on(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    monkeypatch.setattr(sys, "platform", "darwin")
    assert lifeline.bind_to_parent() is False
    assert len(caplog.messages) == 1


@pytest.mark.parametrize("heeds", [True, False])
def test_with_grace_a_process_is_asked_to_end_before_it_is_killed(heeds: bool) -> None:
    kept = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    program = (
        "import signal, sys, time\n"
        "from tasks.lifeline import bind_to\n"
        f"signal.signal(signal.SIGTERM, lambda *_: sys.exit(7) if {heeds} else None)\n"
        f"print(bind_to({kept.pid}, grace_s=0.3), flush=True)\n"
        "while True:\n"
        "    time.sleep(0.05)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline().strip() == "True"
    kept.kill()
    kept.wait()
    process.communicate(timeout=10)
    assert process.returncode == (7 if heeds else -9)


def test_a_process_lives_until_it_ended_also_where_nobody_took_note_of_that() -> None:
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    assert lifeline.is_alive(os.getpid()) and lifeline.is_alive(child.pid)
    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert psutil.pid_exists(child.pid)  # a zombie
    assert not lifeline.is_alive(child.pid)
    child.wait()
    assert not lifeline.is_alive(child.pid)
