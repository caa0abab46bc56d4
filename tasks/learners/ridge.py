"""Ridge regression on unit-length embeddings, solved exactly: adapts without a gradient step.

The rule is `scale * W` with `W` of `tasks.heads.ridge`; scale and lambda are learned. The offset
that the paper adds to every score alike changes no softmax and is left out. Unlike the paper's, an
image that is all its class has gets a lambda of its own: how images of a class differ is then
nowhere in the support, and has to be expected (decision 31). It is regressed on `1 + lambda` in the
place of 1, with which an image by itself has its own feature for a weight, whatever its lambda:
classes of one image and of several get scores of a size, and lambda moves no temperature.

Source: Bertinetto et al., Meta-learning with differentiable closed-form solvers, 2019, section 3.2
(R2D2).
"""

from math import log

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from tasks.heads.cosine import direction
from tasks.heads.prototype import absent_bias, membership
from tasks.heads.ridge import dual_coefficients, ridge_dual, ridge_primal


class Ridge(nn.Module):
    """The ridge learner.

    Args:
        initial_scale: where the learned scale of the scores starts.
        initial_penalty: where the learned lambda starts, above 0; it stays so.
        initial_penalty_of_one: likewise, of an image that is alone in its class; None takes that of
            the others.
    """

    moves_network = False

    def __init__(
        self,
        initial_scale: float,
        initial_penalty: float,
        initial_penalty_of_one: float | None = None,
    ) -> None:
        super().__init__()
        of_one = initial_penalty if initial_penalty_of_one is None else initial_penalty_of_one
        self.scale = nn.Parameter(torch.tensor(float(initial_scale)))
        self.log_penalty = nn.Parameter(torch.tensor(log(initial_penalty)))
        self.log_penalty_of_one = nn.Parameter(torch.tensor(log(of_one)))

    def features(self, embeddings: Float[Tensor, "*rows dim"]) -> Float[Tensor, "*rows dim"]:
        """Embeddings at length one."""
        return direction(embeddings)

    def positive_penalties(self) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
        """Lambda of an image among others of its class, and of one that is alone; above 0."""
        return self.log_penalty.exp(), self.log_penalty_of_one.exp()

    def adapt(
        self,
        embeddings: Float[Tensor, "*episodes support dim"],
        labels: Int64[Tensor, "*episodes support"],
        classes: Int64[Tensor, " way"],
    ) -> tuple[Float[Tensor, "*episodes way dim"], Float[Tensor, "*episodes way"]]:
        """Weight and bias of each class; see `Learner.adapt`."""
        member = membership(labels, classes, embeddings.dtype)
        features = self.features(embeddings) * member.sum(dim=-1, keepdim=True)
        weight = self.scale * _smaller(features, *self._answers(member))
        return weight, absent_bias(member)

    def coefficients(
        self,
        products: Float[Tensor, "*episodes support support"],
        labels: Int64[Tensor, "*episodes support"],
        classes: Int64[Tensor, " way"],
    ) -> tuple[Float[Tensor, "*episodes way support"], Float[Tensor, "*episodes way"]]:
        """The rule in terms of the support; see `ClosedForm.coefficients`."""
        member = membership(labels, classes, products.dtype)
        counts = member.sum(dim=-1)
        known = products * counts[..., None] * counts[..., None, :]
        solved = dual_coefficients(known, *self._answers(member))
        return self.scale * solved, absent_bias(member)

    def _answers(
        self, member: Float[Tensor, "*episodes support way"]
    ) -> tuple[Float[Tensor, "*episodes support way"], Float[Tensor, "*episodes support"]]:
        """What each image is regressed on, and its lambda."""
        of_its_class = (member * member.sum(dim=-2, keepdim=True)).sum(dim=-1)
        among_others, alone = self.positive_penalties()
        penalties = torch.where(of_its_class == 1, alone, among_others)
        return member * (1 + penalties[..., None]), penalties


def _smaller(features: Tensor, answers: Tensor, penalties: Tensor) -> Tensor:
    """Solve the smaller of the two systems; a graph, which takes any number of images, has both."""
    if torch.compiler.is_exporting():
        images = torch.ones_like(features[..., 0]).sum()
        fewer = images < features.shape[-1]
        solved: Tensor = torch.cond(fewer, ridge_dual, ridge_primal, (features, answers, penalties))
    elif features.shape[-2] < features.shape[-1]:
        solved = ridge_dual(features, answers, penalties)
    else:
        solved = ridge_primal(features, answers, penalties)
    return solved
