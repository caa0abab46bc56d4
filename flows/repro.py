"""One stage through `dvc repro --single-item`: the same command as the bare door, watched.

Tells whether the stage ran, came from DVC's cache of runs or was up to date; and when it failed,
why, whether trying again is worth it, and brings back the outputs that DVC removed.
"""

import contextlib
import json
import math
import os
import select
import signal
import subprocess
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import yaml

from flows.bound import start_bound
from flows.credentials import masking
from flows.patience import TIMEOUT_VARIABLE, StillAtWorkError, stage_timeout_s
from flows.stale_locks import clear_stale_locks
from tasks.artifacts.files import clear_remains
from tasks.command import LOCK_FILE, MARKER_VARIABLE
from tasks.errors import BusyError, HeadstartError
from tasks.inputs import declared_stages

State = Literal["ran", "restored", "up to date"]
Tell = Callable[[str], None]

# What DVC says when another process holds its locks, and when a remote does not answer.
BUSY_TEXTS = ("is busy, it is being blocked by", "Unable to acquire lock")
REMOTE_TEXTS = (
    "failed to pull data",
    "failed to connect",
    "Could not connect",
    "timed out",
    "Connection",
)
# What DVC says of a stage that was killed before it could say anything itself.
KILLED_TEXTS = ("exited with -9", "exited with 137")
# Advice on git and remotes that DVC repeats after every stage.
CHATTER = (
    "To track the changes with git",
    "To enable auto staging",
    "git add",
    "dvc config core.autostage",
    "Use `dvc push`",
    "Data and pipelines are up to date",
    "WARNING: 'dvc.lock' is git-ignored",
    "WARNING: Process '",  # a lock that a killed process left, and that DVC cleared
)


@dataclass(frozen=True)
class StageResult:
    """How one stage ended, and what came from DVC's remote for it."""

    stage: str
    state: State
    seconds: float
    fetched_objects: int = 0
    fetched_bytes: int = 0


class StageFailedError(HeadstartError):
    """A stage did not reach its end.

    Attributes:
        worth_retrying: the same command may succeed later with nothing changed.
    """

    def __init__(self, text: str, exit_code: int = 1, worth_retrying: bool = False) -> None:
        super().__init__(text, exit_code, worth_retrying)
        self.exit_code = exit_code
        self.worth_retrying = worth_retrying

    def __str__(self) -> str:
        return str(self.args[0])


def reproduce(stage: str, tell: Tell, allow_missing: bool = False) -> StageResult:
    """Bring one stage up to date.

    Args:
        stage: its name in dvc.yaml.
        tell: is called with every line of DVC and of the stage as it comes.
        allow_missing: it is up to date also where what it made and read is not here.

    Raises:
        ParametersError: the time that a stage may take is no number of seconds.
        StageFailedError: the stage or DVC failed, or took longer than a stage may; the previous
            outputs are back in place.
    """
    started = time.monotonic()
    clear_stale_locks(tell)
    before = _lock_entry(stage)
    stood = all(Path(out).exists() for out in _outs(stage))
    with tempfile.TemporaryDirectory(prefix="headstart-") as folder:
        marker = Path(folder, "marker.json")
        try:
            options = ("--allow-missing",) if allow_missing else ()
            words = ("dvc", "repro", "--single-item", *options, stage)
            code, tail = run_limited(stage, words, tell, {MARKER_VARIABLE: str(marker)})
            if code != 0:
                raise diagnose(stage, code, tail, _read_marker(marker))
        except BaseException:
            _clear_remains(stage)
            # DVC removes outputs before the stage begins, so its marker may be missing still.
            if before is not None and not all(Path(out).exists() for out in _outs(stage)):
                _bring_back(stage, tell if stood else lambda _: None)
            raise
        ran = marker.exists()
    cached = any(f"'{stage}' is cached" in line for line in tail)
    state: State = "up to date"
    if ran:
        state = "ran"
    elif cached or _lock_entry(stage) != before:
        state = "restored"
    return StageResult(stage, state, time.monotonic() - started)


def run_limited(
    name: str,
    words: Sequence[str],
    tell: Tell,
    environment: dict[str, str] | None = None,
) -> tuple[int, list[str]]:
    """Run a bound child that does a stage's work, or a remote's, and may hang.

    Args:
        name: of what it does, for the error.
        words: as `flows.bound` takes them.
        tell: as of `run_bound`.
        environment: further environment variables.

    Returns:
        Its exit code and last lines.

    Raises:
        ParametersError: the time that a stage may take is no number of seconds.
        StageFailedError: it took longer, and was stopped with all that it had started.
    """
    limit_s = stage_timeout_s()
    try:
        return run_bound(words, tell, environment, limit_s)
    except StillAtWorkError:
        raise StageFailedError(
            f"{name}: still at work after {limit_s:.0f} s, so it was stopped; if it only needs "
            f"longer, raise --stage-timeout-s or {TIMEOUT_VARIABLE}",
            StillAtWorkError.exit_code,
        ) from None


