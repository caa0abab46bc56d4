"""Which overrides trials get."""

import pytest

from flows.proposals import Point, corner_points, grid_points, propose
from flows.sweep_file import Range, Search

SPACE = {
    "rate": Range(low=0.001, high=1.0, log=True),
    "steps": Range(low=1, high=9),
    "widths": [[8, 8], [16, 16]],
}


def search(sampler: str = "tpe", seed: int = 1) -> Search:
    return Search.model_validate({"sampler": sampler, "trials": 8, "seed": seed, "space": SPACE})


def tried(asked: Search, count: int) -> list[tuple[Point, float | None]]:
    told: list[tuple[Point, float | None]] = []
    for number in range(count):
        point = propose(asked, "maximize", number, told)
        told.append((point, -abs(point["rate"] - 0.1)))
    return told


def test_a_grid_has_every_combination_and_the_last_key_changes_fastest() -> None:
    points = grid_points({"a": [1, 2], "b": ["x", "y"]})
    assert [tuple(one.values()) for one in points] == [(1, "x"), (1, "y"), (2, "x"), (2, "y")]


def test_corners_hold_every_end_and_every_choice() -> None:
    corners = corner_points(SPACE)
    assert {one["rate"] for one in corners} == {0.001, 1.0}
    assert {one["steps"] for one in corners} == {1, 9}
    assert [16, 16] in [one["widths"] for one in corners]


@pytest.mark.parametrize("sampler", ["tpe", "random"])
def test_a_proposal_depends_on_seed_number_and_what_was_tried_alone(sampler: str) -> None:
    asked = search(sampler)
    one, same = tried(asked, 12), tried(asked, 12)
    assert one == same
    assert len({str(point) for point, _ in one}) > 6
    assert tried(search(sampler, seed=2), 1) != one[:1]
    # From the middle on, in another process: nothing is carried over but what was tried.
    assert propose(asked, "maximize", 11, one[:11]) == one[11][0]


def test_proposals_lie_in_their_space_and_are_short_to_read() -> None:
    for point, _ in tried(search(), 15):
        assert 0.001 <= point["rate"] <= 1.0 and len(f"{point['rate']:g}") <= 8
        assert isinstance(point["steps"], int) and 1 <= point["steps"] <= 9
        assert point["widths"] in SPACE["widths"]


def test_tpe_goes_where_it_was_better_and_away_from_what_still_runs() -> None:
    asked = search()
    known = tried(asked, 40)
    late = [abs(point["rate"] - 0.1) for point, _ in known[20:]]
    early = [abs(point["rate"] - 0.1) for point, _ in known[:10]]
    assert sorted(late)[len(late) // 2] < sorted(early)[len(early) // 2]
    running = [(point, None) for point, _ in known[30:]]
    assert propose(asked, "maximize", 40, [*known[:30], *running]) != known[30][0]
