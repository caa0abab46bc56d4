"""A toy project of three stages, and the means to start, hold, kill and inspect it."""

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from tests.conftest import TINY, write_params

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
PROGRAMS = Path(sys.executable).parent
TIMEOUT_S = 180

FEW_LETTERS = {
    "prepare": {
        "splits": {"base": ["ARMENIAN"], "validation": ["HEBREW"], "novel": ["LAO"]},
    },
    # Of eight numbers an embedding, int8 costs about what `export.max_accuracy_drop` lets through.
    "pretrain": {"conv4_widths": [4, 4, 8, 16]},
}


class Toy:
    def __init__(self, root: Path, env: dict[str, str]) -> None:
        self.root = root
        self.env = env
        self.started: list[subprocess.Popen[str]] = []

    def start(self, *words: str) -> subprocess.Popen[str]:
        program, *arguments = words
        process = subprocess.Popen(
            [str(PROGRAMS / program), *arguments],
            cwd=self.root,
            env=self.env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            process_group=0,
        )
        self.started.append(process)
        return process

    @staticmethod
    def wait_until(fact: Callable[[], object], timeout_s: float = TIMEOUT_S) -> None:
        deadline = time.monotonic() + timeout_s
        while not fact():
            assert time.monotonic() < deadline, "it did not happen in time"
            time.sleep(0.05)

    def run(self, *words: str) -> tuple[int, str]:
        return self.finish(self.start(*words))

    def finish(self, process: subprocess.Popen[str]) -> tuple[int, str]:
        output, _ = process.communicate(timeout=TIMEOUT_S)
        return process.returncode, output

    def hold(self, stage: str) -> Path:
        path = self.root / f"hold-{stage}"
        path.touch()
        return path

    def change_source(self, text: str) -> None:
        (self.root / "source.txt").write_text(f"{text}\n")

    def change_params(self, old: str, new: str) -> None:
        path = self.root / "params.yaml"
        content = path.read_text()
        assert old in content
        path.write_text(content.replace(old, new, 1))

    def starts(self) -> list[str]:
        """The stages that really started, in order."""
        return [line.split()[0] for line in self._log()]

    def wait_for_start(self, stage: str, times: int = 1) -> int:
        """Wait until the stage works; its pid."""
        last = self.started[-1]
        self.wait_until(lambda: self.starts().count(stage) >= times or last.poll() is not None)
        assert self.starts().count(stage) >= times, last.communicate()[0]
        return next(int(line.split()[1]) for line in reversed(self._log()) if stage in line)

    def lock_bytes(self) -> bytes:
        path = self.root / "dvc.lock"
        return path.read_bytes() if path.exists() else b""

    def outputs(self) -> dict[str, str]:
        return {path.name: path.read_text() for path in sorted(self.root.glob("outs/*"))}

    def processes(self) -> list[psutil.Process]:
        """Every living process that works in the toy's folder."""
        found = []
        for process in psutil.process_iter():
            try:
                if process.cwd() == str(self.root) and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process)
            except (psutil.NoSuchProcess, psutil.AccessDenied, FileNotFoundError):
                continue
        return found

    def process_of(self, *words: str) -> psutil.Process:
        return next(p for p in self.processes() if all(w in p.cmdline() for w in words))

    def wait_until_alone(self) -> None:
        self.wait_until(lambda: not self.processes(), 15)

    def _log(self) -> list[str]:
        path = self.root / "log"
        return path.read_text().splitlines() if path.exists() else []

    def clean_up(self) -> None:
        for process in self.processes():
            try:
                process.send_signal(signal.SIGKILL)
            except psutil.NoSuchProcess:
                continue
        for started in self.started:
            started.communicate(timeout=TIMEOUT_S)


