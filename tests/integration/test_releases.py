"""Releases of a small project: real git, DVC, GTO and Prefect, and a remote in a local folder."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from tests.conftest import GOLDEN_BUNDLE, TINY, write_params
from tests.integration.conftest import HERE, TIMEOUT_S, Toy, project_environment

if TYPE_CHECKING:
    from tests.integration.conftest import Server

pytestmark = pytest.mark.slow

# Forty episodes tell little apart: the project's own bound would refuse what is better.
RELEASE = {"max_drop": 0.15, "protocols": {}, "git_remote": ""}
GOOD, BETTER, BAD = "5", "8", "3"  # features of the encoder that count


class Project(Toy):
    """A project of two stages, whose bundle is as good as `quality.txt` says."""

    @property
    def store(self) -> Path:
        return self.root.parent / "store"

    def git(self, *words: str) -> str:
        author = ("-c", "user.name=test", "-c", "user.email=test@localhost")
        return subprocess.run(
            ["git", *author, *words],
            cwd=self.root,
            check=True,
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
        ).stdout

    def commit(self, subject: str = "Change", **files: str) -> None:
        for name, text in files.items():
            (self.root / f"{name}.txt").write_text(f"{text}\n")
        self.git("add", "--all")
        self.git("commit", "-qm", subject)

    def gate(self, **changes: Any) -> None:
        (self.root / "release.yaml").write_text(yaml.safe_dump(RELEASE | changes))

    def release(self, *words: str) -> str:
        code, output = self.run("headstart", "release", *words)
        assert code == 0, output
        return output

    def refused(self, code: int, *words: str) -> str:
        found, output = self.run("headstart", "release", *words)
        assert found == code, output
        assert "Traceback" not in output
        return output

    def tags(self) -> list[str]:
        return self.git("tag", "--list").split()

    def listed(self) -> dict[str, dict[str, Any]]:
        code, output = self.run("headstart", "releases", "--json")
        assert code == 0, output
        return {one["version"]: one for one in json.loads(output)}

    def in_use(self) -> list[str]:
        return [version for version, one in self.listed().items() if one["stage"] == "prod"]

    def bits(self, folder: str = "released/bundle") -> dict[str, str]:
        """Every file of a bundle with its hash."""
        return {
            path.name: hashlib.sha256(path.read_bytes()).hexdigest()
            for path in sorted((self.root / folder).iterdir())
        }

    def clone(self, name: str) -> Project:
        """A fresh clone, with nothing but what git holds."""
        root = self.root.parent / name
        self.git("clone", "-q", str(self.root), str(root))
        return Project(root.resolve(), self.env)


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project with everything committed and nothing run."""
    root = tmp_path_factory.mktemp("releases") / "project"
    root.mkdir()
    shutil.copy(HERE / "toy_release.py", root)
    shutil.copy(HERE / "toy_release.dvc.yaml", root / "dvc.yaml")
    shutil.copytree(GOLDEN_BUNDLE, root / "golden")
    write_params(root, TINY)
    ignored = "/.headstart/\n/outputs/\n/exports/\n/runs/\n/released/\n/fail\n__pycache__/\n"
    (root / ".gitignore").write_text(ignored)
    project = Project(root, project_environment(root.parent))
    project.git("init", "-q")
    assert project.run("dvc", "init", "-q")[0] == 0
    project.gate()
    project.commit("Start", quality=GOOD, classes="6")
    return root


@pytest.fixture
def project(template: Path, server: Server, tmp_path: Path) -> Iterator[Project]:
    """The same with a remote of its own, to be released from."""
    root = tmp_path / "project"
    shutil.copytree(template, root, symlinks=True)
    environment = project_environment(tmp_path) | {"PREFECT_API_URL": server.api}
    made = Project(root.resolve(), environment)
    assert made.run("dvc", "remote", "add", "-q", "--default", "store", str(made.store))[0] == 0
    made.commit("Name the remote")
    yield made
    made.clean_up()


def test_a_first_release_is_tagged_pushed_placed_and_leaves_the_branch_alone(
    project: Project,
) -> None:
    head = project.git("rev-parse", "HEAD")
    output = project.release()
    assert "v0.1.0: released\nbundle: released/bundle\n" in output
    assert project.tags() == ["bundle#prod#1", "bundle@v0.1.0"]
    assert (project.git("rev-parse", "HEAD"), project.git("status", "--porcelain")) == (head, "")
    assert project.bits() == project.bits("runs/release/exports/bundle")
    # The tagged commit holds the code, and the lock and the figures of what was made of it.
    held = project.git("ls-tree", "--name-only", "bundle@v0.1.0").split()
    assert {"dvc.lock", "release.json", "params.yaml", "dvc.yaml"} <= set(held)
    assert project.git("rev-parse", "bundle@v0.1.0^{commit}~1") == head
    (record,) = project.listed().values()
    assert (record["stage"], record["compared_with"]) == ("prod", None)
    assert record["figures"]["novel_5way_5shot"]["episodes"] == 40
    assert record["data"]["novel"] == {"images": 72, "classes": 6}

    # A stage less, nothing changed: nothing is released, and that is no fault.
    output = project.release()
    assert "v0.1.0: in use, nothing new to release\n" in output
    assert len(project.tags()) == 2
