"""A device that is no processor's memory, as far as torch can tell, on a machine without a GPU.

Its tensors keep their numbers in memory, so that results can be compared to the bit; and an
operation on tensors of two devices is refused as CUDA refuses it. What it cannot show: the speed of
a GPU, and how its kernels round.
"""

from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map, tree_unflatten
from torch.utils.backend_registration import (
    _DummyBackendModule,
    _setup_privateuseone_for_python_backend,
)

from tasks.device import PROCESSOR

NAME = "pretend"
_aten = torch.ops.aten
_MOVES = (_aten._to_copy, _aten.copy_)
_TAKES_PLACES = (_aten.index, _aten.index_put, _aten.index_put_)  # CUDA takes these from anywhere


@cache
def registered() -> torch.device:
    """The device; torch knows of it from then on."""
    _setup_privateuseone_for_python_backend(NAME, backend_module=_Backend())
    return torch.device(NAME, 0)


class _Backend(_DummyBackendModule):
    """Draws nothing itself: its random numbers come from the processor's generator."""

    def get_rng_state(self, _: object) -> Tensor:
        return torch.empty(0, dtype=torch.uint8)

    def set_rng_state(self, *_: object) -> None:
        pass

    def get_amp_supported_dtype(self) -> list[torch.dtype]:
        return [torch.bfloat16]


class Away(Tensor):
    """A tensor there."""

    held: Tensor

    @staticmethod
    def __new__(cls, held: Tensor) -> "Away":
        made: Away = Tensor._make_wrapper_subclass(  # type: ignore[attr-defined]
            cls,
            held.shape,
            strides=held.stride(),
            storage_offset=held.storage_offset(),
            dtype=held.dtype,
            device=torch.device(NAME, 0),
        )
        made.held = held
        return made

    def __repr__(self) -> str:  # type: ignore[override]
        return f"Away({self.held})"

    @classmethod
    def __torch_dispatch__(
        cls, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        return _run(func, args, dict(kwargs or {}))


class PretendDevice(TorchDispatchMode):
    """Tensors can be sent there and back while the block lasts, on this thread."""

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        return _run(func, args, dict(kwargs or {}))


def _run(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    given, shape = tree_flatten((args, kwargs))
    tensors = [one for one in given if isinstance(one, Tensor)]
    away = [one for one in tensors if isinstance(one, Away)]
    name, wanted = func.overloadpacket, kwargs.get("device")
    if not away and wanted is None:
        return func(*args, **kwargs)
    if away and name not in _MOVES:
        _refuse_two_devices(func, args, tensors)
    if wanted is not None:
        goes = torch.device(wanted).type == NAME
    else:
        goes = isinstance(args[0], Away) if name is _aten.copy_ else bool(away)
    args, kwargs = tree_unflatten([_held(one) for one in given], shape)
    here = {} if wanted is None else {"device": PROCESSOR}
    found = func(*args, **kwargs | here)
    known = {id(one.held): one for one in away}  # what is changed in place stays what it is
    return tree_map(lambda one: _sent(one, known), found) if goes else found


def _refuse_two_devices(func: Any, args: tuple[Any, ...], tensors: list[Tensor]) -> None:
    if func.overloadpacket in _TAKES_PLACES and isinstance(args[0], Away):
        return
    if any(one.dim() > 0 for one in tensors if not isinstance(one, Away)):
        raise RuntimeError(f"{func}: expected all tensors to be on the same device")


def _held(value: Any) -> Any:
    return value.held if isinstance(value, Away) else value


def _sent(value: Any, known: dict[int, Away]) -> Any:
    if not isinstance(value, Tensor):
        return value
    return known[id(value)] if id(value) in known else Away(value)
