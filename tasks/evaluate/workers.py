"""The workers that `evaluate.workers` and `evaluate.runner` ask for, from their start to their end.

None of them outlives the stage: processes are tied to it by the kernel, those of Dask's own local
cluster too. Workers of a cluster that was there before finish the run they are at, and stay.
"""

import importlib
import logging
import multiprocessing
import os
import secrets
import shutil
import signal
from collections.abc import Iterator
from concurrent.futures import CancelledError, Executor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import resource_tracker
from typing import Any, Literal

from tasks.artifacts.layout import STATE
from tasks.errors import LostProcessError
from tasks.evaluate.fan_out import Alone, Runner, Shared
from tasks.evaluate.lending import Lender
from tasks.lifeline import bind_to
from tasks.workers import no_dask, process_pool

LENT = STATE / "lent"
DASK_VARIABLE = "HEADSTART_DASK"
_CONNECT_S = 30
_LEAST_WORKERS_S = 60

logger = logging.getLogger(__name__)


@contextmanager
def open_workers(workers: int, runner: Literal["processes", "dask"]) -> Iterator[Runner]:
    """Start workers, and end them when the block ends, however it does.

    Args:
        workers: how many; one of `processes` is this process. A cluster at an address has its own
            number.
        runner: `processes` of this machine, or `dask`: the cluster whose scheduler the variable
            `HEADSTART_DASK` names, or one of `workers` processes on loopback.

    Raises:
        ParametersError: Dask is asked for and not installed.
        LostProcessError: the cluster does not answer, or has no workers.
    """
    if runner == "processes" and workers == 1:
        yield Alone()
        return
    shutil.rmtree(LENT, ignore_errors=True)  # what a killed run left behind
    lender = Lender(LENT / secrets.token_hex(8))  # a cluster's workers remember what they read
    try:
        if runner == "processes":
            with _processes(workers) as executor:
                yield Shared(executor, workers, lender, (BrokenProcessPool,))
        else:
            with _dask(workers) as (executor, count, lost):
                yield Shared(executor, count, lender, lost)
    finally:
        shutil.rmtree(LENT, ignore_errors=True)


@contextmanager
def _processes(workers: int) -> Iterator[Executor]:
    before = set(multiprocessing.active_children())
    with _interrupts_held():
        executor = process_pool(workers)
        for _ in range(workers):  # each starts one, while this process goes on
            executor.submit(os.getpid)
    try:
        yield executor
    except BaseException:
        for process in set(multiprocessing.active_children()) - before:
            process.kill()
        raise
    finally:
        executor.shutdown(wait=True, cancel_futures=True)


@contextmanager
def _dask(workers: int) -> Iterator[tuple[Executor, int, tuple[type[BaseException], ...]]]:
    try:
        distributed: Any = importlib.import_module("distributed")
        comm: Any = importlib.import_module("distributed.comm")
    except ImportError:
        raise no_dask("evaluate.runner", "processes") from None
    logging.getLogger("distributed").setLevel(logging.CRITICAL)
    address = os.environ.get(DASK_VARIABLE)
    lost = (distributed.KilledWorker, CancelledError, comm.CommClosedError)
    if address:
        with _client(distributed, address) as client:
            threads = sum(client.nthreads().values())
            logger.info("%s: %d threads of Dask", address, threads)
            yield client.get_executor(pure=False), threads, lost
        return
    with (
        _local_cluster(distributed, workers) as cluster,
        distributed.Client(cluster, set_as_default=False) as client,
    ):
        client.run(bind_to, os.getpid())
        yield client.get_executor(pure=False), workers, lost


@contextmanager
def _local_cluster(distributed: Any, workers: int) -> Iterator[Any]:
    with _interrupts_held():
        cluster = distributed.LocalCluster(
            n_workers=workers,
            threads_per_worker=1,
            host="127.0.0.1",
            dashboard_address=None,
            memory_limit=0,
            silence_logs=logging.CRITICAL,
        )
    with cluster:
        yield cluster


@contextmanager
def _client(distributed: Any, address: str) -> Iterator[Any]:
    try:
        client = distributed.Client(address, timeout=_CONNECT_S, set_as_default=False)
    except (OSError, ValueError) as error:
        raise LostProcessError(
            f"{DASK_VARIABLE}: found {address}, where no Dask scheduler answers ({error}); start "
            "one, or unset the variable for workers on this machine"
        ) from None
    with client:
        try:
            client.wait_for_workers(1, timeout=_LEAST_WORKERS_S)
        except TimeoutError:
            raise LostProcessError(
                f"{DASK_VARIABLE}: found no worker at {address} within {_LEAST_WORKERS_S} s, "
                f"needed one: `dask worker --nthreads 1 {address}`"
            ) from None
        yield client


@contextmanager
def _interrupts_held() -> Iterator[None]:
    """Processes that start within are deaf to Ctrl-C: this one hears it, and ends them."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    # Its start would let interrupts through again.
    resource_tracker.ensure_running()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
