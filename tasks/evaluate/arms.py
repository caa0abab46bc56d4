"""The models that are compared, each with the learner that adapts it."""

import copy
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from tasks.artifacts.image_store import Part
from tasks.artifacts.layout import META_ALONE
from tasks.artifacts.model_store import DESCRIPTION, read_description
from tasks.backbones.build import EncoderSpec, build, read_encoder
from tasks.backbones.encoder import Encoder
from tasks.backbones.kept import embed_kept
from tasks.device import PROCESSOR
from tasks.learners.learner import build_learner, read_learner
from tasks.learners.spec import LearnerSpec
from tasks.randomness import entropy

TITLES = {
    "random": "random start",
    "alone": "meta alone",
    "transfer": "transfer alone",
    "tuned": "transfer at its best",
    "meta": "transfer + meta",
}


@dataclass(frozen=True)
class Arm:
    """One side of the comparison.

    Attributes:
        encoder: embeds images, by the running statistics of its BatchNorm: no image of an episode
            tells about another.
        learner: adapts to the support; the module is a `Learner`.
        spec: of the learner.
        network: of the encoder; None where no other process is to build it.
    """

    encoder: Encoder
    learner: nn.Module
    spec: LearnerSpec
    network: EncoderSpec | None = None


class Embedded:
    """Embeddings of every image of a part by the encoder of an arm, made when first asked for.

    Args:
        arms: by name; they stay where they are.
        parts: by name.
        device: that embeds.
    """

    def __init__(
        self,
        arms: Mapping[str, Arm],
        parts: Mapping[str, Part],
        device: torch.device = PROCESSOR,
    ) -> None:
        self.parts = parts
        self._arms = arms
        self._device = device
        self._made: dict[tuple[str, str], Tensor] = {}

    def of(self, arm: str, part: str) -> Tensor:
        """Embeddings `(image, dim)`, in memory."""
        if (arm, part) not in self._made:
            encoder = copy.deepcopy(self._arms[arm].encoder).to(self._device)
            self._made[arm, part] = embed_kept(encoder, self.parts[part].images).cpu()
        return self._made[arm, part]


def arms(pretrained: Path, metatrained: Path, seed: int) -> dict[str, Arm]:
    """The arms by name, in the order of `TITLES`; `tuned` is made from `transfer` elsewhere.

    All of them adapt by the same kind of learner. Random start and transfer alone have it as it is
    before meta-training, so that what meta is ahead of transfer is what meta-training added.

    Args:
        pretrained: what stage pretrain wrote.
        metatrained: what stage metatrain wrote; in its folder `alone`, where there is one, the
            same from random weights.
        seed: `seed` of `params.yaml`; gives the random start.

    Raises:
        DataError: a model is missing or damaged.
    """
    spec = EncoderSpec(**read_description(pretrained, "pretrain")["encoder"])
    with torch.random.fork_rng():
        torch.manual_seed(entropy(seed, "evaluate", "random start") % 2**63)
        untrained = build(spec)
    learner = learner_spec(read_description(metatrained, "metatrain"))
    with torch.random.fork_rng():
        torch.manual_seed(entropy(seed, "evaluate", "unlearned") % 2**63)
        unlearned = build_learner(learner).eval()
    found = {
        "random": Arm(untrained, unlearned, learner, spec),
        "transfer": Arm(read_encoder(pretrained, "pretrain"), unlearned, learner, spec),
        "meta": _trained(metatrained),
    }
    if (metatrained / META_ALONE / DESCRIPTION).is_file():
        found["alone"] = _trained(metatrained / META_ALONE)
    return {name: found[name] for name in TITLES if name in found}


def learner_spec(description: Mapping[str, Any]) -> LearnerSpec:
    """The learner that `model.json` of stage metatrain describes."""
    return LearnerSpec(**description["learner"])


def _trained(folder: Path) -> Arm:
    described = read_description(folder, "metatrain")
    return Arm(
        read_encoder(folder, "metatrain"),
        read_learner(folder, "metatrain"),
        learner_spec(described),
        EncoderSpec(**described["encoder"]),
    )


def start_of(arm: Arm) -> nn.Module:
    """The arm's learner before its first gradient step; the module is a `Learner`.

    Learners that solve their head or average for it have no such step, and are what they are.
    """
    before = build_learner(replace(arm.spec, inner_steps=0))
    kept = before.state_dict()
    learned = arm.learner.state_dict()
    fitting = {
        name: learned[name]
        for name, value in kept.items()
        if name in learned and learned[name].shape == value.shape
    }
    before.load_state_dict(kept | fitting)
    return before.eval()
