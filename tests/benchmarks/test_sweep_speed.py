"""Eight trials in which only `evaluate` changes, against the bare work of eight evaluates."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from tests.benchmarks.turns import Figure, compared
from tests.integration.test_sweep import ask, commit, project, results

if TYPE_CHECKING:
    from tests.integration.conftest import Toy

__all__ = ["project"]

WORK_S = float(os.environ.get("SWEEP_WORK_S", "12"))  # of one evaluate, on a core of its own
WORKERS = 2

pytestmark = [pytest.mark.benchmark, pytest.mark.timeout(1800)]


def test_a_sweep_of_evaluate_alone(
    project: Toy, monkeypatch: pytest.MonkeyPatch, figure: Callable[[Figure], None]
) -> None:
    monkeypatch.setattr("tests.integration.conftest.TIMEOUT_S", 1200)
    (project.root / "work_s").write_text(f"{WORK_S}\n")
    ask(project, {"grid": {"evaluate.queries": [*range(1, 9)]}, "workers": WORKERS}, "eight.yaml")
    commit(project)
    started = time.monotonic()
    code, output = project.run("headstart", "sweep", "eight.yaml")
    sweep_s = time.monotonic() - started
    assert code == 0, output
    rows = results(project, "eight")
    restored = sum(row["stages"] == "3 restored, 1 ran" for row in rows)
    assert restored == len(rows) == 8
    bare_s = _bare_s()
    figure(Figure("training stages restored of 8", "8", restored, "", {"restored": [restored]}))
    what = f"8 trials of {WORK_S:.0f} s of a core, {WORKERS} at a time"
    figure(compared(what, "below 2", ("sweep", [sweep_s]), ("bare", [bare_s])))


def _bare_s() -> float:
    """The same work, in the same minutes, with nothing around it."""
    program = f"import time\nwhile time.process_time() < {WORK_S}: pass"
    started = time.monotonic()
    with ThreadPoolExecutor(WORKERS) as pool:
        list(
            pool.map(
                lambda _: subprocess.run([sys.executable, "-c", program], check=True), range(8)
            )
        )
    return time.monotonic() - started
