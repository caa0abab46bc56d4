"""Folds over the base classes: what a scout of cross-validation does not see."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from tasks.artifacts.image_store import Part
from tasks.errors import ParametersError
from tasks.params import PARAMS_FILE
from tasks.randomness import numpy_generator

_IMAGES_PER_CLASS = 100  # of a held-out class, so that memory is bounded whatever the source


def deal_folds(
    labels: NDArray[np.int64], classes: int, folds: int, images: int, seed: int
) -> list[NDArray[np.int64]]:
    """Deal classes into folds of equal size, as far as that goes.

    Args:
        labels: class of each image `(image,)`.
        classes: how many there are.
        folds: how many are wanted, at least 2.
        images: that a class needs to serve in an episode; such classes are dealt first, so every
            fold has its share of them.
        seed: `seed` of `params.yaml`.

    Returns:
        The classes of each fold.

    Raises:
        ParametersError: a fold would have fewer than two classes that can serve.
    """
    able = np.bincount(labels, minlength=classes) >= images
    if able.sum() < 2 * folds:
        raise ParametersError(
            f"{PARAMS_FILE}: pretrain.cross_validation.folds: found {folds}, needed two base "
            f"classes of at least {images} images (shot + queries of pretrain.selection) in each "
            f"fold, and there are {able.sum()} such classes; ask for fewer folds, fewer images or "
            "another pretrain.schedule"
        )
    order = numpy_generator(seed, "pretrain", "folds").permutation(classes)
    dealt = np.concatenate([order[able[order]], order[~able[order]]])
    return [np.sort(dealt[fold::folds]) for fold in range(folds)]


def held_out(part: Part, fold: NDArray[np.int64], seed: int) -> Part:
    """The classes of one fold as a part of their own, of at most 100 images each.

    Args:
        part: the base classes.
        fold: labels of the fold's classes.
        seed: `seed` of `params.yaml`; draws the images of classes that have more.
    """
    rows, labels = [], []
    for label, one in enumerate(fold):
        found = np.flatnonzero(part.labels == one)
        generator = numpy_generator(seed, "pretrain", "held out", int(one))
        rows.append(np.sort(generator.permutation(found)[:_IMAGES_PER_CLASS]))
        labels.append(np.full(len(rows[-1]), label, np.int64))
    classes = tuple(
        replace(part.classes[one], images=len(some)) for one, some in zip(fold, rows, strict=True)
    )
    return Part(part.images[np.concatenate(rows)], np.concatenate(labels), classes)
