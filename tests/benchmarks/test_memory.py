"""Memory of evaluating on many features; see `many_features`."""

from collections.abc import Callable

import pytest

from tests.benchmarks import many_features
from tests.benchmarks.processes import told
from tests.benchmarks.turns import Figure, compared

pytestmark = [pytest.mark.benchmark, pytest.mark.timeout(600)]


def test_evaluating_100_000_images(figure: Callable[[Figure], None]) -> None:
    runs = [told(many_features) for _ in range(3)]
    figure(
        compared(
            "peak memory of 10,000 episodes on 100,000 x 512 features",
            "1.5 or less",
            ("process", [(one["peak"] - one["before"]) / 1e6 for one in runs]),
            ("features", [one["features"] / 1e6 for one in runs]),
            unit="MB",
        )
    )
