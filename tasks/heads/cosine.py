"""Scores by the angle between an embedding and a class, scaled by a temperature.

Source: Chen et al., A Closer Look at Few-shot Classification, 2019, section 3.2 (Baseline++);
Chen et al., Meta-Baseline, 2021, equation 3 for the learned temperature.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn

INITIAL_TEMPERATURE = 16.0
SHORTEST = 1e-12  # length that counts as more than none


class CosineClassifier(nn.Module):
    """Cosine classifier over the base classes with a learned temperature.

    Args:
        dim: length of an embedding.
        classes: how many.
    """

    def __init__(self, dim: int, classes: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(classes, dim) / dim**0.5)
        self.temperature = nn.Parameter(torch.tensor(INITIAL_TEMPERATURE))

    def forward(self, embeddings: Float[Tensor, "batch dim"]) -> Float[Tensor, "batch classes"]:
        """Logits `(batch, classes)`: temperature times cosine."""
        return self.temperature * direction(embeddings) @ direction(self.weight).T


def direction(embeddings: Float[Tensor, "*rows dim"]) -> Float[Tensor, "*rows dim"]:
    """Embeddings at length one; a zero embedding stays zero."""
    # As `F.normalize`, whose `expand_as` would be two operators more in every graph.
    lengths: Tensor = torch.linalg.vector_norm(embeddings, dim=-1, keepdim=True)
    return embeddings / lengths.clamp(min=SHORTEST)
