"""Against the steps as they are written for weights, in double precision."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from tasks.heads.linear import linear_logits
from tasks.heads.prototype import absent_bias, membership
from tasks.heads.softmax import cross_entropy_gradient
from tasks.learners.inner_loop import Parameters, descend
from tasks.learners.learner import as_learner, build_learner
from tasks.learners.spec import LearnerSpec
from tasks.learners.steps_by_scores import scores_after, steps_by_scores

DIM, WAY, QUERIES, STEPS = 7, 3, 4, 6
CLASSES = torch.arange(WAY)
NOBODY = 9  # a label of no class


def weights_along(
    features: Tensor, member: Tensor, weight: Tensor, bias: Tensor, rates: Tensor
) -> list[dict[str, Tensor]]:
    def gradient(at: Parameters) -> Parameters:
        slopes = cross_entropy_gradient(features, member, at["weight"], at["bias"])
        return dict(zip(("weight", "bias"), slopes, strict=True))

    each = [{"weight": rate, "bias": rate} for rate in rates]
    return list(descend({"weight": weight, "bias": bias}, gradient, each))


@given(
    labels=st.lists(st.sampled_from([*range(WAY), NOBODY]), min_size=1, max_size=2 * DIM),
    seed=st.integers(0, 99),
)
def test_the_scores_of_queries_are_those_of_the_weights(labels: list[int], seed: int) -> None:
    """Any support: more or fewer images than dimensions, classes without one, all without."""
    generator = torch.Generator().manual_seed(seed)

    def drawn(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    member = membership(torch.tensor([labels, labels[::-1]]), CLASSES, torch.float64)
    features, query = drawn(2, len(labels), DIM), drawn(2, QUERIES, DIM)
    weight, bias = drawn(2, WAY, DIM), absent_bias(member)
    rates = drawn(2, STEPS).abs()
    begun = linear_logits(query, weight, bias).mT
    taken = list(steps_by_scores(features, member, weight, bias, rates))
    assert len(taken) == STEPS + 1
    for option, of_steps in enumerate(rates):
        found = weights_along(features, member, weight, bias, of_steps)
        for state, errors in zip(found, taken, strict=True):
            scores = scores_after(begun, features @ query.mT, errors)[:, option].mT
            there = linear_logits(query, state["weight"], state["bias"])
            torch.testing.assert_close(scores, there, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", ["anil", "mtl", "linear_fine_tuning", "meta_sgd"])
def test_a_learner_adapts_alike_where_gradients_are_recorded_and_where_not(name: str) -> None:
    torch.manual_seed(0)
    spec = LearnerSpec(name, DIM, 3.0, inner_steps=STEPS, inner_learning_rate=2.0)
    learner = as_learner(build_learner(spec).double())
    support = torch.randn(2, 5, DIM, dtype=torch.float64)
    labels = torch.tensor([[0, 1, 1, 0, NOBODY], [2, 2, 0, 1, 1]])
    recorded = learner.adapt(support, labels, CLASSES)
    with torch.no_grad():
        plain = learner.adapt(support, labels, CLASSES)
    for one, other in zip(recorded, plain, strict=True):
        torch.testing.assert_close(one.detach(), other, rtol=1e-9, atol=1e-9)
