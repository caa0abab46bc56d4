"""How BatchNorm normalises inside an episode."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm


@contextmanager
def normalising(network: nn.Module, by: Literal["running", "transductive"]) -> Iterator[None]:
    """Normalise by running statistics, or every forward pass by its own batch.

    Running statistics are those that pretraining left: nothing in an episode tells about anything
    else in it. With `transductive` the queries of an episode are normalised together, so each of
    them tells about the others, and results hold only for queries that come in such batches.

    No buffer changes either way, and both are exact to the second order: the network is called
    once an episode, never under `vmap`.

    Args:
        network: left in evaluation mode.
        by: which statistics.

    Source: Bronskill et al., TaskNorm, 2020, section 3, on transductive batch normalisation.
    """
    network.eval()
    layers = [one for one in network.modules() if isinstance(one, _BatchNorm)]
    before = [one.track_running_stats for one in layers]
    if by == "transductive":
        for one in layers:
            one.training, one.track_running_stats = True, False
    try:
        yield
    finally:
        for one, tracked in zip(layers, before, strict=True):
            one.training, one.track_running_stats = False, tracked
