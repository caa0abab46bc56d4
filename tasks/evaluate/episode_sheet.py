"""An episode as people look at it: support beside queries, right and wrong answers told apart."""

from base64 import b64encode
from dataclasses import dataclass
from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tasks.artifacts.image_store import Part
from tasks.evaluate.measuring import Measured

SHOWN_QUERIES = 10


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
        rows: pictures as data URIs, names as plain text.
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
    names = [part.classes[label].name for label in measured.episodes.classes[number]]
    query = measured.episodes.query[number]
    answers = {
        arm: guesses[number].reshape(query.shape) for arm, guesses in measured.predicted.items()
    }
    rows = [
        ShownClass(
            name,
            [_data_uri(part.images[index]) for index in measured.episodes.support[number, row]],
            [
                ShownQuery(
                    _data_uri(part.images[query[row, column]]),
                    {arm: names[guess[row, column]] for arm, guess in answers.items()},
                    {arm: bool(guess[row, column] == row) for arm, guess in answers.items()},
                )
                for column in range(min(SHOWN_QUERIES, query.shape[1]))
            ],
        )
        for row, name in enumerate(names)
    ]
    title = f"{measured.title}, episode {number}"
    return EpisodeSheet(title, rows)


def hardest_of_first(measured: Measured, arm: str, among: int = 50) -> int:
    """The episode with the lowest accuracy among the first ones: mistakes teach more."""
    return int(np.argmin(measured.accuracy[arm][:among]))


def _data_uri(image: NDArray[np.uint8]) -> str:
    squeezed = np.ascontiguousarray(image[..., 0] if image.shape[-1] == 1 else image)
    buffer = BytesIO()
    Image.fromarray(squeezed).save(buffer, format="PNG")
    return "data:image/png;base64," + b64encode(buffer.getvalue()).decode("ascii")
