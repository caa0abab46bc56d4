import hashlib
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torchvision.models import ResNet18_Weights, WeightsEnum, resnet18
from torchvision.models._api import Weights

from tasks.artifacts.model_store import write_model
from tasks.backbones.build import EncoderSpec, build, read_encoder
from tasks.backbones.encoder import embed, pixels
from tasks.backbones.resnet18 import ResNet18, load_imagenet
from tasks.errors import DataError

SMALL = EncoderSpec("conv4", 1, [4, 4, 8, 8])


def test_embeddings_have_the_width_that_is_promised() -> None:
    for spec, width in ((SMALL, 8), (EncoderSpec("resnet18", 3, []), 512)):
        encoder = build(spec).eval()
        assert encoder.width == width
        assert encoder(torch.rand(2, spec.channels, 28, 28)).shape == (2, width)


def test_an_unknown_backbone_is_told() -> None:
    with pytest.raises(DataError, match="found backbone vgg, needed one of conv4, resnet18"):
        build(EncoderSpec("vgg", 1, []))


def test_resnet18_sees_grey_as_equal_red_green_and_blue() -> None:
    network = ResNet18().eval()
    grey = torch.rand(2, 1, 32, 32)
    torch.testing.assert_close(network(grey), network(grey.expand(-1, 3, -1, -1)))


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


def test_an_encoder_comes_back_as_it_was_written(tmp_path: Path) -> None:
    encoder = build(SMALL)
    write_model(tmp_path, {"encoder": encoder}, {"encoder": SMALL.as_json()})
    images = np.random.default_rng(0).integers(0, 256, (3, 28, 28, 1), np.uint8)
    assert torch.equal(embed(read_encoder(tmp_path, "pretrain"), images), embed(encoder, images))
    content = bytearray((tmp_path / "encoder.safetensors").read_bytes())
    (tmp_path / "encoder.safetensors").write_bytes(content[:-40])
    with pytest.raises(DataError, match="encoder.safetensors: damaged"):
        read_encoder(tmp_path, "pretrain")


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SimpleNamespace]:
    """A loopback server that holds ResNet-18 weights, and an empty cache."""
    served = tmp_path / "served"
    served.mkdir()
    state = resnet18(num_classes=1000).state_dict()
    torch.save(state, served / "weights.pth")
    digest = hashlib.sha256((served / "weights.pth").read_bytes()).hexdigest()[:8]
    (served / "weights.pth").rename(served / f"resnet18-{digest}.pth")
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "cache"))
    handler = partial(SimpleHTTPRequestHandler, directory=str(served))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}/resnet18-{digest}.pth"
        yield SimpleNamespace(
            url=url, file=served / f"resnet18-{digest}.pth", state=state, server=server
        )
        server.shutdown()


def weights_at(url: str) -> WeightsEnum:
    original = ResNet18_Weights.IMAGENET1K_V1.value
    entry = Weights(url=url, transforms=original.transforms, meta=original.meta)
    return WeightsEnum("LoopbackWeights", {"IMAGENET1K_V1": entry})["IMAGENET1K_V1"]  # type: ignore[call-overload, no-any-return]


def test_imagenet_weights_come_through_torchvisions_loader_and_its_cache(
    hub: SimpleNamespace,
) -> None:
    first, second = ResNet18(), ResNet18()
    load_imagenet(first, weights_at(hub.url))
    hub.file.unlink()  # from now on there is only the cache
    load_imagenet(second, weights_at(hub.url))
    for network in (first, second):
        assert torch.equal(network.network.conv1.weight, hub.state["conv1.weight"])


def test_without_network_and_cache_one_line_says_what_to_do(hub: SimpleNamespace) -> None:
    hub.server.shutdown()
    hub.server.server_close()
    with pytest.raises(DataError) as told:
        load_imagenet(ResNet18(), weights_at(hub.url))
    text = str(told.value)
    assert len(text.splitlines()) == 1
    assert "copy resnet18-" in text and "imagenet_weights: false" in text


def test_damaged_weights_are_refused(hub: SimpleNamespace) -> None:
    hub.file.write_bytes(hub.file.read_bytes()[:-1] + b"x")
    with pytest.raises(DataError, match="cannot be loaded.*hash"):
        load_imagenet(ResNet18(), weights_at(hub.url))
