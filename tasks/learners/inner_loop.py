"""The inner loop: gradient descent as pure steps on a dictionary of parameters.

One step moves every parameter that has a rate, and no other:

    theta_k+1[name]  =  theta_k[name] - rate_k[name] * gradient(theta_k)[name]

Which parameters move, and how fast, is therefore data: a rate may be one number for all, one a
step, one a tensor and step, or one for every single parameter. Every gradient-based learner runs
this loop and none has another.

Source: Finn, Abbeel and Levine, Model-Agnostic Meta-Learning, 2017, equation 1; Li et al.,
Meta-SGD, 2017, equation 3 (a rate for each parameter).
"""

from collections import deque
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import TypeVar

import torch
from torch import Tensor

Parameters = Mapping[str, Tensor]
Gradient = Callable[[Parameters], Parameters]
State = TypeVar("State")


def descend(
    start: Parameters,
    gradient: Gradient,
    rates: Sequence[Mapping[str, Tensor | float]],
    *,
    first_order: bool = False,
) -> Iterator[dict[str, Tensor]]:
    """Yield the parameters before the first step and after each one.

    Args:
        start: parameters by name; they stay as they are, new tensors are made.
        gradient: maps parameters to the gradient of each that moves.
        rates: of each step, the rate of each parameter that moves; shapes broadcast.
        first_order: take gradients for constants, so that differentiating through the steps leaves
            second derivatives out.

    Yields:
        `len(rates) + 1` dictionaries with the names of `start`.
    """
    current = dict(start)
    yield current
    for rate in rates:
        slopes = gradient(current)
        current = {
            name: _moved(value, rate[name], slopes[name], first_order) if name in rate else value
            for name, value in current.items()
        }
        yield current


def _moved(value: Tensor, rate: Tensor | float, slope: Tensor, first_order: bool) -> Tensor:
    return value - rate * (slope.detach() if first_order else slope)


def last(states: Iterator[State]) -> State:
    """What there is after the last step; what was before it is let go of."""
    (state,) = deque(states, maxlen=1)
    return state


def gradient_of(
    loss: Callable[[Parameters], Tensor], moved: Collection[str], *, differentiable: bool
) -> Gradient:
    """The gradient of a loss by autograd, for losses too large to differentiate by hand.

    Args:
        loss: maps parameters to one number.
        moved: names of the parameters that it is wanted of.
        differentiable: whether the gradient itself will be differentiated (second order).
    """

    def gradient(parameters: Parameters) -> dict[str, Tensor]:
        recorded = torch.is_grad_enabled()
        # An alias of each, so that the gradient is partial: one parameter may have been made of
        # another. Where nobody differentiates through the steps, it is a leaf of its own.
        at = {
            name: (value.view_as(value) if recorded else value.detach()).requires_grad_()
            if name in moved
            else value
            for name, value in parameters.items()
        }
        with torch.enable_grad():
            slopes = torch.autograd.grad(
                loss(at), [at[name] for name in moved], create_graph=recorded and differentiable
            )
        return dict(zip(moved, slopes, strict=True))

    return gradient
