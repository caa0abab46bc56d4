"""The work pool: made, deployed to as prefect.yaml says, and worked on by one worker."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import yaml
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterState,
    FlowRunFilterStateType,
    WorkPoolFilter,
    WorkPoolFilterName,
)
from prefect.client.schemas.objects import StateType
from prefect.exceptions import ObjectAlreadyExists
from prefect.workers.process import ProcessWorker

from flows.automations import set_up_automations
from flows.bound import start_bound
from flows.project import KEEPER_GRACE_S
from flows.repro import run_bound
from flows.server import API_VARIABLE, ServerError, server_lives
from tasks.errors import DataError

POOL = "local"
DEPLOYMENTS = Path("prefect.yaml")
AGAIN_AFTER_S = 5.0
Tell = Callable[[str], None]


def work_on_pool(page: str | None, tell: Tell) -> None:
    """Make the pool, deploy, and keep a worker at work until this process is told to end.

    Args:
        page: of the server that this process started; None where it started none.
        tell: is called with lines for people.

    Raises:
        DataError: prefect.yaml cannot be deployed.
        ServerError: the server that this process started has ended.
    """
    _make_pool()
    _deploy()
    set_up_automations()
    api = os.environ[API_VARIABLE]
    worker = _start_worker()
    tell(f"{', '.join(_deployed())}: deployed; pool {POOL} is worked on until Ctrl-C")
    tell(f"runs are shown at {page or api}; for other shells: export {API_VARIABLE}={api}")
    try:
        while True:
            if not server_lives():
                raise ServerError("Prefect's server has ended; start this command again")
            if worker.poll() is not None:
                tell(f"the worker has ended (exit code {worker.returncode}); starting another")
                time.sleep(AGAIN_AFTER_S)
                worker = _start_worker()
            time.sleep(0.5)
    finally:
        tell("stopping")
        _stop(worker)


def _make_pool() -> None:
    template = ProcessWorker.get_default_base_job_template()
    with get_client(sync_client=True) as client:
        try:
            client.create_work_pool(
                WorkPoolCreate(name=POOL, type="process", base_job_template=template)
            )
        except ObjectAlreadyExists:
            return


def _deploy() -> None:
    if not DEPLOYMENTS.is_file():
        raise DataError(f"{DEPLOYMENTS}: not found in the project; restore it")
    said: list[str] = []
    here = {"PWD": str(Path.cwd())}  # where prefect.yaml has the runs work
    code, _ = run_bound(("prefect", "--no-prompt", "deploy", "--all"), said.append, here)
    if code != 0:
        raise DataError(f"{DEPLOYMENTS}: cannot be deployed:\n" + "\n".join(said[-15:]))


def _deployed() -> list[str]:
    content = yaml.safe_load(DEPLOYMENTS.read_text(encoding="utf-8"))
    return [str(one["name"]) for one in content["deployments"]]


def _start_worker() -> subprocess.Popen[bytes]:
    """A worker in a process group of its own; its lines go where those of this process go."""
    return start_bound(("worker", POOL), sys.stderr.fileno())


def _stop(worker: subprocess.Popen[bytes]) -> None:
    """End the worker, and give its runs the time to bring back what they have half replaced.

    A worker that is asked to end waits for its runs to end; killed, its runs end with it.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    worker.kill()
    worker.wait()
    deadline = time.monotonic() + KEEPER_GRACE_S
    while server_lives() and time.monotonic() < deadline and _are_running():
        time.sleep(0.3)


def _are_running() -> bool:
    going_on = FlowRunFilterStateType(any_=[StateType.RUNNING, StateType.PENDING])
    with get_client(sync_client=True) as client:
        runs = client.read_flow_runs(
            flow_run_filter=FlowRunFilter(state=FlowRunFilterState(type=going_on)),
            work_pool_filter=WorkPoolFilter(name=WorkPoolFilterName(any_=[POOL])),
        )
    return bool(runs)
