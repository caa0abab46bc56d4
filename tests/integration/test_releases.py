"""Releases of a small project: real git, DVC, GTO and Prefect, and a remote in a local folder."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from tests.conftest import GOLDEN_BUNDLE, TINY, write_params
from tests.integration.conftest import HERE, Toy, project_environment
from tests.repository import git

if TYPE_CHECKING:
    from tests.integration.conftest import Server

pytestmark = pytest.mark.long

# Forty episodes tell little apart: the project's own bound would refuse what is better.
RELEASE = {"max_drop": 0.15, "protocols": {}, "git_remote": ""}
GOOD, BETTER, BAD = "5", "8", "3"  # features of the encoder that count


class Project(Toy):
    """A project of two stages, whose bundle is as good as `quality.txt` says."""

    @property
    def store(self) -> Path:
        return self.root.parent / "store"

    def git(self, *words: str) -> str:
        return git(self.root, *words)

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
def fresh_template(tmp_path_factory: pytest.TempPathFactory, server: Server) -> Path:
    """A folder with the project, everything committed and nothing run."""
    folder = tmp_path_factory.mktemp("releases")
    root = folder / "project"
    root.mkdir()
    shutil.copy(HERE / "toy_release.py", root)
    shutil.copy(HERE / "toy_release.dvc.yaml", root / "dvc.yaml")
    shutil.copytree(GOLDEN_BUNDLE, root / "golden")
    write_params(root, TINY)
    ignored = "/.headstart/\n/outputs/\n/exports/\n/runs/\n/released/\n__pycache__/\n"
    (root / ".gitignore").write_text(ignored)
    project = Project(root, project_environment(folder))
    project.git("init", "-q")
    assert project.run("dvc", "init", "-q")[0] == 0
    remote = ("dvc", "remote", "add", "-q", "--default", "store", "../store")
    assert project.run(*remote)[0] == 0
    project.gate()
    project.commit("Start", quality=GOOD, classes="6")
    return folder


@pytest.fixture(scope="module")
def template(
    fresh_template: Path, server: Server, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The same, released once."""
    folder = tmp_path_factory.mktemp("released") / "once"
    copy(fresh_template, folder, server).release()
    return folder


