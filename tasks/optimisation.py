"""Optimizers and learning-rate schedules by name: PyTorch's own, wired one way for all stages."""

from collections.abc import Iterable
from typing import Literal

import torch
from torch import nn
from torch.optim import SGD, AdamW, Optimizer
from torch.optim.lr_scheduler import (
    ConstantLR,
    CosineAnnealingLR,
    ExponentialLR,
    LRScheduler,
    OneCycleLR,
)

MOMENTUM = 0.9
WARM_UP_SHARE = 0.2


def optimizer(
    name: Literal["adamw", "sgd"],
    parameters: Iterable[nn.Parameter],
    learning_rate: float,
    weight_decay: float,
) -> Optimizer:
    """Build an optimizer over the parameters that are to be trained.

    Args:
        name: `adamw`, or `sgd` with Nesterov momentum 0.9.
        parameters: those with `requires_grad` are taken.
        learning_rate: the highest rate that the schedule reaches.
        weight_decay: decoupled for `adamw`, added to the gradient for `sgd`.
    """
    trained = [parameter for parameter in parameters if parameter.requires_grad]
    if name == "adamw":
        return AdamW(trained, lr=learning_rate, weight_decay=weight_decay)
    return SGD(
        trained, lr=learning_rate, momentum=MOMENTUM, nesterov=True, weight_decay=weight_decay
    )


def schedule(
    name: Literal["constant", "cosine", "one_cycle", "exponential"],
    over: Optimizer,
    total_steps: int,
    decay_per_step: float,
) -> LRScheduler:
    """Build a schedule that is stepped after every optimizer step.

    Args:
        name: `constant`; `cosine` (to zero); `one_cycle` (a fifth of the steps up, then down);
            `exponential`.
        over: the optimizer.
        total_steps: how many steps there will be, at least 1.
        decay_per_step: factor of `exponential`.
    """
    if name == "cosine":
        return CosineAnnealingLR(over, T_max=total_steps)
    if name == "one_cycle" and total_steps > 1:
        highest = [group["lr"] for group in over.param_groups]
        # cycle_momentum off: AdamW's first beta is not a momentum to be traded for rate.
        return OneCycleLR(
            over,
            highest,
            total_steps=total_steps,
            # At least a step and a half, or PyTorch divides by a warm-up of no length.
            pct_start=max(WARM_UP_SHARE, 1.5 / total_steps),
            cycle_momentum=False,
        )
    if name == "exponential":
        return ExponentialLR(over, gamma=decay_per_step)
    return ConstantLR(over, factor=1.0, total_iters=0)


def deterministic() -> None:
    """Make torch refuse operations that could give other bits on a second run."""
    torch.use_deterministic_algorithms(True)
