"""What adapts an arm when `evaluate.adaptation` asks for something else than its learner."""

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor, nn

from tasks.artifacts.image_store import Part
from tasks.backbones.encoder import Encoder, embed
from tasks.evaluate.arms import Arm
from tasks.learners.cosine import CentredCosine
from tasks.learners.learner import build_learner
from tasks.learners.spec import LearnerSpec
from tasks.randomness import numpy_generator

LEARNER = "learner"
CENTRE_IMAGES = 2000  # of base, which the centre is the mean of

Centre = Callable[[Encoder], Tensor]


def centre_of(base: Part, seed: int) -> Centre:
    """Gives the mean embedding of up to 2,000 seeded base images, by an encoder."""
    size = min(CENTRE_IMAGES, len(base.images))
    generator = numpy_generator(seed, "evaluate", "centre")
    chosen = np.sort(generator.choice(len(base.images), size, replace=False))
    return lambda encoder: embed(encoder, base.images[chosen]).mean(dim=0)


def build_head(spec: LearnerSpec, encoder: Encoder, centre: Centre) -> nn.Module:
    """A learner that nobody trained, fit for an encoder; the module is a `Learner`.

    Args:
        spec: of the learner; shapes of the network are filled in.
        encoder: that it is to adapt.
        centre: gives what a centred learner takes away.

    Raises:
        DataError: there is no learner of that name.
    """
    shapes = {name: tuple(value.shape) for name, value in encoder.named_parameters()}
    learner = build_learner(replace(spec, network_shapes=shapes)).eval()
    if isinstance(learner, CentredCosine):
        with torch.no_grad():
            learner.centre.copy_(centre(encoder))
    return learner


def with_adaptation(
    arms: Mapping[str, Arm], adaptation: str, centre: Centre, spec: LearnerSpec
) -> dict[str, Arm]:
    """Every arm with the adaptation asked for.

    Args:
        arms: by name.
        adaptation: `learner` changes nothing; else the name of a head.
        centre: as `centre_of` gives it.
        spec: of the head, but for its name and length of embeddings.
    """
    if adaptation == LEARNER:
        return dict(arms)
    adapted = {}
    for name, arm in arms.items():
        head = replace(spec, name=adaptation, dim=arm.encoder.width)
        adapted[name] = replace(arm, learner=build_head(head, arm.encoder, centre), spec=head)
    return adapted
