"""An episode as people look at it: support beside queries, right and wrong answers told apart."""

from dataclasses import dataclass

import numpy as np

from tasks.artifacts.image_store import Part
from tasks.evaluate.measured import Measured
from tasks.evaluate.tiles import data_uri

SHOWN_QUERIES = 10
SHOWN_CLASSES = 10
SHOWN_SUPPORT = 5


@dataclass(frozen=True)
class ShownQuery:
    """A query and what the arms said about it."""

    picture: str
    answers: dict[str, str]
    right: dict[str, bool]


@dataclass(frozen=True)
class ShownClass:
    """One row of the sheet."""

    name: str
    support: list[str]
    queries: list[ShownQuery]


@dataclass(frozen=True)
class EpisodeSheet:
    """One episode, a row a class.

    Attributes:
        title: the protocol, and which of its episodes this is.
        rows: pictures as data URIs, names as plain text; of many classes the first ones.
    """

    title: str
    rows: list[ShownClass]


def episode_sheet(measured: Measured, part: Part, number: int) -> EpisodeSheet:
    """Show one episode.

    Args:
        measured: the protocol's results.
        part: the images that its episodes were drawn from.
        number: which episode.
    """
    episodes = measured.episodes
    present = np.ones_like(episodes.support[number], dtype=bool)
    if episodes.present is not None:
        present = episodes.present[number]
    names = [part.classes[label].name for label in measured.episodes.classes[number]]
    query = measured.episodes.query[number]
    answers = {
        arm: told.predicted[number].reshape(query.shape) for arm, told in measured.answers.items()
    }
    rows = [
        ShownClass(
            name,
            [
                data_uri(part.images[index])
                for index in episodes.support[number, row][present[row]][:SHOWN_SUPPORT]
            ],
            [
                ShownQuery(
                    data_uri(part.images[query[row, column]]),
                    {arm: names[guess[row, column]] for arm, guess in answers.items()},
                    {arm: bool(guess[row, column] == row) for arm, guess in answers.items()},
                )
                for column in range(min(SHOWN_QUERIES, query.shape[1]))
            ],
        )
        for row, name in enumerate(names[:SHOWN_CLASSES])
    ]
    title = f"{measured.title}, episode {number}"
    return EpisodeSheet(title, rows)


def hardest_of_first(measured: Measured, arm: str, among: int = 50) -> int:
    """The episode with the lowest accuracy among the first ones: mistakes teach more."""
    return int(np.argmin(measured.accuracy[arm][:among]))
