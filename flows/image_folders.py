"""Folders of images as people keep them: one folder a class, perhaps in folders of groups."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tasks.artifacts.image_files import class_folders, image_files
from tasks.errors import DataError


@dataclass(frozen=True)
class FoundClass:
    """One class on disk.

    Attributes:
        group: the folder around it; empty where classes stand directly in the root.
        images: its files.
    """

    group: str
    images: Sequence[Path]


def support_classes(support: Path, *, one_is_enough: bool = False) -> dict[str, list[Path]]:
    """The classes of a support folder, by name: their image files.

    Args:
        support: the folder.
        one_is_enough: there may be other classes elsewhere; if not, two are needed.

    Raises:
        DataError: no such folder, fewer classes than needed, or a class without images.
    """
    classes = {folder.name: image_files(folder) for folder in class_folders(support)}
    if len(classes) < (1 if one_is_enough else 2):
        found = f"one class only ({', '.join(classes)})" if classes else "no class"
        needed = "one" if one_is_enough else "two"
        raise DataError(f"{support}: found {found}, needed {needed} or more folders, one a class")
    for name, images in classes.items():
        if not images:
            raise DataError(
                f"{support / name}: no image in this class; put one there or remove the folder"
            )
    return classes


def query_files(queries: Sequence[Path]) -> Iterator[Path]:
    """The files to name: each query that is a file, and the image files of each that is a folder.

    Raises:
        DataError: there is none, or a folder holds no image.
    """
    if not queries:
        raise DataError("found no query, needed an image file or a folder of images: --query PATH")
    for query in queries:
        if not query.is_dir():
            yield query
            continue
        images = image_files(query)
        if not images:
            raise DataError(f"{query}: no image in this folder; name files, or another folder")
        yield from images


def find_classes(root: Path) -> list[FoundClass]:
    """The classes of `ROOT/CLASS/*` or `ROOT/GROUP/CLASS/*`.

    Raises:
        DataError: no such folder, a class without images, or both arrangements at once.
    """
    flat, nested = [], []
    for folder in class_folders(root):
        inner = class_folders(folder)
        nested += [FoundClass(folder.name, _images(one)) for one in inner]
        if not inner:
            flat.append(FoundClass("", _images(folder)))
        elif image_files(folder):
            raise DataError(f"{folder}: holds images and folders, needed one of the two")
    if flat and nested:
        raise DataError(
            f"{root}: holds classes and groups of classes, needed ROOT/CLASS/* or "
            "ROOT/GROUP/CLASS/* throughout"
        )
    if not flat and not nested:
        raise DataError(f"{root}: no folders in it, needed one a class")
    return flat or nested


def _images(folder: Path) -> list[Path]:
    images = image_files(folder)
    if not images:
        raise DataError(f"{folder}: no image in this class; put some there or remove the folder")
    return images
