import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from flows.stale_locks import RWLOCK, clear_stale_locks


@pytest.fixture(autouse=True)
def _project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    RWLOCK.parent.mkdir(parents=True)


def cleared() -> list[str]:
    told: list[str] = []
    clear_stale_locks(told.append)
    return told


def gone() -> dict[str, object]:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return {"pid": process.pid, "cmd": "dvc repro"}


def test_without_locks_nothing_is_done() -> None:
    assert cleared() == []
    assert not RWLOCK.exists()
    RWLOCK.write_text("{}")
    assert cleared() == []


def test_the_locks_of_the_dead_go_and_those_of_the_living_stay() -> None:
    dead = gone()
    own = {"pid": os.getpid(), "cmd": " ".join(["path", *sys.orig_argv[1:]])}
    RWLOCK.write_text(json.dumps({"write": {"a": dead, "b": own}, "read": {"c": [dead, own]}}))
    assert cleared() == [f"cleared locks of DVC that a killed process left: pid {dead['pid']}"]
    assert json.loads(RWLOCK.read_text()) == {"write": {"b": own}, "read": {"c": [own]}}


def test_a_number_that_another_process_has_by_now_holds_nothing() -> None:
    reused = {"pid": os.getpid(), "cmd": "dvc repro --of-somebody-else"}
    RWLOCK.write_text(json.dumps({"write": {"a": reused}}))
    assert len(cleared()) == 1
    assert json.loads(RWLOCK.read_text()) == {"write": {}, "read": {}}


@pytest.mark.parametrize("content", ["", '{"write": {', "[]", '{"write": {"a": 1}}'])
def test_a_file_that_was_cut_short_is_made_anew(content: str) -> None:
    RWLOCK.write_text(content)
    assert cleared() == [
        "cleared locks of DVC that a killed process left: .dvc/tmp/rwlock was cut short"
    ]
    assert json.loads(RWLOCK.read_text()) == {"write": {}, "read": {}}
