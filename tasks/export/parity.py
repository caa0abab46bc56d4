"""How far ONNX Runtime lies from PyTorch, graph by graph.

Preprocessing and network are measured apart. Framing rounds to whole grey levels, so two correct
programs may differ by one level where a value lies half-way; that is measured as levels. The
network is then compared on the very image that the graph framed.
"""

import logging
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from torch import Tensor

from tasks.artifacts.contract import graph_file
from tasks.artifacts.golden import deviation
from tasks.errors import BundleError
from tasks.export.int8_graph import NotQuantisableError, framed_pixels
from tasks.export.modules import Adapt, Predict
from tasks.export.parts import Parts
from tasks.export.running import run, single_threaded
from tasks.export.samples import IMAGE_SIZES, SHOTS, drawings, support_set
from tasks.framing.graph import Framing

logger = logging.getLogger(__name__)

LARGEST_DIFFERENCE = 1e-4
LARGEST_LEVELS = 1.0

Figures = dict[str, float]


def measure_parity(
    models: Mapping[str, onnx.ModelProto], parts: Parts, seed: int
) -> dict[str, Figures]:
    """Run every graph and its module on the same inputs, of other sizes than traced.

    Args:
        models: the graphs by name.
        parts: the modules.
        seed: of the inputs.

    Returns:
        Graph -> output -> largest absolute difference, rounded to one digit; for graphs that take
        images also `framing_grey_levels`, the largest difference of a framed pixel.

    Raises:
        BundleError: a difference is larger than allowed.
    """
    images = [drawings(seed, *size) for size in IMAGE_SIZES]
    framing = parts.encoder.framing
    figures = {
        "encoder": _image_parity(models["encoder"], framing, parts.encoder.embed_framed, images),
        "adapt": _adapt_parity(models["adapt"], parts.adapt, parts.dim, seed),
        "predict": _predict_parity(models["predict"], parts.adapt, parts.predict, parts.dim, seed),
        "classifier": _image_parity(
            models["classifier"], framing, parts.classifier.classify_framed, images
        ),
    }
    for graph, found in figures.items():
        for output, largest in found.items():
            is_levels = output == "framing_grey_levels"
            limit = LARGEST_LEVELS if is_levels else LARGEST_DIFFERENCE
            line = (
                f"{graph_file(graph)}: {output}: largest difference from PyTorch "
                f"{_one_digit(largest):g}, limit {limit:g}"
            )
            if not largest <= limit:
                raise BundleError(f"{line}: the graph does not compute what was trained")
            logger.info(line)
    return {
        graph: {output: _one_digit(largest) for output, largest in found.items()}
        for graph, found in figures.items()
    }


@torch.no_grad()
def _image_parity(
    model: onnx.ModelProto,
    framing: Framing,
    on_framed: Callable[[Tensor], Tensor],
    images: list[NDArray[np.uint8]],
) -> Figures:
    output = model.graph.output[0].name
    probe, framed_name = _with_framed(model)
    session = single_threaded(probe)
    figures = {"framing_grey_levels": 0.0, output: 0.0}
    for batch in images:
        found, framed = run(session, [output, framed_name], {"images": batch})
        framed = np.ascontiguousarray(framed.transpose(0, 2, 3, 1))
        levels = framed.astype(np.int16) - framing(torch.from_numpy(batch)).numpy()
        figures["framing_grey_levels"] = max(
            figures["framing_grey_levels"], float(np.abs(levels).max())
        )
        expected = on_framed(torch.from_numpy(framed)).numpy()
        figures[output] = max(figures[output], _difference(found, expected))
    return figures


@torch.no_grad()
def _adapt_parity(model: onnx.ModelProto, adapt: Adapt, dim: int, seed: int) -> Figures:
    session = single_threaded(model)
    figures = {"weight": 0.0, "bias": 0.0}
    for shots in SHOTS:
        inputs = support_set(seed, dim, shots)
        named = dict(zip(("embeddings", "labels", "classes"), inputs, strict=True))
        found = run(session, list(figures), {key: one.numpy() for key, one in named.items()})
        _note(figures, found, adapt(*inputs))
    return figures


@torch.no_grad()
def _predict_parity(
    model: onnx.ModelProto, adapt: Adapt, predict: Predict, dim: int, seed: int
) -> Figures:
    session = single_threaded(model)
    figures = {"logits": 0.0, "probabilities": 0.0}
    for shots in SHOTS:
        inputs = support_set(seed, dim, shots)
        rule = (inputs[0], *adapt(*inputs))
        named = dict(zip(("embeddings", "weight", "bias"), rule, strict=True))
        found = run(session, list(figures), {key: one.numpy() for key, one in named.items()})
        _note(figures, found, predict(*rule))
    return figures


def _one_digit(value: float) -> float:
    return float(f"{value:.0e}")


def _note(figures: Figures, found: list[NDArray[Any]], expected: tuple[Tensor, ...]) -> None:
    for name, one, other in zip(figures, found, expected, strict=True):
        figures[name] = max(figures[name], _difference(one, other.numpy()))


def _difference(found: NDArray[Any], expected: NDArray[Any]) -> float:
    """Largest absolute difference; inf where shapes, infinities or NaNs disagree."""
    if not np.isfinite(deviation(found, expected)):
        return float("inf")
    finite = np.isfinite(expected)
    return float(np.abs(found[finite] - expected[finite]).max(initial=0.0))


def _with_framed(model: onnx.ModelProto) -> tuple[onnx.ModelProto, str]:
    """The same graph with the framed images `(batch, channels, side, side)` as a second output."""
    try:
        framed = framed_pixels(model)
    except NotQuantisableError as error:
        raise BundleError(
            f"{model.graph.name}: {error}; choose another pretrain.backbone"
        ) from None
    probe = onnx.ModelProto()
    probe.CopyFrom(model)
    probe.graph.output.append(
        onnx.helper.make_tensor_value_info(framed, onnx.TensorProto.UINT8, None)
    )
    return probe, framed
