"""What `headstart enroll` does: keeps classes of images in a head file, for later predictions."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.table import Table
from rich.text import Text

from flows.image_folders import query_files
from flows.predicting import client_faults, enrolled_classes, printable, shown
from tasks.errors import ParametersError
from tasks.fewshot import FewShotClassifier
from tasks.progress import Track


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
        if head.exists() or not changes:
            model = FewShotClassifier.load(folder, head)
        else:
            model = FewShotClassifier(folder)
        for name in changes.forget:
            model.forget(name)
        if changes.rename is not None:
            model.rename(*changes.rename)
        added = dict(enrolled_classes(changes.support)) if changes.support is not None else {}
        if changes.name is not None:
            named = added.setdefault(changes.name, [])
            named += query_files(changes.images)
        if added:
            model.enroll_all(added, shown(track, "embedding images"))
        if changes:
            model.save(head)
        return model.classes


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
