"""What holds for every learner, whatever the episode."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from tasks.learners.learner import (
    BUILDERS,
    Learner,
    LearnerSpec,
    as_learner,
    build_learner,
    episode_logits,
)

DIM = 6
NAMES = list(BUILDERS)
each_learner = pytest.mark.parametrize("name", NAMES)
shapes = st.tuples(st.integers(2, 6), st.integers(1, 4), st.integers(0, 2**31))
quick = settings(max_examples=30, deadline=None)


def build(name: str) -> Learner:
    return as_learner(build_learner(LearnerSpec(name, DIM, inner_learning_rate=3.0)).double())


def episode(way: int, shot: int, seed: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    support = torch.randn(way * shot, DIM, generator=generator, dtype=torch.float64)
    query = torch.randn(7, DIM, generator=generator, dtype=torch.float64)
    classes = torch.randperm(50, generator=generator)[:way]
    return support, classes.repeat_interleave(shot), classes, query


@each_learner
@given(shape=shapes)
@quick
def test_relabelling_the_classes_relabels_the_answers_and_no_more(
    name: str, shape: tuple[int, int, int]
) -> None:
    support, labels, classes, query = episode(*shape)
    scores = episode_logits(build(name), support, labels, classes, query)
    order = torch.randperm(len(classes), generator=torch.Generator().manual_seed(shape[2]))
    reordered = episode_logits(build(name), support, labels, classes[order], query)
    torch.testing.assert_close(reordered, scores[:, order])
    renamed = episode_logits(build(name), support, labels + 100, classes + 100, query)
    torch.testing.assert_close(renamed, scores)


@each_learner
@given(shape=shapes)
@quick
def test_the_order_of_the_support_changes_nothing(name: str, shape: tuple[int, int, int]) -> None:
    support, labels, classes, query = episode(*shape)
    order = torch.randperm(len(support), generator=torch.Generator().manual_seed(shape[2]))
    torch.testing.assert_close(
        episode_logits(build(name), support[order], labels[order], classes, query),
        episode_logits(build(name), support, labels, classes, query),
    )


@each_learner
@given(shape=shapes)
@quick
def test_images_of_other_classes_are_ignored(name: str, shape: tuple[int, int, int]) -> None:
    support, labels, classes, query = episode(*shape)
    stray = torch.cat([support, query]), torch.cat([labels, torch.full((7,), 99)])
    torch.testing.assert_close(
        episode_logits(build(name), *stray, classes, query),
        episode_logits(build(name), support, labels, classes, query),
    )


@each_learner
@given(shape=shapes)
@quick
def test_a_class_without_support_is_never_predicted(name: str, shape: tuple[int, int, int]) -> None:
    support, labels, classes, query = episode(*shape)
    _, bias = build(name).adapt(support, labels, torch.cat([classes, torch.tensor([99])]))
    assert bias[-1] == -torch.inf and torch.isfinite(bias[:-1]).all()
    scores = episode_logits(
        build(name), support, labels, torch.cat([classes, torch.tensor([99])]), query
    )
    assert torch.isfinite(scores[:, :-1]).all() and (scores.softmax(1)[:, -1] == 0).all()


@each_learner
@given(shape=shapes)
@quick
def test_many_episodes_at_once_are_each_learned_as_if_alone(
    name: str, shape: tuple[int, int, int]
) -> None:
    way, shot, seed = shape
    classes = torch.arange(way)
    alone = [episode(way, shot, seed + index) for index in range(3)]
    labels = classes.repeat_interleave(shot)
    together = episode_logits(
        build(name),
        torch.stack([one[0] for one in alone]),
        labels.expand(3, -1),
        classes,
        torch.stack([one[3] for one in alone]),
    )
    for index, (support, _, _, query) in enumerate(alone):
        torch.testing.assert_close(
            together[index], episode_logits(build(name), support, labels, classes, query)
        )
