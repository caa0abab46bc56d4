import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.episodes import sampler
from tasks.episodes.sampler import Episodes, Pool
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
