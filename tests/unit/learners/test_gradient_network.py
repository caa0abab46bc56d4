"""The meta-gradient of every learner that goes through the network, against finite differences."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tasks.backbones.encoder import Encoder
from tasks.backbones.normalisation import normalising
from tasks.heads.cosine import direction
from tasks.learners.gradient import FAMILIES, NETWORK, WEIGHT, GradientLearner
from tasks.learners.inner_loop import descend, gradient_of, last
from tasks.learners.learner import build_learner, episode_logits
from tasks.learners.spec import LearnerSpec

WAY, SHOT, SIDE = 3, 2, 4
CLASSES = torch.arange(WAY)
LABELS = CLASSES.repeat_interleave(SHOT)
MOVES = [name for name, family in FAMILIES.items() if family.moves_network]
SECOND = [name for name in MOVES if FAMILIES[name].order == 2]


def encoder() -> Encoder:
    """Convolution, BatchNorm with statistics of some past, a smooth nonlinearity, the mean."""
    generator = torch.Generator().manual_seed(3)
    network = nn.Sequential(
        nn.Conv2d(1, 3, 3, padding=1), nn.BatchNorm2d(3), nn.Tanh(), nn.Conv2d(3, 4, 2)
    )
    network.append(nn.AdaptiveAvgPool2d(1)).append(nn.Flatten())
    built = Encoder(network, 4, [0.5], [0.5]).double()
    for parameter in built.parameters():
        parameter.data = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
    for name, buffer in built.named_buffers():
        if "running" in name:
            buffer.copy_(torch.rand(buffer.shape, generator=generator) + 0.3)
    return built.eval()


def learner(
    name: str,
    network: Encoder,
    *,
    steps: int = 2,
    rate: float = 0.3,
    normalisation: str = "running",
) -> GradientLearner:
    shapes = {key: list(value.shape) for key, value in network.named_parameters()}
    built = build_learner(
        LearnerSpec(
            name,
            4,
            1.5,
            steps,
            0.7,
            rate,
            normalisation=normalisation,  # type: ignore[arg-type]
            network_shapes=shapes,
        )
    ).double()
    assert isinstance(built, GradientLearner)
    return built


def images(seed: int, count: int = WAY * SHOT) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(count, 1, SIDE, SIDE, generator=generator, dtype=torch.float64)


def query_loss(one: GradientLearner, network: Encoder) -> Tensor:
    with normalising(network, one.normalisation):
        adapted = one.adapt_network(network, images(0), LABELS, CLASSES)
        return F.cross_entropy(one.network_logits(network, adapted, images(1)), LABELS)


def slope(one: GradientLearner, network: Encoder, at: Tensor, index: int) -> float:
    flat, step = at.detach().view(-1), 1e-6
    before, values = flat[index].item(), []
    for shift in (step, -step):
        flat[index] = before + shift
        # Recording gradients as in training, or the inner loop would take another path.
        values.append(query_loss(one, network).item())
    flat[index] = before
    return (values[0] - values[1]) / (2 * step)


@pytest.mark.parametrize("normalisation", ["running", "transductive"])
@pytest.mark.parametrize("name", SECOND)
def test_the_second_order_meta_gradient_is_exact(name: str, normalisation: str) -> None:
    network = encoder()
    one = learner(name, network, normalisation=normalisation)
    query_loss(one, network).backward()  # type: ignore[no-untyped-call]
    steepest = 0.0
    for parameter in [*network.parameters(), *one.parameters()]:
        exact = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
        for index in range(min(3, parameter.numel())):
            numeric = slope(one, network, parameter, index)
            assert exact.view(-1)[index].item() == pytest.approx(numeric, abs=1e-7, rel=1e-5)
            steepest = max(steepest, abs(numeric))
    assert steepest > 1e-3


def test_second_order_differs_from_first_order() -> None:
    gradients = {}
    for name in ("maml", "fomaml"):
        network = encoder()
        query_loss(learner(name, network), network).backward()  # type: ignore[no-untyped-call]
        gradients[name] = torch.cat([p.grad.flatten() for p in network.parameters()])  # type: ignore[union-attr]
    assert (gradients["maml"] - gradients["fomaml"]).abs().max() > 1e-3


def test_the_first_order_meta_gradient_is_the_query_gradient_at_the_adapted_weights() -> None:
    """Of a parameter in the last convolution's bias: nothing of the start depends on it alone."""
    network = encoder()
    one = learner("fomaml", network)
    with normalising(network, "running"), torch.no_grad():
        adapted = one.adapt_network(network, images(0), LABELS, CLASSES)
    fixed = {name: value.detach().clone().requires_grad_() for name, value in adapted.items()}
    F.cross_entropy(one.network_logits(network, fixed, images(1)), LABELS).backward()
    # The way through the start of the head is differentiated too, so it is taken off again.
    weight_slope = fixed[WEIGHT].grad
    start = one.scale * direction(direction(network(images(0))).view(WAY, SHOT, -1).mean(1))
    through_start = torch.autograd.grad(
        start, list(network.parameters()), grad_outputs=weight_slope
    )
    query_loss(one, network).backward()  # type: ignore[no-untyped-call]
    for (name, parameter), start_part in zip(
        network.named_parameters(), through_start, strict=True
    ):
        assert parameter.grad is not None
        at_adapted = fixed[NETWORK + name].grad
        torch.testing.assert_close(parameter.grad, at_adapted + start_part)


