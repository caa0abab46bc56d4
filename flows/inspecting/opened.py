"""What the images that were looked into are like, in numbers."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from flows.inspecting.counting import Reason, by_kind
from flows.inspecting.looking import Look
from tasks.trees.tree import printable


@dataclass(frozen=True)
class Spread:
    """Where some numbers lie."""

    least: float
    median: float
    most: float


@dataclass(frozen=True)
class Opened:
    """What the images are like.

    Attributes:
        images: how many were looked into.
        classes: of how many classes.
        width: in pixels, upright, of those with a header; None if none has one.
        height: likewise.
        aspect: width over height.
        forms: JPEG, PNG and so on -> how many.
        modes: RGB, L and so on -> how many.
        turned: how many EXIF says to turn.
        unfit: why some cannot be used, by kind.
        within: paths of images that look the same within a class, a list a picture.
        across: paths of images that look the same in several classes.
    """

    images: int
    classes: int
    width: Spread | None
    height: Spread | None
    aspect: Spread | None
    forms: Mapping[str, int]
    modes: Mapping[str, int]
    turned: int
    unfit: Sequence[Reason]
    within: Sequence[Sequence[str]]
    across: Sequence[Sequence[str]]


def describe(look: Look) -> Opened:
    """Sum up what was seen."""
    headers = [one for one in look.headers if one is not None]
    paths = [printable(image.path) for image in look.images]
    refused = [(path, reason) for path, reason in zip(paths, look.reasons, strict=True) if reason]
    return Opened(
        images=len(look.images),
        classes=len({image.class_name for image in look.images}),
        width=_spread([one.width for one in headers]),
        height=_spread([one.height for one in headers]),
        aspect=_spread([one.width / max(1, one.height) for one in headers]),
        forms=dict(Counter(one.form for one in headers).most_common()),
        modes=dict(Counter(one.mode for one in headers).most_common()),
        turned=sum(one.turned for one in headers),
        unfit=by_kind(refused),
        within=[[paths[one] for one in some] for some in look.doubles(across=False)],
        across=[[paths[one] for one in some] for some in look.doubles(across=True)],
    )


def _spread(numbers: Sequence[float]) -> Spread | None:
    if not numbers:
        return None
    return Spread(min(numbers), float(np.median(numbers)), max(numbers))
