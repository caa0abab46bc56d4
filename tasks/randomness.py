"""Independent random streams, each named by what it is for.

There is no global seed. A stream is a function of `(seed, stage, purpose, index...)` alone, so
neither the number of workers nor the order of calls changes what anybody draws.
"""

import hashlib
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch


def entropy(seed: int, *name: str | int) -> int:
    """The 128-bit number that stands for one named stream.

    Args:
        seed: `seed` of `params.yaml`.
        name: stage, purpose and indices, outermost first.

    Returns:
        An integer in `[0, 2**128)`; different names give unrelated integers.
    """
    # A separator that no part can hold keeps ("a", "bc") and ("ab", "c") apart.
    text = "\x1f".join(str(part) for part in (seed, *name))
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=16).digest(), "little")


def numpy_generator(seed: int, *name: str | int) -> np.random.Generator:
    """A NumPy generator for one named stream; arguments as in `entropy`."""
    return np.random.Generator(np.random.PCG64(entropy(seed, *name)))


def torch_generator(seed: int, *name: str | int) -> "torch.Generator":
    """A CPU torch generator for one named stream; arguments as in `entropy`."""
    import torch  # rendering workers draw from NumPy alone and start without it

    return torch.Generator().manual_seed(entropy(seed, *name) % 2**63)
