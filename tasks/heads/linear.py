"""The linear rule that every adapted head ends as, and a linear classifier over base classes."""

from typing import cast

from jaxtyping import Float
from torch import Tensor, nn


def linear_logits(
    features: Float[Tensor, "*episodes query dim"],
    weight: Float[Tensor, "*episodes way dim"],
    bias: Float[Tensor, "*episodes way"],
) -> Float[Tensor, "*episodes query way"]:
    """`features @ weight.T + bias`, for one episode or many at once."""
    return features @ weight.transpose(-1, -2) + bias[..., None, :]


class LinearClassifier(nn.Module):
    """Softmax regression over the base classes.

    Args:
        dim: length of an embedding.
        classes: how many.
    """

    def __init__(self, dim: int, classes: int) -> None:
        super().__init__()
        self.linear = nn.Linear(dim, classes)

    def forward(self, embeddings: Float[Tensor, "batch dim"]) -> Float[Tensor, "batch classes"]:
        """Logits `(batch, classes)`."""
        return cast(Tensor, self.linear(embeddings))
