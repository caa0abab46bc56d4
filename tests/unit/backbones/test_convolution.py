"""Convolution and BatchNorm as one operation, and the order of memory that images come in."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from tasks.backbones.build import EncoderSpec, build
from tasks.backbones.conv4 import Conv4
from tasks.backbones.convolution import NormalisedConvolution
from tasks.backbones.encoder import Encoder


@pytest.fixture
def lived() -> NormalisedConvolution:
    """Of float64, with statistics and affine numbers as training leaves them."""
    generator = torch.Generator().manual_seed(1)
    layer = NormalisedConvolution(3, 5, 3).double()
    norm = layer[1]
    with torch.no_grad():
        for tensor in (norm.weight, norm.bias, norm.running_mean, norm.running_var):
            tensor.copy_(torch.rand(tensor.shape, generator=generator, dtype=tensor.dtype) + 0.1)
    return layer


def plain(layer: NormalisedConvolution) -> nn.Sequential:
    return nn.Sequential(*layer)


def maps() -> Tensor:
    generator = torch.Generator().manual_seed(2)
    return torch.rand(4, 3, 6, 6, generator=generator, dtype=torch.float64)


def test_standing_still_it_computes_what_the_two_layers_compute(
    lived: NormalisedConvolution,
) -> None:
    lived.eval()
    torch.testing.assert_close(lived(maps()), plain(lived)(maps()))


def test_its_first_and_second_derivatives_are_those_of_the_two_layers(
    lived: NormalisedConvolution,
) -> None:
    lived.eval()
    parameters = list(lived.parameters())

    def derivatives(layer: Callable[[Tensor], Tensor]) -> list[Tensor]:
        loss = layer(maps()).square().sum()
        first = torch.autograd.grad(loss, parameters, create_graph=True)
        slopes = torch.cat([one.flatten() for one in first]).square().sum()
        return [*first, *torch.autograd.grad(slopes, parameters)]

    for ours, theirs in zip(derivatives(lived), derivatives(plain(lived)), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("transductive", [False, True])
def test_a_batch_that_normalises_itself_is_left_to_batchnorm(
    lived: NormalisedConvolution, transductive: bool
) -> None:
    lived.train()
    lived[1].track_running_stats = not transductive
    found = lived(maps())
    assert torch.equal(found, plain(lived)(maps()))
    # Normalised by the batch itself, each channel has mean beta.
    torch.testing.assert_close(found.mean(dim=(0, 2, 3)), lived[1].bias)


def test_weights_keep_the_names_of_the_two_layers() -> None:
    names = [name for name, _ in Conv4(1, (4, 4, 4, 4)).named_parameters()]
    assert names[:3] == ["blocks.0.0.weight", "blocks.0.1.weight", "blocks.0.1.bias"]


@pytest.mark.parametrize("flat", [False, True], ids=["mean", "map"])
def test_pooling_before_relu_changes_neither_embedding_nor_gradient(flat: bool) -> None:
    network = Conv4(2, (4, 4, 4, 4), 28 if flat else 0).double()
    images = torch.rand(5, 2, 28, 28, dtype=torch.float64)

    def relu_first(images: Tensor) -> Tensor:
        for convolution, norm in network.blocks:
            images = torch.relu(norm(convolution(images)))
            odd = images.shape[-1] % 2 if flat else 0  # zeros after ReLU win against nothing
            images = torch.max_pool2d(torch.nn.functional.pad(images, (0, odd, 0, odd)), 2)
        return images.flatten(1) if flat else images.mean(dim=(2, 3))

    ours, theirs = network(images), relu_first(images)
    assert torch.equal(ours, theirs)
    parameters = list(network.parameters())
    for one, other in zip(
        torch.autograd.grad(ours.square().sum(), parameters),
        torch.autograd.grad(theirs.square().sum(), parameters),
        strict=True,
    ):
        torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(("side_px", "places"), [(16, 1), (28, 4), (40, 9), (84, 36)])
def test_a_map_is_as_long_as_it_has_places(side_px: int, places: int) -> None:
    network = Conv4(1, (2, 2, 2, 3), side_px)
    assert network.width == 3 * places
    assert network(torch.rand(2, 1, side_px, side_px)).shape == (2, network.width)


class Watching(nn.Module):
    """Keeps how the images that it was given lie in memory."""

    def forward(self, images: Tensor) -> Tensor:
        self.strides = images.stride()
        return images.flatten(1)


@pytest.mark.parametrize("channels", [1, 3])
def test_a_backbone_is_given_images_pixel_by_pixel(channels: int) -> None:
    backbone = Watching()
    Encoder(backbone, 1, [0.5] * channels, [0.5] * channels)(torch.rand(2, channels, 4, 4))
    assert backbone.strides == (16 * channels, 1, 4 * channels, channels)


def test_weights_lie_as_the_images_do() -> None:
    encoder = build(EncoderSpec("conv4", 3, (4, 4, 4, 4)))
    weight = dict(encoder.named_parameters())["backbone.blocks.1.0.weight"]
    assert weight.is_contiguous(memory_format=torch.channels_last)
