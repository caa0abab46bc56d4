"""Gradient steps of a softmax head, taken in terms of the scores of the support.

Every step of `tasks.heads.softmax` moves the weights within the span of the support's features
`X (n, d)`, and the bias by the same errors. With the scores `S = X W' + b`, `K = XX' + 1` and a
rate `r` for both, a step is

    E  =  (softmax(S) - Y) / n        A  +=  r E        S  -=  r K E

and where it has led follows from the sum `A (n, way)`:

    W  =  W_0 - A'X        b  =  b_0 - A'1        scores of queries Z:  Z W_0' + b_0 - (ZX' + 1) A

That is one product of `n * n * way` a step, for two of `n * d * way`; several rates go side by side
in it, and no weight is made before one is asked for. The graphs do likewise (decision 28).

Source: Schoelkopf, Herbrich and Smola, A Generalized Representer Theorem, 2001, theorem 1.
"""

from collections.abc import Iterator

import torch
from jaxtyping import Float
from torch import Tensor


def steps_by_scores(
    products: Float[Tensor, "*episodes support support"],
    scores: Float[Tensor, "*episodes support way"],
    member: Float[Tensor, "*episodes support way"],
    rates: Float[Tensor, "option step"],
) -> Iterator[Float[Tensor, "*episodes support option way"]]:
    """Yield the errors taken so far, `A`, before the first step and after each one.

    Args:
        products: `XX'`, of each two support images.
        scores: of the support before the first step, bias included; -inf for a class that must not
            be predicted.
        member: one-hot rows of `tasks.heads.prototype.membership`; a row of zeros does not count.
        rates: of weight and bias alike, for each option and step.
    """
    options, way = rates.shape[0], member.shape[-1]
    known = member.sum(dim=-1)[..., None, None]
    share = known / known.sum(dim=-3, keepdim=True).clamp(min=1)
    system, truth = products + 1, member[..., None, :]
    now = scores[..., None, :].expand(*scores.shape[:-1], options, way)
    taken = torch.zeros_like(now)
    yield taken
    for rate in rates.T:
        # Not a product: where no class has support the softmax is NaN, and must not spread.
        error = torch.where(known > 0, now.softmax(dim=-1) - truth, 0.0)
        step = error * (share * rate[:, None])
        taken = taken + step
        now = now - _led(system, step)
        yield taken


def scores_after(
    begun: Float[Tensor, "*episodes query way"],
    products: Float[Tensor, "*episodes query support"],
    taken: Float[Tensor, "*episodes support option way"],
) -> Float[Tensor, "*episodes query option way"]:
    """Scores of queries where the steps have led.

    Args:
        begun: their scores before the first step, bias included.
        products: of the features of each query and each support image, `ZX'`.
        taken: what `steps_by_scores` yields.
    """
    return begun[..., None, :] - _led(products, taken) - taken.sum(dim=-3, keepdim=True)


def _led(system: Tensor, taken: Tensor) -> Tensor:
    led = system @ taken.flatten(-2)
    return led.view(*led.shape[:-1], *taken.shape[-2:])
