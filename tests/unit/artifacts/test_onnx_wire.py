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


def varint(number: int) -> bytes:
    digits = []
    while number > 127:
        digits.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*digits, number])


def field(key: int, content: bytes) -> bytes:
    return varint(key) + varint(len(content)) + content


def with_node(extra: bytes) -> bytes:
    """A model of one Gelu whose message has more bytes at its end."""
    whole = onnx.ModelProto.FromString(model(graph()))
    inner = whole.graph.SerializeToString()
    whole.ClearField("graph")
    node = helper.make_node("Gelu", ["x"], ["y"]).SerializeToString() + extra
    return whole.SerializeToString() + field(0x3A, inner + field(0x0A, node))


DOMAIN_KEY = 7 << 3 | 2


def test_such_a_model_is_read_as_what_it_says() -> None:
    content = with_node(field(DOMAIN_KEY, b"com.microsoft"))
    assert onnx.ModelProto.FromString(content).graph.node[0].domain == "com.microsoft"
    with pytest.raises(BundleError, match="operators of domain 'com.microsoft'"):
        refuse_dangers(content, "bad.onnx")


@pytest.mark.parametrize("key", [DOMAIN_KEY + 2**32, DOMAIN_KEY + 2**60, 2, 7, 2**70])
def test_a_field_whose_number_parsers_read_differently_is_refused(key: int) -> None:
    with pytest.raises(BundleError, match="bad.onnx: damaged: not an ONNX graph"):
        refuse_dangers(with_node(field(key, b"com.microsoft")), "bad.onnx")


@pytest.mark.parametrize("value", [1, 1 + 2**32, 2])
def test_weights_elsewhere_are_refused_however_the_place_is_written(value: int) -> None:
    tensor = helper.make_tensor("w", TensorProto.FLOAT, [2], [1, 2]).SerializeToString()
    content = model(graph(RELU)) + field(
        0x3A, field(0x2A, tensor + varint(14 << 3) + varint(value))
    )
    with pytest.raises(BundleError, match="weights in a file outside the graph"):
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
