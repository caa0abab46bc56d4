import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.errors import ParametersError
from tasks.prepare.images import _classes
from tasks.prepare.splits import ClassFound, Splitting, assign_splits, too_small
from tasks.sources.image_folder import arrange
from tests.memory_tree import tree_of

SHARES = {"validation": 0.2, "novel": 0.3}
NAMES = st.lists(st.text(min_size=1, max_size=20), min_size=1, max_size=40, unique=True)


def classes(names: list[str], images: int = 50, group: str = "") -> list[ClassFound]:
    return [ClassFound(name, group, images) for name in names]


def rules(by: str = "share", **changes: object) -> Splitting:
    settings: dict = {
        "by": by,
        "shares": SHARES,
        "lists": {},
        "minimum_images": 0,
        "seed": 1,
        **changes,
    }
    return Splitting(**settings)


@given(names=NAMES, more=NAMES, seed=st.integers(0, 2**40))
def test_a_class_stays_in_its_split_when_others_come(
    names: list[str], more: list[str], seed: int
) -> None:
    how = rules(seed=seed)
    before = assign_splits(classes(names), how).split_of
    after = assign_splits(classes(sorted({*names, *more})), how).split_of
    assert {name: after[name] for name in names} == before


@given(names=NAMES)
def test_a_class_stays_in_its_split_when_it_grows_unless_it_was_too_small_for_it(
    names: list[str],
) -> None:
    how = rules(minimum_images=16)
    before = assign_splits(classes(names, images=16), how).split_of
    assert assign_splits(classes(names, images=900), how).split_of == before


def test_shares_are_kept_about() -> None:
    found = assign_splits(classes([f"class {index}" for index in range(5_000)]), rules()).split_of
    share = {split: list(found.values()).count(split) / 5_000 for split in set(found.values())}
    assert share["novel"] == pytest.approx(0.3, abs=0.02)
    assert share["validation"] == pytest.approx(0.2, abs=0.02)


def test_another_seed_splits_otherwise() -> None:
    names = [f"class {index}" for index in range(100)]
    splits = [assign_splits(classes(names), rules(seed=seed)).split_of for seed in (1, 2)]
    assert splits[0] != splits[1]


@given(groups=st.lists(st.text(min_size=1, max_size=5), min_size=1, max_size=20, unique=True))
def test_groups_stay_together(groups: list[str]) -> None:
    found = [ClassFound(f"{group}/{one}", group, 9) for group in groups for one in range(4)]
    split_of = assign_splits(found, rules("group")).split_of
    for group in groups:
        assert len({split_of[f"{group}/{one}"] for one in range(4)}) == 1


def test_names_that_look_the_same_are_on_one_side() -> None:
    pairs = [("Café", "Cafe\u0301"), ("APPLE", "apple"), ("ﬁg", "fig")]
    for seed in range(20):
        split_of = assign_splits(classes([n for p in pairs for n in p]), rules(seed=seed)).split_of
        assert all(split_of[one] == split_of[other] for one, other in pairs)


def test_a_class_too_small_for_its_split_serves_in_base_and_is_told() -> None:
    names = [f"class {index}" for index in range(100)]
    big = assign_splits(classes(names), rules(minimum_images=16)).split_of
    small = next(name for name in names if big[name] == "novel")
    some = [ClassFound(name, "", 3 if name == small else 50) for name in names]
    found = assign_splits(some, rules(minimum_images=16))
    assert found.split_of == {**big, small: "base"}
    assert f"{small} (3)" in found.notes[0]


def test_lists_pin_classes_and_groups_and_leave_out_the_rest_only_where_asked() -> None:
    found = [ClassFound("A/1", "A", 9), ClassFound("A/2", "A", 9), ClassFound("B/3", "B", 9)]
    lists = {"novel": ["A"], "base": ["3"]}
    assert assign_splits(found, rules("list", lists=lists)).split_of == {
        "A/1": "novel",
        "A/2": "novel",
        "B/3": "base",
    }
    alone = assign_splits(found, rules("list", lists={"novel": ["A/1"]}))
    assert (alone.split_of, alone.left_out) == ({"A/1": "novel"}, ["A/2", "B/3"])
    assert "2 classes are in none of the lists" in alone.notes[0]
    assert len(assign_splits(found, rules("share", lists={"novel": ["A/1"]})).split_of) == 3


def test_a_name_that_nobody_has_is_told_with_what_is_close() -> None:
    with pytest.raises(
        ParametersError, match=r"splits\.novel: found no class or group 'aple'.*app"
    ):
        assign_splits(classes(["apple", "pear"]), rules("list", lists={"novel": ["aple"]}))


def test_a_class_and_its_group_in_two_lists_is_told() -> None:
    found = [ClassFound("A/1", "A", 9)]
    with pytest.raises(ParametersError, match="class A/1 is in base and its group A in novel"):
        assign_splits(found, rules("list", lists={"novel": ["A"], "base": ["A/1"]}))


def test_what_the_source_says_counts_before_the_hash() -> None:
    found = [ClassFound(f"{index}", "", 9, "validation") for index in range(20)]
    trusting = rules("table", trusts_source=True)
    assert set(assign_splits(found, trusting).split_of.values()) == {"validation"}
    assert set(assign_splits(found, rules("share")).split_of.values()) != {"validation"}
    assert assign_splits(found, rules("list", trusts_source=True)).split_of == {}


def test_a_table_that_says_no_split_is_told() -> None:
    with pytest.raises(ParametersError, match="table, but no class has a split"):
        assign_splits(classes(["a", "b"]), rules("table", trusts_source=True))


def test_a_class_stays_in_its_split_whatever_its_folders_are_wrapped_in() -> None:
    alone = [f"animals/c{index}/1.png" for index in range(30)]
    more = [*alone, "plants/oak/1.png"]
    halved = [f"animals/{half}/c{index}/1.png" for index in range(30) for half in ("train", "test")]
    homes = []
    for paths in (alone, more, halved):
        found = arrange(tree_of(*paths))
        split_of = assign_splits(_classes(found), rules()).split_of
        homes.append([split_of[name] for name in sorted(split_of, key=lambda n: n.split("/")[-1])])
    assert homes[1][:30] == homes[0] == homes[2]


def test_turned_classes_are_on_the_side_of_the_upright_one() -> None:
    found = [
        ClassFound(f"A/c{index} turned {turn}", "A", 20, None, f"A/c{index}")
        for index in range(40)
        for turn in (0, 90)
    ]
    split_of = assign_splits(found, rules()).split_of
    for index in range(40):
        assert split_of[f"A/c{index} turned 0"] == split_of[f"A/c{index} turned 90"]


def test_small_classes_are_told_for_each_split() -> None:
    counts = {"base": [("a", 3), ("b", 30)], "novel": [("c", 30)]}
    lines = too_small(counts, {"base": 16, "novel": 16})
    assert lines == [
        "1 classes of base train the classifier but serve in no episode, which takes 16 images "
        "(shot + queries): a (3)"
    ]
