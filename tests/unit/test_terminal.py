import os
import pty
import re
import subprocess
import sys
import time

STEP = """
import logging
from tasks.terminal import stage_terminal

with stage_terminal("toy") as track:
    for item in track(range(3), "counting"):
        for inner in track(range(2), "inside"):
            pass
    logging.getLogger("tasks.toy").info("half of [bold] it")
"""


def on_a_terminal(code: str) -> str:
    master, slave = pty.openpty()
    environment = os.environ | {"TERM": "xterm", "COLUMNS": "100"}
    process = subprocess.Popen([sys.executable, "-c", code], stderr=slave, env=environment)
    os.close(slave)
    seen, deadline = b"", time.monotonic() + 30
    while time.monotonic() < deadline:
        try:
            seen += os.read(master, 65536)
        except OSError:  # the other end is closed
            break
    os.close(master)
    assert process.wait(timeout=10) == 0
    return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", seen.decode())  # without colours


def test_a_terminal_shows_bars_and_the_log_above_them() -> None:
    seen = on_a_terminal(STEP)
    assert "toy: counting" in seen and "3/3" in seen and "━" in seen
    assert "toy: half of [bold] it" in seen


def test_anything_else_gets_plain_lines() -> None:
    done = subprocess.run(
        [sys.executable, "-c", STEP], capture_output=True, text=True, timeout=30, check=True
    )
    assert done.stderr.splitlines() == ["toy: counting 100 % (3/3), 0 s", "toy: half of [bold] it"]
