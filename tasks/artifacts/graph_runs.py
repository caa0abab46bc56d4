"""Whether the graphs of a bundle do what they promise, on sizes that nothing was traced with.

Every check takes a bundle and gives back what it found in words, or raises BundleError. Inputs are
made from fixed generators: a third party gets the same ones.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tasks.artifacts.bundle import Bundle, Rule
from tasks.artifacts.contract import INT8, graph_file
from tasks.artifacts.golden import deviation, read_golden
from tasks.errors import BundleError

# Of images: batch, height, width.
IMAGE_SIZES = ((1, 28, 28), (3, 105, 105), (2, 37, 53), (5, 17, 64), (1, 400, 301), (2, 1, 3))
# Shots of each class: one class, even, uneven, a class without support, none with support.
SHOTS = ((1,), (1,) * 5, (5,) * 20, (3, 0, 2), (40, 7), (0, 0), (2,) * 33)
LOWEST_COSINE = 0.9  # of the int8 encoder, on average; another network would be far below
_SMALL = 1e-3  # share of the largest value; the other order of a sum, and a grey level, are less
_ROWS = 7


def images_of_many_sizes(bundle: Bundle, graph: str) -> str:
    """Images of every size give embeddings, or probabilities, that are finite and sum up."""
    width = bundle.contracts[graph].outputs[0].shape[1]
    output = bundle.contracts[graph].outputs[0].name
    for size in _sizes(bundle):
        found = bundle.run(graph, {"images": pictures(*size)})[output]
        _need(found.shape == (size[0], width), graph, f"{size}: found shape {found.shape}")
        _need(np.isfinite(found).all(), graph, f"{size}: found values that are no numbers")
        if output == "probabilities":
            _need_probabilities(found, graph, str(size))
    told = "sum to 1" if output == "probabilities" else "are finite"
    return f"{output} {told} on {len(_sizes(bundle))} sizes, 1 x 3 to 400 x 301 px, batch 1 to 5"


def images_alone_and_together(bundle: Bundle, graph: str) -> str:
    """An image gets the same answer alone as in a batch."""
    output = bundle.contracts[graph].outputs[0].name
    batch = pictures(4, 37, 53)
    together = bundle.run(graph, {"images": batch})[output]
    alone = [bundle.run(graph, {"images": batch[at : at + 1]})[output] for at in range(len(batch))]
    share = deviation(np.concatenate(alone), together)
    _need_near(share, graph, "an image alone and in a batch")
    return f"an image alone and in a batch: {output} within {share:.0e}, limit {_SMALL:.0e}"


def ways_and_shots(bundle: Bundle) -> str:
    """Every way and shot gives a rule that tells the classes apart, and never one unseen."""
    for shots in SHOTS:
        case = f"shots {list(shots)}" if len(shots) < 6 else f"{len(shots)} classes of {shots[0]}"
        support, labels, classes = _support(bundle, shots)
        rule = bundle.adapt(support, labels, classes)
        needed = ((len(shots), bundle.feature_dim), (len(shots),))
        shapes = (rule.weight.shape, rule.bias.shape)
        _need(shapes == needed, "adapt", f"{case}: found shapes {shapes}, needed {needed}")
        seen = np.array(shots) > 0
        _need(np.isfinite(rule.weight).all(), "adapt", f"{case}: weights that are no numbers")
        _need(np.isfinite(rule.bias[seen]).all(), "adapt", f"{case}: a bias that is no number")
        lost = rule.bias[~seen] == -np.inf
        _need(lost.all(), "adapt", f"{case}: a class without support has no bias of -inf")
        _, probabilities = bundle.predict(_rows(bundle, _ROWS), rule)
        _need((probabilities[:, ~seen] == 0).all(), "predict", f"{case}: an unseen class is likely")
        if seen.any():
            _need_probabilities(probabilities, "predict", case)
    return (
        f"{len(SHOTS)} pairs of ways and shots, 1 to {max(map(len, SHOTS))} ways: probabilities "
        "sum to 1, and a class without support gets bias -inf and probability 0"
    )


def stray_labels(bundle: Bundle) -> str:
    """Support of classes that nobody asks for changes nothing."""
    support, labels, classes = _support(bundle, (2, 3, 1))
    stray = np.concatenate([_rows(bundle, 3) + 1, support])
    names = np.concatenate([[-1, 10**12, 7], labels])
    share = _apart(bundle.adapt(stray, names, classes), bundle.adapt(support, labels, classes))
    _need_near(share, "adapt", "support of other classes")
    return f"support of other classes changes nothing: within {share:.0e}, limit {_SMALL:.0e}"


def other_names_and_orders(bundle: Bundle) -> str:
    """Other labels, and another order of classes and images, give the same rule."""
    support, labels, classes = _support(bundle, (4, 1, 3, 2))
    rule = bundle.adapt(support, labels, classes)
    order, rows = np.array([2, 0, 3, 1]), np.arange(len(labels))[::-1]
    other = bundle.adapt(support[rows], 3 * labels[rows] - 10**9, (3 * classes - 10**9)[order])
    share = _apart(other, Rule(rule.weight[order], rule.bias[order]))
    _need_near(share, "adapt", "other labels and another order")
    return f"other labels and orders give the same rule: within {share:.0e}, limit {_SMALL:.0e}"


def int8_is_near(bundle: Bundle) -> str:
    """The int8 encoder embeds as the encoder does."""
    batches = [example["images"] for example in read_golden(bundle)["encoder"]]
    batches += [pictures(*size) for size in _sizes(bundle)[:4]]
    found = [
        [bundle.run(graph, {"images": batch})["embeddings"] for batch in batches]
        for graph in ("encoder", INT8)
    ]
    wide, small = (np.concatenate(one).astype(np.float64) for one in found)
    norms = np.linalg.norm(wide, axis=1) * np.linalg.norm(small, axis=1)
    cosines = (wide * small).sum(axis=1) / np.maximum(norms, 1e-30)
    line = f"cosine to encoder.onnx {cosines.mean():.4f} on average, {cosines.min():.4f} at least"
    _need(cosines.mean() >= LOWEST_COSINE, INT8, f"{line}; needed {LOWEST_COSINE} on average")
    return f"{line}, limit {LOWEST_COSINE}; {len(cosines)} images"


def pictures(batch: int, height: int, width: int) -> NDArray[np.uint8]:
    """Soft colours with a dark bar and some grain: RGB `(batch, height, width, 3)`, 0..255."""
    generator = np.random.default_rng((batch, height, width))
    row, column = np.mgrid[0:height, 0:width] / max(height, width)
    phases = generator.uniform(0, 6, (batch, 1, 1, 3))
    waves = np.sin(5 * row[..., None] + phases) + np.cos(4 * column[..., None] - 2 * phases)
    bar = (np.abs(row - column * generator.uniform(0, 1)) < 0.1)[..., None]
    levels = 150 + 45 * waves - 120 * bar + generator.normal(0, 5, (batch, height, width, 3))
    return np.asarray(np.clip(levels, 0, 255), np.uint8)


def _sizes(bundle: Bundle) -> list[tuple[int, int, int]]:
    side, batch = bundle.maximum_image_side_px, bundle.maximum_batch
    return [(min(one[0], batch), min(one[1], side), min(one[2], side)) for one in IMAGE_SIZES]


def _rows(bundle: Bundle, count: int) -> NDArray[np.float32]:
    generator = np.random.default_rng(count)
    return generator.standard_normal((count, bundle.dim)).astype(np.float32)


def _support(
    bundle: Bundle, shots: Sequence[int]
) -> tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.int64]]:
    """Embeddings, labels and classes, in no order; labels are no indices."""
    generator = np.random.default_rng(tuple(shots))
    classes = generator.permutation(1000)[: len(shots)].astype(np.int64) - 500
    labels = generator.permutation(np.repeat(classes, shots))
    if not len(labels):  # support, but of classes that nobody asks for
        labels = np.array([2000, 2001], np.int64)
    centres = generator.standard_normal((3000, bundle.dim))[labels + 500]
    grain = generator.standard_normal((len(labels), bundle.dim))
    return (centres + 0.5 * grain).astype(np.float32), labels, classes


def _apart(one: Rule, other: Rule) -> float:
    return max(deviation(one.weight, other.weight), deviation(one.bias, other.bias))


def _need_probabilities(values: NDArray[Any], graph: str, case: str) -> None:
    sums = np.abs(values.sum(axis=1) - 1).max()
    sound = (values >= 0).all() and sums <= 1e-4
    _need(sound, graph, f"{case}: probabilities miss a sum of 1 by {sums:.1e}, needed 1e-04")


def _need_near(share: float, graph: str, case: str) -> None:
    _need(share <= _SMALL, graph, f"{case}: differs by {share:.1e}, needed at most {_SMALL:.0e}")


def _need(holds: bool | np.bool_, graph: str, line: str) -> None:
    if not holds:
        raise BundleError(f"{graph_file(graph)}: {line}; do not use this bundle")
