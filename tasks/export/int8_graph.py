"""Writes the int8 form of an encoder: the same graph, whose network computes in whole numbers.

Quantise-dequantise pairs (QDQ) stand around what runtimes have whole-number kernels for. A value
`x` of an activation is kept as uint8, one scale a tensor; a weight as int8, one scale an output
channel; a bias as int32 in the units of the products that it is added to:

    x  =  scale (q - zero)              scale = (high - low) / 255,  zero = round(-low / scale)
    w  =  scale_c q                     scale_c = max |w_c| / 127
    b  =  scale scale_c q

Saturation at both ends does the work of ReLU and of a clip from 0, so these nodes go. Everything
before the network (framing, resizing, normalisation) and what follows its last convolution stays
in float32.

Source: Jacob et al., Quantization and Training of Neural Networks, 2018, sections 2.1 to 2.4.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

MEAN = "encoder.mean"  # as the exporter calls the constant that normalisation subtracts
_WEIGHTED = {"Conv": 0, "Gemm": 1, "MatMul": 1}  # axis of the output channels in the weight
_ELEMENTWISE = ("Add", "Mul")
_LEVELS = 255
_LARGEST_WEIGHT = 127
_LARGEST_BIAS = 2**30

Range = tuple[float, float]


class NotQuantisableError(Exception):
    """A graph has no int8 form; the text says why."""


@dataclass(frozen=True)
class Plan:
    """Which tensors of a graph become whole numbers.

    Attributes:
        tensors: activations to keep as uint8, each once, in the order of the graph.
        shared: of them, those that take the numbers of another: what max pooling gives.
        dropped: ReLU and clip nodes by output, whose work saturation does.
    """

    tensors: tuple[str, ...]
    shared: Mapping[str, str]
    dropped: frozenset[str]


def framed_pixels(model: onnx.ModelProto) -> str:
    """The tensor of framed images, uint8 `(batch, channels, side, side)`.

    Raises:
        NotQuantisableError: not exactly one tensor is cast to uint8.
    """
    found = [
        node.output[0]
        for node in model.graph.node
        for attribute in node.attribute
        if node.op_type == "Cast" and attribute.i == onnx.TensorProto.UINT8
    ]
    if len(found) != 1:
        raise NotQuantisableError(f"found {len(found)} casts to grey levels, needed one")
    return str(found[0])


def core(model: onnx.ModelProto, outputs: Iterable[str] = ()) -> onnx.ModelProto:
    """The graph from framed images on.

    Args:
        model: an encoder.
        outputs: tensors to give as well, each float32.

    Returns:
        A graph whose first input is `framed_pixels`, and whose first output is the encoder's. Some
        networks ask the images for the size of the batch, and take them as a second input.
    """
    framed = framed_pixels(model)
    wanted = [model.graph.output[0].name, *outputs]
    producers = {name: node for node in model.graph.node for name in node.output}
    needed: set[str] = set()
    waiting = list(wanted)
    while waiting:
        name = waiting.pop()
        if name not in needed and name != framed and name in producers:
            waiting.extend(producers[name].input)
        needed.add(name)
    float32, uint8 = onnx.TensorProto.FLOAT, onnx.TensorProto.UINT8
    graph = helper.make_graph(
        [
            node
            for node in model.graph.node
            if node.output[0] in needed and node.output[0] != framed
        ],
        "core",
        [
            helper.make_tensor_value_info(framed, uint8, ["batch", "channels", "side", "side"]),
            *(one for one in model.graph.input if one.name in needed),
        ],
        [helper.make_tensor_value_info(name, float32, None) for name in wanted],
        [one for one in model.graph.initializer if one.name in needed],
    )
    return helper.make_model(
        graph, opset_imports=list(model.opset_import), ir_version=model.ir_version
    )


class Int8Form:
    """Finds what of an encoder can be whole numbers, and writes it so.

    Args:
        model: an encoder in float32; it is left as it is.

    Raises:
        NotQuantisableError: its normalisation is not found, or nothing after it has weights.
    """

    def __init__(self, model: onnx.ModelProto) -> None:
        self._model = model
        self._constants = {
            one.name: one for one in model.graph.initializer if one.data_type == one.FLOAT
        }
        self._uses = Counter(name for node in model.graph.node for name in node.input)
        self._uses.update(one.name for one in model.graph.output)
        self._consumer = {name: node for node in model.graph.node for name in node.input}
        self._start = self._normalised_pixels()
        self._core = self._nodes_after(self._start)
        self.plan = self._plan()

    def write(self, ranges: Mapping[str, Range]) -> onnx.ModelProto:
        """The int8 form.

        Args:
            ranges: lowest and highest value of each tensor of the plan that shares no numbers.
        """
        numbers = {
            name: _activation_numbers(*ranges[self.plan.shared.get(name, name)])
            for name in self.plan.tensors
        }
        written = onnx.ModelProto()
        written.CopyFrom(self._model)
        del written.graph.node[:], written.graph.initializer[:]
        writer = _Writer(written.graph, numbers)
        in_core = {node.output[0] for node in self._core}
        for node in self._model.graph.node:
            if node.output[0] in self.plan.dropped:
                continue
            copy = onnx.NodeProto()
            copy.CopyFrom(node)
            if node.output[0] in in_core and self._is_weighted(node):
                axis = 0 if _transposed(node) else _WEIGHTED[node.op_type]
                writer.quantise_weights(copy, axis, self._constants)
            activated = self._activated(node.output[0])
            if activated in self.plan.dropped:
                copy.output[0] = activated
            writer.add(copy)
        used = {name for node in written.graph.node for name in node.input}
        written.graph.initializer.extend(
            one for one in self._model.graph.initializer if one.name in used
        )
        return written

    def _normalised_pixels(self) -> str:
        for node in self._model.graph.node:
            if node.op_type == "Sub" and node.input[1] == MEAN:
                after = self._consumer[node.output[0]]
                if after.op_type == "Div":
                    return str(after.output[0])
        raise NotQuantisableError("found no normalisation of the pixels, needed one to begin after")

    def _nodes_after(self, start: str) -> list[onnx.NodeProto]:
        reached, nodes = {start}, []
        for node in self._model.graph.node:
            if reached & set(node.input):
                reached.update(node.output)
                nodes.append(node)
        return nodes

    def _plan(self) -> Plan:
        tensors: dict[str, None] = {}
        shared: dict[str, str] = {}
        dropped: set[str] = set()
        for node in self._core:
            inputs = list(node.input)
            if self._is_weighted(node):
                tensors[inputs[0]] = None
                follows = node.op_type == "Conv"
            else:
                follows = node.op_type in _ELEMENTWISE and all(one in tensors for one in inputs)
            if node.op_type == "MaxPool" and inputs[0] in tensors:
                tensors[node.output[0]] = None
                shared[node.output[0]] = shared.get(inputs[0], inputs[0])
            activated = self._activated(node.output[0])
            if follows and activated != self._model.graph.output[0].name:
                tensors[activated] = None
                if activated != node.output[0]:
                    dropped.add(activated)
        if not any(self._is_weighted(node) for node in self._core):
            raise NotQuantisableError("found no convolution or product with weights in the network")
        return Plan(tuple(tensors), shared, frozenset(dropped))

    def _is_weighted(self, node: onnx.NodeProto) -> bool:
        """Whether a node multiplies by constant weights, in a way that has an int8 kernel."""
        if node.op_type not in _WEIGHTED or node.input[0] in self._constants:
            return False
        if any(name not in self._constants for name in node.input[1:]):
            return False
        plain = {"alpha": 1.0, "beta": 1.0, "transA": 0}
        return all(
            helper.get_attribute_value(one) == plain.get(one.name, helper.get_attribute_value(one))
            for one in node.attribute
        ) and (node.op_type == "Conv" or len(self._constants[node.input[1]].dims) == 2)

    def _activated(self, name: str) -> str:
        """The tensor after the ReLU or clip from 0 that alone reads this one; else this one."""
        node = self._consumer.get(name)
        if node is None or self._uses[name] != 1:
            return name
        if node.op_type == "Relu" or (
            node.op_type == "Clip"
            and len(node.input) > 1
            and node.input[1] in self._constants
            and float(numpy_helper.to_array(self._constants[node.input[1]])) == 0
        ):
            return str(node.output[0])
        return name


class _Writer:
    """Adds nodes to a graph, with quantise-dequantise pairs after those that have numbers."""

    def __init__(
        self, graph: onnx.GraphProto, numbers: Mapping[str, tuple[np.float32, np.uint8]]
    ) -> None:
        self._graph = graph
        self._numbers = numbers
        self._weights: dict[tuple[str, int], NDArray[np.float32]] = {}

    def add(self, node: onnx.NodeProto) -> None:
        """Add a node, which must give one tensor if that has numbers."""
        name = node.output[0]
        if name in self._numbers:
            node.output[0] = f"{name}_float"
        self._graph.node.append(node)
        if name in self._numbers:
            scale, zero = self._numbers[name]
            numbers = [
                self._constant(f"{name}_scale", np.asarray(scale)),
                self._constant(f"{name}_zero", np.asarray(zero)),
            ]
            self._pair("QuantizeLinear", [f"{name}_float", *numbers], f"{name}_uint8")
            self._pair("DequantizeLinear", [f"{name}_uint8", *numbers], name)

    def quantise_weights(
        self, node: onnx.NodeProto, axis: int, constants: Mapping[str, onnx.TensorProto]
    ) -> None:
        """Make the weight of a node int8, and its bias int32.

        Args:
            node: its first input has numbers; its names are changed.
            axis: of the output channels in the weight.
            constants: holds both.
        """
        scale, _ = self._numbers[node.input[0]]
        weight = numpy_helper.to_array(constants[node.input[1]])
        bias = numpy_helper.to_array(constants[node.input[2]]) if len(node.input) > 2 else None
        scales = _weight_scales(weight, axis, float(scale), bias)
        # A weight or bias that several nodes share is written for each, in its own units.
        own = node.output[0]
        zeros = np.zeros(len(scales), np.int8)
        inputs = [
            self._constant(f"{own}_weight_int8", _whole_weights(weight, scales, axis)),
            self._constant(f"{own}_weight_scale", scales),
            self._constant(f"{own}_weight_zero", zeros),
        ]
        self._pair("DequantizeLinear", inputs, f"{own}_weight", axis)
        node.input[1] = f"{own}_weight"
        if bias is not None:
            units = (scale * scales).astype(np.float32)
            whole = np.rint(bias.astype(np.float64) / units).astype(np.int32)
            inputs = [
                self._constant(f"{own}_bias_int32", whole),
                self._constant(f"{own}_bias_scale", units),
            ]
            self._pair("DequantizeLinear", inputs, f"{own}_bias", 0)
            node.input[2] = f"{own}_bias"

    def _constant(self, name: str, value: NDArray[np.generic]) -> str:
        self._graph.initializer.append(numpy_helper.from_array(value, name))
        return name

    def _pair(self, kind: str, inputs: list[str], output: str, axis: int | None = None) -> None:
        node = helper.make_node(kind, inputs, [output], name=output)
        if axis is not None:
            node.attribute.append(helper.make_attribute("axis", axis))
        self._graph.node.append(node)


def _activation_numbers(low: float, high: float) -> tuple[np.float32, np.uint8]:
    """Scale and zero point; the range is widened to hold 0, which padding puts everywhere."""
    low, high = min(low, 0.0), max(high, 0.0)
    scale = np.float32((high - low) / _LEVELS)
    if scale < np.finfo(np.float32).tiny:
        scale = np.float32(1)
    return scale, np.uint8(np.clip(np.rint(-low / float(scale)), 0, _LEVELS))


def _weight_scales(
    weight: NDArray[np.float32], axis: int, scale: float, bias: NDArray[np.float32] | None
) -> NDArray[np.float32]:
    """The scale of each output channel: as fine as its weights, coarse enough for its bias."""
    others = tuple(one for one in range(weight.ndim) if one != axis)
    scales = np.abs(weight).max(axis=others).astype(np.float64) / _LARGEST_WEIGHT
    if bias is not None:
        scales = np.maximum(scales, np.abs(bias) / (scale * _LARGEST_BIAS))
    return np.where(scales > np.finfo(np.float32).tiny, scales, 1.0).astype(np.float32)


def _whole_weights(
    weight: NDArray[np.float32], scales: NDArray[np.float32], axis: int
) -> NDArray[np.int8]:
    shape = [1] * weight.ndim
    shape[axis] = -1
    whole = np.rint(weight.astype(np.float64) / scales.reshape(shape))
    return np.clip(whole, -_LARGEST_WEIGHT, _LARGEST_WEIGHT).astype(np.int8)


def _transposed(node: onnx.NodeProto) -> bool:
    return any(one.name == "transB" and one.i == 1 for one in node.attribute)
