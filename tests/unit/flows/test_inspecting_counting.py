from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from flows.inspecting.counting import Bin, bins, by_kind, count, extremes, kind_of
from flows.inspecting.sampling import AT_LEAST, choose
from tasks.artifacts.image_store import Rejected
from tasks.sources.found import Found
from tests.memory_tree import MemoryTree
from tests.pictures import found_images


def test_classes_groups_and_refusals_are_counted() -> None:
    images = found_images({"a/x": 3, "a/y": 1, "b/z": 5})
    rejected = [Rejected("", f"{n}.txt", "suffix .txt is not an image's; needed") for n in "12345"]
    rejected.append(Rejected("", "odd.png", "empty file, needed an image"))
    counted = count(Found(MemoryTree(), images, rejected, 1, ["a note"]), "memory")
    assert (counted.root, counted.images, counted.lost, counted.notes) == (
        "memory",
        9,
        1,
        ["a note"],
    )
    assert [(one.name, one.images) for one in counted.classes] == [
        ("a/y", 1),
        ("a/x", 3),
        ("b/z", 5),
    ]
    assert [(one.name, one.classes, one.images) for one in counted.groups] == [
        ("a", 2, 4),
        ("b", 1, 5),
    ]
    assert counted.median == 3
    text, empty = counted.left_out
    assert (text.kind, text.count) == ("suffix .txt is not an image's", 5)
    assert [path for path, _ in text.examples] == ["1.txt", "2.txt", "3.txt"]
    assert (empty.kind, empty.count) == ("empty file", 1)


def test_classes_without_groups_have_none() -> None:
    assert count(Found(MemoryTree(), found_images({"x": 1, "y": 2}), [], 0, []), "").groups == []


def test_reasons_that_differ_by_names_and_numbers_are_of_one_kind() -> None:
    assert {
        kind_of("found 50,000 x 50,000 px, needed at most 40,000,000 pixels"),
        kind_of("found 9 x 8 px, needed at most 40,000,000 pixels"),
    } == {"found N x N px"}
    assert kind_of("duplicate of a, b/c (2).png") == kind_of("duplicate of d.png") == "duplicate"
    assert kind_of("damaged image (broken data); replace it") == "damaged image"
    assert kind_of("a link out of the root, to /etc/x") == "a link out of the root"
    assert [one.kind for one in by_kind([("a", "b: 1"), ("c", "d"), ("e", "d: 2")])] == ["d", "b"]


def test_few_sizes_get_a_bin_each_and_many_get_round_ones() -> None:
    assert bins([2, 2, 4]) == [Bin(2, 2, 2), Bin(3, 3, 0), Bin(4, 4, 1)]
    assert [one.label for one in bins([35, 61, 143])][:2] == ["20-39", "40-59"]
    assert [one.label for one in bins([1, 5000])][:4] == ["1", "2-3", "4-7", "8-15"]
    assert bins([]) == []


@given(st.lists(st.integers(1, 10**6), min_size=1))
def test_a_histogram_counts_every_class_once_in_few_bins(sizes: list[int]) -> None:
    found = bins(sizes)
    assert sum(one.count for one in found) == len(sizes)
    assert all(one.low <= one.high < two.low for one, two in pairwise(found))
    assert found[0].low <= min(sizes) and max(sizes) <= found[-1].high
    assert len(found) <= 21


def test_no_class_is_among_the_smallest_and_the_largest() -> None:
    counted = count(Found(MemoryTree(), found_images({"a": 1, "b": 2, "c": 3}), [], 0, []), "")
    few, many = extremes(counted.classes, 10)
    assert ([one.name for one in few], [one.name for one in many]) == (["a", "b"], ["c"])
    few, many = extremes(counted.classes, 1)
    assert ([one.name for one in few], [one.name for one in many]) == (["a"], ["c"])


@given(
    st.dictionaries(st.text("abc", min_size=1), st.integers(1, 40), min_size=1),
    st.integers(1, 200),
)
def test_the_choice_is_even_and_no_larger_than_asked_for(sizes: dict[str, int], limit: int) -> None:
    images = found_images(sizes)
    chosen = choose(images, limit)
    assert chosen == sorted(set(chosen)) and len(chosen) == min(limit, len(images))
    assert chosen == choose(images, limit)
    names = [images[position].class_name for position in chosen]
    given_by = sorted(names.count(name) for name in set(names))
    complete = [names.count(name) == sizes[name] for name in set(names)]
    if all(sizes[name] >= AT_LEAST for name in sizes) and limit >= AT_LEAST * len(sizes):
        assert len(given_by) == len(sizes) and given_by[0] >= AT_LEAST
    uneven = {names.count(name) for name in set(names) if names.count(name) < sizes[name]}
    # Whoever has more to give gives as much as any other; one class may give the odd rest.
    assert all(complete) or max(given_by) - min(uneven) <= AT_LEAST


def test_images_that_come_later_move_few_others_out_of_the_choice() -> None:
    before = found_images({"a": 200, "b": 200})
    after = found_images({"a": 201, "b": 200})
    paths = [{some[position].path for position in choose(some, 40)} for some in (before, after)]
    assert len(paths[0] & paths[1]) >= 38
