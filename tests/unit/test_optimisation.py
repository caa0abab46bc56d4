from typing import Any

import pytest
import torch
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import CosineAnnealingLR, LRScheduler, OneCycleLR

from tasks.optimisation import Schedule, deterministic, optimizer, schedule, segment_starts

SETTINGS: dict[str, dict[str, Any]] = {
    "constant": {},
    "cosine": {},
    "one_cycle": {},
    "exponential": {"decay": 0.5, "decay_every_steps": 3},
    "plateau": {"plateau_factor": 0.5, "plateau_patience": 1},
    "cross_validation": {"segment_factors": [0.5, 1.0, 0.25]},
}
NAMES = list(SETTINGS)


def made(name: str, steps: int, first: float = 1.0, **settings: Any) -> tuple[Optimizer, Schedule]:
    over = optimizer("sgd", [nn.Parameter(torch.zeros(1))], first, 0.0)
    return over, schedule(name, over, steps, **(settings or SETTINGS[name]))  # type: ignore[arg-type]


def rates(name: str, steps: int, first: float = 1.0, **settings: Any) -> list[float]:
    over, rates_of = made(name, steps, first, **settings)
    found = []
    for _ in range(steps):
        assert rates_of.rate == over.param_groups[0]["lr"]
        found.append(rates_of.rate)
        over.step()
        rates_of.step()
    return found


@pytest.mark.parametrize("name", NAMES)
def test_a_schedule_of_any_length_stays_below_the_highest_rate(name: str) -> None:
    for steps in range(1, 21):
        assert all(0 <= rate <= 1 + 1e-9 for rate in rates(name, steps)), steps


def test_schedules_are_what_they_are_called() -> None:
    assert rates("constant", 4) == [1.0] * 4
    assert rates("exponential", 4, decay=0.5) == [1.0, 0.5, 0.25, 0.125]
    assert rates("cosine", 2) == pytest.approx([1.0, 0.5])
    cycle = rates("one_cycle", 100)
    assert max(cycle) == pytest.approx(cycle[19], rel=0.01) and cycle[-1] < 1e-3
    assert rates("cross_validation", 6) == [0.5, 0.5, 1.0, 1.0, 0.25, 0.25]


def test_exponential_is_the_tutorials_to_the_bit() -> None:
    batches_an_epoch = 7
    found = rates("exponential", 70, 0.001, decay=0.9, decay_every_steps=batches_an_epoch)
    assert found[::batches_an_epoch] == [0.001 * 0.9**epoch for epoch in range(10)]
    # Its negative control goes down every ten batches.
    found = rates("exponential", 200, 0.001, decay=0.9, decay_every_steps=10)
    assert found == [0.001 * 0.9 ** (number // 10) for number in range(200)]


@pytest.mark.parametrize("name", ["cosine", "one_cycle"])
def test_what_pytorch_has_is_pytorchs_to_the_bit(name: str) -> None:
    over = optimizer("sgd", [nn.Parameter(torch.zeros(1))], 0.003, 0.0)
    theirs: LRScheduler = (
        CosineAnnealingLR(over, 50)
        if name == "cosine"
        else OneCycleLR(over, 0.003, total_steps=50, pct_start=0.2, cycle_momentum=False)
    )
    expected = []
    for _ in range(50):
        expected.append(over.param_groups[0]["lr"])
        over.step()
        theirs.step()
    assert rates(name, 50, 0.003) == expected


def test_a_plateau_lowers_the_rate_when_patience_is_over_and_a_better_score_renews_it() -> None:
    _, one = made("plateau", 100)
    found = []
    for accuracy in (0.5, 0.5, 0.4, 0.6, 0.6, 0.7, 0.7, 0.7, 0.7):
        one.step()
        one.listen(accuracy)
        found.append(one.rate)
    assert found == [1.0, 1.0, 0.5, 0.5, 0.5, 0.5, 0.5, 0.25, 0.25]


def test_schedules_that_do_not_listen_hear_nothing() -> None:
    for name in set(NAMES) - {"plateau"}:
        _, one = made(name, 20)
        before = one.rate
        for _ in range(5):
            one.listen(0.1)
        assert one.rate == before


def test_every_group_of_parameters_keeps_its_own_rate() -> None:
    groups = [{"params": [nn.Parameter(torch.zeros(1))], "lr": rate} for rate in (0.1, 1.0)]
    for name in NAMES:
        over = torch.optim.SGD(groups)
        one = schedule(name, over, 9, **SETTINGS[name])  # type: ignore[arg-type]
        for _ in range(7):
            over.step()
            one.step()
            one.listen(0.5)
        low, high = (group["lr"] for group in over.param_groups)
        assert low == pytest.approx(high / 10) and one.rate == high


@pytest.mark.parametrize("name", NAMES)
def test_an_interrupted_schedule_goes_on_to_the_bit(name: str, tmp_path: Any) -> None:
    def walk(over: Optimizer, one: Schedule, scores: list[float]) -> list[float]:
        found = []
        for accuracy in scores:
            found.append(one.rate)
            over.step()
            one.step()
            one.listen(accuracy)
        return found

    scores = [0.1, 0.3, 0.3, 0.2, 0.2, 0.4, 0.4, 0.4, 0.4]
    whole = walk(*made(name, 9), scores)
    over, one = made(name, 9)
    half = walk(over, one, scores[:4])
    torch.save(one.state_dict(), tmp_path / "state.pt")
    over, one = made(name, 9)
    one.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
    assert half + walk(over, one, scores[4:]) == whole


def test_segments_start_at_equal_distances() -> None:
    assert segment_starts(8, 4) == [0, 2, 4, 6]
    assert segment_starts(10, 4) == [0, 2, 5, 7]


def test_frozen_parameters_are_left_out() -> None:
    frozen, free = nn.Parameter(torch.zeros(1), requires_grad=False), nn.Parameter(torch.zeros(1))
    assert optimizer("adamw", [frozen, free], 0.1, 0.1).param_groups[0]["params"] == [free]


def test_deterministic_operations_leave_fresh_memory_alone() -> None:
    kept = torch.are_deterministic_algorithms_enabled()
    filled = torch.utils.deterministic.fill_uninitialized_memory  # type: ignore[attr-defined]
    try:
        deterministic()
        assert torch.are_deterministic_algorithms_enabled()
        assert not torch.utils.deterministic.fill_uninitialized_memory  # type: ignore[attr-defined]
    finally:
        torch.use_deterministic_algorithms(kept)
        torch.utils.deterministic.fill_uninitialized_memory = filled  # type: ignore[attr-defined]
