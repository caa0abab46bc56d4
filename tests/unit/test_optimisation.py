import pytest
import torch
from torch import nn

from tasks.optimisation import optimizer, schedule


def rates(name: str, steps: int) -> list[float]:
    over = optimizer("sgd", [nn.Parameter(torch.zeros(1))], 1.0, 0.0)
    made = schedule(name, over, steps, 0.5)  # type: ignore[arg-type]
    found = []
    for _ in range(steps):
        found.append(over.param_groups[0]["lr"])
        over.step()
        made.step()
    return found


@pytest.mark.parametrize("name", ["constant", "cosine", "one_cycle", "exponential"])
def test_a_schedule_of_any_length_stays_below_the_highest_rate(name: str) -> None:
    for steps in range(1, 21):
        assert all(0 <= rate <= 1 + 1e-9 for rate in rates(name, steps)), steps


def test_schedules_are_what_they_are_called() -> None:
    assert rates("constant", 4) == [1.0] * 4
    assert rates("exponential", 4) == [1.0, 0.5, 0.25, 0.125]
    assert rates("cosine", 2) == pytest.approx([1.0, 0.5])
    cycle = rates("one_cycle", 100)
    assert max(cycle) == pytest.approx(cycle[19], rel=0.01) and cycle[-1] < 1e-3


def test_frozen_parameters_are_left_out() -> None:
    frozen, free = nn.Parameter(torch.zeros(1), requires_grad=False), nn.Parameter(torch.zeros(1))
    assert optimizer("adamw", [frozen, free], 0.1, 0.1).param_groups[0]["params"] == [free]
