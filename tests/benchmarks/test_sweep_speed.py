"""Eight trials in which only `evaluate` changes, against the bare work of eight evaluates."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

import pytest

from tests.integration.conftest import server, toy, toy_template
from tests.integration.test_sweep import ask, commit, project, results

if TYPE_CHECKING:
    from tests.integration.conftest import Toy

__all__ = ["project", "server", "toy", "toy_template"]

WORK_S = float(os.environ.get("SWEEP_WORK_S", "20"))  # of one evaluate, on a core of its own
WORKERS = 2

pytestmark = [pytest.mark.benchmark, pytest.mark.timeout(1800)]


def test_a_sweep_of_evaluate_alone(project: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.integration.conftest.TIMEOUT_S", 1200)
    (project.root / "work_s").write_text(f"{WORK_S}\n")
    ask(project, {"grid": {"evaluate.queries": [*range(1, 9)]}, "workers": WORKERS}, "eight.yaml")
    commit(project)
    load = os.getloadavg()[0]
    started = time.monotonic()
    code, output = project.run("headstart", "sweep", "eight.yaml")
    wall_s = time.monotonic() - started
    assert code == 0, output
    restored = sum(row["stages"] == "3 restored, 1 ran" for row in results(project, "eight"))
    ideal_s = 8 * WORK_S / WORKERS
    print(f"\ntraining stages restored in {restored} of 8 trials")
    print(f"wall {wall_s:.0f} s; 8 evaluates of {WORK_S:.0f} s on {WORKERS} cores: {ideal_s:.0f} s")
    print(f"ratio {wall_s / ideal_s:.2f}; load of the machine {load:.1f} before, of 2 cores")
