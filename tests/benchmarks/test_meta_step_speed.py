"""Seconds and memory of a second-order meta-training step; see `meta_steps`."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch

from tests.benchmarks.meta_steps import ours, plain
from tests.benchmarks.turns import Figure, compared
from tests.conftest import ROOT

pytestmark = [pytest.mark.benchmark, pytest.mark.timeout(1800)]


@pytest.fixture
def _float64() -> Iterator[None]:
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


@pytest.mark.parametrize("learner", ["maml", "anil"])
def test_both_sides_find_the_same_gradient(learner: str, _float64: None) -> None:
    """In float64: in float32 an image here and there has another pixel for its maximum."""
    found = []
    for side in (ours, plain):
        step, gradients = side(learner)
        found.append((step(), gradients()))
    (loss, gradient), (other_loss, other) = found
    assert loss == pytest.approx(other_loss, rel=1e-12)
    for name, one in gradient.items():
        torch.testing.assert_close(one, other[name].reshape(one.shape), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("learner", ["maml", "anil"])
def test_seconds(learner: str, figure: Callable[[Figure], None]) -> None:
    found = _told("seconds", learner)
    figure(
        compared(
            f"one {learner} step, 4 tasks, 5-way one-shot, 15 queries, 5 inner steps",
            "1.5",
            ("autograd.grad loop", found["plain"]),
            ("Headstart", found["ours"]),
        )
    )


def test_memory(figure: Callable[[Figure], None]) -> None:
    sides = [[_told("memory", "maml", side) / 1e6 for _ in range(3)] for side in ("ours", "plain")]
    figure(
        compared(
            "peak memory of the maml step, above that of the process before it",
            "0.7 or less",
            ("Headstart", sides[0]),
            ("autograd.grad loop", sides[1]),
            unit="MB",
        )
    )


def _told(*of: str) -> Any:
    command = [sys.executable, "-m", "tests.benchmarks.meta_steps", *of]
    return json.loads(subprocess.check_output(command, cwd=ROOT))
