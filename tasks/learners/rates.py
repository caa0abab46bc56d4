"""The rates of the inner loop: one number, or learned by step, by tensor and step, by parameter."""

from collections.abc import Mapping, Sequence
from math import expm1, log
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

RateKind = Literal["fixed", "per_step", "per_tensor_and_step", "per_parameter"]


class Rates(nn.Module):
    """Gives the rate of every parameter that moves, for every step.

    Args:
        kind: `fixed` learns nothing; `per_step` one rate a step for the head and the network each
            in proportion to their start; `per_tensor_and_step` one for each tensor and step;
            `per_parameter` one for each single number, the same in all steps, of either sign.
        initial: parameter name -> rate to start from, above 0.
        shapes: parameter name -> shape that its rates have where each number has its own.
        steps: how many.

    Source: Antoniou et al., How to Train Your MAML, 2019, section 4 (by layer and step); Li et
    al., Meta-SGD, 2017, equation 3 (by parameter).
    """

    def __init__(
        self,
        kind: RateKind,
        initial: Mapping[str, float],
        shapes: Mapping[str, Sequence[int]],
        steps: int,
    ) -> None:
        super().__init__()
        self.kind = kind
        self.names = tuple(initial)
        self.steps = steps
        self._initial = dict(initial)
        if kind == "per_step":
            self.raw = nn.Parameter(torch.full((steps,), _raw(1.0)))
        elif kind == "per_tensor_and_step":
            starts = torch.tensor([_raw(rate) for rate in initial.values()])
            self.raw = nn.Parameter(starts[:, None].repeat(1, steps))
        elif kind == "per_parameter":
            self.each = nn.ParameterList(
                nn.Parameter(torch.full(tuple(shapes[name]), rate))
                for name, rate in initial.items()
            )

    @property
    def alike_within_steps(self) -> bool:
        """Whether a step moves weight and bias of the head at one rate."""
        return self.kind in ("fixed", "per_step")

    def forward(self, moved: Sequence[str] | None = None) -> list[dict[str, Tensor | float]]:
        """The rates of each step by parameter name.

        Args:
            moved: of these parameters only; None is all.
        """
        names = [name for name in self.names if moved is None or name in moved]
        if self.kind == "per_step":
            return [{name: self._initial[name] * one for name in names} for one in self._positive()]
        if self.kind == "per_tensor_and_step":
            rows = dict(zip(self.names, self._positive(), strict=True))
            return [{name: rows[name][step] for name in names} for step in range(self.steps)]
        if self.kind == "per_parameter":
            each = dict(zip(self.names, self.each, strict=True))
            return [{name: each[name] for name in names}] * self.steps
        return [{name: self._initial[name] for name in names}] * self.steps

    def _positive(self) -> Tensor:
        return F.softplus(self.raw)


def _raw(rate: float) -> float:
    """What softplus makes `rate` of: rates stay positive whatever the outer loop does."""
    return rate + log(-expm1(-rate))
