"""The outer loop: one optimizer step for each meta-batch of episodes."""

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import nn
from torch.optim import Optimizer
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from tasks.backbones.encoder import Encoder
from tasks.episodes.sampler import Episodes
from tasks.metatrain.meta_gradients import MetaGradient
from tasks.optimisation import Schedule
from tasks.ranks.group import ALONE, Ranks


@dataclass
class OuterLoop:
    """Takes meta-training steps.

    Attributes:
        encoder: what is trained of it has `requires_grad`.
        learner: likewise.
        gradient: of a meta-batch, by encoder and learner.
        optimizer: over what is trained.
        schedule: stepped once a meta-batch.
        averaging: how much of the average of the weights each step keeps; 0 is no averaging.
        interpolation: how far what is scored and kept lies from where the loop started, 0, to that
            average, 1.
        ranks: that take every step together, each on episodes of its own.
    """

    encoder: Encoder
    learner: nn.Module
    gradient: MetaGradient
    optimizer: Optimizer
    schedule: Schedule
    averaging: float
    interpolation: float
    ranks: Ranks = ALONE

    def __post_init__(self) -> None:
        """Remember the weights as they are, and start the average there."""
        # Source: Tarvainen and Valpola, Mean teachers are better role models, 2017, section 2.
        frozen = not any(one.requires_grad for one in self.encoder.parameters())
        self._trained = nn.ModuleList([self.learner] if frozen else [self.encoder, self.learner])
        self._average = AveragedModel(
            self._trained,
            multi_avg_fn=get_ema_multi_avg_fn(self.averaging),  # type: ignore[no-untyped-call]
            use_buffers=True,
        )
        self._average.update_parameters(self._trained)
        self._start = copy.deepcopy(self._trained.state_dict())
        self._between = copy.deepcopy(self._trained)

    @property
    def kept(self) -> tuple[Encoder, nn.Module]:
        """Encoder and learner between the start and the average of the steps; see the attributes.

        Source: Wortsman et al., Robust fine-tuning of zero-shot models, 2022, section 3, equation 1
        (WiSE-FT, with the average of the steps as what is fine-tuned).
        """
        average = self._average.module.state_dict()
        with torch.no_grad():
            for name, value in self._between.state_dict().items():
                start, end = self._start[name], average[name]
                between = start.lerp(end, self.interpolation) if end.is_floating_point() else end
                value.copy_(between)
        *encoder, learner = self._between
        return cast(Encoder, encoder[0]) if encoder else self.encoder, learner

    def step(self, episodes: Episodes, number: int) -> float:
        """Take one step on a meta-batch and return its loss.

        Args:
            episodes: the meta-batch.
            number: of the step; names its random stream.
        """
        self.optimizer.zero_grad()
        loss = self._gradient(episodes, number)
        self.optimizer.step()
        self.schedule.step()
        self._average.update_parameters(self._trained)
        return loss

    def _gradient(self, episodes: Episodes, number: int) -> float:
        loss = self.gradient(episodes, number)
        if self.ranks.alone:
            return loss
        share = self.ranks.share(len(episodes.classes))
        self.ranks.add_gradients(self._trained.parameters(), share)
        return self.ranks.sum(torch.tensor(loss * share, dtype=torch.float64)).item()

    def state_dict(self) -> dict[str, Any]:
        """All that a later `load_state_dict` needs to go on with the same bits."""
        return {
            "trained": self._trained.state_dict(),
            "average": self._average.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "schedule": self.schedule.state_dict(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state_dict` gave."""
        self._trained.load_state_dict(state["trained"])
        self._average.load_state_dict(state["average"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.schedule.load_state_dict(dict(state["schedule"]))
