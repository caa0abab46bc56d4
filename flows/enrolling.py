"""What `headstart enroll` does: keeps classes of images in a head file, for later predictions."""

import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from rich.table import Table
from rich.text import Text

from flows.image_folders import query_files, support_classes
from flows.predicting import client_faults, printable, shown
from tasks.errors import BundleError, ParametersError
from tasks.fewshot import FewShotClassifier
from tasks.progress import Track

logger = logging.getLogger(__name__)

_TELL_AFTER_S = 1.0


@dataclass(frozen=True)
class Changes:
    """What to do to a head, in this order.

    Attributes:
        forget: classes to remove.
        rename: a class and its new name.
        support: a folder with a folder of images a class, to add.
        name: the class that `images` are of.
        images: files and folders of images to add.
    """

    forget: Sequence[str] = ()
    rename: tuple[str, str] | None = None
    support: Path | None = None
    name: str | None = None
    images: Sequence[Path] = ()

    def __bool__(self) -> bool:
        return bool(self.forget or self.rename or self.support or self.name is not None)


def enroll(folder: Path, head: Path, changes: Changes, track: Track) -> dict[str, int]:
    """Change a head file, which is made where there is none; it is replaced whole or not at all.

    Several of these at once on one head do their work one after the other, so that none undoes
    what another did.

    Args:
        folder: the bundle.
        head: the file.
        changes: nothing in them leaves the file as it is.
        track: shows progress.

    Returns:
        Number of images by class, as the head now holds them.

    Raises:
        ParametersError: images without a name, or a name without images.
        BundleError: the bundle or the head is missing or damaged, a class or an image cannot be
            used, or the head cannot be written.
        DataError: a folder holds no image.
    """
    if (changes.name is None) != (not changes.images):
        found = "--name without images" if changes.name is not None else "images without --name"
        raise ParametersError(f"enroll: found {found}, needed both: --name NAME IMAGE...")
    with client_faults():
        if not changes:
            return FewShotClassifier.load(folder, head).classes
        with _held(head):
            model = _changed(folder, head, changes, track)
            model.save(head)
        return model.classes


def _changed(folder: Path, head: Path, changes: Changes, track: Track) -> FewShotClassifier:
    there_is_one = os.access(head, os.F_OK)
    model = FewShotClassifier.load(folder, head) if there_is_one else FewShotClassifier(folder)
    for name in changes.forget:
        model.forget(name)
    if changes.rename is not None:
        model.rename(*changes.rename)
    added: dict[str, list[Path]] = {}
    if changes.support is not None:
        added |= support_classes(changes.support, one_is_enough=True)
    if changes.name is not None:
        added.setdefault(changes.name, []).extend(query_files(changes.images))
    if added:
        model.enroll_all(added, shown(track, "embedding images"))
    return model


@contextmanager
def _held(head: Path) -> Iterator[None]:
    """Keep a head to oneself; who comes second waits.

    What is locked is a file beside the head, or beside what a link points to. It stays: to remove
    it could hand the lock to two at once.

    Raises:
        BundleError: no file can be written there.
    """
    try:
        target = head.resolve()
        if not target.parent.is_dir():  # which the lock would make
            raise BundleError(
                f"{head}: cannot be written: found no folder {target.parent}; make it"
            )
        lock = FileLock(target.with_name(f".{target.name}.lock"))
        try:
            lock.acquire(timeout=_TELL_AFTER_S)
        except Timeout:
            logger.info("%s: waiting for another `headstart enroll` to end", head)
            lock.acquire()
    except (OSError, ValueError, RuntimeError) as error:  # of links in a circle; of a zero byte
        reason = getattr(error, "strerror", None) or error
        raise BundleError(f"{head}: cannot be written: {reason}") from None
    try:
        yield
    finally:
        lock.release()


def classes_table(classes: Mapping[str, int]) -> Table:
    """A table for a terminal: the classes of a head, and how many images each has."""
    table = Table(box=None, pad_edge=False)
    table.add_column("class", overflow="fold")
    table.add_column("images", justify="right")
    for name, images in classes.items():
        table.add_row(Text(printable(name)), f"{images:,}")
    return table


def classes_json(classes: Mapping[str, int]) -> list[dict[str, Any]]:
    """The same for programs."""
    return [{"class": name, "images": images} for name, images in classes.items()]
