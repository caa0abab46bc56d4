"""Softmax regression on a support set: its loss's gradient, written out.

With features `X (n, d)`, one-hot rows `Y (n, way)` and `P = softmax(X W' + b)` the mean
cross-entropy has the gradient

    dL/dW  =  (P - Y)' X / n        dL/db  =  (P - Y)' 1 / n.

Written out instead of asked of autograd: the second-order meta-gradient is then plain
differentiation through these lines, many episodes go at once without `vmap`, and the same lines
export to ONNX.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from tasks.heads.linear import linear_logits


def cross_entropy_gradient(
    features: Float[Tensor, "*episodes support dim"],
    member: Float[Tensor, "*episodes support way"],
    weight: Float[Tensor, "*episodes way dim"],
    bias: Float[Tensor, "*episodes way"],
) -> tuple[Float[Tensor, "*episodes way dim"], Float[Tensor, "*episodes way"]]:
    """Gradient of the mean cross-entropy of the support by weight and bias.

    Args:
        features: of the support.
        member: one-hot rows of `tasks.heads.prototype.membership`; a row of zeros does not count.
        weight: of the linear rule.
        bias: likewise; -inf for a class that must not be predicted.
    """
    known = member.sum(dim=-1, keepdim=True)
    count = known.sum(dim=-2, keepdim=True).clamp(min=1)
    error = linear_logits(features, weight, bias).softmax(dim=-1) - member
    # Not a product: where no class has support the softmax is NaN, and must not spread.
    error = torch.where(known > 0, error, 0.0) / count
    return error.transpose(-1, -2) @ features, error.sum(dim=-2)
