"""Gradient steps of a softmax head, taken in terms of the scores of the support.

Every step of `tasks.heads.softmax` moves the weights within the span of the support's features
`X (n, d)`, and the bias by the same errors. With the scores `S (way, n) = W X' + b`, the system
`K = XX' + 1` and one rate `r` for both, a step is

    E  =  (softmax(S) - Y) / n        A  +=  r E        S  -=  r E K

and where it has led follows from the sum `A (way, n)`:

    W  =  W_0 - A X        b  =  b_0 - A 1        scores of queries Z:  W_0 Z' + b_0 - A (XZ' + 1)

That is one product of `way * n * n` a step, for two of `way * n * d`; several rates go side by side
in it, and no weight is made before one is asked for. Classes are rows, for a softmax down columns
takes a processor a third of the time. The graphs do likewise (decision 28).

Source: Schoelkopf, Herbrich and Smola, A Generalized Representer Theorem, 2001, theorem 1.
"""

from collections.abc import Iterator

import torch
from jaxtyping import Float
from torch import Tensor

from tasks.heads.linear import linear_logits

_NEVER = -1e30  # its share is exactly 0, as with -inf, and all of them make a softmax


def steps_by_scores(
    features: Float[Tensor, "*episodes support dim"],
    member: Float[Tensor, "*episodes support way"],
    weight: Float[Tensor, "*episodes way dim"],
    bias: Float[Tensor, "*episodes way"],
    rates: Float[Tensor, "option step"],
) -> Iterator[Float[Tensor, "*episodes option way support"]]:
    """Yield the errors taken so far, `A`, before the first step and after each one.

    Args:
        features: of the support, `X`.
        member: one-hot rows of `tasks.heads.prototype.membership`; a row of zeros does not count.
        weight: to start from.
        bias: likewise; -inf for a class that must not be predicted.
        rates: of weight and bias alike, for each option and step.
    """
    known = member.sum(dim=-1)
    share = (known / known.sum(dim=-1, keepdim=True).clamp(min=1))[..., None, None, :]
    system = features @ features.transpose(-1, -2) + 1
    scores = linear_logits(features, weight, bias).transpose(-1, -2).clamp(min=_NEVER)
    truth = member.transpose(-1, -2)[..., None, :, :].contiguous()
    now = scores[..., None, :, :].expand(*scores.shape[:-2], len(rates), *scores.shape[-2:])
    taken = torch.zeros_like(now)
    yield taken
    for rate in rates.T:
        step = (now.softmax(dim=-2) - truth) * (share * rate[:, None, None])
        taken = taken + step
        now = now - _led(step, system)
        yield taken


def scores_after(
    begun: Float[Tensor, "*episodes way query"],
    products: Float[Tensor, "*episodes support query"],
    taken: Float[Tensor, "*episodes option way support"],
) -> Float[Tensor, "*episodes option way query"]:
    """Scores of queries where the steps have led.

    Args:
        begun: their scores before the first step, bias included.
        products: of the features of each support image and each query, `XZ'`.
        taken: what `steps_by_scores` yields.
    """
    return begun[..., None, :, :] - _led(taken, products) - taken.sum(dim=-1, keepdim=True)


def _led(taken: Tensor, system: Tensor) -> Tensor:
    return (taken.flatten(-3, -2) @ system).view(*taken.shape[:-1], -1)
