"""Memory of evaluating on many features; see `many_features`."""

import json
import subprocess
import sys
from collections.abc import Callable

import pytest

from tests.benchmarks.turns import Figure, compared
from tests.conftest import ROOT

pytestmark = [pytest.mark.benchmark, pytest.mark.timeout(600)]


def test_evaluating_100_000_images(figure: Callable[[Figure], None]) -> None:
    command = [sys.executable, "-m", "tests.benchmarks.many_features"]
    told = [json.loads(subprocess.check_output(command, cwd=ROOT)) for _ in range(3)]
    figure(
        compared(
            "peak memory of 10,000 episodes on 100,000 x 512 features",
            "1.5 or less",
            ("process", [(one["peak"] - one["before"]) / 1e6 for one in told]),
            ("features", [one["features"] / 1e6 for one in told]),
            unit="MB",
        )
    )
