"""Prototypes compared by cosine, with a learned temperature: adapts without a gradient step.

A class is the direction of the mean of its unit-length support embeddings,

    weight of class c  =  temperature * direction( mean of direction(z_i) over y_i = c ),

and a query scores by `weight . direction(z)`.

Source: Chen et al., Meta-Baseline, 2021, equations 2 and 3.
"""

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from tasks.heads.cosine import direction
from tasks.heads.prototype import absent_bias, membership, prototypes


class Cosine(nn.Module):
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

    def adapt(
        self,
        embeddings: Float[Tensor, "*episodes support dim"],
        labels: Int64[Tensor, "*episodes support"],
        classes: Int64[Tensor, " way"],
    ) -> tuple[Float[Tensor, "*episodes way dim"], Float[Tensor, "*episodes way"]]:
        """Weight and bias of each class; see `Learner.adapt`."""
        member = membership(labels, classes, embeddings.dtype)
        means = prototypes(direction(embeddings), member)
        return self.temperature * direction(means), absent_bias(member)
