"""Prototypes compared by Euclidean distance: adapts without a gradient step, learns nothing else.

A query is scored by `-|z - c|^2` for the mean `c` of each class. Its own length is the same for all
classes and drops out of the softmax, so this is a linear rule:

    weight of class c  =  2 c        bias of class c  =  -|c|^2.

Source: Snell, Swersky and Zemel, Prototypical Networks for Few-shot Learning, 2017, equations 1, 2
and 8.
"""

from jaxtyping import Float, Int64
from torch import Tensor, nn

from tasks.heads.prototype import absent_bias, averaging, membership, prototypes


class Prototype(nn.Module):
    """The prototype learner; it has no parameters of its own."""

    moves_network = False

    def features(self, embeddings: Float[Tensor, "*rows dim"]) -> Float[Tensor, "*rows dim"]:
        """The embeddings as they are."""
        return embeddings

    def adapt(
        self,
        embeddings: Float[Tensor, "*episodes support dim"],
        labels: Int64[Tensor, "*episodes support"],
        classes: Int64[Tensor, " way"],
    ) -> tuple[Float[Tensor, "*episodes way dim"], Float[Tensor, "*episodes way"]]:
        """Weight and bias of each class; see `Learner.adapt`."""
        member = membership(labels, classes, embeddings.dtype)
        means = prototypes(embeddings, member)
        return 2 * means, absent_bias(member) - means.square().sum(dim=-1)

    def coefficients(
        self,
        products: Float[Tensor, "*episodes support support"],
        labels: Int64[Tensor, "*episodes support"],
        classes: Int64[Tensor, " way"],
    ) -> tuple[Float[Tensor, "*episodes way support"], Float[Tensor, "*episodes way"]]:
        """The rule in terms of the support; see `ClosedForm.coefficients`."""
        member = membership(labels, classes, products.dtype)
        mean = averaging(member)
        return 2 * mean, absent_bias(member) - (mean @ products * mean).sum(dim=-1)
