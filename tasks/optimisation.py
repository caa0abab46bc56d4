"""Optimizers and learning-rate schedules by name: PyTorch's own, wired one way for all stages."""

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import nn
from torch.optim import SGD, Adam, AdamW, Optimizer
from torch.optim.lr_scheduler import (
    CosineAnnealingLR,
    LambdaLR,
    LRScheduler,
    OneCycleLR,
    ReduceLROnPlateau,
)

from tasks.device import PROCESSOR

MOMENTUM = 0.9
WARM_UP_SHARE = 0.2

ScheduleName = Literal[
    "constant", "cosine", "one_cycle", "exponential", "plateau", "cross_validation"
]


def optimizer(
    name: Literal["adamw", "adam", "sgd"],
    parameters: Iterable[nn.Parameter | dict[str, Any]],
    learning_rate: float,
    weight_decay: float,
) -> Optimizer:
    """Build an optimizer over the parameters that are to be trained.

    Args:
        name: `adamw`, `adam`, or `sgd` with Nesterov momentum 0.9.
        parameters: those with `requires_grad` are taken; or groups of parameters, `params` with
            a `lr` of their own, which are taken as they are.
        learning_rate: the highest rate that the schedule reaches; `cross_validation` starts from
            it and may go above.
        weight_decay: decoupled for `adamw`, added to the gradient for `adam` and `sgd`.
    """
    trained: list[Any] = [one for one in parameters if isinstance(one, dict) or one.requires_grad]
    if name == "adamw":
        return AdamW(trained, lr=learning_rate, weight_decay=weight_decay)
    if name == "adam":
        return Adam(trained, lr=learning_rate, weight_decay=weight_decay)
    return SGD(
        trained, lr=learning_rate, momentum=MOMENTUM, nesterov=True, weight_decay=weight_decay
    )


