"""Whether a graph is what the contract says: its form, found without running it.

The order matters: what is looked at first makes it safe to look at what comes after. Every size
that a graph declares is compared with a limit, one tensor at a time, before anything allocates it;
what a graph takes when it runs is for the process to bound that runs it.
"""

import math
from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from tasks.artifacts.contract import IR_VERSION, OPSET, GraphContract
from tasks.artifacts.graph_loops import check_loops
from tasks.artifacts.onnx_wire import refuse_dangers
from tasks.errors import BundleError

LARGEST_TENSOR_BYTES = 2**31  # of one tensor whose sizes the graph itself tells
LARGEST_AXIS = 2**31  # of such a tensor, also where another axis is 0 and it takes no memory
# What convolutional networks, transformers, framing and learners need, and no more: nothing that
# draws at random, handles text, or keeps sequences.
_ALLOWED = """
Abs Add And ArgMax ArgMin AveragePool BatchNormalization Cast CastLike Ceil Clip Concat
Constant ConstantOfShape Conv Cos CumSum DepthToSpace DequantizeLinear Div Einsum Elu Equal Erf
Exp Expand EyeLike Flatten Floor Gather GatherElements GatherND Gemm GlobalAveragePool GlobalMaxPool
Greater GreaterOrEqual GroupNormalization HardSigmoid HardSwish Identity If InstanceNormalization
IsInf IsNaN LayerNormalization LeakyRelu Less LessOrEqual Log LogSoftmax Loop LRN MatMul Max
MaxPool Mean Min Mish Mod Mul Neg NonZero Not OneHot Or PRelu Pad Pow QuantizeLinear Range
Reciprocal ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp ReduceMax ReduceMean ReduceMin
ReduceProd ReduceSum ReduceSumSquare Relu Reshape Resize Round ScatterElements ScatterND Selu
Shape Sigmoid Sign Sin Size Slice Softmax Softplus Softsign SpaceToDepth Split Sqrt Squeeze Sub
Sum Tanh Tile TopK Transpose Trilu Unsqueeze Where Xor
"""
OPERATORS = frozenset(_ALLOWED.split())
_DATA_FIELDS = ("float_data", "int32_data", "int64_data", "double_data", "uint64_data")
_DTYPES = frozenset(
    getattr(TensorProto, dtype)
    for dtype in ("BOOL", "DOUBLE", "FLOAT", "FLOAT16", "INT8", "INT32", "INT64", "UINT8")
)


def check_graph(model: onnx.ModelProto, name: str, contract: GraphContract) -> None:
    """Check all of a graph's form.

    Args:
        model: the graph.
        name: of its file, for messages.
        contract: what it promises.

    Raises:
        BundleError: it is anything else.
    """
    model = parse(model.SerializeToString(), name)
    for check in CHECKS:
        check(model, name)
    check_contract(model, name, contract)


def parse(content: bytes, name: str) -> onnx.ModelProto:
    """The graph in a file, which needs no other file and no operators of others.

    Raises:
        BundleError: it does, or it is no graph.
    """
    refuse_dangers(content, name)
    model = onnx.ModelProto()
    try:
        model.ParseFromString(content)
    except Exception:  # protobuf's own, whose name differs between its implementations
        raise BundleError(f"{name}: damaged: not an ONNX graph; export the bundle again") from None
    return model


def check_sizes(model: onnx.ModelProto, name: str) -> str:
    """No tensor is larger than stated, and each holds the values that it declares."""
    largest = 0
    for tensor in _tensors(model):
        dtype = tensor.data_type
        if dtype not in _DTYPES:
            raise BundleError(f"{name}: tensor {tensor.name!r}: found data type {dtype}")
        each = helper.tensor_dtype_to_np_dtype(dtype).itemsize
        declared = _declared(name, tensor.name, list(tensor.dims), each)
        largest = max(largest, declared)
        if tensor.HasField("raw_data"):
            held = len(tensor.raw_data)
        else:
            held = each * sum(len(getattr(tensor, field)) for field in _DATA_FIELDS)
        if held != declared:
            raise BundleError(
                f"{name}: tensor {tensor.name!r}: found {held:,} bytes, needed the {declared:,} "
                f"that its shape {list(tensor.dims)} declares"
            )
    for graph in _graphs(model.graph):
        _check_declared(graph, name)
    return f"{largest:,} bytes in its largest tensor, limit {LARGEST_TENSOR_BYTES:,}"


def check_operators(model: onnx.ModelProto, name: str) -> str:
    """Operators are those of `OPERATORS`; a Loop turns as often as some tensor is long."""
    if model.functions or model.training_info:
        raise BundleError(f"{name}: found functions or training parts, needed none")
    kinds: Counter[str] = Counter()
    for graph in _graphs(model.graph):
        kinds.update(node.op_type for node in graph.node)
    foreign = sorted(set(kinds) - OPERATORS)
    if foreign:
        raise BundleError(
            f"{name}: found operators {', '.join(foreign)}, needed none but the arithmetic of "
            "images, networks and learners"
        )
    check_loops(model.graph, name)
    return f"{kinds.total()} operators of {len(kinds)} kinds, all standard ONNX and allowed"


