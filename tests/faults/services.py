"""A Prefect server and a process worker on loopback, and the supervisor that restarts them.

A service manager (systemd, Kubernetes) restarts what dies; here the harness does. It never
touches the project: what a run left is the project's own to clear.
"""

import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx

from tests.faults.project import FaultProject

POOL = "faults"
DEPLOY = """
import sys
from prefect.types.entrypoint import EntrypointType
from flows.training import training
deployment = training.to_deployment(
    "faults", work_pool_name=sys.argv[1], job_variables={"working_dir": sys.argv[2]},
    entrypoint_type=EntrypointType.MODULE_PATH)
print("deployment", deployment.apply())
"""
SERVER = "import uvicorn,sys; uvicorn.run('prefect.server.api.server:create_app', factory=True, "
SERVER += "port=int(sys.argv[1]), log_level='error', lifespan='on')"


class Services:
    """The server, the worker and one deployment of the flow `training`."""

    def __init__(self, project: FaultProject) -> None:
        self.project = project
        with socket.create_server(("127.0.0.1", 0)) as listener:
            self.port = listener.getsockname()[1]
        self.api = f"http://127.0.0.1:{self.port}/api"
        project.env |= {
            "PREFECT_API_URL": self.api,
            "PREFECT_SERVER_DATABASE_CONNECTION_URL": (
                f"sqlite+aiosqlite:///{project.folder / 'prefect.db'}"
            ),
            "PREFECT_WORKER_QUERY_SECONDS": "1",
            "NO_PROXY": "127.0.0.1,localhost",
            "no_proxy": "127.0.0.1,localhost",
        }
        self.http = httpx.Client(base_url=self.api, trust_env=False, timeout=10)
        self.server: subprocess.Popen[bytes] | None = None
        self.worker: subprocess.Popen[bytes] | None = None
        self.deployment = ""

    def start(self) -> None:
        self.start_server()
        self.wait_until_up()
        made = self.http.post("/work_pools/", json={"name": POOL, "type": "process"})
        made.raise_for_status()
        program = [sys.executable, "-c", DEPLOY, POOL, str(self.project.root)]
        told = subprocess.run(
            program, env=self.project.env, check=True, capture_output=True, text=True
        )
        self.deployment = told.stdout.split("deployment ")[1].strip()
        self.start_worker()

    def start_server(self) -> None:
        self.server = self._start("server", [sys.executable, "-c", SERVER, str(self.port)])

    def start_worker(self) -> None:
        words = ["-m", "prefect", "worker", "start", "--pool", POOL, "--type", "process"]
        self.worker = self._start("worker", [sys.executable, *words])

    def supervise(self) -> list[str]:
        """Restart what is dead; the names of that."""
        dead = [name for name in ("server", "worker") if self._is_dead(name)]
        if "server" in dead:
            self.start_server()
        if "worker" in dead:
            self.start_worker()
        if "server" in dead:
            self.wait_until_up()
        return dead

    def pids(self) -> set[int]:
        return {one.pid for one in (self.server, self.worker) if one and one.poll() is None}

    def wait_until_up(self, timeout_s: float = 90) -> None:
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            try:
                if self.http.get("/health").is_success:
                    return
            except httpx.HTTPError:
                pass
            time.sleep(0.1)
        raise TimeoutError("the server did not come up")

    def submit(self) -> str:
        """Ask for a run of the deployment; its id."""
        path = f"/deployments/{self.deployment}/create_flow_run"
        asked = {"state": {"type": "SCHEDULED"}, "parameters": {"wait_s": 120}}
        told = self._ask("POST", path, json=asked)
        return str(told["id"])

    def state(self, run: str) -> str:
        """The type of a flow run's state, such as RUNNING."""
        return str(self._ask("GET", f"/flow_runs/{run}")["state"]["type"])

    def stop(self) -> None:
        for process in (self.worker, self.server):
            if process:
                process.kill()
                process.wait()
        self.http.close()

    def _ask(self, method: str, path: str, **words: Any) -> dict[str, Any]:
        """Ask the server, again where it is down or busy, as Prefect's own client does."""
        deadline = time.monotonic() + 90
        while True:
            try:
                told = self.http.request(method, path, **words).raise_for_status()
                return dict(told.json())
            except httpx.HTTPError:
                if time.monotonic() > deadline:
                    raise
                self.supervise()
                time.sleep(0.5)

    def _is_dead(self, name: str) -> bool:
        process: subprocess.Popen[bytes] | None = getattr(self, name)
        return process is None or process.poll() is not None

    def _start(self, name: str, words: list[str]) -> subprocess.Popen[bytes]:
        with Path(self.project.folder, f"{name}.log").open("ab") as log:
            return subprocess.Popen(
                words,
                cwd=self.project.folder,
                env=self.project.env,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                process_group=0,
            )
