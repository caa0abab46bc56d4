"""Reads files of weights that others wrote, and tells in one line why one cannot be used."""

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from tasks.errors import DataError

_WRAPPINGS = ("state_dict", "model_state_dict", "model", "net")
_PREFIXES = ("module.", "_orig_mod.", "encoder.", "backbone.", "model.", "network.")
# What is left behind: classifiers, also auxiliary ones, and an encoder's own normalisation.
_LEFT_OUT = ("fc", "classifier", "head", "heads", "aux1", "aux2", "AuxLogits", "mean", "std")
_TOLD = 3


def read_state(path: Path) -> Mapping[str, Tensor]:
    """Name -> tensor, in the order of the file; nothing in it is run.

    Args:
        path: `.safetensors`, or a file of `torch.save` that holds tensors and plain values alone;
            a training checkpoint is fine where the weights stand under `state_dict` or `model`.

    Raises:
        DataError: it is missing or damaged, or holds more than weights.
    """
    if not path.is_file():
        raise DataError(f"pretrain.weights: {path}: not found, needed a file of weights")
    content: Any
    try:
        if path.suffix == ".safetensors":
            content = load_file(path)
        else:
            with warnings.catch_warnings():  # of a pickle that is refused anyway
                warnings.simplefilter("ignore", UserWarning)
                content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # bytes that are no such file may fail torch's reader in any way
        text = " ".join(f"{type(error).__name__}: {error}".split())
        why = (
            "it holds more than weights, and code in files is never run; save the state_dict alone"
            if "Unsupported" in text
            else f"damaged, or no file of weights ({text[:160]})"
        )
        raise DataError(f"pretrain.weights: {path}: {why}") from None
    while isinstance(content, dict) and (key := _wrapping(content)):
        content = content[key]
    if not isinstance(content, dict) or not all(isinstance(v, Tensor) for v in content.values()):
        raise DataError(f"pretrain.weights: {path}: found no weights by name, needed a state_dict")
    return content


def fill(module: nn.Module, state: Mapping[str, Tensor], place: str) -> None:
    """Load weights under names that may have a prefix and may have a classifier beside them.

    Args:
        module: a backbone; where it wraps a `network`, the names are those of that.
        state: name -> tensor.
        place: where it comes from, for the message.

    Raises:
        DataError: a tensor is missing, of another shape, or nowhere to be put.
    """
    needed = {key.removeprefix("network."): key for key in module.state_dict()}
    tensors = module.state_dict()
    found = {_bare(key, needed): tensor for key, tensor in state.items()}
    faults = {
        "missing": [
            key for key in needed if key not in found and not key.endswith("num_batches_tracked")
        ],
        "unexpected": [
            key for key in found if key not in needed and key.split(".")[0] not in _LEFT_OUT
        ],
        "of another shape": [
            f"{key} {tuple(found[key].shape)} for {tuple(tensors[needed[key]].shape)}"
            for key in needed
            if key in found and found[key].shape != tensors[needed[key]].shape
        ],
    }
    if any(faults.values()):
        told = [
            f"{len(keys)} {what} ({', '.join(keys[:_TOLD])}{', ...' if len(keys) > _TOLD else ''})"
            for what, keys in faults.items()
            if keys
        ]
        raise DataError(f"{place}: the weights do not fit the backbone: {'; '.join(told)}")
    kept = {needed[key]: tensor for key, tensor in found.items() if key in needed}
    module.load_state_dict(tensors | kept, strict=True)


def _wrapping(content: dict[str, Any]) -> str:
    return next((key for key in _WRAPPINGS if isinstance(content.get(key), dict)), "")


def _bare(key: str, needed: Mapping[str, str]) -> str:
    """The name without what wrappers have put before it."""
    while key not in needed:
        prefix = next((one for one in _PREFIXES if key.startswith(one)), "")
        if not prefix:
            break
        key = key.removeprefix(prefix)
    return key
