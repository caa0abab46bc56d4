"""Prefect's API for one command: the one that PREFECT_API_URL names, or a server of its own."""

import atexit
import os
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path

from flows.bound import start_bound
from flows.project import STATE_FOLDER
from tasks.errors import HeadstartError

API_VARIABLE = "PREFECT_API_URL"
DATABASE_VARIABLE = "PREFECT_SERVER_DATABASE_CONNECTION_URL"
DATABASE_VARIABLES = (
    DATABASE_VARIABLE,
    "PREFECT_API_DATABASE_CONNECTION_URL",
    "PREFECT_SERVER_DATABASE_HOST",
)
# One a process: `headstart run` beside `headstart serve` has a server of its own.
LOG_FILE = STATE_FOLDER / f"server-{os.getpid()}.log"
_own: list[subprocess.Popen[bytes]] = []


class ServerError(HeadstartError):
    """Prefect's server does not come up."""

    exit_code = 1


def ensure_api(schedules: bool, timeout_s: float = 120, port: int = 0) -> str | None:
    """Have an API until this process ends; call it before Prefect is imported.

    Without PREFECT_API_URL, a server starts on a free port of the loopback and keeps its records
    in `.headstart/prefect.db`. It is stopped at exit, after Prefect has sent it the last lines of
    the log, and it is killed should this process be.

    Args:
        schedules: also start the services that turn a schedule into runs, and the web page.
        timeout_s: how long the server may take to come up; the first start makes its database.
        port: of the server; 0 takes a free one.

    Returns:
        The address of the own server's web page; None where PREFECT_API_URL is set.

    Raises:
        ServerError: the server ended or did not answer in time, the port is taken, or nobody
            answers where PREFECT_API_URL says.
    """
    if given := os.environ.get(API_VARIABLE):
        _check(given)
        return None
    STATE_FOLDER.mkdir(exist_ok=True)
    with _listen(port) as listener, LOG_FILE.open("wb") as log:
        port = listener.getsockname()[1]
        server = start_bound(
            ["server", str(listener.fileno())],
            log,
            _server_environment(port, schedules),
            [listener.fileno()],
        )
    _own.append(server)
    atexit.register(_stop, server)
    address = f"http://127.0.0.1:{port}"
    os.environ[API_VARIABLE] = f"{address}/api"
    bypassed = filter(None, (os.environ.get("NO_PROXY"), "127.0.0.1", "localhost"))
    os.environ["NO_PROXY"] = os.environ["no_proxy"] = ",".join(bypassed)
    import prefect.flows  # noqa: F401  (takes as long as the server does, so meanwhile)

    _wait_until_ready(server, f"{address}/api/health", timeout_s)
    return address


def _check(address: str) -> None:
    """Check that somebody answers at the address that PREFECT_API_URL names."""
    try:
        with urllib.request.urlopen(f"{address.rstrip('/')}/health", timeout=10):
            return
    except urllib.error.HTTPError as error:
        if error.code in (401, 403, 404):  # Prefect Cloud; what it lacks, Prefect itself tells
            return
        reason: object = error
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", error)
    raise ServerError(
        f"{API_VARIABLE}: no server of Prefect answers there ({type(reason).__name__}); start one "
        "there, or unset it to have one here"
    )


def server_lives() -> bool:
    """Whether the server that this process started, if it did, is still there."""
    return all(server.poll() is None for server in _own)


def _listen(port: int) -> socket.socket:
    try:
        return socket.create_server(("127.0.0.1", port))
    except OSError as error:
        raise ServerError(
            f"port {port}: {error.strerror}; another server is there, so name it in {API_VARIABLE} "
            "(.../api), or give another --port"
        ) from None


def _server_environment(port: int, schedules: bool) -> dict[str, str]:
    database = Path.cwd() / STATE_FOLDER / "prefect.db"
    environment = {"PREFECT_SERVER_API_PORT": str(port), "PREFECT_UI_ENABLED": str(schedules)}
    if not any(name in os.environ for name in DATABASE_VARIABLES):
        environment[DATABASE_VARIABLE] = f"sqlite+aiosqlite:///{database}"
    if not schedules:
        environment |= {"PREFECT__SERVER_EPHEMERAL": "1", "PREFECT__SERVER_FINAL": "1"}
    return environment


def _wait_until_ready(server: subprocess.Popen[bytes], address: str, timeout_s: float) -> None:
    # A proxy from the environment has no business between two processes of one machine.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        if server.poll() is not None:
            raise ServerError(
                f"Prefect's server ended at once (exit code {server.returncode}); "
                f"{LOG_FILE} says why"
            )
        try:
            with opener.open(address, timeout=2):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.05)
    raise ServerError(f"Prefect's server did not answer within {timeout_s:.0f} s; see {LOG_FILE}")


def _stop(server: subprocess.Popen[bytes]) -> None:
    server.send_signal(signal.SIGTERM)
    try:
        server.wait(timeout=5)
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait()
    LOG_FILE.unlink(missing_ok=True)
