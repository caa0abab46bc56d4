import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper

from tasks.artifacts.onnx_wire import refuse_dangers
from tasks.errors import BundleError


def graph(*nodes: onnx.NodeProto, initializers: tuple[TensorProto, ...] = ()) -> onnx.GraphProto:
    value = helper.make_tensor_value_info("x", TensorProto.FLOAT, [2])
    output = helper.make_tensor_value_info("y", TensorProto.FLOAT, [2])
    return helper.make_graph(nodes, "graph", [value], [output], initializers)


def model(inner: onnx.GraphProto, *domains: str) -> bytes:
    opsets = [helper.make_opsetid(domain, 18) for domain in ("", *domains)]
    return helper.make_model(inner, opset_imports=opsets).SerializeToString()


def external() -> TensorProto:
    tensor = helper.make_tensor("w", TensorProto.FLOAT, [2], [1, 2])
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="/etc/passwd")
    return tensor


RELU = helper.make_node("Relu", ["x"], ["y"])
FOREIGN = helper.make_node("Gelu", ["x"], ["y"], domain="com.microsoft")


def test_a_plain_graph_passes() -> None:
    weight = helper.make_tensor("w", TensorProto.FLOAT, [2], [1, 2])
    refuse_dangers(model(graph(RELU, initializers=(weight,)), "ai.onnx"), "plain.onnx")


def hidden(
    node: onnx.NodeProto | None = None, weights: TensorProto | None = None
) -> onnx.NodeProto:
    """An If whose branch holds the danger."""
    branch = helper.make_graph(
        [node or helper.make_node("Constant", [], ["y"], value=weights)],
        "branch",
        [],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [2])],
    )
    return helper.make_node("If", ["x"], ["y"], then_branch=branch, else_branch=branch)


def with_function(domain: str) -> bytes:
    whole = onnx.ModelProto.FromString(model(graph(RELU)))
    whole.functions.append(
        helper.make_function(domain, "f", ["a"], ["b"], [RELU], [helper.make_opsetid("", 18)])
    )
    return whole.SerializeToString()


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (model(graph(RELU), "com.evil"), "operators of domain 'com.evil'"),
        (model(graph(FOREIGN)), "operators of domain 'com.microsoft'"),
        (model(graph(hidden(FOREIGN))), "operators of domain 'com.microsoft'"),
        (with_function("local"), "operators of domain 'local'"),
        (model(graph(RELU, initializers=(external(),))), "weights in a file outside the graph"),
        (model(graph(hidden(weights=external()))), "weights in a file outside the graph"),
    ],
)
def test_foreign_operators_and_outside_files_are_refused_wherever_they_hide(
    content: bytes, line: str
) -> None:
    with pytest.raises(BundleError, match=f"bad.onnx: found {line}"):
        refuse_dangers(content, "bad.onnx")


@settings(max_examples=200, deadline=None)
@given(content=st.binary(max_size=60), at=st.integers(0, 80), byte=st.integers(0, 255))
def test_damaged_bytes_are_a_bundle_error_or_harmless(content: bytes, at: int, byte: int) -> None:
    whole = bytearray(model(graph(hidden(RELU))))
    whole[at] = byte
    for candidate in (content, bytes(whole), bytes(whole[:at])):
        try:
            refuse_dangers(candidate, "some.onnx")
        except BundleError as error:
            assert str(error).startswith("some.onnx: ")


def test_endless_nesting_is_refused() -> None:
    node = b""
    for _ in range(50):  # graph in attribute in node in graph ...
        for tag in (0x32, 0x2A, 0x0A):
            size = len(node)
            length = bytes([size & 0x7F | 0x80, size >> 7]) if size > 127 else bytes([size])
            node = bytes([tag]) + length + node
    with pytest.raises(BundleError, match="not an ONNX graph"):
        refuse_dangers(bytes([0x3A, len(node) & 0x7F | 0x80, len(node) >> 7]) + node, "deep.onnx")
