"""One run at a time in one project: a lock that dies with its holder, and a note of who that is.

The lock of the operating system is the truth: it is free as soon as its holder is dead, however
it died. The note beside it only lets others say for whom they wait.
"""

import json
import os
import secrets
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from filelock import FileLock, Timeout

from tasks.errors import BusyError
from tasks.lifeline import is_alive

LOCK_FILE = Path(".headstart/run.lock")
NOTE_FILE = Path(".headstart/run.json")
TOKEN_VARIABLE = "HEADSTART_RUN_TOKEN"
REMIND_EVERY_S = 30.0


@dataclass(frozen=True)
class Holder:
    """Who holds the project."""

    pid: int
    host: str
    command: str
    since: str  # ISO 8601, UTC
    token: str

    def __str__(self) -> str:
        return f"{self.command} (pid {self.pid} on {self.host}, since {self.since})"


@contextmanager
def hold_run(
    command: str, wait_s: float = 0, tell: Callable[[str], None] | None = None
) -> Iterator[None]:
    """Hold the project for a whole run; processes started meanwhile belong to that run.

    Args:
        command: what the note says about the holder.
        wait_s: how long to wait for another run to end; 0 fails at once.
        tell: is called with a line that says for whom this run waits.

    Raises:
        BusyError: another run holds the project, and went on holding it for `wait_s`.
    """
    LOCK_FILE.parent.mkdir(exist_ok=True)
    lock = FileLock(LOCK_FILE)
    _acquire(lock, wait_s, tell)
    before = os.environ.get(TOKEN_VARIABLE)
    token = secrets.token_hex(16)
    try:
        since = datetime.now(UTC).isoformat(timespec="seconds")
        _write_note(Holder(os.getpid(), socket.gethostname(), command, since, token))
        os.environ[TOKEN_VARIABLE] = token
        yield
    finally:
        if before is None:
            os.environ.pop(TOKEN_VARIABLE, None)
        else:
            os.environ[TOKEN_VARIABLE] = before
        NOTE_FILE.unlink(missing_ok=True)
        lock.release()


@contextmanager
def join_run(command: str) -> Iterator[None]:
    """Work as part of the run that started this process, or else as a run of its own.

    Raises:
        BusyError: a run that this process does not belong to holds the project.
    """
    if token := os.environ.get(TOKEN_VARIABLE):
        holder = current_holder()
        if holder is None or holder.token != token:
            raise BusyError("the run that started this process is gone; start another")
        yield
        return
    with hold_run(command):
        yield


def current_holder() -> Holder | None:
    """Who holds the project, as far as a note of a living process says."""
    holder = _read_note()
    if holder is None or (holder.host == socket.gethostname() and not is_alive(holder.pid)):
        return None
    return holder


def _acquire(lock: FileLock, wait_s: float, tell: Callable[[str], None] | None) -> None:
    deadline = time.monotonic() + wait_s
    told_at: float | None = None
    while True:
        now = time.monotonic()
        try:
            lock.acquire(timeout=min(max(deadline - now, 0), 1.0))
            return
        except Timeout:
            pass
        if time.monotonic() >= deadline:
            waited = f" after waiting {wait_s:.0f} s" if wait_s else ""
            raise BusyError(f"the project is busy{waited}: {_name_holder()} is running") from None
        if tell and (told_at is None or now - told_at >= REMIND_EVERY_S):
            told_at = now
            left_s = deadline - now
            tell(f"waiting for {_name_holder()}, at most {left_s:.0f} s more")


def _name_holder() -> str:
    # A new holder writes its note just after it got the lock.
    for _ in range(20):
        if holder := current_holder():
            return str(holder)
        time.sleep(0.05)
    return "another run"


def _write_note(holder: Holder) -> None:
    fresh = NOTE_FILE.with_name(f"{NOTE_FILE.name}.{holder.pid}")
    fresh.write_text(json.dumps(asdict(holder)), encoding="utf-8")
    fresh.replace(NOTE_FILE)


def _read_note() -> Holder | None:
    try:
        return Holder(**json.loads(NOTE_FILE.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None
