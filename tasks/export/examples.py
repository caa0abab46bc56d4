"""The examples in golden.npz: a few inputs of every graph, and what PyTorch makes of them."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tasks.artifacts.contract import TensorContract
from tasks.export.parts import Parts
from tasks.export.samples import drawings, support_set

_SIZES = ((2, 37, 53), (1, 105, 105), (3, 24, 61))
_SHOTS = ((1,) * 5, (5, 0, 2, 3))


@torch.no_grad()
def golden_examples(parts: Parts, seed: int) -> dict[str, list[dict[str, NDArray[Any]]]]:
    """Compute the examples.

    Args:
        parts: the modules.
        seed: of the inputs.

    Returns:
        Graph -> examples, each with every input and output of the graph by name.
    """
    images = [(torch.from_numpy(drawings(seed, *size)),) for size in _SIZES]
    supports = [support_set(seed, parts.dim, shots) for shots in _SHOTS]
    rules = [(support[0], *parts.adapt(*support)) for support in supports]
    inputs: dict[str, list[Any]] = {
        "encoder": images,
        "adapt": supports,
        "predict": rules,
        "classifier": images[:1],
    }
    examples: dict[str, list[dict[str, NDArray[Any]]]] = {}
    for graph, module in parts.modules().items():
        contract = parts.contracts()[graph]
        examples[graph] = []
        for tensors in inputs[graph]:
            outputs = module(*tensors)
            if isinstance(outputs, Tensor):
                outputs = (outputs,)
            examples[graph].append(
                _named(contract.inputs, tensors) | _named(contract.outputs, outputs)
            )
    return examples


def _named(
    contracts: tuple[TensorContract, ...], tensors: tuple[Tensor, ...]
) -> dict[str, NDArray[Any]]:
    return {
        contract.name: np.ascontiguousarray(tensor.numpy())
        for contract, tensor in zip(contracts, tensors, strict=True)
    }
