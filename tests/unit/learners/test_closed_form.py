from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

from tasks.heads.ridge import ridge_dual, ridge_primal
from tasks.learners.cosine import CentredCosine, Cosine
from tasks.learners.learner import as_learner, build_learner, episode_logits
from tasks.learners.projection import Projection
from tasks.learners.ridge import Ridge
from tasks.learners.spec import LearnerSpec
from tests.threads import torch_threads

WAY, SHOT, DIM = 3, 2, 5
CLASSES = torch.arange(WAY)
LABELS = CLASSES.repeat_interleave(SHOT)
CLOSED = ["prototype", "cosine", "centred_cosine", "ridge", "projection"]


def numbers(seed: int, *shape: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("dim", [DIM, 9])  # ridge: the primal, and the dual
@pytest.mark.parametrize("name", CLOSED)
def test_the_meta_gradient_is_exact(name: str, dim: int) -> None:
    learner = build_learner(LearnerSpec(name, dim, 1.5)).double()
    support, query = (numbers(seed, WAY * SHOT, dim).requires_grad_() for seed in (0, 1))
    inputs = (support, query, *learner.parameters())

    def loss(*_: Tensor) -> Tensor:
        return F.cross_entropy(
            episode_logits(as_learner(learner), support, LABELS, CLASSES, query), LABELS
        )

    assert torch.autograd.gradcheck(loss, inputs)


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 12), st.integers(1, 12), st.integers(2, 5), st.floats(1e-3, 1e3), st.integers(0)
)
def test_ridge_primal_equals_dual(
    support: int, dim: int, way: int, penalty: float, seed: int
) -> None:
    features = numbers(seed % 2**31, support, dim)
    member = torch.eye(way, dtype=torch.float64)[torch.arange(support) % way]
    at = penalty * numbers(seed % 2**31 + 1, support).exp()
    torch.testing.assert_close(
        ridge_primal(features, member, at), ridge_dual(features, member, at), rtol=1e-6, atol=1e-9
    )


def test_ridge_solves_its_normal_equations() -> None:
    features, member = numbers(0, 6, DIM), torch.eye(WAY, dtype=torch.float64)[LABELS]
    weight = ridge_primal(features, member, torch.full((6,), 0.3, dtype=torch.float64)).T
    residual = features.T @ (features @ weight - member) + 0.3 * weight
    torch.testing.assert_close(residual, torch.zeros_like(residual))


def test_an_image_alone_in_its_class_has_a_lambda_of_its_own() -> None:
    ridge = Ridge(1.0, 0.1, 5.0).double()
    support, labels = numbers(0, 4, DIM), torch.tensor([0, 1, 1, 7])  # 7 is none of the classes
    weight, _ = ridge.adapt(support, labels, torch.tensor([0, 1]))
    features = F.normalize(support[:3], dim=-1)
    member = torch.tensor([[1, 0], [0, 1], [0, 1]], dtype=torch.float64)
    penalties = torch.tensor([5.0, 0.1, 0.1], dtype=torch.float64)
    answers = member * (1 + penalties[:, None])
    torch.testing.assert_close(weight, ridge_dual(features, answers, penalties))
    assert not torch.allclose(weight, ridge_dual(features, answers, penalties[[1, 1, 1]]))


@pytest.mark.parametrize("of_one", [0.01, 1.0, 100.0])
def test_an_image_by_itself_has_its_own_feature_for_a_weight(of_one: float) -> None:
    support, nothing = numbers(0, 1, DIM), torch.tensor([0])
    weight, _ = Ridge(1.0, 0.1, of_one).double().adapt(support, nothing, nothing)
    torch.testing.assert_close(weight, F.normalize(support, dim=-1))


def test_the_more_noise_is_expected_the_nearer_is_ridge_to_the_cosine_rule() -> None:
    support, query = numbers(0, WAY, DIM), numbers(1, 40, DIM)
    cosine, near, far = (
        episode_logits(one.double(), support, CLASSES, CLASSES, query)
        for one in (Cosine(1.0), Ridge(1.0, 0.1, 1e4), Ridge(1.0, 0.1, 0.1))
    )
    torch.testing.assert_close(near, cosine, atol=1e-3, rtol=0)
    assert (far - cosine).abs().max() > 0.1


@pytest.mark.parametrize(
    ("solve", "images", "dim"), [(ridge_dual, 200, 256), (ridge_primal, 300, 200)]
)
def test_ridge_is_solved_for_many_images_on_several_threads(
    solve: Callable[..., Tensor], images: int, dim: int
) -> None:
    """`torch.linalg.solve` is not: several systems at once come out wrong, or never."""
    features = F.normalize(numbers(0, 4, images, dim).relu(), dim=-1)
    member = torch.eye(WAY, dtype=torch.float64)[torch.arange(images) % WAY].expand(4, -1, -1)
    with torch_threads(2):
        weight = solve(features, member, torch.full((4, images), 0.3, dtype=torch.float64)).mT
    residual = features.mT @ (features @ weight - member) + 0.3 * weight
    torch.testing.assert_close(residual, torch.zeros_like(residual))


def test_prototype_scores_are_squared_distances_up_to_the_querys_own_length() -> None:
    learner = as_learner(build_learner(LearnerSpec("prototype", DIM)))
    support, query = numbers(0, WAY * SHOT, DIM), numbers(1, 4, DIM)
    scores = episode_logits(learner, support, LABELS, CLASSES, query)
    distances = torch.cdist(query, support.view(WAY, SHOT, DIM).mean(1)).square()
    torch.testing.assert_close(scores - query.square().sum(1, keepdim=True), -distances)


def test_an_untrained_projection_is_the_cosine_rule_on_normalised_embeddings() -> None:
    support, query = numbers(0, WAY * SHOT, DIM).float(), numbers(1, 4, DIM).float()
    projected = episode_logits(Projection(DIM, 0, 0.5, 7.0).eval(), support, LABELS, CLASSES, query)
    normal = (F.layer_norm(one, (DIM,)) for one in (support, query))
    support, query = normal
    torch.testing.assert_close(
        projected, episode_logits(Cosine(7.0), support, LABELS, CLASSES, query)
    )


def test_a_projection_drops_out_in_training_alone() -> None:
    learner = Projection(DIM, 0, 0.5, 7.0)
    embeddings = numbers(0, 8, DIM).float()
    assert not torch.equal(
        learner.train().features(embeddings), learner.train().features(embeddings)
    )
    assert torch.equal(learner.eval().features(embeddings), learner.eval().features(embeddings))


def test_a_centre_is_taken_off() -> None:
    learner = CentredCosine(DIM, 7.0)
    centre = numbers(2, DIM).float()
    learner.centre.copy_(centre)
    support, query = numbers(0, WAY * SHOT, DIM).float(), numbers(1, 4, DIM).float()
    torch.testing.assert_close(
        episode_logits(learner, support, LABELS, CLASSES, query),
        episode_logits(Cosine(7.0), support - centre, LABELS, CLASSES, query - centre),
    )


def test_a_narrower_projection_starts_the_same_every_time_and_keeps_lengths_in_its_rows() -> None:
    first, second = (Projection(DIM, 3, 0.0, 7.0).linear.weight for _ in range(2))
    torch.testing.assert_close(first, second, rtol=0, atol=0)
    torch.testing.assert_close(first @ first.T, torch.eye(3))
