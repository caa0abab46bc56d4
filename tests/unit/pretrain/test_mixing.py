import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from tasks.pretrain.mixing import Mixed, MixingName, mix
from tasks.randomness import numpy_generator


def batch() -> Tensor:
    """Eight images, each of one grey of its own."""
    return torch.arange(8.0).view(8, 1, 1, 1).expand(8, 1, 16, 16) / 8


@pytest.mark.parametrize("name", ["mixup", "cutmix"])
def test_the_mean_of_an_image_tells_its_share(name: MixingName) -> None:
    images = batch()
    for number in range(50):
        mixed = mix(name, images, 1.0, numpy_generator(1, "test", number))
        assert 0 <= mixed.share <= 1
        own, other = images.mean((1, 2, 3)), images[mixed.partners].mean((1, 2, 3))
        expected = mixed.share * own + (1 - mixed.share) * other
        assert torch.allclose(mixed.images.mean((1, 2, 3)), expected, atol=1e-6)
        assert sorted(mixed.partners.tolist()) == list(range(8))


def test_cutmix_pastes_one_rectangle_at_the_same_place_in_all() -> None:
    mixed = mix("cutmix", batch(), 1.0, numpy_generator(1, "test", 3))
    changed = [i for i in range(8) if mixed.partners[i] != i]
    places = (mixed.images != batch())[changed, 0]
    assert 0 < places.sum() < places.numel()
    assert (places == places[0]).all()
    rows, columns = places[0].any(1), places[0].any(0)
    assert torch.equal(places[0], rows[:, None] & columns[None])
    assert mixed.share == 1 - float(places[0].float().mean())


def test_the_same_stream_mixes_alike_and_none_draws_nothing() -> None:
    first, second = (mix("mixup", batch(), 0.4, numpy_generator(1, "x", 0)) for _ in "ab")
    assert torch.equal(first.images, second.images) and first.share == second.share
    generator = np.random.default_rng(1)
    before = generator.bit_generator.state
    images = batch()
    assert mix("none", images, 1.0, generator).images is images
    assert generator.bit_generator.state == before


def test_a_share_of_one_is_the_plain_loss() -> None:
    logits, labels = torch.randn(8, 5), torch.arange(8) % 5
    partners = torch.randperm(8)

    def against(labels: Tensor) -> Tensor:
        return F.cross_entropy(logits, labels, label_smoothing=0.1)

    assert torch.equal(Mixed(batch(), partners, 1.0).loss(labels, against), against(labels))
    none = Mixed(batch(), partners, 0.0).loss(labels, against)
    assert torch.allclose(none, against(labels[partners]))


def test_the_loss_is_that_against_mixed_one_hot_targets() -> None:
    logits, labels, partners = torch.randn(8, 5), torch.arange(8) % 5, torch.randperm(8)
    hot = F.one_hot(labels, 5).float()
    targets = 0.3 * hot + 0.7 * hot[partners]
    mixed = Mixed(batch(), partners, 0.3)
    loss = mixed.loss(labels, lambda these: F.cross_entropy(logits, these))
    assert torch.allclose(loss, F.cross_entropy(logits, targets))
