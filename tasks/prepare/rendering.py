"""Renders and frames many letters on all cores."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tasks.artifacts.image_store import ImageClass, Part
from tasks.errors import DataError
from tasks.framing.graph import Framing, frame_grey
from tasks.progress import Track
from tasks.sources import glyphs
from tasks.sources.quarter_turns import Turned, turned_name
from tasks.sources.typefaces import Letter
from tasks.workers import process_pool

_LETTERS_AT_ONCE = 16


@contextmanager
def rendering_pool(processes: int | None = None) -> Iterator[ProcessPoolExecutor]:
    """Processes for rendering, each of which dies with this one.

    Args:
        processes: how many; None is one a core.

    Raises:
        DataError: the system ended a worker.
    """
    try:
        with process_pool(processes) as pool:
            yield pool
    except BrokenProcessPool:
        raise DataError(
            "a rendering process was ended from outside, for lack of memory perhaps; run again"
        ) from None


def render_part(
    wanted: Sequence[tuple[Letter, Turned]],
    fonts: Path,
    framing: Framing,
    pool: ProcessPoolExecutor,
    track: Track,
    *,
    label: str,
    seed: int,
    samples: int,
) -> Part:
    """Render and frame every sample of every letter, and turn what is framed.

    Args:
        wanted: the classes, in label order: a letter and by how much it is turned.
        fonts: folder with the typefaces.
        framing: what turns a canvas into a stored image.
        pool: where rendering happens; results do not depend on its size.
        track: shows progress.
        label: what the progress line says.
        seed: `seed` of `params.yaml`.
        samples: images of each class.

    Raises:
        DataError: a font file is missing or damaged.
    """
    side, channels = framing.size_px, framing.channels
    images = np.empty((len(wanted), samples, side, side, channels), np.uint8)
    labels: defaultdict[Letter, list[int]] = defaultdict(list)
    for at, (letter, _) in enumerate(wanted):
        labels[letter].append(at)
    draw = partial(glyphs.render, fonts=fonts, seed=seed, samples=samples)
    drawn = pool.map(draw, labels, chunksize=_LETTERS_AT_ONCE)
    for canvases, some in zip(track(drawn, label, len(labels)), labels.values(), strict=True):
        framed = frame_grey(framing, canvases)
        for at in some:
            images[at] = np.rot90(framed, wanted[at][1] // 90, axes=(1, 2))
    classes = tuple(
        ImageClass(turned_name(letter.name, turned), letter.script, samples)
        for letter, turned in wanted
    )
    numbers = np.repeat(np.arange(len(wanted)), samples)
    return Part(images.reshape(-1, side, side, channels), numbers, classes)


def frame_digits(images: NDArray[np.uint8], labels: NDArray[np.int64], framing: Framing) -> Part:
    """Frame the handwritten digits as ten classes.

    Args:
        images: `(image, 8, 8)`, 0..255.
        labels: `(image,)`, 0..9.
        framing: as for everything else in the store.
    """
    counts = np.bincount(labels)
    classes = tuple(
        ImageClass(f"handwritten digit {digit}", "handwritten digits", int(count))
        for digit, count in enumerate(counts)
    )
    return Part(frame_grey(framing, images), labels, classes)
