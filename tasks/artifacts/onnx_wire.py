"""Looks for two dangers in the raw bytes of an ONNX graph, before anything runs them.

External data makes a runtime read other files; operators of foreign domains are code of somebody
else. A reader of bundles has no `onnx` package, so this walks the protobuf wire format itself: it
descends into the messages named in `_CHILDREN` and looks at three fields.

Source: onnx/onnx.proto, IR version 8 and later; Protocol Buffers, Encoding.
"""

from collections.abc import Iterator

from tasks.errors import BundleError

ALLOWED_DOMAINS = ("", "ai.onnx")
_DEEPEST = 32
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5

# message -> number of a field -> the message that field holds
_CHILDREN: dict[str, dict[int, str]] = {
    "model": {7: "graph", 8: "opset", 20: "training", 25: "function"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "node": {5: "attribute"},
    "attribute": {
        5: "tensor",
        6: "graph",
        10: "tensor",
        11: "graph",
        22: "sparse",
        23: "sparse",
    },
    "sparse": {1: "tensor", 2: "tensor"},
    "training": {1: "graph", 2: "graph"},
    "function": {7: "node", 9: "opset", 11: "attribute"},
}
_DOMAIN = {"opset": 1, "node": 7, "function": 10}
_EXTERNAL_DATA, _DATA_LOCATION = 13, 14


def refuse_dangers(model: bytes, name: str) -> None:
    """Check that a graph needs no other file and no operator beyond standard ONNX.

    Args:
        model: a serialised ModelProto.
        name: what to call it in messages.

    Raises:
        BundleError: it does, or it is no graph at all.
    """
    try:
        _walk(memoryview(model), "model", name, 0)
    except (IndexError, ValueError):
        raise BundleError(f"{name}: damaged: not an ONNX graph; export the bundle again") from None


def _walk(data: memoryview, message: str, name: str, depth: int) -> None:
    if depth > _DEEPEST:
        raise ValueError("nested too deep")
    for field, value in _fields(data):
        if _DOMAIN.get(message) == field and isinstance(value, memoryview):
            domain = bytes(value).decode()
            if domain not in ALLOWED_DOMAINS:
                raise BundleError(
                    f"{name}: found operators of domain {domain!r}, needed standard ONNX alone; "
                    "use a bundle from a source that you trust"
                )
        if message == "tensor" and (
            field == _EXTERNAL_DATA or (field, value) == (_DATA_LOCATION, 1)
        ):
            raise BundleError(
                f"{name}: found weights in a file outside the graph, needed all of them inside; "
                "use a bundle from a source that you trust"
            )
        child = _CHILDREN.get(message, {}).get(field)
        if child is not None:
            if not isinstance(value, memoryview):
                raise ValueError("a number where a message belongs")
            _walk(value, child, name, depth + 1)


def _fields(data: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """Every field of a message: its number, and its bytes, or its value if that is a varint."""
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        kind = key & 7
        if kind == _VARINT:
            value, at = _varint(data, at)
            yield key >> 3, value
            continue
        if kind == _BYTES:
            size, at = _varint(data, at)
        elif kind in (_FIXED64, _FIXED32):
            size = 8 if kind == _FIXED64 else 4
        else:
            raise ValueError("unknown wire type")
        if at + size > len(data):
            raise ValueError("cut off")
        yield key >> 3, data[at : at + size]
        at += size


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
        if shift > 63:
            raise ValueError("number too long")
