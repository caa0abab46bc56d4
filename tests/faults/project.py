"""The project under fault: three quick stages, released once, and what clean runs of it give."""

import hashlib
import json
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.conftest import GOLDEN_BUNDLE, TINY, write_params
from tests.integration.conftest import PROGRAMS, project_environment
from tests.repository import git

HERE = Path(__file__).parent
TIMEOUT_S = 240
STAGES = ("prepare", "train", "export")
MARK = "FAULTS_OF"  # an environment variable that every process of a project inherits
IGNORED = "/.headstart/\n/outputs/\n/exports/\n/runs/\n/released/\n/hang-*\n__pycache__/\n"


@dataclass(frozen=True)
class Clean:
    """What a clean run leaves.

    Attributes:
        lock: the bytes of dvc.lock.
        entries: what dvc.lock lists, by stage.
        outputs: SHA-256 of every file that a stage makes.
    """

    lock: bytes
    entries: dict[str, Any]
    outputs: dict[str, str]


class FaultProject:
    """A repository of its own in `folder/project`, with a remote in `folder/store`."""

    def __init__(self, folder: Path, api: str | None) -> None:
        self.folder = folder
        self.root = folder / "project"
        self.strangers: set[int] = set()  # processes that are known to be none of the project's
        self.env = project_environment(folder) | {
            "PREFECT_LOGGING_LEVEL": "INFO",
            "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
            "DO_NOT_TRACK": "1",
            "TMPDIR": str(folder / "tmp"),
            MARK: str(folder),
        }
        if api:
            self.env["PREFECT_API_URL"] = api

    def make(self) -> None:
        """Set it up and commit it; nothing is run yet."""
        self.root.mkdir(parents=True)
        (self.folder / "tmp").mkdir()
        shutil.copy(HERE / "stage.py", self.root)
        shutil.copy(HERE / "stage.dvc.yaml", self.root / "dvc.yaml")
        shutil.copytree(GOLDEN_BUNDLE, self.root / "golden")
        write_params(self.root, TINY)
        (self.root / ".gitignore").write_text(IGNORED)
        gate = {"max_drop": 0.15, "protocols": {}, "git_remote": ""}
        (self.root / "release.yaml").write_text(yaml.safe_dump(gate))
        self.write_source("released")
        self.git("init", "-q")
        self.must("dvc", "init", "-q")
        self.must("dvc", "remote", "add", "-q", "--default", "store", "../store")
        self.git("add", "--all")
        self.git("commit", "-qm", "Start")

    def start(self, *words: str) -> subprocess.Popen[str]:
        program, *arguments = words
        return subprocess.Popen(
            [str(PROGRAMS / program), *arguments],
            cwd=self.root,
            env=self.env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            process_group=0,
        )

    def run(self, *words: str) -> tuple[int, str]:
        process = self.start(*words)
        output, _ = process.communicate(timeout=TIMEOUT_S)
        return process.returncode, output

    def must(self, *words: str) -> str:
        code, output = self.run(*words)
        assert code == 0, output
        return output

    def git(self, *words: str) -> str:
        return git(self.root, *words)

    def write_source(self, text: str) -> None:
        (self.root / "source.txt").write_text(f"{text}\n")

    def lock_bytes(self) -> bytes:
        path = self.root / "dvc.lock"
        return path.read_bytes() if path.exists() else b""

    def outputs(self) -> dict[str, str]:
        """Every file under the stages' outputs with its hash."""
        return hashes(self.root, "outputs", "exports")

    def clean_run(self, text: str) -> Clean:
        """Run everything anew, and take down what that leaves."""
        self.write_source(text)
        self.must("dvc", "repro", "--force", "--no-run-cache")
        lock = self.lock_bytes()
        return Clean(lock, yaml.safe_load(lock)["stages"], self.outputs())

    def forget_runs(self, kept: set[str]) -> None:
        """Drop what DVC could restore in place of running it; keep the objects of `kept`."""
        cache = self.root / ".dvc" / "cache"
        shutil.rmtree(cache / "runs", ignore_errors=True)
        for path in (cache / "files" / "md5").glob("*/*"):
            if path.parent.name + path.name not in kept:
                path.unlink()

    def objects(self, entries: dict[str, Any]) -> set[str]:
        """The names of the cache's objects that dvc.lock entries need."""
        named = {out["md5"] for stage in entries.values() for out in stage["outs"]}
        cache = self.root / ".dvc" / "cache" / "files" / "md5"
        for name in [one for one in named if one.endswith(".dir")]:
            path = cache / name[:2] / name[2:]
            if path.exists():
                named |= {one["md5"] for one in json.loads(path.read_text())}
        return named


def hashes(root: Path, *folders: str) -> dict[str, str]:
    """SHA-256 of every file below some folders, by path."""
    return {
        str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest()
        for folder in folders
        for path in sorted((root / folder).rglob("*"))
        if path.is_file()
    }
