"""Replays the examples of a bundle: `python -m tasks.artifacts.golden FOLDER`.

Stage export runs this in a process of its own, which shows that the bundle works where PyTorch is
not installed.
"""

import io
import json
import math
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from zipfile import BadZipFile, ZipFile

import numpy as np
from numpy.typing import NDArray

from tasks.artifacts.bundle import Bundle
from tasks.artifacts.contract import GOLDEN, GOLDEN_TOLERANCE, GraphContract
from tasks.errors import BundleError, HeadstartError
from tasks.lifeline import bind_to_parent

Example = Mapping[str, NDArray[Any]]


# A bias may be all but zero; then its own size is no measure of what a difference does.
NEARLY_ZERO = 0.05

LARGEST_BYTES = 2**28  # of all arrays, unpacked


def write_golden(path: Path, examples: Mapping[str, Sequence[Example]]) -> None:
    """Write examples: arrays called `GRAPH.NUMBER.TENSOR`, no pickle.

    Args:
        path: the file to write.
        examples: graph -> examples, each with all inputs and outputs of the graph by name.
    """
    arrays: dict[str, Any] = {
        f"{graph}.{number}.{name}": array
        for graph, numbered in examples.items()
        for number, example in enumerate(numbered)
        for name, array in example.items()
    }
    with path.open("wb") as file:
        np.savez(file, **arrays)


def read_golden(bundle: Bundle) -> dict[str, list[dict[str, NDArray[Any]]]]:
    """The examples of a bundle: graph -> examples, each with inputs and outputs by name.

    Raises:
        BundleError: the file cannot be read.
    """
    numbered: dict[str, dict[int, dict[str, NDArray[Any]]]] = {}
    try:
        _refuse_bombs(bundle.file(GOLDEN))
        with np.load(io.BytesIO(bundle.file(GOLDEN)), allow_pickle=False) as arrays:
            for key in arrays:
                graph, number, name = key.split(".")
                numbered.setdefault(graph, {}).setdefault(int(number), {})[name] = arrays[key]
    except (KeyError, OSError, ValueError, EOFError, BadZipFile, NotImplementedError) as error:
        raise BundleError(f"{GOLDEN}: cannot be read ({error}); export the bundle again") from None
    return {graph: list(examples.values()) for graph, examples in numbered.items()}


def _refuse_bombs(content: bytes) -> None:
    """Refuse arrays that are larger than `LARGEST_BYTES` together, or than what the file holds.

    Raises:
        ValueError: there are such.
    """
    with ZipFile(io.BytesIO(content)) as archive:
        entries = archive.infolist()
        if sum(entry.file_size for entry in entries) > LARGEST_BYTES:
            raise ValueError(f"its arrays take more than {LARGEST_BYTES:,} bytes")
        for entry in entries:
            with archive.open(entry) as file:
                major, _ = np.lib.format.read_magic(file)
                read_header = getattr(np.lib.format, f"read_array_header_{major}_0", None)
                if read_header is None:
                    raise ValueError(f"{entry.filename}: an array of format {major}")
                shape, _, dtype = read_header(file)
                declared = math.prod(shape) * dtype.itemsize
                if declared != entry.file_size - file.tell():
                    raise ValueError(f"{entry.filename} declares {declared:,} bytes, holds others")


def replay(folder: Path) -> dict[str, float]:
    """Run every example of a bundle and compare with what it expects.

    Args:
        folder: the bundle.

    Returns:
        `GRAPH.OUTPUT` -> largest deviation, as a share of the largest value expected.

    Raises:
        BundleError: a graph has no example, or an output lies further off than its tolerance, or
            is infinite elsewhere than expected.
    """
    return replay_bundle(Bundle(folder))


def replay_bundle(bundle: Bundle) -> dict[str, float]:
    """The same for a bundle that was read; arguments, results and errors as for `replay`."""
    examples = read_golden(bundle)
    worst: dict[str, float] = {}
    for graph in GOLDEN_TOLERANCE:
        contract = bundle.contracts[graph]
        if not examples.get(graph):
            raise BundleError(f"{GOLDEN}: no example of {graph}; export the bundle again")
        for example in examples[graph]:
            _check_names(graph, example, contract)
            inputs = {tensor.name: example[tensor.name] for tensor in contract.inputs}
            found = bundle.run(graph, inputs)
            for tensor in contract.outputs:
                key = f"{graph}.{tensor.name}"
                share = deviation(found[tensor.name], example[tensor.name])
                worst[key] = max(worst.get(key, 0.0), share)
                if not share <= GOLDEN_TOLERANCE[graph]:
                    raise BundleError(
                        f"{GOLDEN}: {key} differs by {share:.1e} of its largest value, "
                        f"needed at most {GOLDEN_TOLERANCE[graph]:.0e}; do not use this bundle"
                    )
    return worst


def _check_names(graph: str, example: Example, contract: GraphContract) -> None:
    needed = {tensor.name for tensor in (*contract.inputs, *contract.outputs)}
    if missing := sorted(needed - set(example)):
        raise BundleError(f"{GOLDEN}: an example of {graph} lacks {', '.join(missing)}")


def deviation(found: NDArray[Any], expected: NDArray[Any]) -> float:
    """Largest difference, as a share of the largest finite value expected, or of `NEARLY_ZERO`.

    Returns:
        inf where shapes, infinities or NaNs disagree.
    """
    if found.shape != expected.shape:
        return float("inf")
    finite = np.isfinite(expected)
    if (
        not np.array_equal(found[~finite], expected[~finite])
        or not np.isfinite(found[finite]).all()
    ):
        return float("inf")
    if not finite.any():
        return 0.0
    largest = float(np.abs(expected[finite]).max())
    return float(np.abs(found[finite] - expected[finite]).max()) / max(largest, NEARLY_ZERO)


def main() -> None:
    """Replay the bundle named on the command line; the deviations go to stdout as JSON."""
    bind_to_parent()
    if len(sys.argv) != 2:
        sys.exit("usage: python -m tasks.artifacts.golden FOLDER")
    try:
        worst = replay(Path(sys.argv[1]))
    except HeadstartError as error:
        sys.exit(str(error))
    if "torch" in sys.modules:
        sys.exit("the bundle was replayed with torch imported, needed a process without it")
    sys.stdout.write(json.dumps(worst) + "\n")


if __name__ == "__main__":
    main()