@dataclass(frozen=True)
class Server:
    api: str
    database: Path


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One Prefect server for the tests that are not about having one of their own."""
    folder = tmp_path_factory.mktemp("server")
    program = "from flows.server import ensure_api; print(ensure_api(False), flush=True); input()"
    process = subprocess.Popen(
        [sys.executable, "-c", program],
        cwd=folder,
        env=project_environment(folder),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    address = process.stdout.readline().strip()
    assert address, "the server did not start"
    yield Server(f"{address}/api", folder / ".headstart" / "prefect.db")
    process.communicate("\n", timeout=TIMEOUT_S)


@pytest.fixture(scope="session")
def toy_template(tmp_path_factory: pytest.TempPathFactory, server: Server) -> Path:
    """The toy project with every stage run once, by the flow."""
    root = tmp_path_factory.mktemp("template") / "toy"
    root.mkdir()
    shutil.copy(HERE / "toy.py", root / "toy.py")
    shutil.copy(HERE / "toy.dvc.yaml", root / "dvc.yaml")
    shutil.copy(ROOT / "params.yaml", root / "params.yaml")
    (root / "source.txt").write_text("source\n")
    (root / ".gitignore").write_text("/.headstart/\n/outs/\n/log\n")
    toy = Toy(root, project_environment(root.parent) | {"PREFECT_API_URL": server.api})
    subprocess.run(["git", "init", "-q"], cwd=root, check=True, timeout=TIMEOUT_S)
    assert toy.run("dvc", "init", "-q")[0] == 0
    code, output = toy.run("headstart", "run")
    assert code == 0, output
    (root / "log").unlink()
    return root


@pytest.fixture
def toy(toy_template: Path, server: Server, tmp_path: Path) -> Iterator[Toy]:
    root = tmp_path / "toy"
    shutil.copytree(toy_template, root, symlinks=True)
    toy = Toy(root.resolve(), project_environment(tmp_path) | {"PREFECT_API_URL": server.api})
    yield toy
    toy.clean_up()


@pytest.fixture
def toy_alone(toy: Toy, server: Server) -> Toy:
    """A toy that starts its own Prefect server; its database is made already, to save seconds."""
    del toy.env["PREFECT_API_URL"]
    with (
        closing(sqlite3.connect(server.database)) as made,
        closing(sqlite3.connect(toy.root / ".headstart" / "prefect.db")) as own,
    ):
        made.backup(own)
    return toy


@pytest.fixture
def toy_deployed(toy_alone: Toy) -> Toy:
    """A toy alone with the project's deployments, and everything committed."""
    root = toy_alone.root
    for name in ("prefect.yaml", "prefect.toml"):
        shutil.copy(ROOT / name, root / name)
    (root / "flows").symlink_to(ROOT / "flows")
    (root / ".gitignore").write_text("/.headstart/\n/outs/\n/log\n/runs/\n/hold-*\n__pycache__/\n")
    author = ["-c", "user.name=test", "-c", "user.email=test@localhost"]
    for words in (["add", "--all"], ["commit", "-qm", "Start"]):
        subprocess.run(["git", *author, *words], cwd=root, check=True, timeout=TIMEOUT_S)
    return toy_alone


def project_environment(folder: Path) -> dict[str, str]:
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("PREFECT", "HEADSTART", "DVC", "PYTEST"))
    }
    return kept | {
        "PREFECT_HOME": str(folder / "prefect-home"),
        "DVC_SITE_CACHE_DIR": str(folder / "dvc-site"),
        "DVC_NO_ANALYTICS": "1",
        # Networks this small gain nothing from a second thread, and lose much to waiting for it.
        "OMP_NUM_THREADS": "1",
        "PATH": f"{PROGRAMS}{os.pathsep}{os.environ['PATH']}",
        "COLUMNS": "100",
    }


def checkout(folder: Path, server: Server) -> Toy:
    """The real project as it stands here, in a repository of its own, on few letters."""
    folder.mkdir()
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout.splitlines()
    for name in listed:
        code = name.startswith(("tasks/", "flows/", ".dvc", "data/scan/"))
        wanted = code or name in (".gitignore", "dvc.yaml")
        if wanted and (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
    write_params(folder, TINY, FEW_LETTERS)
    author = ["-c", "user.name=test", "-c", "user.email=test@localhost"]
    # The bundle names its commit: two checkouts of the same files are to have the same one.
    moment = {f"GIT_{who}_DATE": "2026-01-01T00:00:00Z" for who in ("AUTHOR", "COMMITTER")}
    for words in (["init", "-q"], ["add", "-A"], ["commit", "-qm", "Start"]):
        subprocess.run(
            ["git", *author, *words],
            cwd=folder,
            env=os.environ | moment,
            check=True,
            timeout=TIMEOUT_S,
        )
    environment = project_environment(folder.parent) | {
        "PREFECT_API_URL": server.api,
        "PYTHONPATH": str(folder),  # the checkout's own code, not the one that is installed
    }
    return Toy(folder.resolve(), environment)
