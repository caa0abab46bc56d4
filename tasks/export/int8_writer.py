"""Writes quantise-dequantise pairs into a graph: whole numbers, and the units that they count.

Quantise-dequantise pairs (QDQ) stand around what runtimes have whole-number kernels for. A value
`x` of an activation is kept as uint8, one scale a tensor; a weight as int8, one scale an output
channel; a bias as int32 in the units of the products that it is added to:

    x  =  scale (q - zero)              scale = (high - low) / 255,  zero = round(-low / scale)
    w  =  scale_c q                     scale_c = max |w_c| / 64, depthwise / 127
    b  =  scale scale_c q

Weights use -64..64 of int8: x86 processors without VNNI add two products of uint8 and int8 into 16
bits, and saturate there, silently. 2 x 255 x 127 is beyond 32,767, and 2 x 255 x 64 is not.
Depthwise convolutions have kernels of their own, which widen every factor first, and keep 127.

Rounded weights move the mean of what a channel gives, the same way for all images, and layer after
layer adds to it. The bias takes back what is to be expected, from the mean `E[x]` of each input
channel over the images that calibrate; at the edge, where padding is 0, it takes a little too much:

    b  ->  b  -  (rounded w  -  w) E[x]

Source: Jacob et al., Quantization and Training of Neural Networks, 2018, sections 2.1 to 2.4; Nagel
et al., Data-Free Quantization Through Weight Equalization and Bias Correction, 2019, section 4.2.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

_LEVELS = 255
LARGEST_WEIGHT = 64  # the largest whose pair of products with 255 fits into 16 bits
LARGEST_ALONE = 127  # in a depthwise convolution, whose kernels widen every factor first
_LARGEST_BIAS = 2**30


@dataclass(frozen=True)
class Seen:
    """What a tensor was seen to hold.

    Attributes:
        low: the lowest value.
        high: the highest.
        means: of each channel, the second axis, `(channel,)`.
    """

    low: float
    high: float
    means: NDArray[np.float64]


class Writer:
    """Adds nodes to a graph, with quantise-dequantise pairs after those that were seen.

    Args:
        graph: to add to.
        seen: what each tensor held that becomes whole numbers.
    """

    def __init__(self, graph: onnx.GraphProto, seen: Mapping[str, Seen]) -> None:
        self._graph = graph
        self._means = {name: one.means for name, one in seen.items()}
        self._numbers = {name: activation_numbers(one.low, one.high) for name, one in seen.items()}
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
        largest = LARGEST_ALONE if _is_depthwise(node, weight) else LARGEST_WEIGHT
        scales = _weight_scales(weight, axis, float(scale), bias, largest)
        rounded = _whole_weights(weight, scales, axis, largest)
        # A weight or bias that several nodes share is written for each, in its own units.
        own = node.output[0]
        zeros = np.zeros(len(scales), np.int8)
        inputs = [
            self._constant(f"{own}_weight_int8", rounded),
            self._constant(f"{own}_weight_scale", scales),
            self._constant(f"{own}_weight_zero", zeros),
        ]
        self._pair("DequantizeLinear", inputs, f"{own}_weight", axis)
        node.input[1] = f"{own}_weight"
        if bias is not None:
            units = (scale * scales).astype(np.float32)
            moved = rounded * _along(scales.astype(np.float64), axis, weight.ndim) - weight
            expected = _mean_output(moved, axis, self._means[node.input[0]])
            whole = np.rint((bias - expected) / units).astype(np.int32)
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


def _is_depthwise(node: onnx.NodeProto, weight: NDArray[np.float32]) -> bool:
    """Whether each channel is convolved by itself, with one output."""
    groups = next((one.i for one in node.attribute if one.name == "group"), 1)
    return node.op_type == "Conv" and groups == weight.shape[0] > 1 and weight.shape[1] == 1


def activation_numbers(low: float, high: float) -> tuple[np.float32, np.uint8]:
    """Scale and zero point; the range is widened to hold 0, which padding puts everywhere."""
    low, high = min(low, 0.0), max(high, 0.0)
    scale = np.float32((high - low) / _LEVELS)
    if scale < np.finfo(np.float32).tiny:
        scale = np.float32(1)
    return scale, np.uint8(np.clip(np.rint(-low / float(scale)), 0, _LEVELS))


def _weight_scales(
    weight: NDArray[np.float32],
    axis: int,
    scale: float,
    bias: NDArray[np.float32] | None,
    largest: int,
) -> NDArray[np.float32]:
    """The scale of each output channel: as fine as its weights, coarse enough for its bias."""
    others = tuple(one for one in range(weight.ndim) if one != axis)
    scales = np.abs(weight).max(axis=others).astype(np.float64) / largest
    if bias is not None:
        scales = np.maximum(scales, np.abs(bias) / (scale * _LARGEST_BIAS))
    return np.where(scales > np.finfo(np.float32).tiny, scales, 1.0).astype(np.float32)


def _whole_weights(
    weight: NDArray[np.float32], scales: NDArray[np.float32], axis: int, largest: int
) -> NDArray[np.int8]:
    whole = np.rint(weight.astype(np.float64) / _along(scales, axis, weight.ndim))
    return np.clip(whole, -largest, largest).astype(np.int8)


def _along(values: NDArray[np.floating[Any]], axis: int, axes: int) -> NDArray[np.floating[Any]]:
    """Values of each channel `(channel,)` as an array that lies along one axis of several."""
    shape = [1] * axes
    shape[axis] = -1
    return values.reshape(shape)


def _mean_output(
    weight: NDArray[np.float64], axis: int, means: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Mean of each output channel where each input channel is its mean everywhere.

    Args:
        weight: of a convolution `(output, input of a group, height, width)`, or a matrix.
        axis: of the output channels.
        means: of the input channels; a group reads as many as the weight has, one after another.
    """
    by_output = np.moveaxis(weight, axis, 0)
    inputs = by_output.reshape(*by_output.shape[:2], -1).sum(axis=2)
    groups = means.reshape(-1, inputs.shape[1])
    read = np.repeat(groups, len(inputs) // len(groups), axis=0)
    return np.asarray((inputs * read).sum(axis=1))
