"""What `headstart predict` does: learns classes from folders of images, and names queries."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.table import Table
from rich.text import Text

from flows.image_folders import query_files, support_classes
from tasks.artifacts.bundle import Bundle
from tasks.progress import Track


@dataclass(frozen=True)
class Answer:
    """What a bundle makes of one query.

    Attributes:
        path: the query's file.
        ranked: every class with its probability, 0..1, the likeliest first.
    """

    path: Path
    ranked: tuple[tuple[str, float], ...]


def predict(folder: Path, support: Path, queries: Sequence[Path], track: Track) -> list[Answer]:
    """Learn the classes of `support` and name every query.

    Args:
        folder: the bundle.
        support: one folder of images a class, called as the class.
        queries: image files, and folders whose image files are taken.
        track: shows progress.

    Raises:
        BundleError: the bundle is missing or damaged.
        DataError: fewer than two classes, a class without images, or a file that is no image.
    """
    bundle = Bundle(folder)
    classes = support_classes(support)
    paths = list(query_files(queries))
    shown = [path for images in classes.values() for path in images]
    labels = np.repeat(np.arange(len(classes)), [len(images) for images in classes.values()])
    taught = bundle.embed_files(shown, track, "embedding the support")
    rule = bundle.adapt(taught, labels, np.arange(len(classes)))
    asked = bundle.embed_files(paths, track, "embedding the queries")
    _, probabilities = bundle.predict(asked, rule)
    return [
        Answer(path, tuple(_ranked(list(classes), row)))
        for path, row in zip(paths, probabilities.tolist(), strict=True)
    ]


def answers_table(answers: Iterable[Answer]) -> Table:
    """A table for a terminal: the best class of each query, and the runner-up."""
    table = Table(box=None, pad_edge=False)
    for column in ("query", "class", "probability %", "runner-up", "probability % "):
        table.add_column(column, justify="right" if "%" in column else "left", overflow="fold")
    for answer in answers:
        best, second = answer.ranked[:2]
        cells = (str(answer.path), best[0], _percent(best[1]), second[0], _percent(second[1]))
        table.add_row(*(Text(printable(cell)) for cell in cells))
    return table


def answers_json(answers: Iterable[Answer]) -> list[dict[str, Any]]:
    """The same for programs, with the probability of every class."""
    return [
        {
            "query": str(answer.path),
            "class": answer.ranked[0][0],
            "probability": answer.ranked[0][1],
            "probabilities": dict(answer.ranked),
        }
        for answer in answers
    ]


def printable(text: str) -> str:
    """Text of unknown origin without what would steer a terminal."""
    return "".join(one if one.isprintable() else "\N{REPLACEMENT CHARACTER}" for one in text)


def _ranked(names: Sequence[str], probabilities: Sequence[float]) -> list[tuple[str, float]]:
    return sorted(zip(names, probabilities, strict=True), key=lambda one: -one[1])


def _percent(share: float) -> str:
    return f"{100 * share:.1f}"
