"""Pretraining by two ranks of one thread each, against one process of one thread, and of two.

Steps alone, without the start of processes; the same network, batches and augmentation. The sides
take turns in one run, and each figure is the median of all steps of all rounds. On a machine that
has other work, seconds say who was let to work: so processor time is printed too, and the load.
`HEADSTART_BENCH_STEPS` changes how many steps a round has.
"""

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tasks.launcher import launch
from tasks.progress import untracked
from tests.benchmarks.ranks_at_work import time_steps
from tests.benchmarks.turns import Figure, compared
from tests.conftest import write_params
from tests.threads import torch_threads

pytestmark = [pytest.mark.benchmark, pytest.mark.timeout(3600)]

STEPS = int(os.environ.get("HEADSTART_BENCH_STEPS", "15"))
ROUNDS = 2
SIDES = {
    "1 process, 1 thread": (1, 1, True),
    "1 process, 2 threads": (1, 2, True),
    "2 ranks": (2, 1, True),
    "2 that do not meet": (2, 1, False),
}


def test_two_ranks_against_one_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, figure: Callable[[Figure], None]
) -> None:
    monkeypatch.chdir(tmp_path)
    section = write_params(tmp_path).pretrain
    found: dict[str, list[dict[str, list[float]]]] = {side: [] for side in SIDES}
    for _ in range(ROUNDS):
        for side, (processes, threads, meet) in SIDES.items():
            with torch_threads(threads * processes):
                if processes == 1:
                    time_steps(tmp_path / "told", section, STEPS, meet, untracked)
                else:
                    launch("bench", processes, time_steps, tmp_path / "told", section, STEPS, meet)
            found[side].append(json.loads((tmp_path / "told.0.json").read_text()))
    one, threads, ranks, apart = ((side, _all(rounds, "seconds")) for side, rounds in found.items())
    losses = ", ".join(f"{rounds[-1]['loss']:.4f}" for rounds in found.values())
    figure(compared(f"a step of pretraining; last losses {losses}", "1.6", one, ranks))
    figure(compared("the same", "", one, threads))
    figure(compared("the same by two models on half of each batch: no meeting", "", one, apart))


def _all(rounds: list[dict[str, list[float]]], what: str) -> list[float]:
    return [value for one in rounds for value in one[what]]
