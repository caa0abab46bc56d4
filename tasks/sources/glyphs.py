"""Printed characters, rendered from typefaces: a data set that needs no download.

A class is a letter, a sample is the letter in one typeface after a small geometric change, dark
ink on light paper. Sample `j` of a letter depends on the seed, the code point and `j` alone.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from tasks.randomness import numpy_generator
from tasks.sources import typefaces
from tasks.sources.typefaces import Letter

CANVAS_PX = 96
FONT_SIZE_PX = 52
PAPER = 255

# Small enough that no letter turns into its neighbour; `pretrain` augments on top of this.
MAXIMUM_ROTATION_DEG = 6.0
MAXIMUM_SHEAR = 0.12
MAXIMUM_STRETCH = 0.12


def render(letter: Letter, fonts: Path, seed: int, samples: int) -> NDArray[np.uint8]:
    """Draw one letter several times.

    Args:
        letter: what to draw.
        fonts: the folder with the typefaces.
        seed: `seed` of `params.yaml`.
        samples: how many; typefaces take turns.

    Returns:
        Grey images, dark ink on light paper, `(samples, CANVAS_PX, CANVAS_PX)`, 0..255.

    Raises:
        DataError: a font file is missing or damaged.
    """
    order = numpy_generator(seed, "prepare", "typefaces", letter.codepoint).permutation(
        len(letter.typefaces)
    )
    images = np.empty((samples, CANVAS_PX, CANVAS_PX), np.uint8)
    for sample in range(samples):
        file = letter.typefaces[order[sample % len(order)]]
        rng = numpy_generator(seed, "prepare", "sample", letter.codepoint, sample)
        images[sample] = _distorted(_drawn(letter, fonts / file), rng)
    return images


def render_plain(letters: Sequence[Letter], fonts: Path, face: int) -> NDArray[np.uint8]:
    """Draw every letter once, undistorted.

    Args:
        letters: what to draw.
        fonts: the folder with the typefaces.
        face: which of a letter's typefaces; past the last one it begins anew.

    Returns:
        Grey images `(letters, CANVAS_PX, CANVAS_PX)`, 0..255, for comparing letters by looks.

    Raises:
        DataError: a font file is missing or damaged.
    """
    images = np.empty((len(letters), CANVAS_PX, CANVAS_PX), np.uint8)
    for index, letter in enumerate(letters):
        file = letter.typefaces[face % len(letter.typefaces)]
        images[index] = np.asarray(_drawn(letter, fonts / file))
    return images


def distinct(
    looks: NDArray[np.float32],
    maximum_similarity: float,
    beside: NDArray[np.float32] | None = None,
) -> NDArray[np.intp]:
    """Choose letters of which no two look alike; earlier ones win.

    Args:
        looks: ink images of letters, flattened, `(letters, pixels)`; 0 is paper.
        maximum_similarity: cosine from which two letters count as look-alikes, 0..1.
        beside: looks of letters, none without ink, that win against all of these.

    Returns:
        Indices of the letters kept, ascending. Letters without ink are never kept.
    """
    others = 0 if beside is None else len(beside)
    every = looks if beside is None else np.concatenate([beside, looks])
    norms = np.linalg.norm(every, axis=1)
    unit = every / np.maximum(norms, 1e-6)[:, None]
    keepers = np.empty_like(unit)
    keepers[:others] = unit[:others]
    kept: list[int] = []
    for index in np.flatnonzero(norms[others:] > 0):
        won = others + len(kept)
        if not won or (keepers[:won] @ unit[others + index]).max() < maximum_similarity:
            keepers[won] = unit[others + index]
            kept.append(int(index))
    return np.asarray(kept, np.intp)


def _drawn(letter: Letter, path: Path) -> Image.Image:
    canvas = Image.new("L", (CANVAS_PX, CANVAS_PX), PAPER)
    text = chr(letter.codepoint)
    font = typefaces.load(path, FONT_SIZE_PX)
    left, top, right, bottom = font.getbbox(text)
    # Centred by its ink; a letter wider than the canvas is drawn smaller, never cut.
    widest = max(right - left, bottom - top)
    room = CANVAS_PX * 0.8
    if widest > room:
        font = typefaces.load(path, int(FONT_SIZE_PX * room / widest))
        left, top, right, bottom = font.getbbox(text)
    corner = ((CANVAS_PX - left - right) / 2, (CANVAS_PX - top - bottom) / 2)
    ImageDraw.Draw(canvas).text(corner, text, fill=0, font=font)
    return canvas


def _distorted(image: Image.Image, rng: np.random.Generator) -> NDArray[np.uint8]:
    angle = np.deg2rad(rng.uniform(-MAXIMUM_ROTATION_DEG, MAXIMUM_ROTATION_DEG))
    shear = rng.uniform(-MAXIMUM_SHEAR, MAXIMUM_SHEAR)
    stretch = np.exp(rng.uniform(-MAXIMUM_STRETCH, MAXIMUM_STRETCH))
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    matrix = turn @ np.array([[1.0, shear], [0.0, 1.0]]) @ np.diag([stretch, 1 / stretch])
    centre = np.full(2, CANVAS_PX / 2)
    offset = centre - matrix @ centre
    (a, b), (d, e) = matrix
    return np.asarray(
        image.transform(
            image.size,
            Image.Transform.AFFINE,
            (a, b, offset[0], d, e, offset[1]),
            resample=Image.Resampling.BILINEAR,
            fillcolor=PAPER,
        )
    )
