"""Where networks run: this machine's processor, or a GPU.

A stage puts its encoder and learner there, and every tensor that meets them is made there too.
Random numbers are drawn on the processor and moved, so that both see the same images in the same
order; dropout and stochastic depth alone draw where they are.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from tasks.errors import ParametersError
from tasks.randomness import entropy

PROCESSOR = torch.device("cpu")


def device_of(name: str, param: str) -> torch.device:
    """The device that a param asks for.

    Args:
        name: `cpu` or `cuda`.
        param: whose value that is, for the message.

    Raises:
        ParametersError: torch finds no GPU.
    """
    if name == "cuda" and not torch.cuda.is_available():
        raise ParametersError(
            f"{param}: found cuda, and torch {torch.__version__} finds no GPU here; set it to cpu, "
            "or see that `nvidia-smi` works and the driver is as new as this torch wants"
        )
    return torch.device(name)


def place_of(module: nn.Module) -> torch.device:
    """Where a module is: where its first parameter or buffer lies; with none, the processor."""
    for tensor in (*module.parameters(), *module.buffers()):
        return tensor.device
    return PROCESSOR


@contextmanager
def seeded(device: torch.device, seed: int, *name: str | int) -> Iterator[None]:
    """Have what a network draws by itself come from one named stream; then all is as before.

    Args:
        device: that the network is on.
        seed: `seed` of `params.yaml`.
        name: of the stream, see `tasks.randomness.entropy`.
    """
    value = entropy(seed, *name) % 2**63
    on_gpu = device.type == "cuda"
    with torch.random.fork_rng(devices=[device] if on_gpu else []):
        torch.default_generator.manual_seed(value)
        if on_gpu:
            torch.cuda.manual_seed(value)
        yield
