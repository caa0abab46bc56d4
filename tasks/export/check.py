"""Whether a graph is what the contract says, and whether the bundle works without PyTorch."""

import json
import logging
import subprocess
import sys
from pathlib import Path

import onnx

from tasks.artifacts.contract import IR_VERSION, OPSET, GraphContract
from tasks.artifacts.onnx_wire import refuse_dangers
from tasks.errors import BundleError

logger = logging.getLogger(__name__)

_REPLAY_TIMEOUT_S = 300


def check_graph(model: onnx.ModelProto, name: str, contract: GraphContract) -> None:
    """Check a graph's form: valid, closed, of the right versions, with the names promised.

    Args:
        model: the graph.
        name: of its file, for messages.
        contract: what it promises.

    Raises:
        BundleError: it is anything else.
    """
    try:
        onnx.checker.check_model(model, full_check=True)
        onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True, data_prop=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise BundleError(f"{name}: not valid ONNX ({' '.join(str(error).split())})") from None
    refuse_dangers(model.SerializeToString(), name)
    versions = (model.ir_version, [(one.domain, one.version) for one in model.opset_import])
    if versions != (IR_VERSION, [("", OPSET)]):
        raise BundleError(f"{name}: found IR and opsets {versions}, needed {IR_VERSION}, {OPSET}")
    for found, needed in (
        (model.graph.input, contract.inputs),
        (model.graph.output, contract.outputs),
    ):
        has = [_signature(value) for value in found]
        wants = [(one.name, one.dtype, one.shape) for one in needed]
        if has != wants:
            raise BundleError(f"{name}: found {has}, needed {wants}")


def replay_without_torch(folder: Path) -> None:
    """Replay golden.npz in a fresh process that never imports torch.

    Raises:
        BundleError: an output lies too far off, or torch was imported after all.
    """
    command = [sys.executable, "-m", "tasks.artifacts.golden", str(folder)]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=_REPLAY_TIMEOUT_S, check=False
        )
    except subprocess.TimeoutExpired:
        raise BundleError(f"golden replay: not done after {_REPLAY_TIMEOUT_S} s") from None
    if done.returncode:
        lines = done.stderr.strip().splitlines() or [f"ended with code {done.returncode}"]
        raise BundleError(f"golden replay without torch: {lines[-1]}")
    for output, share in json.loads(done.stdout).items():
        logger.info("replay without torch: %s within %.0e of its largest value", output, share)


def _signature(value: onnx.ValueInfoProto) -> tuple[str, str, tuple[int | str, ...]]:
    tensor = value.type.tensor_type
    dtype = onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type)
    return value.name, str(dtype), tuple(one.dim_param or one.dim_value for one in tensor.shape.dim)
