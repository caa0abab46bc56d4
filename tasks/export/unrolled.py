"""The gradient steps of a softmax head as a graph takes them: the same rule, few operators a step.

With features `X (n, d)`, one-hot rows `Y`, what each image counts `s` (1 / n, or 0 where its label
is of no class) and rates `r_w` and `r_b`, a step of `tasks.heads.softmax` is

    primal:  E  =  diag(s) (Y - softmax(X W' + b))        W  +=  r_w E'X        b  +=  r_b E'1

A graph pays for its operators more than for its numbers, and most of these multiply by X. In terms
of the scores of the support, `L = X W' + b`, the same step is

    dual:    L  +=  (r_w X X' + r_b) diag(s) (Y - softmax(L))

three operators where the matrix in front has been made beforehand; W and b follow from the sum of
all E at the end. A rate for each number of a row stands between X and X'. The matrix has n x n
numbers, so a graph, which takes any number of images, has both and chooses by `DUAL_IMAGES`.

A class without support has a score of `NEVER` while the steps are taken: its share is exactly 0, as
with -inf, and where no class has support the softmax is a number.

PyTorch follows a branch only through functions that nothing wraps: hence `no_type_check`, as in
`tasks.heads.ridge`.
"""

from typing import Any, no_type_check

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from tasks.export.rates import PlainRates
from tasks.heads.cosine import SHORTEST, direction
from tasks.heads.prototype import membership
from tasks.learners.gradient import GradientLearner

DUAL_IMAGES = 128  # up to so many; beyond, the products of all pairs of images cost more
NEVER = -1e30


class UnrolledHead(nn.Module):
    """A gradient learner whose `adapt` takes the steps of the head in the form of above.

    Args:
        learned: the learner, of one step or more.
    """

    moves_network = False

    def __init__(self, learned: GradientLearner) -> None:
        super().__init__()
        self.zeros = learned.family.start == "zeros"
        self.scale = learned.scale
        self.rates = PlainRates(learned.rates)

    def features(self, embeddings: Float[Tensor, "*rows dim"]) -> Float[Tensor, "*rows dim"]:
        """Embeddings at length one."""
        return direction(embeddings)

    def adapt(
        self,
        embeddings: Float[Tensor, "support dim"],
        labels: Int64[Tensor, " support"],
        classes: Int64[Tensor, " way"],
    ) -> tuple[Float[Tensor, "way dim"], Float[Tensor, " way"]]:
        """Weight and bias after the inner steps of the head; see `Learner.adapt`."""
        member = membership(labels, classes, embeddings.dtype)
        features, counts = self.features(embeddings), member.sum(dim=0)
        shares = member.sum(dim=1) / counts.sum().clamp(min=1)
        absent = counts == 0
        floor = torch.where(absent, NEVER, 0.0).to(counts.dtype)
        weight, bias = self._descend(features, member, shares, self._start(features, member), floor)
        return weight, bias.masked_fill(absent, -torch.inf)

    @no_type_check
    def _start(self, features: Tensor, member: Tensor) -> Tensor:
        """What the sum of a class is multiplied by; it points where the prototype does."""
        if self.zeros:
            return member.new_zeros(member.shape[1])
        lengths = torch.linalg.vector_norm(member.T @ features, dim=-1)
        return self.scale / lengths.clamp(min=SHORTEST)

    @no_type_check
    def _descend(self, *operands: Tensor) -> tuple[Tensor, Tensor]:
        steps, each = self.rates.steps, self.rates.each_number

        def dual(*given: Any) -> tuple[Tensor, Tensor]:
            return _dual(given, steps, each)

        def primal(*given: Any) -> tuple[Tensor, Tensor]:
            return _primal(given, steps, each)

        rates = self.rates.get_buffer("weight"), self.rates.get_buffer("bias")
        given = (*operands, *rates)
        images = operands[0].shape[0]
        if torch.compiler.is_exporting():
            fewer = torch.scalar_tensor(images) <= DUAL_IMAGES
            return torch.cond(fewer, dual, primal, given)
        return dual(*given) if images <= DUAL_IMAGES else primal(*given)


# Both forms are given features, membership, shares, start and floor as `adapt` has them, then the
# rates of weight and bias, of each step or of each number.


@no_type_check
def _dual(given: tuple[Tensor, ...], steps: int, each_number: bool) -> tuple[Tensor, Tensor]:
    features, member, shares, start, floor, weight_rates, bias_rates = given
    images, way = member.shape
    products = features @ features.T
    begun = member * start
    if each_number:
        weighted = (features * weight_rates) @ features.T
        systems = [(weighted + bias_rates) * shares] * steps
    else:
        stacked = (weight_rates[:, None, None] * products + bias_rates[:, None, None]) * shares
        systems = stacked.reshape(steps * images, images).split([images] * steps)
    scores = torch.addmm(floor, products, begun)
    errors = []
    for step in range(steps):
        errors.append(member - scores.softmax(dim=-1))
        if step + 1 < steps:
            scores = torch.addmm(scores, systems[step], errors[-1])
    rows = torch.cat(errors).reshape(steps, images * way)
    if each_number:
        error = rows.sum(dim=0).reshape(images, way)
        moved = (error * shares[:, None]).T @ features
        return begun.T @ features + moved * weight_rates, (shares @ error) * bias_rates
    moved = (weight_rates @ rows).reshape(images, way) * shares[:, None]
    bias = shares @ (bias_rates @ rows).reshape(images, way)
    return (begun + moved).T @ features, bias


@no_type_check
def _primal(given: tuple[Tensor, ...], steps: int, each_number: bool) -> tuple[Tensor, Tensor]:
    features, member, shares, start, floor, weight_rates, bias_rates = given
    weight, bias = (member * start).T @ features, torch.zeros_like(floor)
    for step in range(steps):
        scores = torch.addmm(floor + bias, features, weight.T)
        error = (member - scores.softmax(dim=-1)) * shares[:, None]
        if each_number:
            weight = weight + (error.T @ features) * weight_rates
            bias = bias + error.sum(dim=0) * bias_rates
        else:
            weight = torch.addmm(weight, (error * weight_rates[step]).T, features)
            bias = bias + error.sum(dim=0) * bias_rates[step]
    return weight, bias
