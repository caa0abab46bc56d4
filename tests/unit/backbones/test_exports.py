"""Every backbone through the exporter: its graph against PyTorch, at another batch than traced."""

import numpy as np
import onnxruntime
import pytest
import torch

from tasks.artifacts.contract import GraphContract, TensorContract
from tasks.backbones.build import build, describe
from tasks.export.graphs import serialised, trace

slow = pytest.mark.slow


@pytest.mark.parametrize(
    ("name", "channels", "stored_px", "input_size_px"),
    [
        ("conv4", 1, 16, 0),
        ("simple_net", 3, 20, 0),
        ("conv4", 3, 20, 32),
        ("conv4", 1, 40, 24),
        ("conv4", 1, 28, 0),
        pytest.param("resnet12", 1, 20, 0, marks=slow),
        pytest.param("resnet18", 1, 20, 40, marks=slow),
        pytest.param("mobilenet_v3_small", 3, 33, 0, marks=slow),
        pytest.param("convnext_tiny", 3, 32, 0, marks=slow),
        pytest.param("efficientnet_lite0", 1, 28, 50, marks=slow),
        pytest.param("vit_b_16", 3, 28, 224, marks=slow),
        pytest.param("swin_t", 3, 28, 224, marks=slow),
    ],
)
@torch.no_grad()
def test_a_graph_gives_pytorchs_embeddings(
    name: str, channels: int, stored_px: int, input_size_px: int
) -> None:
    torch.manual_seed(0)
    spec = describe(
        name,
        channels=channels,
        conv4_widths=[4, 4, 8, 8],
        conv4_embedding="map" if stored_px == 28 else "mean",
        stored_px=stored_px,
        input_size_px=input_size_px,
        weights="none",
    )
    encoder = build(spec).eval()
    shape = (channels, stored_px, stored_px)
    images = TensorContract("images", "float32", ("batch", *shape), "images")
    embeddings = TensorContract("embeddings", "float32", ("batch", encoder.width), "embeddings")
    contract = GraphContract("Embeds.", (images,), (embeddings,))
    model = trace(encoder, contract, [torch.rand(2, *shape)], name="encoder", about={})
    session = onnxruntime.InferenceSession(serialised(model))
    for batch in (1, 3):
        some = torch.rand(batch, *shape)
        (found,) = session.run(None, {"images": some.numpy()})
        expected = encoder(some).numpy()
        assert found.shape == (batch, encoder.width)
        np.testing.assert_allclose(found, expected, atol=1e-3 * np.abs(expected).max())
