"""The database under Prefect's server restarts in the middle of a run."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.faults.project import TIMEOUT_S
from tests.faults.services import Services
from tests.faults.test_single_faults import wait_for

if TYPE_CHECKING:
    from tests.faults.conftest import Faulty

pytestmark = [pytest.mark.long, pytest.mark.timeout(900)]


class Postgres:
    """A PostgreSQL of its own on loopback, in a folder that its user may read."""

    def __init__(self, programs: Path) -> None:
        self.programs = programs
        self.folder = Path(tempfile.mkdtemp(prefix="postgres-", dir="/tmp"))
        if os.geteuid() == 0:  # it refuses to run as root
            shutil.chown(self.folder, "postgres")
        with socket.create_server(("127.0.0.1", 0)) as listener:
            self.port = listener.getsockname()[1]
        self.data = self.folder / "data"
        words = ("--auth=trust", "--username=prefect", "--no-sync")
        self._call("initdb", f"--pgdata={self.data}", *words)

    @property
    def url(self) -> str:
        return f"postgresql+asyncpg://prefect@127.0.0.1:{self.port}/postgres"

    def control(self, verb: str, *words: str) -> None:
        options = f"-p {self.port} -k {self.folder} -c listen_addresses=127.0.0.1"
        log = f"--log={self.folder / 'log'}"
        self._call("pg_ctl", verb, f"--pgdata={self.data}", "--wait", log, f"-o{options}", *words)

    def _call(self, program: str, *words: str) -> None:
        user = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
        command = [*user, str(self.programs / program), *words]
        subprocess.run(command, check=True, cwd="/", timeout=TIMEOUT_S, stdout=subprocess.DEVNULL)


@pytest.fixture
def postgres() -> Iterator[Postgres]:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/pg_ctl"))
    if not found:
        pytest.skip("needs PostgreSQL")
    own = Postgres(found[-1].parent)
    own.control("start")
    yield own
    own.control("stop", "--mode=immediate")
    shutil.rmtree(own.folder, ignore_errors=True)


def test_a_run_outlives_a_crash_and_restart_of_the_database(
    faulty: Faulty, postgres: Postgres
) -> None:
    project = faulty.project
    services = Services(project)
    project.env["PREFECT_SERVER_DATABASE_CONNECTION_URL"] = postgres.url
    services.start_server()
    services.wait_until_up()
    hang = project.root / "hang-train"
    hang.touch()
    run = project.start("headstart", "run")
    try:
        wait_for(project, "train")
        postgres.control("restart", "--mode=immediate")  # as a crash: nothing is written back
        hang.unlink()
        output, _ = run.communicate(timeout=TIMEOUT_S)
        assert run.returncode == 0, output
        alive = frozenset(services.pids())
        faulty.check(alive)
        faulty.check_next_run(services=alive)
    finally:
        services.stop()