@pytest.fixture(scope="module")
def template_of_two(
    template: Path, server: Server, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The same, released once more, and better."""
    folder = tmp_path_factory.mktemp("released") / "twice"
    project = copy(template, folder, server)
    project.commit(quality=BETTER)
    project.release()
    return folder


def copy(template: Path, folder: Path, server: Server) -> Project:
    """The project in a folder of its own, beside a remote of its own."""
    shutil.copytree(template, folder, symlinks=True)
    environment = project_environment(folder) | {"PREFECT_API_URL": server.api}
    return Project((folder / "project").resolve(), environment)


@pytest.fixture
def fresh(fresh_template: Path, server: Server, tmp_path: Path) -> Iterator[Project]:
    made = copy(fresh_template, tmp_path / "own", server)
    yield made
    made.clean_up()


@pytest.fixture
def project(template: Path, server: Server, tmp_path: Path) -> Iterator[Project]:
    made = copy(template, tmp_path / "own", server)
    yield made
    made.clean_up()


@pytest.fixture
def twice(template_of_two: Path, server: Server, tmp_path: Path) -> Iterator[Project]:
    made = copy(template_of_two, tmp_path / "own", server)
    yield made
    made.clean_up()


def test_a_first_release_is_tagged_pushed_placed_and_leaves_the_branch_alone(
    fresh: Project,
) -> None:
    head = fresh.git("rev-parse", "HEAD")
    output = fresh.release()
    assert "v0.1.0: released\nbundle: released/bundle\n" in output
    assert fresh.tags() == ["bundle#prod#1", "bundle@v0.1.0"]
    assert (fresh.git("rev-parse", "HEAD"), fresh.git("status", "--porcelain")) == (head, "")
    assert fresh.bits() == fresh.bits("runs/release/exports/bundle")
    # The tagged commit holds the code, and the lock and the figures of what was made of it.
    held = fresh.git("ls-tree", "--name-only", "bundle@v0.1.0").split()
    assert {"dvc.lock", "release.json", "params.yaml", "dvc.yaml"} <= set(held)
    assert fresh.git("rev-parse", "bundle@v0.1.0^{commit}~1") == head
    (record,) = fresh.listed().values()
    assert (record["stage"], record["compared_with"]) == ("prod", None)
    assert record["figures"]["novel_5way_5shot"]["episodes"] == 40
    assert record["data"]["novel"] == {"images": 72, "classes": 6}

    # Nothing changed: nothing is released, and that is no fault.
    output = fresh.release()
    assert "v0.1.0: in use, nothing new to release\n" in output
    assert len(fresh.tags()) == 2


def test_a_better_one_is_released_a_worse_one_refused_and_each_says_what_changed(
    project: Project,
) -> None:
    first = project.bits()
    project.change_params("name: glyphs", "name: letters")
    project.gate(protocols={"novel_5way_5shot": {"min_gain": 0.01}})
    project.commit("Let more features count", quality=BETTER)
    project.release("--bump", "patch")
    assert project.in_use() == ["v0.1.1"]
    second, tags = project.bits(), project.tags()
    assert second != first
    record = project.listed()["v0.1.1"]
    assert record["compared_with"] == "v0.1.0"
    assert record["figures"]["novel_5way_5shot"]["difference"] >= 0.01
    told = (project.root / "runs/release/.headstart/release.md").read_text()
    assert "# v0.1.1 released against v0.1.0" in told
    assert '- `export.name: "glyphs" -> "letters"`' in told
    assert "Let more features count`" in told
    assert "quality.txt" in told

    project.gate()
    project.commit(quality=BAD)
    output = project.refused(3)
    assert "novel 5-way 5-shot: found -" in output
    assert "needed the whole interval above -15.00 (max_drop)" in output
    assert "refused: v0.1.1 stays in use; the candidate is kept in runs/release" in output
    assert (project.tags(), project.bits()) == (tags, second)
    # The candidate is all there, to be looked at.
    assert project.bits("runs/release/exports/bundle") not in (first, second)
    assert project.run("headstart", "verify", "runs/release/exports/bundle")[0] == 0
    told = (project.root / "runs/release/.headstart/release.md").read_text()
    assert "# v0.2.0 refused against v0.1.1" in told

    code, output = project.run("headstart", "releases")
    assert code == 0
    lines = [line.split() for line in output.splitlines()]
    assert lines[1][:2] == ["v0.1.1", "prod"]
    assert lines[2][0] == "v0.1.0" and "prod" not in lines[2]


def test_a_rollback_is_bit_for_bit_also_from_a_fresh_clone_and_no_schedule_undoes_it(
    twice: Project,
) -> None:
    first, second = twice.bits("released/v0.1.0"), twice.bits()

    # Another clone has nothing but git and the remote, and fetches nothing but the bundle.
    fresh = twice.clone("fresh")
    code, output = fresh.run("headstart", "rollback", "v0.2.0")
    assert code == 0, output
    assert "v0.2.0: in use\nbundle: released/bundle\n" in output
    assert fresh.bits() == second
    assert fresh.tags() == twice.tags()
    cached = [path for path in (fresh.root / ".dvc/cache/files/md5").rglob("*") if path.is_file()]
    assert len(cached) == len(second) + 1  # the files and their list
    code, output = fresh.run("headstart", "rollback", "--previous")
    assert code == 0, output
    assert (fresh.bits(), fresh.in_use()) == (first, ["v0.1.0"])
    assert fresh.run("headstart", "verify", "released/bundle")[0] == 0
    code, output = fresh.run("headstart", "rollback", "v0.3.0")
    assert code == 2
    assert "v0.3.0: no such release; there are v0.2.0, v0.1.0" in output
    assert fresh.bits() == first

    # A tag that cannot be sent is not kept, and nothing else moved either.
    twice.gate(git_remote="nowhere")
    code, output = twice.run("headstart", "rollback", "0.1.0")
    assert code == 2
    assert (twice.bits(), twice.in_use()) == (second, ["v0.2.0"])
    twice.gate()
    code, output = twice.run("headstart", "rollback", "0.1.0")
    assert code == 0, output
    assert (twice.bits(), twice.in_use()) == (first, ["v0.1.0"])
    output = twice.refused(3)
    assert "the same bundle as v0.2.0, which is no longer in use" in output
    assert (twice.bits(), twice.in_use()) == (first, ["v0.1.0"])
    code, output = twice.run("headstart", "rollback", "--previous")
    assert code == 0, output
    assert (twice.bits(), twice.in_use()) == (second, ["v0.2.0"])


def test_a_push_that_fails_leaves_no_tag_and_the_next_release_trains_nothing_anew(
    fresh: Project,
) -> None:
    fresh.store.write_text("no folder\n")
    output = fresh.refused(2)
    assert "DVC's remote took not all of the candidate" in output
    assert fresh.tags() == []
    assert not (fresh.root / "released").exists()
    fresh.store.unlink()
    # Nor does one that git refuses, after all data is there.
    fresh.gate(git_remote="nowhere")
    fresh.commit("Push the tags to where nothing is")
    output = fresh.refused(2)
    assert "git push" in output and "nowhere" in output
    assert fresh.tags() == []
    fresh.git("init", "-q", "--bare", str(fresh.root.parent / "origin"))
    fresh.git("remote", "add", "nowhere", str(fresh.root.parent / "origin"))
    output = fresh.release()
    assert "prepare: up to date" in output and "export: up to date" in output
    there = fresh.git("ls-remote", "--tags", "nowhere")
    assert all(f"refs/tags/{tag}\n" in there for tag in fresh.tags())


def test_a_candidate_that_cannot_be_made_leaves_all_as_it_was(project: Project) -> None:
    tags, bits = project.tags(), project.bits()
    project.commit(quality="many")
    output = project.refused(2)
    assert "export: quality.txt: found 'many', needed a number" in output
    assert "the candidate's run failed" in output
    project.gate(min_gian=0.1)
    project.commit(quality=BETTER)
    output = project.refused(2)
    assert "release.yaml: min_gian: unknown key; allowed here: min_gain, max_drop" in output
    assert (project.tags(), project.bits()) == (tags, bits)


def test_a_damaged_object_is_refused_and_what_is_in_use_stays(twice: Project) -> None:
    second = twice.bits()
    encoder = (twice.root / "released/v0.1.0/encoder.onnx").read_bytes()
    shutil.rmtree(twice.root / "released/v0.1.0")
    md5 = hashlib.md5(encoder, usedforsecurity=False).hexdigest()
    for place in (twice.root / ".dvc/cache", twice.store):
        path = place / "files/md5" / md5[:2] / md5[2:]
        path.chmod(0o644)
        path.write_bytes(encoder[:-1] + b"?")
        path.chmod(0o444)
    code, output = twice.run("headstart", "rollback", "--previous")
    assert code == 2, output
    assert "is damaged; it is fetched anew" in output
    assert "content is not what its name says. Nothing of it was used" in output
    assert "Traceback" not in output
    assert (twice.bits(), twice.in_use()) == (second, ["v0.2.0"])
