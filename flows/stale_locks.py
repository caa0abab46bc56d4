"""Clears what killed processes left in DVC's file of read and write locks.

DVC drops an entry when its process is gone. Two things it does not get over by itself: a number
that a new process has by now, and a file that was cut short by a kill or by a full disk, which
a bare `dvc` leaves; `flows.whole_files` keeps a run from it.
"""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tasks.artifacts.files import write_whole
from tasks.lifeline import is_alive

DVC_STATE = Path(".dvc/tmp")
RWLOCK = DVC_STATE / "rwlock"
Entries = dict[str, Any]
EMPTY: Entries = {"write": {}, "read": {}}


def clear_stale_locks(tell: Callable[[str], None]) -> None:
    """Remove the entries of processes that are gone, and a file that cannot be read.

    Whoever calls it holds the run lock; a bare `dvc push` beside it keeps its entries.

    Args:
        tell: is called with a line if there was anything to clear.
    """
    if not _stale(RWLOCK):
        return
    from dvc.lock import make_lock

    guard = make_lock(str(RWLOCK.with_name("rwlock.lock")), tmp_dir=str(DVC_STATE))
    with guard:  # DVC reads and writes the file under this one
        if found := _stale(RWLOCK):
            write_whole(RWLOCK, json.dumps(_living(RWLOCK)))
            tell(f"cleared locks of DVC that a killed process left: {found}")


def _stale(path: Path) -> str:
    """What is to be cleared, in words; empty if nothing is."""
    try:
        told = path.read_text(encoding="utf-8")
        gone = {info["pid"] for info in _infos(json.loads(told)) if not _is_at_work(info)}
    except FileNotFoundError:
        return ""
    except (ValueError, TypeError, KeyError, AttributeError):
        return f"{path} was cut short"
    return ", ".join(f"pid {pid}" for pid in sorted(gone))


def _infos(locks: Entries) -> Iterator[dict[str, Any]]:
    yield from locks.get("write", {}).values()
    for readers in locks.get("read", {}).values():
        yield from readers


def _living(path: Path) -> Entries:
    """The entries of processes that are at work."""
    try:
        locks = json.loads(path.read_text(encoding="utf-8"))
        write = {name: info for name, info in locks.get("write", {}).items() if _is_at_work(info)}
        read = {
            name: left
            for name, readers in locks.get("read", {}).items()
            if (left := [info for info in readers if _is_at_work(info)])
        }
    except (ValueError, TypeError, KeyError, AttributeError):
        return EMPTY
    return {"write": write, "read": read}


def _is_at_work(info: dict[str, Any]) -> bool:
    """Whether the process of an entry lives, and is the one that made it."""
    pid = int(info["pid"])
    if not is_alive(pid):
        return False
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
    except OSError:
        return True  # no such files on this system: it counts as DVC counts it
    # The first word of what DVC noted is a path, and the system may call it by another.
    arguments = str(info["cmd"]).partition(" ")[2]
    return arguments in " ".join(words)