def check_versions(model: onnx.ModelProto, name: str) -> str:
    """IR and opset are those of the contract."""
    versions = (model.ir_version, [(one.domain, one.version) for one in model.opset_import])
    if versions != (IR_VERSION, [("", OPSET)]):
        raise BundleError(f"{name}: found IR and opsets {versions}, needed {IR_VERSION}, {OPSET}")
    return f"opset {OPSET}, IR {IR_VERSION}"


def check_weights(model: onnx.ModelProto, name: str) -> str:
    """Every weight is a number; a single -inf may stand as a constant."""
    weights = 0
    for tensor in _tensors(model):
        values = numpy_helper.to_array(tensor)
        weights += values.size
        if values.dtype.kind != "f":
            continue
        bad = np.isnan(values) if values.size == 1 else ~np.isfinite(values)
        if bad.any():
            raise BundleError(
                f"{name}: tensor {tensor.name!r}: found {int(bad.sum())} values that are no "
                "numbers, needed none"
            )
    return f"{weights:,} values, all of them numbers"


def check_valid(model: onnx.ModelProto, name: str) -> str:
    """ONNX's own checker and strict shape inference find no fault, nor a tensor too large."""
    try:
        onnx.checker.check_model(model, full_check=True)
        inferred = onnx.shape_inference.infer_shapes(
            model, check_type=True, strict_mode=True, data_prop=True
        )
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError, ValueError) as error:
        raise BundleError(
            f"{name}: not valid ONNX ({' '.join(str(error).split())[:300]})"
        ) from None
    for graph in _graphs(inferred.graph):
        _check_declared(graph, name)
    return "passes ONNX's checker and strict shape inference"


def check_contract(model: onnx.ModelProto, name: str, contract: GraphContract) -> str:
    """Inputs and outputs have the names, types and shapes of the contract."""
    for kind, found, needed in (
        ("inputs", model.graph.input, contract.inputs),
        ("outputs", model.graph.output, contract.outputs),
    ):
        has = [_signature(value) for value in found]
        wants = [(one.name, one.dtype, one.shape) for one in needed]
        if has != wants:
            raise BundleError(f"{name}: found {kind} {has}, needed {wants}")
    told = ", ".join(one.name for one in (*contract.inputs, *contract.outputs))
    return f"names, types and shapes as the contract has them: {told}"


# In the order that makes each safe for the next.
CHECKS = (check_sizes, check_operators, check_versions, check_weights, check_valid)


def _signature(value: onnx.ValueInfoProto) -> tuple[str, str, tuple[int | str, ...]]:
    tensor = value.type.tensor_type
    try:
        dtype = str(helper.tensor_dtype_to_np_dtype(tensor.elem_type))
    except KeyError:
        dtype = f"type {tensor.elem_type}"
    return value.name, dtype, tuple(one.dim_param or one.dim_value for one in tensor.shape.dim)


def _graphs(graph: onnx.GraphProto) -> Iterator[onnx.GraphProto]:
    """A graph and those inside its nodes."""
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            for inner in (attribute.g, *attribute.graphs):
                if inner.node or inner.initializer:
                    yield from _graphs(inner)


def _tensors(message: Any) -> Iterator[TensorProto]:
    """Every tensor with values, wherever it hides."""
    for field, value in message.ListFields():
        if field.type != field.TYPE_MESSAGE:
            continue
        for one in value if hasattr(value, "__len__") else (value,):
            if isinstance(one, TensorProto):
                yield one
            else:
                yield from _tensors(one)


def _check_declared(graph: onnx.GraphProto, name: str) -> None:
    """Refuse a tensor whose sizes, where they are numbers, come to too much."""
    for value in (*graph.input, *graph.output, *graph.value_info):
        tensor = value.type.tensor_type
        if tensor.elem_type in _DTYPES:
            each = helper.tensor_dtype_to_np_dtype(tensor.elem_type).itemsize
            sizes = [one.dim_value for one in tensor.shape.dim if one.HasField("dim_value")]
            _declared(name, value.name, sizes, each)


def _declared(name: str, tensor: str, sizes: list[int], each: int) -> int:
    """Bytes that a shape declares."""
    declared = math.prod(sizes) * each
    largest = max(sizes, default=0)
    if min(sizes, default=0) < 0 or largest > LARGEST_AXIS or declared > LARGEST_TENSOR_BYTES:
        raise BundleError(
            f"{name}: tensor {tensor!r} declares {sizes}, {declared:,} bytes, needed at most "
            f"{LARGEST_TENSOR_BYTES:,}, and no axis longer than {LARGEST_AXIS:,}"
        )
    return declared
