"""Processes that share the work of a stage, and die with it."""

import multiprocessing
import os
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from typing import Any

from tasks.errors import ParametersError
from tasks.lifeline import bind_to_parent


def cores() -> int:
    """How many processes can run at once here."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def no_dask(param: str, instead: str) -> ParametersError:
    """What to raise where Dask is asked for and missing.

    Args:
        param: that asks for it.
        instead: what the same param may say without it.
    """
    return ParametersError(
        f"{param}: found dask, which is not installed; `pip install 'headstart[dask]'`, or take "
        f"{param.rpartition('.')[2]}: {instead}"
    )


def process_pool(
    processes: int | None = None,
    start: Callable[..., None] | None = None,
    *arguments: Any,
) -> ProcessPoolExecutor:
    """A pool whose processes die with this one.

    Args:
        processes: how many; None is one a core.
        start: called in each process before any work.
        *arguments: of `start`.
    """
    # Spawned, not forked: torch's threads do not survive a fork.
    return ProcessPoolExecutor(
        processes or cores(),
        multiprocessing.get_context("spawn"),
        initializer=_begin,
        initargs=(os.getpid(), start, arguments),
    )


def _begin(parent: int, start: Callable[..., None] | None, arguments: tuple[Any, ...]) -> None:
    bind_to_parent(parent)  # which may be gone by now: to import takes seconds
    if start is not None:
        start(*arguments)
