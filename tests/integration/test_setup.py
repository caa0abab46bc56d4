"""What `make` says when set-up cannot be done: one line, before anything is half made."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT

pytestmark = pytest.mark.slow


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    for name in ("Makefile", "pyproject.toml", "constraints.txt", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, tmp_path)
    return tmp_path


def make(clone: Path, *words: str, **env: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PIP_")}
    return subprocess.run(
        ["make", "--no-print-directory", "setup", *words],
        cwd=clone,
        env=kept | env,
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )


def told(done: subprocess.CompletedProcess[str]) -> list[str]:
    """The lines of our own; make itself adds one about its target."""
    return [line for line in done.stdout.splitlines() if line.startswith("make: ")]


def test_a_python_that_is_too_old_is_one_line(clone: Path) -> None:
    old = clone / "python3.9"
    old.write_text('#!/bin/sh\n[ "$1" = --version ] && echo "Python 3.9.2"\nexit 1\n')
    old.chmod(0o755)
    done = make(clone, f"PYTHON={old}")
    assert done.returncode != 0
    (line,) = told(done)
    assert line.startswith("make: found Python 3.9.2, needed Python 3.11 or later")
    assert not (clone / ".venv").exists()


def test_no_python_at_all_is_one_line(clone: Path) -> None:
    done = make(clone, "PYTHON=no-such-python")
    (line,) = told(done)
    assert line.startswith("make: no-such-python not found, needed Python 3.11")


def test_too_little_room_is_one_line_with_both_figures(clone: Path) -> None:
    done = make(clone, f"PYTHON={sys.executable}", "NEEDED_GB=9999999")
    (line,) = told(done)
    assert line.startswith("make: found ") and "needed 9999999" in line
    assert not (clone / ".venv").exists()


def test_a_registry_that_does_not_answer_is_one_line(clone: Path) -> None:
    done = make(
        clone,
        f"PYTHON={sys.executable}",
        PIP_CONFIG_FILE=os.devnull,
        PIP_INDEX_URL="http://127.0.0.1:9/simple",
        PIP_RETRIES="0",
    )
    assert done.returncode != 0
    (line,) = told(done)
    assert line.startswith("make: the package registry does not answer")
    assert not (clone / ".venv" / ".ready").exists()
