"""Ties a process to the one that started it, so that nothing works on for a run that is gone.

Linux only. Elsewhere everything runs as well, but after a `kill -9` of DVC or of the flow a stage
works on until it is done, and the log says so once.
"""

import ctypes
import logging
import os
import select
import signal
import sys
import threading
import time
from pathlib import Path

logger = logging.getLogger(__name__)

PR_SET_PDEATHSIG = 1


def bind_to_parent(expected_parent: int | None = None) -> bool:
    """Have the kernel kill this process when its parent dies.

    The kernel watches the *thread* that created this process, so whoever starts a bound process
    does so from a thread that outlives it, best the main one. Where a shell stands in between
    (`sh -c`), the process behind the shell is watched as well: shells outlive a killed parent.
    Bound workers of a pool take this function as their initializer.

    Args:
        expected_parent: the pid of the process that must be the parent; closes the gap in which
            the parent dies before this call. None takes whatever parent there is.

    Returns:
        False where the system lacks the means.
    """
    parent = os.getppid() if expected_parent is None else expected_parent
    if not _ask_for_death_signal():
        logger.info("this system cannot tie a process to its parent; after kill -9, look for it")
        return False
    if os.getppid() != parent:
        _die()
    behind_shell = _parent_behind_shell(parent)
    return behind_shell is None or bind_to(behind_shell)


def bind_to(pid: int, grace_s: float = 0) -> bool:
    """Kill this process when the process `pid`, which need not be its parent, ends.

    Args:
        pid: of the process.
        grace_s: how long this one has, after a SIGTERM, to end by itself.

    Returns:
        False where the system lacks the means.
    """
    if sys.platform != "linux":
        return False
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        _die()
    except OSError:
        logger.info("this system cannot watch process %d; after kill -9, look for orphans", pid)
        return False
    threading.Thread(target=_die_with, args=(handle, grace_s), name="lifeline", daemon=True).start()
    return True


def is_alive(pid: int) -> bool:
    """Whether a process of this number on this machine may still do something.

    One that ended and that nobody has taken note of (a zombie) keeps its number, and does nothing.
    """
    import psutil  # a tenth of what `headstart --help` takes

    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
    except psutil.AccessDenied:
        return True


def _ask_for_death_signal() -> bool:
    if sys.platform != "linux":
        return False
    try:
        libc = ctypes.CDLL(None, use_errno=True)
        return bool(libc.prctl(PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0) == 0)
    except (OSError, AttributeError):
        return False


def _parent_behind_shell(pid: int) -> int | None:
    """The parent of `pid` where that is a shell running one command line, else None."""
    process = Path("/proc") / str(pid)
    try:
        words = process.joinpath("cmdline").read_bytes().split(b"\0")
        # The name, in brackets, may hold blanks; the parent is the second field after it.
        parent = int(process.joinpath("stat").read_text().rpartition(")")[2].split()[1])
    except (OSError, ValueError, IndexError):
        return None
    runs_command_line = words[0].endswith(b"sh") and b"-c" in words[1:4]
    return parent if runs_command_line and parent > 1 else None


def _die_with(handle: int, grace_s: float) -> None:
    poll = select.poll()
    poll.register(handle, select.POLLIN)
    poll.poll()
    if grace_s:
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(grace_s)
    _die()


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)
