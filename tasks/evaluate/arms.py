"""The models that are compared, each with the learner that adapts it."""

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from tasks.artifacts.model_store import read_description
from tasks.backbones.build import EncoderSpec, build, read_encoder
from tasks.backbones.encoder import Encoder
from tasks.learners.learner import LearnerSpec, build_learner, read_learner
from tasks.randomness import entropy

TITLES = {"random": "random start", "transfer": "transfer alone", "meta": "transfer + meta"}


@dataclass(frozen=True)
class Arm:
    """One side of the comparison.

    Attributes:
        encoder: embeds images, by the running statistics of its BatchNorm: no image of an episode
            tells about another.
        learner: adapts to the support; the module is a `Learner`.
    """

    encoder: Encoder
    learner: nn.Module


def arms(pretrained: Path, metatrained: Path, seed: int) -> dict[str, Arm]:
    """The arms by name, in the order of `TITLES`.

    All of them adapt by the same kind of learner. Random start and transfer alone have it as it is
    before meta-training, so that what meta is ahead of transfer is what meta-training added.

    Args:
        pretrained: what stage pretrain wrote.
        metatrained: what stage metatrain wrote.
        seed: `seed` of `params.yaml`; gives the random start.

    Raises:
        DataError: a model is missing or damaged.
    """
    spec = EncoderSpec(**read_description(pretrained, "pretrain")["encoder"])
    with torch.random.fork_rng():
        torch.manual_seed(entropy(seed, "evaluate", "random start") % 2**63)
        untrained = build(spec)
    unlearned = build_learner(LearnerSpec(**read_description(metatrained, "metatrain")["learner"]))
    return {
        "random": Arm(untrained, unlearned),
        "transfer": Arm(read_encoder(pretrained, "pretrain"), unlearned),
        "meta": Arm(read_encoder(metatrained, "metatrain"), read_learner(metatrained, "metatrain")),
    }
