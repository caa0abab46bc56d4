"""Uses a bundle: learns classes and tells them apart, without PyTorch."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, cast

import numpy as np
import onnxruntime
from numpy.typing import ArrayLike, NDArray

from tasks.artifacts.bundle_files import read_bundle_files, read_listed
from tasks.artifacts.contract import INT8, GraphContract, graph_contracts, graph_file, with_int8
from tasks.artifacts.image_files import read_image
from tasks.errors import BundleError
from tasks.progress import Track, untracked

_PIXELS_AT_ONCE = 16_000_000  # bounds the memory of one run of a graph to some hundred MB
_QUIET = 3  # errors only, which come as exceptions as well
_DTYPES = {"tensor(uint8)": "uint8", "tensor(float)": "float32", "tensor(int64)": "int64"}


@dataclass(frozen=True)
class Rule:
    """What was learned of some classes.

    Attributes:
        weight: `(way, feature)`; as long as the features that `predict` makes of an embedding.
        bias: `(way,)`; -inf for a class without support.
    """

    weight: NDArray[np.float32]
    bias: NDArray[np.float32]


class Bundle:
    """A bundle of ONNX graphs on disk.

    Args:
        folder: as stage export wrote it.
        threads: of each graph; 0 leaves it to ONNX Runtime, which takes every core.

    Raises:
        BundleError: there is none, it is damaged, or it is not of this format.
    """

    def __init__(self, folder: Path, *, threads: int = 0) -> None:
        self._files = read_bundle_files(folder)
        self._threads = threads
        self.manifest: Mapping[str, Any] = self._files.manifest
        self.name = cast(str, self.manifest["name"])
        self.dim = cast(int, self.manifest["embedding_dim"])
        self.feature_dim = cast(int, self.manifest.get("feature_dim", self.dim))
        limits = self.manifest["limits"]
        self.maximum_batch = cast(int, limits["maximum_batch"])
        self.maximum_image_side_px = cast(int, limits["maximum_image_side_px"])
        self.contracts = with_int8(
            graph_contracts(self.dim, len(self.manifest["base_classes"]), self.feature_dim),
            graph_file(INT8) in self._files.contents,
        )
        self._session = cache(self._load)

    def file(self, name: str) -> bytes:
        """The checked content of one of the bundle's files.

        Raises:
            BundleError: one that was not kept in memory is missing by now, or changed.
        """
        if name in self._files.contents:
            return self._files.contents[name]
        return read_listed(self._files.folder, name, self.manifest["files"][name]["sha256"])

    def run(self, graph: str, inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Run one graph as it is.

        Args:
            graph: `encoder`, `adapt`, `predict` or `classifier`; `encoder.int8` where there is one.
            inputs: by name, as the contract in the manifest says.

        Raises:
            BundleError: the graph is damaged, or refuses the inputs.
        """
        session = self._session(graph)
        names = [output.name for output in self.contracts[graph].outputs]
        try:
            return dict(zip(names, session.run(names, dict(inputs)), strict=True))
        except Exception as error:  # the runtime's own exceptions share no other base
            raise BundleError(
                f"{graph_file(graph)}: refused its inputs ({_first(error)})"
            ) from None

    def embed(self, images: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
        """Embed images, which may differ in size.

        Args:
            images: RGB `(height, width, 3)` each, 0..255.

        Returns:
            `(image, dim)`, in the order given.

        Raises:
            BundleError: an array is no RGB image, or is larger than the bundle accepts.
        """
        return self._by_size("encoder", "embeddings", images)

    def classify(self, images: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
        """Probabilities of the base classes `(image, base class)`; arguments as for `embed`."""
        return self._by_size("classifier", "probabilities", images)

    def embed_files(
        self, paths: Sequence[Path], track: Track = untracked, label: str = "embedding images"
    ) -> NDArray[np.float32]:
        """Read and embed image files, a bounded number of pixels at a time: `(path, dim)`.

        Raises:
            DataError: a file is missing, no image, damaged or too large; the text names it.
        """
        parts = [np.empty((0, self.dim), np.float32)]
        waiting: list[NDArray[np.uint8]] = []
        for path in track(paths, label):
            waiting.append(read_image(path, self.maximum_image_side_px))
            pixels = sum(image.shape[0] * image.shape[1] for image in waiting)
            if pixels >= _PIXELS_AT_ONCE or len(waiting) >= self.maximum_batch:
                parts.append(self.embed(waiting))
                waiting = []
        return np.concatenate([*parts, self.embed(waiting)])

    def adapt(self, embeddings: ArrayLike, labels: ArrayLike, classes: ArrayLike) -> Rule:
        """Learn classes from a few embeddings of each.

        Args:
            embeddings: `(support, dim)`.
            labels: class of each row `(support,)`; one that is not in `classes` is ignored.
            classes: labels to tell apart `(way,)`, in the order of the scores wanted.

        Raises:
            BundleError: the sizes disagree, or a class is named twice.
        """
        rows, names, wanted = (
            np.asarray(embeddings, np.float32),
            np.asarray(labels, np.int64),
            np.asarray(classes, np.int64),
        )
        if rows.ndim != 2 or rows.shape[1] != self.dim or names.shape != rows.shape[:1]:
            raise BundleError(
                f"adapt: found embeddings {rows.shape} and labels {names.shape}, needed "
                f"(support, {self.dim}) and (support,)"
            )
        if wanted.ndim != 1 or not len(wanted) or len(np.unique(wanted)) != len(wanted):
            raise BundleError(
                f"adapt: found classes {wanted.shape} with {len(np.unique(wanted))} different, "
                "needed one or more, each once"
            )
        learned = self.run("adapt", {"embeddings": rows, "labels": names, "classes": wanted})
        return Rule(learned["weight"], learned["bias"])

    def predict(
        self, embeddings: ArrayLike, rule: Rule
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Logits and probabilities of the learned classes, both `(image, way)`.

        Args:
            embeddings: `(image, dim)`.
            rule: what `adapt` learned.
        """
        inputs = {
            "embeddings": np.asarray(embeddings, np.float32),
            "weight": rule.weight,
            "bias": rule.bias,
        }
        outputs = self.run("predict", inputs)
        return outputs["logits"], outputs["probabilities"]

    def _by_size(
        self, graph: str, output: str, images: Sequence[NDArray[np.uint8]]
    ) -> NDArray[np.float32]:
        groups: dict[tuple[int, ...], list[int]] = {}
        for index, image in enumerate(images):
            self._check_image(image)
            groups.setdefault(image.shape, []).append(index)
        width = self.contracts[graph].outputs[0].shape[1]
        results = np.empty((len(images), int(width)), np.float32)
        for (height, breadth, _), members in groups.items():
            largest = max(1, _PIXELS_AT_ONCE // (height * breadth))
            for chosen in _chunks(members, min(largest, self.maximum_batch)):
                batch = np.stack([images[index] for index in chosen])
                results[chosen] = self.run(graph, {"images": batch})[output]
        return results

    def _check_image(self, image: NDArray[np.uint8]) -> None:
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or not image.size:
            raise BundleError(
                f"found an image {image.shape} of {image.dtype}, needed (height, width, 3) of uint8"
            )
        if max(image.shape) > self.maximum_image_side_px:
            raise BundleError(
                f"found an image of {image.shape[1]} x {image.shape[0]} px, needed at most "
                f"{self.maximum_image_side_px} px a side; shrink it"
            )

    def _load(self, graph: str) -> onnxruntime.InferenceSession:
        options = onnxruntime.SessionOptions()
        options.log_severity_level = _QUIET
        options.intra_op_num_threads = self._threads
        path = self._files.folder / graph_file(graph)
        try:
            session = onnxruntime.InferenceSession(
                self._files.contents[graph_file(graph)], options, ["CPUExecutionProvider"]
            )
        except Exception as error:  # the runtime's own exceptions share no other base
            raise BundleError(
                f"{path}: no graph that runs ({_first(error)}); export it again"
            ) from None
        _check_contract(str(path), session, self.contracts[graph])
        return session


def _check_contract(
    path: str, session: onnxruntime.InferenceSession, contract: GraphContract
) -> None:
    for kind, found, needed in (
        ("inputs", session.get_inputs(), contract.inputs),
        ("outputs", session.get_outputs(), contract.outputs),
    ):
        has = [(one.name, _DTYPES.get(one.type, one.type), tuple(one.shape)) for one in found]
        wants = [(one.name, one.dtype, one.shape) for one in needed]
        if has != wants:
            raise BundleError(f"{path}: found {kind} {has}, needed {wants}; export it again")


def _chunks(items: Sequence[int], size: int) -> Iterable[Sequence[int]]:
    return (items[at : at + size] for at in range(0, len(items), size))


def _first(error: Exception) -> str:
    return " ".join(str(error).split())[:300]
