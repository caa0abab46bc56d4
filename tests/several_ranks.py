"""The same training by one process and by several: what the tests of ranks compare.

All is in float64, where only a wrong formula makes a difference, but for the loss of pretraining.
"""

import os
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from tasks.backbones.build import EncoderSpec, build
from tasks.backbones.encoder import Encoder
from tasks.episodes.sampler import Episodes, Pool
from tasks.errors import DataError
from tasks.heads.classifier import build_classifier
from tasks.metatrain.build import learner_spec, outer_loop
from tasks.metatrain.meta_gradients import EpisodeImages
from tasks.params.metatrain import Metatrain
from tasks.params.pretrain import Pretrain
from tasks.pretrain.distillation import Teacher
from tasks.pretrain.trainer import build_trainer
from tasks.pretrain.training import batches
from tasks.progress import Track, untracked
from tasks.ranks.batch_norm import share_statistics
from tasks.ranks.group import ALONE, Ranks
from tests.conftest import bars

BASE = bars("base", 6)
BATCH = 15  # which no two ranks share evenly
COLOURS = {"flip_probability": 0.5, "brightness": 0.2, "contrast": 0.2}
PRETRAINED: dict[str, dict[str, Any]] = {
    "plain": {},
    "mixup": {"mixing": "mixup"},
    "cutmix": {"mixing": "cutmix", "optimizer": "sgd"},
    "gradual": {"policy": "gradual", "unfreeze_every_epochs": 1},
    "last_block": {"policy": "last_block", "classifier": "linear"},
    "distilled": {"distillation": {"generations": 1, "weight": 0.5, "temperature": 4.0}},
}
METATRAINED: dict[str, dict[str, Any]] = {
    name: {"learner": name, "inner_steps": 2, "meta_batch": 3}
    for name in ("ridge", "anil", "mtl", "maml", "reptile")
}


def pretrained(changes: dict[str, Any], section: Pretrain, ranks: Ranks) -> dict[str, Tensor]:
    """Weights and losses after two epochs of three steps."""
    asked = Pretrain(**section.model_dump() | {"batch_size": BATCH, "epochs": 2} | changes)
    encoder, classifier = _network(), _classifier(asked.classifier)
    trainer = build_trainer(asked, encoder, classifier, BASE, 1, untracked, ranks=ranks)
    if asked.distillation.generations:
        trainer.teacher = Teacher(_network(), _classifier("cosine"), 0.5, 4.0)
    steps = enumerate(batches(len(BASE.images), BATCH, 2, seed=1))
    losses = [trainer.step(batch, number) for number, batch in steps]
    return _told(nn.ModuleList([encoder, classifier]), losses)


def metatrained(changes: dict[str, Any], section: Metatrain, ranks: Ranks) -> dict[str, Tensor]:
    """Weights and losses after four meta-batches."""
    asked = Metatrain(**section.model_dump() | changes)
    encoder = _network().eval()
    spec = learner_spec(asked, encoder)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        loop = outer_loop(asked, encoder, spec, BASE, 1, ranks)
    images = loop.gradient.images  # type: ignore[attr-defined]
    exact = _Exact(images.part, images.augmentation, images.seed, ranks)
    gradient = replace(loop.gradient, images=exact)  # type: ignore[type-var]
    loop = replace(loop, gradient=gradient, learner=loop.learner.double())
    losses = [
        loop.step(
            Pool(BASE.labels).draw(
                3 * number, 3, way=3, shot=1, queries=3, seed=1, purpose="metatrain"
            ),
            number,
        )
        for number in range(4)
    ]
    return _told(nn.ModuleList([encoder, loop.learner]), losses)


def every_case(pretrain: Pretrain, metatrain: Metatrain, ranks: Ranks = ALONE) -> dict[str, Tensor]:
    """All of the above, by name."""
    cases = {
        **{name: pretrained(changes, pretrain, ranks) for name, changes in PRETRAINED.items()},
        **{name: metatrained(changes, metatrain, ranks) for name, changes in METATRAINED.items()},
    }
    return {f"{case}: {key}": value for case, told in cases.items() for key, value in told.items()}


def write_every_case(
    folder: Path, pretrain: Pretrain, metatrain: Metatrain, track: Track, ranks: Ranks
) -> None:
    found = {name: one.contiguous() for name, one in every_case(pretrain, metatrain, ranks).items()}
    save_file(found, folder / f"{ranks.number}.safetensors")


def meet(folder: Path, track: Track, ranks: Ranks) -> None:
    """What ranks tell one another."""
    own = torch.arange(5)[ranks.rows(5)]
    torch.manual_seed(ranks.number)
    found = {
        "sum": ranks.sum(torch.tensor([ranks.number + 1.0])),
        "joined": ranks.joined(own, 5),
        "told": torch.tensor(ranks.tells(ranks.first)),
        "threads": torch.tensor(torch.get_num_threads()),
    }
    save_file(found | normalised(ranks), folder / f"{ranks.number}.safetensors")


def normalised(ranks: Ranks = ALONE) -> dict[str, Tensor]:
    """One BatchNorm in float64, forward and backward, over a batch whose mean is far from 0."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        images = torch.rand(7, 3, 4, 4, dtype=torch.float64) + 1000
        asked = torch.rand(7, 3, 4, 4, dtype=torch.float64)
    network = nn.Sequential(nn.BatchNorm2d(3)).double()
    if not ranks.alone:
        share_statistics(network, ranks)
    rows = ranks.rows(7)
    own = images[rows].requires_grad_()
    out = network(own)
    (out * asked[rows]).sum().backward()
    slopes = {name: ranks.sum(one.grad) for name, one in network.named_parameters()}
    joined = {"out": ranks.joined(out.detach(), 7), "slope": ranks.joined(own.grad, 7)}
    return joined | slopes | {name: one.clone() for name, one in network.named_buffers()}


def fail_on_one(folder: Path, track: Track, ranks: Ranks) -> None:
    """A fault that a person can mend, on one rank while the other waits for it."""
    _count(folder, ranks)
    if ranks.number == 1:
        raise DataError("images are missing")
    ranks.sum(torch.ones(1))


def be_wrong(folder: Path, track: Track, ranks: Ranks) -> None:
    """A fault of the code."""
    raise KeyError("no such thing")


def die(folder: Path, times: int, track: Track, ranks: Ranks) -> None:
    """One rank is killed in each of the first `times` starts."""
    _count(folder, ranks)
    if ranks.number == 1 and len(list(folder.glob("started-1-*"))) <= times:
        os.kill(os.getpid(), signal.SIGKILL)
    ranks.sum(torch.ones(1))


def be_here(folder: Path, track: Track, ranks: Ranks) -> None:
    """Says which process did it."""
    _count(folder, ranks)


def _count(folder: Path, ranks: Ranks) -> None:
    (folder / f"started-{ranks.number}-{os.getpid()}").touch()


class _Exact(EpisodeImages):
    def __call__(self, episodes: Episodes, number: int) -> tuple[Tensor, Tensor]:
        support, query = super().__call__(episodes, number)
        return support.double(), query.double()


def _network() -> Encoder:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return build(EncoderSpec("conv4", 1, [2, 2, 3, 4])).double()


def _classifier(name: str) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return build_classifier(name, 4, 6).double()


def _told(module: nn.Module, losses: list[float]) -> dict[str, Tensor]:
    told = {name: value.detach().clone() for name, value in module.state_dict().items()}
    return told | {"losses": torch.tensor(losses, dtype=torch.float64)}
