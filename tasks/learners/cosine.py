"""Prototypes compared by cosine, with a learned temperature: adapts without a gradient step.

A class is the direction of the mean of its unit-length support features,

    weight of class c  =  temperature * direction( mean of f(z_i) over y_i = c ),

and a query scores by `weight . f(z)`. Plain, `f(z) = direction(z)`; centred,
`f(z) = direction(z - centre)` with the mean embedding of the base classes, which takes away what
all images have in common.

Source: Chen et al., Meta-Baseline, 2021, equations 2 and 3; Wang et al., SimpleShot, 2019,
section 3.2 (centring, CL2N).
"""

from abc import ABC, abstractmethod

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from tasks.heads.cosine import SHORTEST, direction
from tasks.heads.prototype import absent_bias, averaging, membership, prototypes


class CosineRule(nn.Module, ABC):
    """The rule over whatever unit-length features a learner makes of embeddings.

    Attributes:
        temperature: learned; a subclass registers it.
    """

    moves_network = False
    temperature: nn.Parameter

    @abstractmethod
    def features(self, embeddings: Float[Tensor, "*rows dim"]) -> Float[Tensor, "*rows outputs"]:
        """Features at length one; see `Learner.features`."""

    def adapt(
        self,
        embeddings: Float[Tensor, "*episodes support dim"],
        labels: Int64[Tensor, "*episodes support"],
        classes: Int64[Tensor, " way"],
    ) -> tuple[Float[Tensor, "*episodes way outputs"], Float[Tensor, "*episodes way"]]:
        """Weight and bias of each class; see `Learner.adapt`."""
        member = membership(labels, classes, embeddings.dtype)
        weight = self.temperature * direction(prototypes(self.features(embeddings), member))
        return weight, absent_bias(member)

    def coefficients(
        self,
        products: Float[Tensor, "*episodes support support"],
        labels: Int64[Tensor, "*episodes support"],
        classes: Int64[Tensor, " way"],
    ) -> tuple[Float[Tensor, "*episodes way support"], Float[Tensor, "*episodes way"]]:
        """The rule in terms of the support; see `ClosedForm.coefficients`."""
        member = membership(labels, classes, products.dtype)
        mean = averaging(member)
        length = (mean @ products * mean).sum(dim=-1, keepdim=True).clamp(min=SHORTEST**2).sqrt()
        return self.temperature * mean / length, absent_bias(member)


class Cosine(CosineRule):
    """The prototype learner with a learned temperature.

    Args:
        initial_temperature: where the temperature starts.
    """

    def __init__(self, initial_temperature: float) -> None:
        super().__init__()
        self.temperature = nn.Parameter(torch.tensor(float(initial_temperature)))

    def features(self, embeddings: Float[Tensor, "*rows dim"]) -> Float[Tensor, "*rows dim"]:
        """Embeddings at length one."""
        return direction(embeddings)


class CentredCosine(CosineRule):
    """The same on centred embeddings.

    Args:
        dim: length of an embedding.
        initial_temperature: where the temperature starts.
    """

    centre: Tensor

    def __init__(self, dim: int, initial_temperature: float) -> None:
        super().__init__()
        self.temperature = nn.Parameter(torch.tensor(float(initial_temperature)))
        self.register_buffer("centre", torch.zeros(dim))

    def features(self, embeddings: Float[Tensor, "*rows dim"]) -> Float[Tensor, "*rows dim"]:
        """Embeddings as seen from the centre, at length one."""
        return direction(embeddings - self.centre)
