"""Scores by inner products: those of the embeddings themselves, wherever that is less work."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from tasks.episodes.sampler import Episodes, Pool, imbalanced
from tasks.evaluate.arms import Arm
from tasks.evaluate.run_length import run_length
from tasks.learners import scoring
from tasks.learners.closed_form import ClosedForm, pays, scores_by_products
from tasks.learners.learner import BUILDERS, as_learner, build_learner
from tasks.learners.scoring import episode_scores, support_labels
from tasks.learners.spec import LearnerSpec

CLOSED = ("prototype", "cosine", "centred_cosine", "ridge", "projection")


def closed(name: str, dim: int) -> ClosedForm:
    learner = build_learner(LearnerSpec(name, dim, projection_dim=5)).eval().double()
    assert isinstance(learner, ClosedForm)
    return learner


def embeddings(images: int, dim: int, seed: int = 1) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(images, dim, generator=generator, dtype=torch.float64)


def drawn(count: int, way: int, shot: int, *, uneven: bool = False) -> Episodes:
    labels = np.repeat(np.arange(8), 10)
    episodes = Pool(labels).draw(0, count, way=way, shot=shot, queries=3, seed=1, purpose="test")
    return imbalanced(episodes, 0, seed=1, purpose="test") if uneven else episodes


def test_all_that_have_a_closed_form_tell_it() -> None:
    found = [
        name
        for name in BUILDERS
        if isinstance(build_learner(LearnerSpec(name, 6, network_shapes={})), ClosedForm)
    ]
    assert sorted(found) == sorted(CLOSED)


@pytest.mark.parametrize("name", CLOSED)
@given(
    way=st.integers(2, 8),
    shot=st.integers(1, 6),
    dim=st.integers(3, 40),  # on fewer axes supports cancel out, and what is left is rounding
    seed=st.integers(0, 2**31),
    uneven=st.booleans(),
)
@settings(max_examples=30, deadline=None)
def test_scores_are_those_of_the_embeddings(
    name: str, way: int, shot: int, dim: int, seed: int, uneven: bool
) -> None:
    learner, given_ = closed(name, dim), embeddings(80, dim, seed)
    episodes = drawn(4, way, shot, uneven=uneven)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scoring, "pays", lambda *_: False)
        directly = episode_scores(learner, given_, episodes)
    found = scores_by_products(learner, given_, episodes, support_labels(episodes))
    torch.testing.assert_close(found, directly, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("name", CLOSED)
def test_embeddings_of_no_length_score_as_they_do_themselves(name: str) -> None:
    learner, given_, episodes = closed(name, 12), embeddings(80, 12), drawn(6, 4, 2)
    given_[::3] = 0
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scoring, "pays", lambda *_: False)
        directly = episode_scores(learner, given_, episodes)
    found = scores_by_products(learner, given_, episodes, support_labels(episodes))
    assert found.isfinite().all()
    torch.testing.assert_close(found, directly, rtol=1e-6, atol=1e-6)


def test_it_is_done_where_embeddings_are_long_and_images_few() -> None:
    few, long, learner = drawn(50, 5, 1), 2000, as_learner(closed("prototype", 1))
    assert pays(learner, embeddings(80, long), few)
    assert not pays(learner, embeddings(80, 16), few)
    assert not pays(learner, embeddings(80, long), drawn(1, 5, 1))
    assert not pays(learner, torch.empty(5000, long), drawn(10_000, 5, 1))
    anil = as_learner(build_learner(LearnerSpec("anil", long)))
    assert not pays(anil, embeddings(80, long), few)


def test_how_many_episodes_are_scored_at_a_time_changes_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    learner, given_, episodes = closed("ridge", 500), embeddings(80, 500), drawn(30, 5, 2)
    assert pays(learner, given_, episodes)
    whole = episode_scores(learner, given_, episodes)
    monkeypatch.setattr("tasks.learners.closed_form._LOOK_UPS_AT_ONCE", 1)
    torch.testing.assert_close(episode_scores(learner, given_, episodes), whole)


def test_a_worker_takes_all_episodes_that_share_inner_products() -> None:
    spec = LearnerSpec("prototype", 2000)
    arm = Arm(None, build_learner(spec), spec)  # type: ignore[arg-type]
    assert run_length(arm, embeddings(80, 2000), drawn(1000, 5, 5)) == 133_333
    assert run_length(arm, torch.empty(5000, 2000), drawn(1000, 5, 5)) == 88
