"""Two trainings on the same cores: whether threads that wait for one another spin or sleep."""

import os
import subprocess
import sys
from collections.abc import Callable

import pytest

from tests.benchmarks.turns import Figure, compared
from tests.conftest import ROOT

pytestmark = [pytest.mark.benchmark, pytest.mark.timeout(1800)]

ROUNDS = 3


@pytest.mark.parametrize("trainings", [1, 2])
def test_an_epoch_whose_threads_sleep(figure: Callable[[Figure], None], trainings: int) -> None:
    spinning, sleeping = [], []
    for _ in range(ROUNDS):
        spinning.append(_seconds(trainings, {}))
        sleeping.append(_seconds(trainings, {"OMP_WAIT_POLICY": "PASSIVE"}))
    figure(
        compared(
            f"{trainings} training(s) at once, an epoch each: spin, as is usual, over sleep",
            "",
            ("spin", spinning),
            ("sleep", sleeping),
        )
    )


def _seconds(trainings: int, environment: dict[str, str]) -> float:
    """Mean seconds of an epoch in each of several processes."""
    started = [
        subprocess.Popen(
            [sys.executable, "-m", "tests.benchmarks.epochs"],
            cwd=ROOT,
            env=os.environ | environment,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(trainings)
    ]
    told = [one.communicate()[0] for one in started]
    return sum(map(float, told)) / trainings
