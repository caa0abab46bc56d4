"""Versions and their uses as tags of a real git repository."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from flows.releases import (
    all_releases,
    find_release,
    identity,
    next_version,
    put_into_use,
    read_record,
    register,
    release_before,
    release_in_use,
)
from tasks.errors import DataError
from tests.repository import git


def keep(tags: list[str]) -> None:
    del tags


@pytest.fixture
def root(tmp_path: Path) -> Path:
    git(tmp_path, "init", "-q")
    return tmp_path


def commit(root: Path, subject: str) -> str:
    git(root, "commit", "-q", "--allow-empty", "-m", subject)
    return git(root, "rev-parse", "HEAD")


def release(root: Path, version: str) -> str:
    made = commit(root, version)
    register(root, made, version, keep)
    return made


def test_versions_are_listed_by_number_and_the_last_one_put_into_use_counts(root: Path) -> None:
    commits = {version: release(root, version) for version in ("v0.9.0", "v0.10.0")}
    assert [one.version for one in all_releases(root)] == ["v0.10.0", "v0.9.0"]
    assert {one.version: one.commit for one in all_releases(root)} == commits
    put_into_use(root, "v0.9.0", keep)
    put_into_use(root, "v0.10.0", keep)
    put_into_use(root, "v0.9.0", keep)  # all within one second, which is as fine as dates are
    in_use = release_in_use(root)
    assert in_use is not None and in_use.version == "v0.9.0"
    assert release_before(root).version == "v0.10.0"


@pytest.mark.parametrize(
    ("bump", "version"), [("major", "v2.0.0"), ("minor", "v1.3.0"), ("patch", "v1.2.10")]
)
def test_a_bump_raises_one_number_and_clears_those_behind_it(
    root: Path, bump: str, version: str
) -> None:
    assert next_version(root, "minor") == "v0.1.0"
    release(root, "v1.2.9")
    release(root, "v0.9.9")
    assert next_version(root, bump) == version  # type: ignore[arg-type]


def test_tags_that_cannot_be_sent_are_not_kept(root: Path) -> None:
    release(root, "v0.1.0")
    made, tags = commit(root, "next"), git(root, "tag")

    def refuse(fresh: list[str]) -> None:
        assert sorted(fresh) == ["bundle#prod#2", "bundle@v0.2.0"]
        raise DataError("git push: no")

    with pytest.raises(DataError, match="git push: no"):
        register(root, made, "v0.2.0", refuse)
    assert git(root, "tag") == tags


def test_what_gto_refuses_is_told_and_leaves_no_tag(root: Path) -> None:
    made, tags = release(root, "v0.1.0"), git(root, "tag")
    with pytest.raises(DataError, match="already registered"):
        register(root, made, "v0.2.0", keep)
    assert git(root, "tag") == tags


def test_reading_tags_waits_for_no_handler_that_waits_for_a_thread_that_logs(root: Path) -> None:
    release(root, "v0.1.0")
    program = """
import logging, pathlib, threading
from flows.releases import all_releases

class Sender(logging.Handler):  # like Prefect's, which sends records to its API
    def flush(self):
        thread = threading.Thread(target=logging.getLogger("sender").debug, args=("sent",))
        thread.start()
        thread.join()

logging.getLogger().addHandler(Sender())
print(*(one.version for one in all_releases(pathlib.Path.cwd())))
"""
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=root,
        stdout=subprocess.PIPE,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stdout == "v0.1.0\n"


def test_a_version_that_is_not_there_and_a_past_that_is_not_are_told(root: Path) -> None:
    with pytest.raises(DataError, match=r"v1\.0\.0: no such release; there are none"):
        find_release(root, "v1.0.0")
    release(root, "v0.1.0")
    assert find_release(root, "0.1.0").version == "v0.1.0"
    with pytest.raises(DataError, match="no other version was in use before"):
        release_before(root)


def test_a_tag_without_a_record_is_told(root: Path) -> None:
    release(root, "v0.1.0")
    with pytest.raises(DataError, match=r"v0\.1\.0: no release of headstart"):
        read_record(root, all_releases(root)[0])
    (root / "release.json").write_text(json.dumps({"figures": {}}))
    git(root, "add", "release.json")
    release(root, "v0.2.0")
    with pytest.raises(DataError, match="entries are missing"):
        read_record(root, all_releases(root)[0])


def test_tags_bear_the_name_that_git_is_set_to(root: Path) -> None:
    git(root, "config", "user.name", "A Person")
    git(root, "config", "user.email", "person@localhost")
    assert identity(root) == ("A Person", "person@localhost")
    release(root, "v0.1.0")
    assert git(root, "for-each-ref", "--format=%(taggername)", "refs/tags/*v*") == "A Person"
