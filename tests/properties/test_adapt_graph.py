"""What holds for the exported `adapt` and `predict`, whatever the episode."""

from pathlib import Path

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.artifacts.bundle import Bundle

BUNDLE = Bundle(Path(__file__).parents[1] / "golden" / "bundle_format_1")
seeds = st.integers(0, 2**31)
shots = st.lists(st.integers(0, 4), min_size=1, max_size=12).filter(any)
quick = settings(max_examples=60, deadline=None)


def episode(
    counts: list[int], seed: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.random.Generator]:
    generator = np.random.default_rng(seed)
    classes = generator.permutation(100)[: len(counts)]
    labels = generator.permutation(np.repeat(classes, counts))
    return generator.normal(size=(len(labels), BUNDLE.dim)), labels, classes, generator


@given(counts=shots, seed=seeds)
@quick
def test_relabelling_and_reordering_the_classes_reorders_the_rule(
    counts: list[int], seed: int
) -> None:
    support, labels, classes, generator = episode(counts, seed)
    rule = BUNDLE.adapt(support, labels, classes)
    order = generator.permutation(len(classes))
    other = BUNDLE.adapt(support, labels + 1000, classes[order] + 1000)
    np.testing.assert_allclose(other.weight, rule.weight[order], atol=1e-5)
    assert np.array_equal(other.bias, rule.bias[order])


@given(counts=shots, seed=seeds)
@quick
def test_images_of_other_classes_change_nothing(counts: list[int], seed: int) -> None:
    support, labels, classes, generator = episode(counts, seed)
    stray = generator.normal(size=(3, BUNDLE.dim))
    rule = BUNDLE.adapt(support, labels, classes)
    more = BUNDLE.adapt(
        np.concatenate([stray, support]), np.concatenate([[-1, 500, 501], labels]), classes
    )
    np.testing.assert_allclose(more.weight, rule.weight, atol=1e-5)
    assert np.array_equal(more.bias, rule.bias)


@given(counts=shots, seed=seeds, queries=st.integers(1, 5))
@quick
def test_probabilities_are_a_distribution_over_the_classes_with_support(
    counts: list[int], seed: int, queries: int
) -> None:
    support, labels, classes, generator = episode(counts, seed)
    query = 100 * generator.normal(size=(queries, BUNDLE.dim))
    _, probabilities = BUNDLE.predict(query, BUNDLE.adapt(support, labels, classes))
    assert probabilities.shape == (queries, len(counts))
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-5)
    assert (probabilities[:, np.array(counts) == 0] == 0).all()
