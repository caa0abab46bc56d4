"""The gradient steps of a head in both forms, against the learner that trained, in double."""

import numpy as np
import pytest
import torch

from tasks.export import unrolled
from tasks.export.unrolled import NEVER, UnrolledHead
from tasks.learners.gradient import GradientLearner
from tasks.learners.spec import LearnerSpec

DIM = 7
LEARNERS = ("anil", "meta_sgd", "maml_plus_plus", "reptile", "linear_fine_tuning")


@pytest.fixture(params=[0, 10**9], ids=["primal", "dual"])
def form(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unrolled, "DUAL_IMAGES", request.param)


def learner(name: str, steps: int) -> GradientLearner:
    """With rates that differ from step to step, and from number to number; some below 0."""
    torch.manual_seed(3)
    own = GradientLearner(LearnerSpec(name, DIM, inner_steps=steps)).double().eval()
    for rates in own.rates.parameters():
        rates.data += torch.randn_like(rates)
    return own


@pytest.mark.usefixtures("form")
@pytest.mark.parametrize("name", LEARNERS)
@pytest.mark.parametrize("steps", [1, 4])
@torch.no_grad()
def test_both_forms_are_the_learners_own_rule(name: str, steps: int) -> None:
    own = learner(name, steps)
    labels = torch.tensor([4, 9, 4, 2, -1, 4, 2, 77])  # class 5 has no support, two labels no class
    classes = torch.tensor([2, 4, 5, 9])
    embeddings = torch.randn(len(labels), DIM, dtype=torch.float64)
    weight, bias = UnrolledHead(own).double().adapt(embeddings, labels, classes)
    expected = own.adapt(embeddings, labels, classes)
    torch.testing.assert_close(weight, expected[0], rtol=0, atol=1e-12)
    torch.testing.assert_close(bias, expected[1], rtol=0, atol=1e-12)
    assert bias.isneginf().tolist() == [False, False, True, False]


@pytest.mark.usefixtures("form")
@torch.no_grad()
def test_where_no_class_has_support_nothing_moves_and_nothing_is_nan() -> None:
    embeddings = torch.randn(3, DIM, dtype=torch.float64)
    labels, classes = torch.tensor([7, 8, 9]), torch.tensor([1, 2])
    weight, bias = UnrolledHead(learner("anil", 3)).adapt(embeddings, labels, classes)
    assert (weight == 0).all() and bias.isneginf().all()


def test_a_score_of_never_has_no_share_and_takes_none_from_the_others() -> None:
    scores = torch.tensor([[3.0, NEVER, -500.0, 1.0]])
    without = scores[:, [0, 2, 3]].softmax(dim=-1)
    shares = scores.softmax(dim=-1)
    assert shares[0, 1] == 0
    np.testing.assert_array_equal(shares[:, [0, 2, 3]], without)


@pytest.mark.usefixtures("form")
@torch.no_grad()
def test_in_single_precision_a_form_is_as_near_to_double_as_the_learner_is() -> None:
    own, labels = learner("anil", 10), torch.arange(40) % 5
    embeddings = torch.randn(40, DIM, dtype=torch.float64) * 3
    exact = own.adapt(embeddings, labels, torch.arange(5))[0]
    single = own.float()
    given = embeddings.float(), labels, torch.arange(5)
    trained = (single.adapt(*given)[0] - exact).abs().max()
    found = (UnrolledHead(single).adapt(*given)[0] - exact).abs().max()
    assert found < max(10 * trained, 1e-5)