@pytest.mark.parametrize("name", MOVES)
def test_zero_inner_steps_are_the_backbone_with_prototypes(name: str) -> None:
    network = encoder()
    one = learner(name, network, steps=0)
    with torch.no_grad():
        adapted = one.adapt_network(network, images(0), LABELS, CLASSES)
        scores = one.network_logits(network, adapted, images(1))
        plain = episode_logits(one, network(images(0)), LABELS, CLASSES, network(images(1)))
    torch.testing.assert_close(scores, plain)


@pytest.mark.parametrize("name", MOVES)
def test_inner_steps_are_the_same_whether_gradients_are_recorded_or_not(name: str) -> None:
    network = encoder()
    one = learner(name, network, steps=3)
    recorded = one.adapt_network(network, images(0), LABELS, CLASSES)
    with torch.no_grad():
        unrecorded = one.adapt_network(network, images(0), LABELS, CLASSES)
    for key, value in recorded.items():
        torch.testing.assert_close(value, unrecorded[key])
        assert not unrecorded[key].requires_grad or key.startswith(NETWORK)


@pytest.mark.parametrize("name", MOVES)
def test_relabelling_the_classes_changes_nothing_but_their_order(name: str) -> None:
    network = encoder()
    one = learner(name, network)
    order = torch.tensor([2, 0, 1])
    with torch.no_grad():
        straight = one.network_logits(
            network, one.adapt_network(network, images(0), LABELS, CLASSES), images(1)
        )
        turned = one.network_logits(
            network, one.adapt_network(network, images(0), LABELS, CLASSES[order]), images(1)
        )
    torch.testing.assert_close(turned, straight[:, order])


def test_images_of_other_classes_and_classes_without_images_change_nothing() -> None:
    network = encoder()
    one = learner("maml", network)
    stray = torch.cat([images(0), images(2)]), torch.cat([LABELS, torch.full((6,), 77)])
    with torch.no_grad():
        plain = one.adapt_network(network, images(0), LABELS, CLASSES)
        more = one.adapt_network(network, *stray, torch.tensor([0, 1, 2, 99]))
        scores = one.network_logits(network, more, images(1))
    torch.testing.assert_close(scores[:, :3], one.network_logits(network, plain, images(1)))
    assert (scores[:, 3] == -torch.inf).all()


def test_transductive_queries_see_each_other_and_running_ones_do_not() -> None:
    network = encoder()
    for normalisation, alike in (("running", True), ("transductive", False)):
        one = learner("maml", network, normalisation=normalisation)
        with torch.no_grad(), normalising(network, one.normalisation):
            adapted = one.adapt_network(network, images(0), LABELS, CLASSES)
            together = one.network_logits(network, adapted, images(1))
            alone = one.network_logits(network, adapted, images(1)[:2])
        assert torch.allclose(together[:2], alone) is alike


def test_no_way_of_normalising_changes_a_buffer() -> None:
    network = encoder()
    before = {name: value.clone() for name, value in network.named_buffers()}
    one = learner("maml", network, normalisation="transductive")
    query_loss(one, network).backward()  # type: ignore[no-untyped-call]
    for name, value in network.named_buffers():
        torch.testing.assert_close(value, before[name], rtol=0, atol=0)
    assert all(not module.training for module in network.modules())


def test_what_has_no_rate_stands_still() -> None:
    start = {"a": torch.tensor(1.0), "b": torch.tensor(2.0)}
    gradient = gradient_of(lambda at: at["a"] ** 2 * at["b"], ["a"], differentiable=False)
    end = last(descend(start, gradient, [{"a": 0.1}] * 2))
    assert end["b"] is start["b"]
    # a <- a - 0.1 * 2ab, twice, with b = 2: a factor of 0.6 each time.
    torch.testing.assert_close(end["a"], torch.tensor(0.36))


def test_every_learner_of_the_table_fits_its_support_better_with_more_steps() -> None:
    for name in MOVES:
        network = encoder()
        losses = []
        for steps in (0, 20):
            one = learner(name, network, steps=steps, rate=0.01)
            with torch.no_grad():
                adapted = one.adapt_network(network, images(0), LABELS, CLASSES)
                scores = one.network_logits(network, adapted, images(0))
            losses.append(F.cross_entropy(scores, LABELS).item())
        assert losses[1] < losses[0], name
