"""One second-order meta-training step, ours and as a plain loop of `torch.autograd.grad`.

The plain loop is how MAML is written where no library is used, and within a few hundredths what
learn2learn does; the network is that of the papers, layer by layer. Both sides compute the same
gradient of the same meta-batch: four tasks, five ways, one shot, 15 queries, five inner steps.

Both are taken in a process that keeps the memory that it frees, as the stage does (decision 34).

    python -m tests.benchmarks.meta_steps seconds maml        seconds of steps of both, in turns
    python -m tests.benchmarks.meta_steps memory maml plain   peak memory of a process of one side
"""

import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import psutil
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F

from tasks.artifacts.image_store import Part
from tasks.backbones.build import EncoderSpec, build
from tasks.backbones.encoder import Encoder
from tasks.episodes.augmentation import Augmentation
from tasks.episodes.sampler import Episodes, Pool
from tasks.learners.gradient import GradientLearner
from tasks.learners.learner import build_learner
from tasks.learners.spec import LearnerSpec
from tasks.memory import keep_freed_memory
from tasks.metatrain.meta_gradients import EpisodeImages, MetaGradient, OneByOne, Together
from tests.benchmarks.peak import peak_bytes
from tests.benchmarks.turns import taking_turns

TASKS, WAY, SHOT, QUERIES, STEPS = 4, 5, 1, 15, 5
SIDE_PX, WIDTH, SCALE, RATE = 28, 64, 10.0, 0.05
Gradients = dict[str, Tensor]


@dataclass(frozen=True)
class AsStored(EpisodeImages):
    """Images as they are: what varies them costs the same on both sides."""

    def _varied(self, indices: NDArray[np.int64], _: torch.Generator) -> Tensor:
        stored = torch.from_numpy(self.part.images[indices.ravel()])
        return (stored.permute(0, 3, 1, 2) / 255).unflatten(0, (len(indices), -1))


def part() -> Part:
    rng = np.random.default_rng(1)
    labels = np.repeat(np.arange(20), SHOT + QUERIES)
    images = rng.integers(0, 256, (len(labels), SIDE_PX, SIDE_PX, 1), dtype=np.uint8)
    return Part(images, labels, ())


def encoder() -> Encoder:
    """With statistics of its own, as pretraining leaves them."""
    torch.manual_seed(1)
    made = build(EncoderSpec("conv4", 1, (WIDTH,) * 4))
    made.train()
    with torch.no_grad():
        made(torch.rand(64, 1, SIDE_PX, SIDE_PX))
    return made.eval()


def ours(name: str) -> tuple[Callable[[], float], Callable[[], Gradients]]:
    network = encoder()
    images, episodes = _meta_batch()
    spec = LearnerSpec(
        name,
        WIDTH,
        initial_temperature=SCALE,
        initial_penalty=1.0,
        inner_steps=STEPS,
        inner_learning_rate=RATE,
        network_learning_rate=RATE,
        network_shapes={n: list(p.shape) for n, p in network.named_parameters()},
    )
    learner = build_learner(spec)
    assert isinstance(learner, GradientLearner)
    way = OneByOne if learner.moves_network else Together
    gradient: MetaGradient = way(network, learner, images)

    def step() -> float:
        for module in (network, learner):
            module.zero_grad()
        return gradient(episodes, 0)

    return step, lambda: _gradients(network)


def plain(name: str) -> tuple[Callable[[], float], Callable[[], Gradients]]:
    network = encoder()
    layers = nn.Sequential(
        *(nn.Sequential(*block, nn.ReLU(), nn.MaxPool2d(2)) for block in network.backbone.blocks),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
    ).eval()
    layers.to(memory_format=torch.contiguous_format)
    images, episodes = _meta_batch()
    supports, queries = (one.contiguous() for one in images(episodes, 0))
    truth, asked = (torch.arange(WAY).repeat_interleave(count) for count in (SHOT, QUERIES))
    moves = name == "maml"

    def features(state: Mapping[str, Tensor], pictures: Tensor) -> Tensor:
        inside = {n: p for n, p in state.items() if not n.startswith("head")}
        pictures = (pictures - network.mean) / network.std
        return F.normalize(functional_call(layers, inside, (pictures,)), dim=-1)

    def scores(state: Mapping[str, Tensor], embedded: Tensor) -> Tensor:
        return F.linear(embedded, state["head.weight"], state["head.bias"])

    def adapted(support: Tensor) -> dict[str, Tensor]:
        state = dict(layers.named_parameters())
        embedded = features(state, support)
        means = embedded.unflatten(0, (WAY, SHOT)).mean(dim=1)
        state |= {"head.weight": SCALE * F.normalize(means, dim=-1), "head.bias": torch.zeros(WAY)}
        state["head.bias"].requires_grad_()
        moved = list(state) if moves else ["head.weight", "head.bias"]
        for _ in range(STEPS):
            # Aliases, so that the slope of the network is partial: the head was made of it.
            at = {n: p.view_as(p) if n in moved else p for n, p in state.items()}
            # A network that does not move has embedded its support already.
            loss = F.cross_entropy(scores(at, features(at, support) if moves else embedded), truth)
            slopes = torch.autograd.grad(loss, [at[n] for n in moved], create_graph=True)
            state |= {n: at[n] - RATE * s for n, s in zip(moved, slopes, strict=True)}
        return state

    def step() -> float:
        layers.zero_grad()
        total = 0.0
        for support, query in zip(supports, queries, strict=True):
            state = adapted(support)
            loss = F.cross_entropy(scores(state, features(state, query)), asked) / TASKS
            loss.backward()
            total += float(loss.detach())
        return total

    return step, lambda: _gradients(layers)


_SIDES = {"plain": plain, "ours": ours}


def _meta_batch() -> tuple[AsStored, Episodes]:
    stored = part()
    episodes = Pool(stored.labels).draw(
        0, TASKS, way=WAY, shot=SHOT, queries=QUERIES, seed=1, purpose="benchmark"
    )
    return AsStored(stored, Augmentation(**_STILL), 1), episodes


_STILL = dict.fromkeys(
    (
        "rotation_deg",
        "shear",
        "scale",
        "shift",
        "elastic_px",
        "thickness_probability",
        "blur_probability",
        "polarity_probability",
    ),
    0.0,
)


def _gradients(module: nn.Module) -> Gradients:
    found = (one.grad for one in module.parameters() if one.ndim == 4)
    return {str(n): one for n, one in enumerate(found) if one is not None}


def _seconds(name: str) -> dict[str, list[float]]:
    steps = [side(name)[0] for side in _SIDES.values()]
    return dict(zip(_SIDES, taking_turns(*steps, rounds=21, warm_up=2), strict=True))


def _added_bytes(name: str, side: str) -> int:
    """Peak resident memory of this process during steps, above that before them."""
    step, _ = _SIDES[side](name)
    before = psutil.Process().memory_info().rss
    for _ in range(3):
        step()
    return peak_bytes() - before


def main() -> None:
    """Print what was asked for, as JSON."""
    what, *of = sys.argv[1:]
    torch.set_num_threads(2)
    keep_freed_memory()
    print(json.dumps({"seconds": _seconds, "memory": _added_bytes}[what](*of)))


if __name__ == "__main__":
    main()
