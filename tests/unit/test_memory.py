"""In processes of their own: what is set lasts until a process ends."""

import ctypes
import subprocess
import sys

import pytest

from tasks.memory import keep_freed_memory
from tests.conftest import ROOT

NEW_PAGES = """
import resource
import torch
from tasks.memory import keep_freed_memory

def step():
    for megabytes in (48, 3, 12):
        torch.zeros(megabytes * 2**18)

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(10):
        step()
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

if {keeps}:
    assert keep_freed_memory()
faults()  # until blocks have found their places
print(faults())
"""


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallopt"), reason="needs glibc")
def test_the_next_step_gets_no_new_pages() -> None:
    def told(keeps: bool) -> int:
        command = [sys.executable, "-c", NEW_PAGES.format(keeps=keeps)]
        return int(subprocess.check_output(command, cwd=ROOT, text=True))

    assert told(keeps=False) > 10 * 48 * 2**20 // 4096 // 2  # half of the largest block's, at least
    assert told(keeps=True) < 100


def test_another_c_library_is_left_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ctypes, "CDLL", lambda _: object())
    assert not keep_freed_memory()
