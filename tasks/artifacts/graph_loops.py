"""Whether every Loop of a graph comes to an end: how often it turns must be some tensor's length.

One pass over the nodes, in the order they run, notes two kinds of tensors:

    sized     no axis is longer than one of the graph's inputs, or than `LARGEST_LOOP`
    lengths   whole numbers that are no larger than that

Shape makes lengths of what is sized; a length may be picked, joined and cast. What makes a tensor
longer (Expand, Range, ConstantOfShape) is sized only where it is told a length. All other
operators that could, such as Tile, Pad or a Reshape of no values to 2**60 x 0, make nothing that
may count turns.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, numpy_helper

from tasks.errors import BundleError

LARGEST_LOOP = 2**16  # turns of one whose number is written down: an embedding's numbers, say

_PICKING = "Cast Gather Identity Reshape Slice Squeeze Unsqueeze"
_JOINING = "Concat Max Min"
# Their results have no axis longer than the longest of their inputs.
_KEEPING = """
Abs Add And ArgMax ArgMin Cast CastLike Ceil Clip Cos CumSum Div Equal Erf Exp Floor Gather
Gemm Greater GreaterOrEqual Identity IsInf IsNaN LayerNormalization LeakyRelu Less LessOrEqual
Log LogSoftmax MatMul Max Mean Min Mod Mul Neg Not Or Pow Reciprocal ReduceL1 ReduceL2
ReduceLogSum ReduceLogSumExp ReduceMax ReduceMean ReduceMin ReduceProd ReduceSum
ReduceSumSquare Relu Round Shape Sigmoid Sign Sin Slice Softmax Softplus Softsign Sqrt Squeeze
Sub Sum Tanh Transpose Trilu Unsqueeze Where Xor
"""
_PICK, _JOIN, _KEEP = (frozenset(one.split()) for one in (_PICKING, _JOINING, _KEEPING))


@dataclass
class _Known:
    """What is known of tensors by name.

    Attributes:
        sized: those of no axis without a bound.
        lengths: those of values with the same bound.
        constants: values written in the graph.
    """

    sized: set[str] = field(default_factory=lambda: {""})  # an input that is left out
    lengths: set[str] = field(default_factory=set)
    constants: dict[str, NDArray[np.generic]] = field(default_factory=dict)

    def copy(self) -> "_Known":
        return _Known(set(self.sized), set(self.lengths), dict(self.constants))

    def forget(self, names: Iterable[str]) -> None:
        """Of names that a branch gives another meaning."""
        for name in names:
            self.sized.discard(name)
            self.lengths.discard(name)
            self.constants.pop(name, None)

    def note_constant(self, name: str, tensor: TensorProto) -> None:
        self.forget([name])
        if max(tensor.dims, default=0) > LARGEST_LOOP:
            return
        self.sized.add(name)
        values = numpy_helper.to_array(tensor)
        if values.dtype.kind == "i":
            self.constants[name] = values
            if values.max(initial=0) <= LARGEST_LOOP:
                self.lengths.add(name)

    def note(self, node: onnx.NodeProto) -> None:
        kind = node.op_type
        inputs = [*node.input, *[""] * (3 - len(node.input))]
        sized, lengths = self._is_sized(kind, inputs), self._are_lengths(kind, inputs)
        self.forget(node.output)
        for attribute in node.attribute:
            if kind == "Constant" and attribute.name == "value":
                self.note_constant(node.output[0], attribute.t)
        if sized:
            self.sized.update(node.output)
        if lengths:
            self.lengths.update(node.output)

    def _is_sized(self, kind: str, inputs: list[str]) -> bool:
        if kind in _KEEP:
            return self.sized.issuperset(inputs)
        if kind == "Expand":
            return inputs[0] in self.sized and inputs[1] in self.lengths
        if kind == "ConstantOfShape":
            return inputs[0] in self.lengths
        if kind == "Range":
            return (
                self._is_constant(inputs[0], 0)
                and inputs[1] in self.lengths
                and self._is_constant(inputs[2], 1)
            )
        return False

    def _are_lengths(self, kind: str, inputs: list[str]) -> bool:
        if kind == "Shape":
            return inputs[0] in self.sized
        if kind in _PICK:
            return inputs[0] in self.lengths
        return kind in _JOIN and self.lengths.issuperset(filter(None, inputs))

    def _is_constant(self, name: str, value: int) -> bool:
        found = self.constants.get(name)
        return found is not None and found.size == 1 and found.item() == value


def check_loops(graph: onnx.GraphProto, name: str) -> None:
    """Refuse a Loop without a bound, wherever it hides, and one in another.

    Args:
        graph: with its branches and bodies; every constant in it holds the values it declares.
        name: of the file, for messages.

    Raises:
        BundleError: there is such a Loop.
    """
    known = _Known()
    known.sized.update(one.name for one in graph.input)
    _check(graph, name, known, in_loop=False)


def _check(graph: onnx.GraphProto, name: str, known: _Known, in_loop: bool) -> None:
    """The same for a graph whose inputs, or whose surroundings, are `known`."""
    for tensor in graph.initializer:
        known.note_constant(tensor.name, tensor)
    for node in graph.node:
        loops = node.op_type == "Loop"
        if loops and in_loop:
            raise BundleError(f"{name}: found a Loop in a Loop, needed one level")
        if loops and (not node.input or node.input[0] not in known.lengths):
            raise BundleError(
                f"{name}: found a Loop that may turn without end, needed one that turns as often "
                f"as a tensor is long, or at most {LARGEST_LOOP:,} times"
            )
        for inner in _inner(node):
            around = known.copy()
            around.forget(one.name for one in inner.input)
            _check(inner, name, around, in_loop or loops)
        known.note(node)


def _inner(node: onnx.NodeProto) -> Iterable[onnx.GraphProto]:
    return (one.g for one in node.attribute if one.HasField("g"))