def run_bound(
    words: Sequence[str],
    tell: Tell,
    environment: dict[str, str] | None = None,
    timeout_s: float = math.inf,
) -> tuple[int, list[str]]:
    """Run a bound child to its end, and leave no process behind.

    Args:
        words: as `flows.bound` takes them.
        tell: is called with every line as it comes, but for DVC's advice; secrets are masked.
        environment: further environment variables.
        timeout_s: how long it may take.

    Returns:
        Its exit code and last lines.

    Raises:
        StillAtWorkError: it took longer, and was stopped with all that it had started.
    """
    tail: deque[str] = deque(maxlen=50)
    mask = masking()
    process = start_bound(words, subprocess.PIPE, environment)
    try:
        for line in map(mask, _lines(process, time.monotonic() + timeout_s)):
            tail.append(line)
            if line.strip() and not line.strip().startswith(CHATTER):
                tell(line)
        code = process.wait()
    except BaseException:
        _kill_group(process)
        raise
    if code < 0:
        _kill_group(process)
    return code, list(tail)


def _lines(process: subprocess.Popen[bytes], deadline: float) -> Iterator[str]:
    """The lines of a process as they come, until it ends.

    A killed process may leave one behind that keeps the pipe open, so the end of the process
    counts and not the end of the pipe.

    Raises:
        StillAtWorkError: it goes on after the deadline, which is by the monotonic clock.
    """
    assert process.stdout is not None  # it was started with a pipe
    descriptor = process.stdout.fileno()
    rest = b""
    while True:
        ended = process.poll() is not None
        if not ended and time.monotonic() > deadline:
            raise StillAtWorkError
        if select.select([descriptor], [], [], 0 if ended else 0.2)[0]:
            chunk = os.read(descriptor, 65536)
            if not chunk:
                break
            *lines, rest = (rest + chunk).split(b"\n")
            yield from (line.decode(errors="replace").rstrip() for line in lines)
        elif ended:
            break
    process.stdout.close()
    if rest:
        yield rest.decode(errors="replace")


def _kill_group(process: subprocess.Popen[bytes], grace_s: float = 3) -> None:
    for number, patience_s in ((signal.SIGTERM, grace_s), (signal.SIGKILL, grace_s)):
        try:
            os.killpg(process.pid, number)
        except (ProcessLookupError, PermissionError):
            break
        deadline = time.monotonic() + patience_s
        while time.monotonic() < deadline and _group_lives(process):
            time.sleep(0.05)
    process.wait()


def _group_lives(process: subprocess.Popen[bytes]) -> bool:
    process.poll()  # a dead leader counts as alive until it is asked after
    try:
        os.killpg(process.pid, 0)
    except (ProcessLookupError, PermissionError):
        return False
    return True


def diagnose(
    stage: str, code: int, tail: list[str], verdict: dict[str, Any] | None = None
) -> StageFailedError:
    """Why a child failed, as far as its exit code, its last lines and its marker say."""
    if verdict and verdict.get("state") == "failed":
        exit_code = int(verdict["exit_code"])
        return StageFailedError(
            "\n".join(f"{stage}: {line}" for line in str(verdict["error"]).splitlines()),
            exit_code,
            worth_retrying=exit_code == BusyError.exit_code,
        )
    if code < 0:
        name = signal.Signals(-code).name
        return StageFailedError(f"{stage}: DVC was killed ({name})", worth_retrying=True)
    if verdict and verdict.get("state") == "running":
        text = f"{stage}: the stage was killed; if nobody did, the machine ran out of memory"
        return StageFailedError(text, worth_retrying=True)
    said = "\n".join(tail)
    if any(text in said for text in BUSY_TEXTS):
        text = f"{stage}: another DVC process is at work on this project"
        return StageFailedError(text, BusyError.exit_code, worth_retrying=True)
    faults = [line for line in tail if line.startswith("ERROR")] or tail[-3:]
    return StageFailedError(
        "\n".join(f"{stage}: {line.removeprefix('ERROR: ')}" for line in faults),
        code if code == HeadstartError.exit_code else 1,
        worth_retrying=any(text in said for text in (*REMOTE_TEXTS, *KILLED_TEXTS)),
    )


def _clear_remains(stage: str) -> None:
    """Remove what a stage was killed over; what cannot be removed the next run removes."""
    for out in _outs(stage):
        with contextlib.suppress(OSError):  # the fault to tell may be one of this disk
            clear_remains(Path(out))


def _bring_back(stage: str, tell: Tell) -> None:
    code, tail = run_bound(("dvc", "checkout", "--force", stage), lambda _: None)
    if code == 0:
        tell(f"{stage}: the previous outputs are back in place")
    else:
        tell(f"{stage}: the previous outputs could not be brought back: {' '.join(tail[-1:])}")


def _outs(stage: str) -> tuple[str, ...]:
    declared = declared_stages().get(stage)
    return declared.outs if declared else ()


def _lock_entry(stage: str) -> object:
    """What dvc.lock records of the stage; None if nothing."""
    try:
        content = yaml.safe_load(LOCK_FILE.read_text(encoding="utf-8"))
        return content["stages"].get(stage)
    except (OSError, yaml.YAMLError, KeyError, TypeError, AttributeError):
        return None


def _read_marker(marker: Path) -> dict[str, Any] | None:
    try:
        content = json.loads(marker.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return content if isinstance(content, dict) else None
