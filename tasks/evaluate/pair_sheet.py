"""The hardest pairs as people look at them: both classes, and what was mistaken for what."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tasks.artifacts.image_store import Part
from tasks.evaluate.confusion import HardPair
from tasks.evaluate.tiles import data_uri

_TILES = 4  # shown of each class


@dataclass(frozen=True)
class Mistaken:
    """A query that was answered with the other class of its pair."""

    picture: str
    name: str
    answered: str


@dataclass(frozen=True)
class ShownPair:
    """One row: names as plain text, pictures as data URIs."""

    names: tuple[str, str]
    pictures: tuple[list[str], list[str]]
    mistaken: list[Mistaken]
    rate: float
    meetings: int


def pair_sheet(pairs: Sequence[HardPair], part: Part) -> list[ShownPair]:
    """Show pairs.

    Args:
        pairs: labels in `part`.
        part: the images.
    """
    names = [one.name for one in part.classes]

    def tiles(label: int) -> list[str]:
        return [data_uri(part.images[at]) for at in np.flatnonzero(part.labels == label)[:_TILES]]

    return [
        ShownPair(
            (names[pair.first], names[pair.second]),
            (tiles(pair.first), tiles(pair.second)),
            [
                Mistaken(data_uri(part.images[image]), names[part.labels[image]], names[answered])
                for image, answered in pair.queries
            ],
            pair.rate,
            pair.meetings,
        )
        for pair in pairs
    ]
