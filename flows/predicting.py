"""What `headstart predict` does: learns classes from folders or a head file, and names queries.

It does so with `fewshot.py`, the very client that lies in every bundle.
"""

import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.table import Table
from rich.text import Text

from flows.image_folders import query_files, support_classes
from tasks.errors import BundleError, DataError
from tasks.fewshot import FewShotClassifier, FewShotError, Progress
from tasks.progress import Track


@dataclass(frozen=True)
class Answer:
    """What a bundle makes of one query.

    Attributes:
        path: the query's file.
        ranked: every class with its probability, 0..1, the likeliest first.
        unknown: whether it is likely none of them.
    """

    path: Path
    ranked: tuple[tuple[str, float], ...]
    unknown: bool = False


def predict(
    folder: Path,
    support: Path | None,
    queries: Sequence[Path],
    track: Track,
    head: Path | None = None,
) -> list[Answer]:
    """Learn the classes of `support`, of `head` or of both, and name every query.

    Args:
        folder: the bundle.
        support: one folder of images a class, called as the class.
        queries: image files, and folders whose image files are taken.
        track: shows progress.
        head: a file of classes enrolled before.

    Raises:
        BundleError: the bundle or the head is missing or damaged, or a file is no image.
        DataError: no classes are given, fewer than two classes, or a class without images.
    """
    if support is None and head is None:
        raise DataError("found no classes, needed --support FOLDER, --head FILE or both")
    with client_faults():
        model = FewShotClassifier.load(folder, head) if head else FewShotClassifier(folder)
        if support is not None:
            classes = support_classes(support, one_is_enough=head is not None)
            model.enroll_all(classes, shown(track, "embedding the support"))
        paths = list(query_files(queries))
        rankings = model.predict(paths, shown(track, "embedding the queries"))
    return [
        Answer(path, tuple(ranking), ranking.unknown)
        for path, ranking in zip(paths, rankings, strict=True)
    ]


@contextmanager
def client_faults() -> Iterator[None]:
    """Tell the client's faults as the commands tell their own, and nothing that Pillow warns of.

    Raises:
        BundleError: in place of a `FewShotError`, with its text.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            yield
        except FewShotError as fault:
            raise BundleError(str(fault)) from None


def shown(track: Track, label: str) -> Progress:
    """A track as the client takes it."""
    return lambda images: track(images, label)


def answers_table(answers: Iterable[Answer]) -> Table:
    """A table for a terminal: the best class of each query, and the runner-up.

    Of a query that is unknown, the likeliest class stands as the runner-up.
    """
    table = Table(box=None, pad_edge=False)
    for column in ("query", "class", "probability %", "runner-up", "probability % "):
        table.add_column(column, justify="right" if "%" in column else "left", overflow="fold")
    for answer in answers:
        told = [("(unknown)", "")] if answer.unknown else []
        told += [(name, _percent(probability)) for name, probability in answer.ranked[:2]]
        best, second = [*told, ("", "")][:2]
        table.add_row(*(Text(printable(cell)) for cell in (str(answer.path), *best, *second)))
    return table


def answers_json(answers: Iterable[Answer]) -> list[dict[str, Any]]:
    """The same for programs, with the probability of every class; no class where it is unknown."""
    return [
        {
            "query": str(answer.path),
            "class": None if answer.unknown else answer.ranked[0][0],
            "unknown": answer.unknown,
            "probability": answer.ranked[0][1],
            "probabilities": dict(answer.ranked),
        }
        for answer in answers
    ]


def printable(text: str) -> str:
    """Text of unknown origin without what would steer a terminal."""
    return "".join(one if one.isprintable() else "\N{REPLACEMENT CHARACTER}" for one in text)


def _percent(share: float) -> str:
    return f"{100 * share:.1f}"
