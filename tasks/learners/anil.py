"""ANIL: a few gradient steps on a linear head, none on the backbone.

The head starts at the prototypes, `W_c = scale * direction(mean of class c)` and `b = 0`, with a
learned scale. A start of its own for each class would tie the learner to one way and one order of
classes; one vector for all of them would change no softmax. With unit-length features `X (n, d)`,
one-hot rows `Y (n, way)` and `P = softmax(X W' + b)`, step `k` descends the mean cross-entropy by
its exact gradient,

    W  <-  W - rate_k (P - Y)' X / n        b  <-  b - rate_k (P - Y)' 1 / n.

The gradient is written out instead of asked of autograd: the second-order meta-gradient is then
plain differentiation through these lines, many episodes go at once, and the same lines export to
ONNX. The backbone normalises by running statistics in every phase.

Source: Raghu et al., Rapid Learning or Feature Reuse?, 2020, section 4 (ANIL); Triantafillou et
al., Meta-Dataset, 2020, section 3 (the start at the prototypes, Proto-MAML); Antoniou et al., How
to Train Your MAML, 2019, section 4 (a learned rate for each step).
"""

from math import expm1, log

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn
from torch.nn import functional as F

from tasks.heads.cosine import direction
from tasks.heads.linear import linear_logits
from tasks.heads.prototype import absent_bias, membership, prototypes


class Anil(nn.Module):
    """Almost no inner loop: adapts a linear head over unit-length embeddings.

    Args:
        initial_scale: where the learned scale of the prototypes starts.
        inner_steps: gradient steps; 0 leaves the prototypes.
        inner_learning_rate: where the learned rate of each step starts; kept positive.
        first_order: leave the derivatives of the inner gradients out of the meta-gradient.
    """

    def __init__(
        self, initial_scale: float, inner_steps: int, inner_learning_rate: float, first_order: bool
    ) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(float(initial_scale)))
        # softplus(raw) is the rate: positive whatever the outer loop does.
        raw = inner_learning_rate + log(-expm1(-inner_learning_rate))
        self.raw_rates = nn.Parameter(torch.full((inner_steps,), raw))
        self.first_order = first_order

    def features(self, embeddings: Float[Tensor, "*rows dim"]) -> Float[Tensor, "*rows dim"]:
        """Embeddings at length one."""
        return direction(embeddings)

    def adapt(
        self,
        embeddings: Float[Tensor, "*episodes support dim"],
        labels: Int64[Tensor, "*episodes support"],
        classes: Int64[Tensor, " way"],
    ) -> tuple[Float[Tensor, "*episodes way dim"], Float[Tensor, "*episodes way"]]:
        """Weight and bias after the inner steps; see `Learner.adapt`."""
        member = membership(labels, classes, embeddings.dtype)
        absent = absent_bias(member)
        features = self.features(embeddings)
        known = member.sum(dim=-1, keepdim=True)
        count = known.sum(dim=-2, keepdim=True).clamp(min=1)
        weight = self.scale * direction(prototypes(features, member))
        bias = torch.zeros_like(absent)
        for rate in F.softplus(self.raw_rates):
            error = linear_logits(features, weight, bias + absent).softmax(dim=-1) - member
            # Not a product: where no class has support the softmax is NaN, and must not spread.
            error = torch.where(known > 0, error, 0.0) / count
            weight_step = error.transpose(-1, -2) @ features
            bias_step = error.sum(dim=-2)
            if self.first_order:
                weight_step, bias_step = weight_step.detach(), bias_step.detach()
            weight, bias = weight - rate * weight_step, bias - rate * bias_step
        return weight, bias + absent
