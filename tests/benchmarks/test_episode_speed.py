"""1,000 five-way five-shot episodes of prototypes: ours against easyfsl's own `evaluate`.

easyfsl 1.5.0 calls `Sampler.__init__` with an argument that torch has since dropped; it is mended
here, at run time, and nothing else of it is touched.
"""

import time
from collections.abc import Callable

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils.data import DataLoader, Sampler

from tasks.backbones.build import EncoderSpec, build
from tasks.backbones.encoder import Encoder, embed
from tasks.episodes.sampler import Pool
from tasks.learners.prototype import Prototype
from tasks.learners.scoring import episode_accuracies
from tasks.statistics import Estimate, estimate
from tests.benchmarks.turns import Figure, compared, taking_turns

easyfsl_methods = pytest.importorskip("easyfsl.methods")

pytestmark = [pytest.mark.benchmark, pytest.mark.timeout(3600)]

CLASSES, IMAGES_OF_A_CLASS, SIDE_PX = 40, 20, 28
WAY, SHOT, QUERIES, EPISODES = 5, 5, 15, 1000
LABELS = np.repeat(np.arange(CLASSES), IMAGES_OF_A_CLASS)


@pytest.fixture
def mended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Sampler, "__init__", lambda *_, **__: None)


def images() -> NDArray[np.uint8]:
    shape = (len(LABELS), SIDE_PX, SIDE_PX, 1)
    return np.random.default_rng(1).integers(0, 256, shape, dtype=np.uint8)


def network() -> Encoder:
    torch.manual_seed(1)
    return build(EncoderSpec("conv4", 1, (64, 64, 64, 64))).eval()


def ours(embeddings: Tensor) -> Estimate:
    episodes = Pool(LABELS).draw(
        0, EPISODES, way=WAY, shot=SHOT, queries=QUERIES, seed=1, purpose="benchmark"
    )
    return estimate(episode_accuracies(Prototype(), embeddings, episodes).numpy())


def theirs(features: Tensor, backbone: nn.Module) -> Callable[[], float]:
    """Their evaluation of the same images or embeddings, as their examples write it."""
    from easyfsl.datasets import FeaturesDataset
    from easyfsl.samplers import TaskSampler
    from easyfsl.utils import evaluate

    names = [str(number) for number in range(CLASSES)]
    dataset = FeaturesDataset(LABELS.tolist(), features, names)
    sampler = TaskSampler(dataset, WAY, SHOT, QUERIES, EPISODES)
    loader = DataLoader(
        dataset, batch_sampler=sampler, collate_fn=sampler.episodic_collate_fn, num_workers=0
    )
    model = easyfsl_methods.PrototypicalNetworks(backbone).eval()
    return lambda: evaluate(model, loader, device="cpu", use_tqdm=False)


def test_from_raw_images(mended: None, figure: Callable[[Figure], None]) -> None:
    stored, encoder = images(), network()
    raw = torch.from_numpy(stored).permute(0, 3, 1, 2) / 255
    embedding: list[float] = []

    def embed_and_evaluate() -> Estimate:
        started = time.perf_counter()
        embeddings = embed(encoder, stored)
        embedding.append(time.perf_counter() - started)
        return ours(embeddings)

    peer, own = taking_turns(theirs(raw, encoder), embed_and_evaluate, rounds=3, warm_up=0)
    figure(
        compared(
            f"{EPISODES:,} five-way five-shot episodes of {len(LABELS)} raw {SIDE_PX} px images",
            "15",
            ("easyfsl", peer),
            ("Headstart", own),
        )
    )
    rest = [total - part for total, part in zip(own, embedding, strict=True)]
    figure(
        compared("share of ours that is not the embedding", "0.02", ("rest", rest), ("all", own))
    )


@pytest.mark.parametrize(("dim", "asked_for"), [(64, "50"), (1600, "16")])
def test_from_embeddings(
    mended: None, dim: int, asked_for: str, figure: Callable[[Figure], None]
) -> None:
    generator = torch.Generator().manual_seed(1)
    centres = torch.randn(CLASSES, dim, generator=generator)
    noise = torch.randn(len(LABELS), dim, generator=generator)
    embeddings = centres[torch.from_numpy(LABELS)] + 3 * noise
    peer, own = taking_turns(theirs(embeddings, nn.Identity()), lambda: ours(embeddings), rounds=5)
    figure(
        compared(
            f"{EPISODES:,} episodes of embeddings of {dim} numbers",
            asked_for,
            ("easyfsl", peer),
            ("Headstart", own),
        )
    )


def test_both_sides_find_the_same_accuracy(mended: None) -> None:
    """Other episodes of the same kind: the means agree within four standard errors."""
    generator = torch.Generator().manual_seed(1)
    centres = torch.randn(CLASSES, 64, generator=generator)
    embeddings = centres[torch.from_numpy(LABELS)] + 3 * torch.randn(
        len(LABELS), 64, generator=generator
    )
    found = ours(embeddings)
    assert theirs(embeddings, nn.Identity())() == pytest.approx(
        found.mean, abs=2 * found.interval95 * 2**0.5
    )
