import subprocess
import sys
from pathlib import Path

import pytest

KILLED_WHILE_WRITING = """
import os, signal, sys
from dvc.fs import localfs
from flows.whole_files import let_dvc_write_whole_files

if sys.argv[2] == "whole":
    let_dvc_write_whole_files()
with localfs.open(sys.argv[1], "w", encoding="utf-8") as file:
    file.write("half")
    os.kill(os.getpid(), signal.SIGKILL)
"""


def write_and_die(path: Path, how: str) -> str:
    path.write_text("what stood")
    words = [sys.executable, "-c", KILLED_WHILE_WRITING, str(path), how]
    assert subprocess.run(words, check=False, timeout=60).returncode == -9
    return path.read_text()


@pytest.mark.parametrize("name", ["dvc.lock", "rwlock"])
def test_a_kill_while_dvc_writes_its_files_leaves_what_stood(tmp_path: Path, name: str) -> None:
    assert write_and_die(tmp_path / name, "in place") == ""
    assert write_and_die(tmp_path / name, "whole") == "what stood"
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_other_files_are_written_as_dvc_writes_them(tmp_path: Path) -> None:
    assert write_and_die(tmp_path / "other", "whole") == ""
