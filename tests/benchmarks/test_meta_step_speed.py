"""Seconds and memory of a second-order meta-training step; see `meta_steps`."""

from collections.abc import Callable, Iterator

import pytest
import torch

from tests.benchmarks import meta_steps
from tests.benchmarks.meta_steps import ours, plain
from tests.benchmarks.processes import told
from tests.benchmarks.turns import Figure, compared

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
    found = told(meta_steps, "seconds", learner)
    figure(
        compared(
            f"one {learner} step, 4 tasks, 5-way one-shot, 15 queries, 5 inner steps",
            "1.5",
            ("autograd.grad loop", found["plain"]),
            ("Headstart", found["ours"]),
        )
    )


def test_memory(figure: Callable[[Figure], None]) -> None:
    added = {
        side: [told(meta_steps, "memory", "maml", side) / 1e6 for _ in range(3)]
        for side in ("ours", "plain")
    }
    figure(
        compared(
            "peak memory of the maml step, above that of the process before it",
            "0.7 or less",
            ("Headstart", added["ours"]),
            ("autograd.grad loop", added["plain"]),
            unit="MB",
        )
    )
