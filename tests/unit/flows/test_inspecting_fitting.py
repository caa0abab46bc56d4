from collections.abc import Sequence

import pytest

from flows.inspecting.fitting import Fit, fit
from flows.inspecting.words import largest_ways
from tasks.prepare.splits import ClassFound

SPLITS = ("base", "validation", "novel")


def fitted(
    sizes: Sequence[int], groups: int = 0, split: str | None = None, *, table: bool = True
) -> Fit:
    group = [f"g{index % groups}" if groups else "" for index in range(len(sizes))]
    classes = [
        ClassFound(f"{group[index]}/c{index}" if groups else f"c{index}", group[index], size, split)
        for index, size in enumerate(sizes)
    ]
    usable = {one.name: one.images for one in classes}
    return fit(classes, usable, table=table, drawings=False, seed=1)


def test_many_classes_are_split_by_share_and_carry_what_is_usual() -> None:
    found = fitted([60] * 100)
    assert (found.splitting.by, found.splitting.shares["novel"]) == ("share", 0.2)
    assert sum(classes for classes, _ in found.sizes.values()) == 100
    assert found.episodes is not None and found.episodes.queries == 15
    assert list(found.episodes.protocols) == [(5, 1), (5, 5)]
    assert (found.episodes.way, found.episodes.selection_way) == (5, 5)
    assert not found.obstacles and not found.notes


def test_enough_groups_stay_together() -> None:
    found = fitted([30] * 200, groups=20)
    assert found.splitting.by == "group"
    homes = {name.partition("/")[0]: split for name, split in found.split_of.items()}
    assert all(homes[name.partition("/")[0]] == split for name, split in found.split_of.items())
    assert fitted([30] * 200, groups=4).splitting.by == "share"


@pytest.mark.parametrize("classes", range(6, 40))
def test_few_classes_leave_no_split_without(classes: int) -> None:
    found = fitted([20] * classes)
    assert not found.obstacles
    least = min(5, classes // 3)
    assert min(count for count, _ in found.sizes.values()) >= least
    assert found.episodes is not None and found.episodes.way >= least


@pytest.mark.parametrize(
    ("size", "queries", "shots"), [(20, 15, (1, 5)), (12, 5, (1, 5)), (8, 3, (1, 5)), (6, 5, (1,)),
                                   (4, 3, (1,)), (2, 1, (1,))],
)  # fmt: skip
def test_small_classes_lower_the_queries_and_then_the_shots(
    size: int, queries: int, shots: tuple[int, ...]
) -> None:
    found = fitted([size] * 60)
    assert found.episodes is not None
    assert found.episodes.queries == queries
    assert tuple(shot for _, shot in found.episodes.protocols) == shots
    for way, shot in found.episodes.protocols:
        able = [
            name
            for name, split in found.split_of.items()
            if split == "novel" and size >= shot + queries
        ]
        assert len(able) >= way


@pytest.mark.parametrize(
    ("sizes", "line"),
    [
        ([20] * 5, "needed at least 2: bring more classes"),
        ([1] * 50, "found no classes of base"),
        ([], "found no classes of base"),
    ],
)
def test_too_few_are_told_with_what_to_do(sizes: list[int], line: str) -> None:
    found = fitted(sizes)
    assert found.episodes is None
    assert any(line in obstacle for obstacle in found.obstacles)


def test_what_a_table_says_counts() -> None:
    classes = [ClassFound(f"n{index}", "", 30, "novel") for index in range(10)]
    classes += [ClassFound(f"b{index}", "", 30, "base") for index in range(20)]
    usable = {one.name: 30 for one in classes}
    found = fit(classes, usable, table=True, drawings=False, seed=1)
    assert found.splitting.by == "table"
    assert {name for name, split in found.split_of.items() if split == "novel"} == {
        one.name for one in classes if one.split == "novel"
    }
    # The table has no validation classes: some of base are named.
    assert len(found.splitting.lists["validation"]) >= 5 and found.episodes is not None


def test_groups_are_named_rather_than_torn_apart() -> None:
    found = fitted([20] * 24, groups=6)
    assert found.splitting.by == "group" and any(found.splitting.lists.values())
    homes = {name.partition("/")[0]: split for name, split in found.split_of.items()}
    assert all(homes[name.partition("/")[0]] == split for name, split in found.split_of.items())
    assert found.episodes is not None and found.episodes.way == 5


def test_rows_that_say_the_same_are_told_once() -> None:
    labels = [label for label, _ in largest_ways(fitted([12] * 60))]
    assert labels == [
        "largest way, 1-shot, 15 queries a class",
        "largest way, 1-shot, up to 5 queries a class",
        "largest way, 5-shot, 15 queries a class",
        "largest way, 5-shot, up to 5 queries a class",
        "largest way, 10-shot, 5 to 15 queries a class",
        "largest way, 10-shot, 1 query a class",
    ]
