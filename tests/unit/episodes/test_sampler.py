import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.episodes import sampler
from tasks.episodes.sampler import Episodes, Pool, imbalanced
from tasks.errors import DataError

DEMAND = {"way": 3, "shot": 2, "queries": 4, "seed": 1, "purpose": "test"}


def uneven_labels(sizes: list[int]) -> np.ndarray:
    labels = np.repeat(np.arange(len(sizes)), sizes)
    return np.random.default_rng(0).permutation(labels)


@given(
    sizes=st.lists(st.integers(6, 30), min_size=3, max_size=12),
    first=st.integers(0, 10_000),
    seed=st.integers(0, 2**62),
)
def test_an_episode_has_distinct_classes_and_distinct_images_of_them(
    sizes: list[int], first: int, seed: int
) -> None:
    labels = uneven_labels(sizes)
    drawn = Pool(labels).draw(first, 5, **{**DEMAND, "seed": seed})
    for classes, support, query in zip(drawn.classes, drawn.support, drawn.query, strict=True):
        assert len(set(classes)) == 3
        both = np.concatenate([support, query], axis=1)
        assert len(set(both.ravel())) == both.size
        assert (labels[both] == classes[:, None]).all()


@given(first=st.integers(0, 500), count=st.integers(1, 20))
def test_an_episode_depends_on_its_number_alone(first: int, count: int) -> None:
    pool = Pool(uneven_labels([8, 9, 10, 6, 20]))
    everything = pool.draw(0, 520, **DEMAND)
    part = pool.draw(first, count, **DEMAND)
    for name in ("classes", "support", "query"):
        whole = getattr(everything, name)[first : first + count]
        assert np.array_equal(getattr(part, name), whole)


def test_chunks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    pool = Pool(uneven_labels([8, 9, 10, 6, 20]))
    whole = pool.draw(0, 50, **DEMAND)
    monkeypatch.setattr(sampler, "_CHUNK_KEYS", 100)
    assert np.array_equal(whole.query, pool.draw(0, 50, **DEMAND).query)


def test_purposes_and_seeds_give_other_episodes() -> None:
    pool = Pool(uneven_labels([20] * 30))
    draws = [
        pool.draw(0, 20, **{**DEMAND, **change}).support
        for change in ({}, {"purpose": "other"}, {"seed": 2}, {"shot": 3})
    ]
    assert not any(np.array_equal(draws[0], other) for other in draws[1:])


def test_every_class_and_image_is_drawn_equally_often() -> None:
    pool = Pool(uneven_labels([10] * 20))
    drawn: Episodes = pool.draw(0, 20_000, **{**DEMAND, "way": 5})
    for counts, expected in (
        (np.bincount(drawn.classes.ravel(), minlength=20), 20_000 * 5 / 20),
        (np.bincount(drawn.support.ravel(), minlength=200), 20_000 * 5 * 2 / 200),
    ):
        # Five standard deviations of a binomial count.
        assert np.abs(counts - expected).max() < 5 * expected**0.5


def test_classes_too_small_for_an_episode_are_never_drawn() -> None:
    drawn = Pool(uneven_labels([20, 5, 20, 20])).draw(0, 200, **DEMAND)
    assert 1 not in drawn.classes


def test_too_few_able_classes_are_told() -> None:
    with pytest.raises(DataError, match="found 2 classes with at least 6 images.*needed 3"):
        Pool(uneven_labels([20, 5, 20])).draw(0, 1, **DEMAND)


@given(seed=st.integers(0, 2**62))
def test_classes_of_one_group_stay_together_and_every_group_has_its_turn(seed: int) -> None:
    groups = np.array([0, 0, 0, 0, 1, 1, 2, 2, 2, 2, 2])
    pool = Pool(uneven_labels([8] * 11))
    drawn = pool.draw(0, 60, **{**DEMAND, "seed": seed}, groups=groups)
    together = groups[drawn.classes]
    assert (together == together[:, :1]).all()
    assert set(together[:, 0]) == {0, 2}  # group 1 has two classes, and three are needed
    assert all(len(set(classes)) == 3 for classes in drawn.classes)


def test_too_small_groups_are_told() -> None:
    pool = Pool(uneven_labels([8] * 4))
    with pytest.raises(DataError, match="found 2 classes of one group with at least 6 images"):
        pool.draw(0, 1, **DEMAND, groups=np.array([0, 0, 1, 1]))


@given(seed=st.integers(0, 2**62), shot=st.integers(1, 6))
def test_imbalanced_shots_leave_no_class_empty_and_change_nothing_else(
    seed: int, shot: int
) -> None:
    pool = Pool(uneven_labels([12] * 8))
    asked = {**DEMAND, "seed": seed, "shot": shot}
    even = pool.draw(0, 40, **asked)
    uneven = imbalanced(even, 0, seed=seed, purpose="test")
    assert uneven.present is not None
    shots = uneven.present.sum(axis=2)
    assert shots.min() >= 1 and shots.max() <= shot
    assert np.array_equal(even.query, uneven.query)
    assert np.array_equal(even.support, uneven.support)
    labels = uneven.support_labels().reshape(uneven.support.shape)
    assert ((labels >= 0) == uneven.present).all()
    assert (even.support_labels().reshape(even.support.shape) == np.arange(3)[:, None]).all()


def test_every_number_of_shots_is_as_likely() -> None:
    even = Pool(uneven_labels([12] * 8)).draw(0, 5000, **{**DEMAND, "shot": 4})
    drawn = imbalanced(even, 0, seed=1, purpose="test")
    assert drawn.present is not None
    counts = np.bincount(drawn.present.sum(axis=2).ravel())[1:]
    # Five standard deviations of a binomial count.
    assert np.abs(counts - 15_000 / 4).max() < 5 * (15_000 / 4) ** 0.5


def test_part_of_the_episodes_is_what_a_smaller_draw_gives() -> None:
    pool = Pool(uneven_labels([12] * 8))
    whole = imbalanced(pool.draw(0, 30, **DEMAND), 0, seed=1, purpose="test")
    part = whole.between(10, 14)
    alone = imbalanced(pool.draw(10, 4, **DEMAND), 10, seed=1, purpose="test")
    for name in ("classes", "support", "query", "present"):
        assert np.array_equal(getattr(part, name), getattr(alone, name))


@pytest.mark.parametrize("width", [1, 5, 16, 20, 257, 5000])
def test_the_smallest_keys_are_those_that_come_first_in_order(width: int) -> None:
    keys = np.random.default_rng(width).integers(
        0, 2**64, (3, 40, width), np.uint64, endpoint=False
    )
    count = min(width, 20)
    in_order = np.argsort(keys, axis=2)[..., :count]
    assert np.array_equal(sampler._smallest(keys, count), in_order)
