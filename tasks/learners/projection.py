"""A small head over frozen embeddings, trained by episodes: seconds instead of hours.

    f(z)  =  direction( A layer_norm(dropout(z)) + a )

with prototypes compared by cosine over `f`. `A` starts at the identity, so that the untrained head
is the frozen backbone's own cosine rule on normalised embeddings; with another number of outputs,
at an orthogonal matrix, the same every time, which keeps angles about as they are. The backbone is
never touched: every image is embedded once, and a training step is a few matrix products.

Source: the episodes and the temperature are those of Chen et al., Meta-Baseline, 2021, equation 3;
layer normalisation is Ba, Kiros and Hinton, 2016.
"""

from typing import cast

import torch
from jaxtyping import Float
from torch import Tensor, nn

from tasks.heads.cosine import direction
from tasks.learners.cosine import CosineRule


class Projection(CosineRule):
    """The projection learner.

    Args:
        dim: length of an embedding.
        outputs: length of a feature; 0 is `dim`.
        dropout: share of an embedding that training leaves out.
        initial_temperature: where the learned temperature starts.
    """

    def __init__(self, dim: int, outputs: int, dropout: float, initial_temperature: float) -> None:
        super().__init__()
        self.normalise = nn.LayerNorm(dim)
        self.dropout = nn.Dropout(dropout)
        self.linear = nn.Linear(dim, outputs or dim)
        if self.linear.in_features == self.linear.out_features:
            nn.init.eye_(self.linear.weight)
        else:
            nn.init.orthogonal_(self.linear.weight, generator=torch.Generator().manual_seed(0))
        nn.init.zeros_(self.linear.bias)
        self.temperature = nn.Parameter(torch.tensor(float(initial_temperature)))

    def features(self, embeddings: Float[Tensor, "*rows dim"]) -> Float[Tensor, "*rows outputs"]:
        """Projected embeddings at length one."""
        return direction(cast(Tensor, self.linear(self.dropout(self.normalise(embeddings)))))
