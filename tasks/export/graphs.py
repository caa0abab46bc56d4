"""From a module to an ONNX graph that keeps its contract and carries nothing else."""

import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, cast

import onnx
import torch
from onnx import numpy_helper
from torch import Tensor, nn
from torch.export import Dim
from torch.func import functional_call

from tasks.artifacts.contract import IR_VERSION, OPSET, GraphContract, TensorContract
from tasks.errors import BundleError
from tasks.export.solving import TRANSLATIONS

_NOTES = ("metadata_props", "doc_string")


def trace(
    module: nn.Module,
    contract: GraphContract,
    examples: Sequence[Tensor],
    *,
    name: str,
    about: Mapping[str, str],
    kept: Mapping[str, Tensor] | None = None,
) -> onnx.ModelProto:
    """Export a module; axes that the contract names take any size.

    Args:
        module: in evaluation mode.
        contract: names, types and shapes of inputs and outputs.
        examples: one tensor an input; sizes of named axes must be at least 2, those of different
            names different, or the exporter takes them for constants or for one another.
        name: of the graph.
        about: what the model says of itself, shown by viewers.
        kept: parameters and buffers by name that stay initialisers of these names, as far as they
            are used at all; the exporter may compute ahead with all others.

    Returns:
        The graph with its weights inside. Equal modules give equal bytes.

    Raises:
        BundleError: the module does something that no graph can.
    """
    axes = {
        size: Dim(size)
        for tensor in contract.inputs
        for size in tensor.shape
        if isinstance(size, str)
    }
    shapes: tuple[Any, ...] = tuple(
        {axis: axes[size] for axis, size in enumerate(tensor.shape) if isinstance(size, str)}
        for tensor in contract.inputs
    )
    arguments: tuple[Any, ...] = tuple(examples)
    numbers = dict(kept or {})
    if numbers:
        module, arguments = _WithNumbers(module, numbers), (arguments, tuple(numbers.values()))
        shapes = (shapes, tuple({} for _ in numbers))
    with warnings.catch_warnings(), torch.no_grad():
        # It tells that two inputs share an axis, which is meant.
        warnings.filterwarnings("ignore", message="# The axis name", category=UserWarning)
        try:
            program = torch.onnx.export(
                module.eval(),
                arguments,
                dynamo=True,
                # Straight to the opset wanted: converting down afterwards fails.
                opset_version=OPSET,
                external_data=False,
                input_names=[tensor.name for tensor in contract.inputs] + list(numbers),
                output_names=[tensor.name for tensor in contract.outputs],
                dynamic_shapes=shapes,
                custom_translation_table=dict(TRANSLATIONS),
                verbose=False,
            )
        except Exception as error:  # PyTorch's exporter raises whatever it met on the way
            raise _unexportable(name, error) from None
    if program is None:
        raise BundleError(f"{name}: PyTorch's exporter returned no graph")
    model = program.model_proto
    _keep(model.graph, numbers)
    return _tidy(model, contract, name, about)


class _WithNumbers(nn.Module):
    """A module that takes some of its parameters and buffers as inputs, so that nothing is known.

    Args:
        module: to call.
        names: of these inputs.
    """

    def __init__(self, module: nn.Module, names: Iterable[str]) -> None:
        super().__init__()
        self.module = module
        self.names = tuple(names)

    def forward(self, inputs: tuple[Tensor, ...], numbers: tuple[Tensor, ...]) -> Any:
        """What the module gives."""
        return functional_call(
            self.module, dict(zip(self.names, numbers, strict=True)), tuple(inputs)
        )


def _keep(graph: onnx.GraphProto, numbers: Mapping[str, Tensor]) -> None:
    """Make initialisers of inputs, and leave those out that nothing reads."""
    used = set(_read_names(graph))
    inputs = [value for value in graph.input if value.name not in numbers]
    del graph.input[:]
    graph.input.extend(inputs)
    own = [
        numpy_helper.from_array(value.detach().numpy(), name)
        for name, value in numbers.items()
        if name in used
    ]
    # The exporter leaves some of its own behind that only a branch seemed to need.
    others = [one for one in graph.initializer if one.name in used]
    del graph.initializer[:]
    graph.initializer.extend([*own, *others])


def _read_names(graph: onnx.GraphProto) -> Iterator[str]:
    for node in graph.node:
        yield from node.input
        for attribute in node.attribute:
            yield from _read_names(attribute.g)
    yield from (one.name for one in graph.output)


def _unexportable(name: str, error: BaseException) -> BundleError:
    """Says what the exporter stopped at; the first cause, for those after it only tell where."""
    first = error
    while first.__cause__ is not None:
        first = first.__cause__
    reason = " ".join(str(first).split())[:300] or type(first).__name__
    return BundleError(
        f"{name}: PyTorch cannot make a graph of it ({reason}); choose another pretrain.backbone "
        "or metatrain.learner"
    )


def serialised(model: onnx.ModelProto) -> bytes:
    """The bytes of a graph, the same whenever the graph is the same."""
    return cast(bytes, model.SerializeToString(deterministic=True))


def _tidy(
    model: onnx.ModelProto, contract: GraphContract, name: str, about: Mapping[str, str]
) -> onnx.ModelProto:
    # The exporter notes stack traces with local paths at every node.
    _strip(model)
    del model.graph.value_info[:]
    model.ir_version = IR_VERSION
    model.graph.name = name
    model.doc_string = model.graph.doc_string = contract.purpose
    _describe(model.graph.input, contract.inputs)
    _describe(model.graph.output, contract.outputs)
    for key, text in about.items():
        model.metadata_props.add(key=key, value=text)
    return model


def _strip(message: Any) -> None:
    for field, value in message.ListFields():
        if field.name in _NOTES:
            message.ClearField(field.name)
        elif hasattr(value, "ListFields"):
            _strip(value)
        elif field.type == field.TYPE_MESSAGE:
            for one in value:
                _strip(one)


def _describe(values: Sequence[onnx.ValueInfoProto], tensors: Sequence[TensorContract]) -> None:
    for value, tensor in zip(values, tensors, strict=True):
        axes = ", ".join(str(size) for size in tensor.shape)
        value.doc_string = f"{tensor.dtype} ({axes}): {tensor.meaning}"
