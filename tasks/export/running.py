"""Runs graphs the way figures want it: on one thread, faults told in one line."""

from collections.abc import Mapping, Sequence
from typing import Any

import onnx
import onnxruntime
from numpy.typing import NDArray

from tasks.errors import BundleError
from tasks.export.graphs import serialised


def single_threaded(model: onnx.ModelProto) -> onnxruntime.InferenceSession:
    """A session whose figures do not depend on the number of cores.

    Raises:
        BundleError: ONNX Runtime cannot load the graph.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    try:
        return onnxruntime.InferenceSession(serialised(model), options, ["CPUExecutionProvider"])
    except Exception as error:  # the runtime's own exceptions share no other base
        raise _refused(model.graph.name, error) from None


def run(
    session: onnxruntime.InferenceSession,
    outputs: Sequence[str],
    inputs: Mapping[str, NDArray[Any]],
) -> list[NDArray[Any]]:
    """The outputs named, in their order.

    Raises:
        BundleError: the graph refuses its inputs.
    """
    try:
        found: list[NDArray[Any]] = session.run(list(outputs), dict(inputs))
    except Exception as error:  # likewise
        raise _refused(session.get_modelmeta().graph_name, error) from None
    return found


def _refused(name: str, error: Exception) -> BundleError:
    reason = " ".join(str(error).split())[:300]
    return BundleError(f"{name}: ONNX Runtime cannot run this graph ({reason})")
