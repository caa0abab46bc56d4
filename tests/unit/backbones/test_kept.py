"""Embeddings kept between runs are those that would be computed, or are computed."""

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from tasks.artifacts.user_cache import FOLDER_VARIABLE
from tasks.backbones import kept as module
from tasks.backbones.build import EncoderSpec, build
from tasks.backbones.encoder import Encoder, embed
from tasks.backbones.kept import embed_kept
from tests.threads import torch_threads


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path / "cache"))
    monkeypatch.setattr(module, "WORTH_PIXELS", 0)
    return tmp_path / "cache" / "embeddings"


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many images each embedding was of, but for the single ones that name what is kept."""
    made: list[int] = []

    def counted(encoder: Encoder, images: NDArray[np.uint8]) -> torch.Tensor:
        if len(images) > 1:
            made.append(len(images))
        return embed(encoder, images)

    monkeypatch.setattr(module, "embed", counted)
    return made


def network(seed: int = 1) -> Encoder:
    torch.manual_seed(seed)
    return build(EncoderSpec("conv4", 1, (2, 2, 2, 2))).eval()


def images(count: int = 20) -> NDArray[np.uint8]:
    return np.random.default_rng(1).integers(0, 256, (count, 28, 28, 1), dtype=np.uint8)


def entries(folder: Path) -> list[Path]:
    return sorted(folder.rglob("output.pkl"))


def test_the_same_is_embedded_once_and_has_the_same_bits(calls: list[int]) -> None:
    expected = embed(network(), images())
    for _ in range(2):
        assert torch.equal(embed_kept(network(), images()), expected)
    assert calls == [20]


def test_chunks_have_the_bits_of_the_whole(
    calls: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_IMAGES_AT_ONCE", 128)
    assert torch.equal(embed_kept(network(), images(300)), embed(network(), images(300)))
    assert calls == [128, 128, 44]


@pytest.mark.parametrize("what", ["weights", "buffer", "image", "side", "threads", "forward"])
def test_what_shapes_an_embedding_has_it_made_anew(calls: list[int], what: str) -> None:
    embed_kept(network(), images())
    other, shown = network(2 if what == "weights" else 1), images()
    if what == "buffer":
        other.mean += 0.5
    if what == "image":
        shown[-1, 0, 0, 0] ^= 1
    if what == "side":
        other.side_px = 32
    if what == "forward":
        other.backbone.forward = lambda x, usual=other.backbone.forward: 2 * usual(x)  # type: ignore[method-assign]
    with torch_threads(torch.get_num_threads() + (what == "threads")):
        assert torch.equal(embed_kept(other, shown), embed(other, shown))
    assert calls == [20, 20]


@pytest.mark.parametrize("damage", ["cut", "flipped"])
def test_what_is_damaged_is_made_anew(calls: list[int], folder: Path, damage: str) -> None:
    expected = embed_kept(network(), images())
    (entry,) = entries(folder)
    content = bytearray(entry.read_bytes())
    place = content.index(expected.numpy().tobytes()[:16])
    content[place] ^= 1
    entry.write_bytes(content[:place] if damage == "cut" else content)
    assert torch.equal(embed_kept(network(), images()), expected)
    assert torch.equal(embed_kept(network(), images()), expected)
    assert calls == [20, 20]


def test_without_a_place_to_keep_it_is_embedded_all_the_same(
    calls: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path / "file"))
    for _ in range(2):
        assert torch.equal(embed_kept(network(), images()), embed(network(), images()))
    assert calls == [20, 20]


def test_little_is_not_kept_and_much_is_bounded(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "WORTH_PIXELS", 20 * 28 * 28 + 1)
    embed_kept(network(), images())
    assert entries(folder) == []
    monkeypatch.setattr(module, "WORTH_PIXELS", 0)
    monkeypatch.setattr(module, "LIMIT_BYTES", 1500)
    for seed in range(5):
        embed_kept(network(seed), images())
    assert 1 <= len(entries(folder)) < 5
