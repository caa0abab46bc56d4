"""The int8 form of an encoder: the same graph, whose network computes in whole numbers.

What is kept as whole numbers, and in which units, stands in `tasks.export.int8_writer`. Saturation
at both ends does the work of ReLU and of a clip from 0, so these nodes go. Everything before the
network (framing, resizing, normalisation) and what follows its last convolution stays in float32.

Source: Jacob et al., Quantization and Training of Neural Networks, 2018, sections 2.1 to 2.4.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

import onnx
from onnx import helper, numpy_helper

from tasks.export.int8_writer import Seen, Writer

MEAN = "encoder.mean"  # as the exporter calls the constant that normalisation subtracts
_WEIGHTED = {"Conv": 0, "Gemm": 1, "MatMul": 1}  # axis of the output channels in the weight
_ELEMENTWISE = ("Add", "Mul")


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

    def write(self, seen: Mapping[str, Seen]) -> onnx.ModelProto:
        """The int8 form.

        Args:
            seen: what each tensor of the plan held. One that shares the numbers of another takes
                the ends of that one, and has means of its own.
        """
        shared = {name: seen[self.plan.shared.get(name, name)] for name in self.plan.tensors}
        known = {name: replace(one, means=seen[name].means) for name, one in shared.items()}
        written = onnx.ModelProto()
        written.CopyFrom(self._model)
        del written.graph.node[:], written.graph.initializer[:]
        writer = Writer(written.graph, known)
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


def _transposed(node: onnx.NodeProto) -> bool:
    return any(one.name == "transB" and one.i == 1 for one in node.attribute)
