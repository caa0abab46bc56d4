"""Embedding photographs by a frozen backbone: the first time, and every later one."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from tasks.artifacts.user_cache import FOLDER_VARIABLE
from tasks.backbones.build import EncoderSpec, build
from tasks.backbones.encoder import embed
from tasks.backbones.kept import embed_kept
from tests.benchmarks.turns import Figure, compared, taking_turns

pytestmark = [
    pytest.mark.benchmark,
    pytest.mark.timeout(1800),
    pytest.mark.usefixtures("two_threads"),
]

IMAGES, STORED_PX, SEEN_PX = 1300, 96, 128  # just worth keeping


def test_embedding_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, figure: Callable[[Figure], None]
) -> None:
    pytest.importorskip("timm")
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path))
    torch.manual_seed(1)
    encoder = build(EncoderSpec("efficientnet_lite0", 3, input_size_px=SEEN_PX)).eval()
    shape = (IMAGES, STORED_PX, STORED_PX, 3)
    images = np.random.default_rng(1).integers(0, 256, shape, dtype=np.uint8)

    def first() -> None:
        shutil.rmtree(tmp_path / "embeddings", ignore_errors=True)
        embed_kept(encoder, images)

    sides = lambda: embed(encoder, images), first, lambda: embed_kept(encoder, images)
    plain, kept, again = taking_turns(*sides, rounds=2, warm_up=0)
    what = f"{IMAGES:,} photographs of {STORED_PX} px by efficientnet_lite0 at {SEEN_PX} px"
    figure(compared(f"{what}: embedded again", "", ("embedded", plain), ("kept", again)))
    figure(compared(f"{what}: the first time", "", ("and kept", kept), ("embedded", plain)))
