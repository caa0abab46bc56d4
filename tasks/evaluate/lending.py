"""What workers need of large things: written to files once, read by each worker once.

Weights lie as every stage leaves them, embeddings as `.npy`; images are read where stage prepare
put them. What is sent with each piece of work is the names of these files.
"""

import mmap
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from tasks.artifacts.model_store import write_model
from tasks.backbones.build import EncoderSpec, read_encoder
from tasks.backbones.encoder import Encoder
from tasks.errors import DataError
from tasks.evaluate.arms import Arm
from tasks.learners.learner import read_learner
from tasks.learners.spec import LearnerSpec

_MADE_BY = "evaluate"
_KEPT = 16  # networks, learners and arrays that a worker keeps at hand
_SMALL_BYTES = 4096  # such tensors travel with the work


@dataclass(frozen=True)
class LentArray:
    """An array or tensor in a `.npy` file."""

    path: Path
    tensor: bool


@dataclass(frozen=True)
class LentArm:
    """An arm in two folders, and what builds it again."""

    encoder: Path
    learner: Path
    network: EncoderSpec
    spec: LearnerSpec


class Lender:
    """Writes what workers need, each thing once.

    Args:
        folder: where to; workers of other machines need it at the same path.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder.resolve()
        # The thing itself is kept, so that its id is given to no other.
        self._lent: dict[int, tuple[object, Path]] = {}

    def lend(self, thing: object) -> object:
        """What to send in place of `thing`: the name of its files, or itself where it is small.

        Raises:
            OSError: the folder is read-only or full.
        """
        if isinstance(thing, Arm):
            return self._arm(thing)
        if isinstance(thing, Tensor) and thing.nbytes > _SMALL_BYTES:
            return LentArray(self._once(thing, lambda path: _save(path, thing.numpy())), True)
        if isinstance(thing, np.ndarray) and thing.nbytes > _SMALL_BYTES:
            stored = _stored(thing)
            return LentArray(
                stored or self._once(thing, lambda path: _save(path, thing)), tensor=False
            )
        return thing

    def _arm(self, arm: Arm) -> LentArm:
        network = arm.network
        if network is None:
            raise ValueError("an arm whose network has no spec cannot be built by a worker")
        shapes = {name: tuple(value.shape) for name, value in arm.encoder.named_parameters()}
        learner = replace(arm.spec, network_shapes=shapes)
        return LentArm(
            self._module("encoder", arm.encoder, network.as_json()),
            self._module("learner", arm.learner, learner.as_json()),
            network,
            arm.spec,
        )

    def _module(self, name: str, module: nn.Module, described: dict[str, Any]) -> Path:
        def write(path: Path) -> None:
            path.mkdir()
            write_model(path, {name: module}, {name: described})

        return self._once(module, write)

    def _once(self, thing: object, write: Callable[[Path], None]) -> Path:
        if id(thing) not in self._lent:
            self._folder.mkdir(parents=True, exist_ok=True)
            path = self._folder / f"{len(self._lent)}"
            write(path)
            self._lent[id(thing)] = thing, path
        return self._lent[id(thing)][1]


def borrow(lent: object) -> object:
    """The thing that `Lender.lend` stood for.

    Raises:
        DataError: a file is not there, or is not what was written.
    """
    if isinstance(lent, LentArm):
        return Arm(_encoder(lent.encoder), _learner(lent.learner), lent.spec, lent.network)
    if isinstance(lent, LentArray):
        array = _array(lent.path)
        # Copy on write: torch warns of memory that it may not write to.
        return torch.from_numpy(array) if lent.tensor else array
    return lent


def _stored(array: NDArray[Any]) -> Path | None:
    """The file that a whole memory-mapped array is of."""
    whole = isinstance(array, np.memmap) and isinstance(array.base, mmap.mmap)
    name = getattr(array, "filename", None) if whole else None
    return Path(name).resolve() if name and str(name).endswith(".npy") else None


def _save(path: Path, array: NDArray[Any]) -> None:
    with path.open("wb") as file:
        np.save(file, array, allow_pickle=False)


@lru_cache(_KEPT)
def _array(path: Path) -> NDArray[Any]:
    try:
        array: NDArray[Any] = np.load(path, mmap_mode="c", allow_pickle=False)
    except (OSError, ValueError) as error:
        raise DataError(
            f"{path}: a worker cannot read it ({error}); workers of other machines need the "
            "project's folder at the same path"
        ) from None
    return array


@lru_cache(_KEPT)
def _encoder(folder: Path) -> Encoder:
    return read_encoder(folder, _MADE_BY)


@lru_cache(_KEPT)
def _learner(folder: Path) -> nn.Module:
    return read_learner(folder, _MADE_BY)
