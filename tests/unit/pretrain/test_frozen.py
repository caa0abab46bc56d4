from pathlib import Path

import numpy as np
import pytest
import torch

from tasks.artifacts.layout import STATE
from tasks.backbones.conv4 import Conv4
from tasks.backbones.encoder import Encoder, embed
from tasks.pretrain.frozen import embed_once
from tasks.progress import untracked


def test_embeddings_in_memory_and_on_disk_are_those_of_the_encoder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("tasks.backbones.kept._IMAGES_AT_ONCE", 7)
    encoder = Encoder(Conv4(1, [4, 4, 4, 8]), 8, [0.0], [1.0])
    images = np.random.default_rng(1).integers(0, 256, (20, 16, 16, 1), np.uint8)
    expected = embed(encoder, images)
    inside = embed_once(encoder, images, untracked)
    outside = embed_once(encoder, images, untracked, in_memory_bytes=100)
    assert not isinstance(inside, np.memmap) and isinstance(outside, np.memmap)
    for found in (inside, outside):
        assert torch.allclose(torch.from_numpy(np.array(found)), expected, atol=1e-6)
    assert np.array_equal(inside, outside)
    assert not any(STATE.iterdir())  # a file without a name