class Schedule:
    """The learning rates of one training; a trainer need not know which schedule it is.

    Args:
        over: the optimizer whose rates these are.
        stepping: moves the rates by the number of steps taken, if anything does.
        listening: moves them by what validation says, if anything does.
    """

    def __init__(
        self,
        over: Optimizer,
        stepping: LRScheduler | None = None,
        listening: ReduceLROnPlateau | None = None,
    ) -> None:
        self._over = over
        self._stepping = stepping
        self._listening = listening

    @property
    def rate(self) -> float:
        """The rate of the next step; the highest, where groups of parameters have their own."""
        return max(self._rates())

    def step(self) -> None:
        """Go on by one step; called after every step of the optimizer."""
        if self._stepping is not None:
            self._stepping.step()

    def listen(self, accuracy: float) -> None:
        """Hear how well the model does; called after every scoring of validation episodes.

        Args:
            accuracy: mean over the episodes, 0..1.
        """
        if self._listening is not None:
            self._listening.step(accuracy)

    def state_dict(self) -> dict[str, Any]:
        """All that `load_state_dict` needs to go on from here: numbers, texts and lists."""
        return {
            "rates": self._rates(),
            "stepping": self._stepping.state_dict() if self._stepping else None,
            "listening": self._listening.state_dict() if self._listening else None,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from where a schedule of the same name and optimizer stood."""
        if self._stepping is not None:
            self._stepping.load_state_dict(dict(state["stepping"]))
        if self._listening is not None:
            self._listening.load_state_dict(dict(state["listening"]))
        for group, rate in zip(self._over.param_groups, state["rates"], strict=True):
            group["lr"] = rate

    def _rates(self) -> list[float]:
        return [float(group["lr"]) for group in self._over.param_groups]


@dataclass
class Exponential:
    """`decay ** (number // every)`, in steps and not smoothly, as the tutorial has it.

    Attributes:
        decay: what one step down leaves of the rate, in (0, 1].
        every: how many optimizer steps apart the steps down are.
    """

    decay: float
    every: int

    def __call__(self, number: int) -> float:
        """What the first rate is multiplied by at optimizer step `number`, counted from 0."""
        return self.decay ** (number // self.every)


@dataclass
class Segments:
    """A factor for each of several equally long parts of a training.

    Attributes:
        factors: what the first rate is multiplied by, a number a segment.
        total_steps: of the training.
    """

    factors: Sequence[float]
    total_steps: int

    def __call__(self, number: int) -> float:
        """What the first rate is multiplied by at optimizer step `number`, counted from 0."""
        starts = segment_starts(self.total_steps, len(self.factors))
        return self.factors[sum(start <= number for start in starts) - 1]


def segment_starts(total_steps: int, segments: int) -> list[int]:
    """The number of the first step of each segment, `floor(i * total_steps / segments)`."""
    return [index * total_steps // segments for index in range(segments)]


def schedule(
    name: ScheduleName,
    over: Optimizer,
    total_steps: int,
    *,
    decay: float = 1.0,
    decay_every_steps: int = 1,
    plateau_factor: float = 0.1,
    plateau_patience: int = 10,
    segment_factors: Sequence[float] = (),
) -> Schedule:
    """Build a schedule; at its start it has moved nothing.

    With `r` the rate that the optimizer was built with and `n` the number of the step from 0:

    - `constant`: `r`, or whatever the optimizer is told; nothing is ever set back.
    - `cosine`: `r / 2 * (1 + cos(pi * n / total_steps))`, so down to zero.
    - `one_cycle`: a fifth of the steps up from `r / 25`, then down to almost zero.
    - `exponential`: `r * decay ** (n // decay_every_steps)`.
    - `plateau`: `r * plateau_factor ** k`; `k` goes up by one whenever more than
      `plateau_patience` scores in a row were no better than the best before them.
    - `cross_validation`: `r` times the factor of the segment that `n` falls in.

    Args:
        name: which of these.
        over: the optimizer; each of its groups of parameters keeps its own `r`.
        total_steps: how many steps there will be, at least 1.
        decay: of `exponential`.
        decay_every_steps: of `exponential`.
        plateau_factor: of `plateau`.
        plateau_patience: of `plateau`.
        segment_factors: of `cross_validation`, a factor for each of equally long segments.

    Source: Loshchilov and Hutter, SGDR, 2017, equation 5 (`cosine`); Smith and Topin,
    Super-convergence, 2018 (`one_cycle`).
    """
    if name == "cosine":
        return Schedule(over, CosineAnnealingLR(over, T_max=total_steps))
    if name == "one_cycle" and total_steps > 1:
        highest = [group["lr"] for group in over.param_groups]
        # cycle_momentum off: AdamW's first beta is not a momentum to be traded for rate.
        cycle = OneCycleLR(
            over,
            highest,
            total_steps=total_steps,
            # At least a step and a half, or PyTorch divides by a warm-up of no length.
            pct_start=max(WARM_UP_SHARE, 1.5 / total_steps),
            cycle_momentum=False,
        )
        return Schedule(over, cycle)
    if name == "exponential":
        return Schedule(over, LambdaLR(over, Exponential(decay, decay_every_steps)))
    if name == "cross_validation":
        return Schedule(over, LambdaLR(over, Segments([*segment_factors], total_steps)))
    if name == "plateau":
        listening = ReduceLROnPlateau(
            over, mode="max", factor=plateau_factor, patience=plateau_patience
        )
        return Schedule(over, listening=listening)
    return Schedule(over)


def deterministic(device: torch.device = PROCESSOR) -> None:
    """Make torch refuse operations that could give other bits on a second run.

    Args:
        device: where the network runs; on a GPU some operations have no other form, and torch
            warns of them and goes on.
    """
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # or cuBLAS takes the fastest form
    # As use_deterministic_algorithms, which imports torch's compiler: 1.5 s, and 155 MB that stay.
    torch.set_deterministic_debug_mode("error" if device == PROCESSOR else "warn")
    # Else torch writes NaN over all memory that an operation is about to write its result to: a
    # tenth of a training step, for no bit of any result.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
