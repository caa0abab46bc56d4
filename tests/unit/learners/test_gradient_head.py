from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from tasks.heads.cosine import direction
from tasks.learners.cosine import Cosine
from tasks.learners.gradient import BIAS, WEIGHT, GradientLearner
from tasks.learners.learner import build_learner, episode_logits
from tasks.learners.spec import LearnerSpec

WAY, SHOT, DIM, STEPS = 3, 2, 5, 4
CLASSES = torch.arange(WAY)
LABELS = CLASSES.repeat_interleave(SHOT)


def learner(*, first_order: bool = False, steps: int = STEPS, rate: float = 2.0) -> GradientLearner:
    spec = LearnerSpec("anil", DIM, 1.5, steps, rate, first_order=first_order)
    built = build_learner(spec).double()
    assert isinstance(built, GradientLearner)
    return built


def embeddings(seed: int, rows: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(rows, DIM, generator=generator, dtype=torch.float64)


def by_autograd(anil: GradientLearner, support: Tensor) -> tuple[Tensor, Tensor]:
    """The same inner loop with autograd's gradients of the cross-entropy."""
    features = anil.features(support)
    weight = (anil.scale * direction(features.view(WAY, SHOT, DIM).mean(1))).detach()
    weight.requires_grad_()
    bias = torch.zeros(WAY, dtype=torch.float64, requires_grad=True)
    for rates in anil.rates():
        loss = F.cross_entropy(features @ weight.T + bias, LABELS)
        slopes = torch.autograd.grad(loss, (weight, bias), create_graph=True)
        weight, bias = weight - rates[WEIGHT] * slopes[0], bias - rates[BIAS] * slopes[1]
    return weight, bias


def query_loss(anil: GradientLearner, support: Tensor, query: Tensor) -> Tensor:
    return F.cross_entropy(episode_logits(anil, support, LABELS, CLASSES, query), CLASSES)


def finite_differences(loss: Callable[[], Tensor], at: Tensor, step: float = 1e-6) -> Tensor:
    slopes = torch.zeros_like(at)
    flat, result = at.detach().view(-1), slopes.view(-1)
    for index in range(flat.numel()):
        before = flat[index].item()
        flat[index] = before + step
        above = loss().item()
        flat[index] = before - step
        below = loss().item()
        flat[index] = before
        result[index] = (above - below) / (2 * step)
    return slopes


def test_the_inner_gradient_written_out_is_autograds() -> None:
    anil, support = learner(), embeddings(0, WAY * SHOT)
    for ours, theirs in zip(
        anil.adapt(support, LABELS, CLASSES), by_autograd(anil, support), strict=True
    ):
        torch.testing.assert_close(ours, theirs, atol=1e-12, rtol=0)


@pytest.mark.parametrize("name", ["scale", "rates.raw", "support", "query"])
def test_the_second_order_meta_gradient_is_exact(name: str) -> None:
    anil = learner()
    support, query = embeddings(0, WAY * SHOT).requires_grad_(), embeddings(1, WAY).requires_grad_()
    at = {"support": support, "query": query, **dict(anil.named_parameters())}[name]
    query_loss(anil, support, query).backward()
    numeric = finite_differences(lambda: query_loss(anil, support, query), at)
    torch.testing.assert_close(at.grad, numeric, atol=1e-8, rtol=1e-6)
    assert numeric.abs().max() > 1e-4


def test_first_order_takes_the_inner_steps_as_constants() -> None:
    support, query = embeddings(0, WAY * SHOT), embeddings(1, WAY)
    gradients = {}
    for first_order in (False, True):
        anil, at = learner(first_order=first_order), support.clone().requires_grad_()
        query_loss(anil, at, query).backward()
        gradients[first_order] = at.grad
    # What is left is the way of the support into the start, with the sum of all steps fixed.
    at = support.clone().requires_grad_()
    start = learner(steps=0).adapt(at, LABELS, CLASSES)
    adapted = learner().adapt(support, LABELS, CLASSES)
    weight, bias = (s + (a - s).detach() for s, a in zip(start, adapted, strict=True))
    features = direction(query)
    F.cross_entropy(features @ weight.T + bias, CLASSES).backward()
    torch.testing.assert_close(gradients[True], at.grad)
    assert (gradients[False] - gradients[True]).abs().max() > 1e-3


def test_first_and_second_order_adapt_alike() -> None:
    support = embeddings(0, WAY * SHOT)
    results = [
        learner(first_order=order).adapt(support, LABELS, CLASSES) for order in (True, False)
    ]
    torch.testing.assert_close(results[0], results[1])


def test_zero_inner_steps_are_the_prototypes() -> None:
    support = embeddings(0, WAY * SHOT)
    cosine = Cosine(1.5).double().adapt(support, LABELS, CLASSES)
    torch.testing.assert_close(learner(steps=0).adapt(support, LABELS, CLASSES), cosine)


def test_more_steps_fit_the_support_better() -> None:
    support = embeddings(0, WAY * SHOT)
    losses = []
    for steps in (0, 1, 5, 50):
        scores = episode_logits(learner(steps=steps), support, LABELS, CLASSES, support)
        losses.append(F.cross_entropy(scores, LABELS).item())
    assert losses == sorted(losses, reverse=True) and losses[-1] < losses[0] / 3


def test_the_learned_rate_starts_where_it_was_told() -> None:
    for rates in learner(rate=0.3).rates():
        torch.testing.assert_close(rates[WEIGHT], torch.tensor(0.3).double())
