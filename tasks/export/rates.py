"""The learned rates of a head as the plain numbers that stand in a graph."""

import torch
from torch import nn

from tasks.learners.gradient import BIAS, WEIGHT
from tasks.learners.rates import Rates


class PlainRates(nn.Module):
    """The rates of the head themselves, in the place of what they are computed from.

    Args:
        learned: of one step or more.
    """

    def __init__(self, learned: Rates) -> None:
        super().__init__()
        self.steps = learned.steps
        self.each_number = learned.kind == "per_parameter"
        given = learned((WEIGHT, BIAS))
        for name, key in (("weight", WEIGHT), ("bias", BIAS)):
            steps = [torch.as_tensor(rates[key]).detach() for rates in given]
            self.register_buffer(name, steps[0] if self.each_number else torch.stack(steps))
