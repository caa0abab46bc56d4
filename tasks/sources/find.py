"""Finds the images of a source: the one door from `params.yaml` to what lies behind it."""

import os
from pathlib import PurePath

from tasks.errors import DataError
from tasks.sources import fake, image_folder, omniglot, table, torchvision_named
from tasks.sources.found import Found
from tasks.sources.table_rows import MAXIMUM_TABLE_BYTES
from tasks.trees.archive_tree import ArchiveTree
from tasks.trees.open_tree import open_file_bytes, open_tree


def find_images(
    source: str,
    root: str,
    *,
    rotated_classes: bool,
    dataset: str,
    download: bool,
    fake_classes: int,
    fake_images: int,
    fake_image_size_px: int,
) -> Found:
    """Find every image of a source, with its class.

    Args:
        source: image_folder, archive, omniglot, torchvision or fake.
        root: a folder, an archive, a table or the address of one, `~` being the user's home; fake
            reads none.
        rotated_classes: read by omniglot: turned characters are classes of their own.
        dataset: read by torchvision: its name in torchvision.datasets.
        download: read by torchvision: whether to fetch what is not there.
        fake_classes: read by fake, as are the next two.
        fake_images: of all classes together.
        fake_image_size_px: of a side.

    Raises:
        DataError: the root cannot be read, or holds no images as the source needs them.
    """
    root = os.path.expanduser(root)  # noqa: PTH111  (the other way fails on unknown users)
    if source == "omniglot":
        return omniglot.find(root, rotated_classes=rotated_classes)
    if source == "torchvision":
        tree = torchvision_named.NamedTree(dataset, root, download=download)
        return torchvision_named.arrange(tree)
    if source == "fake":
        return fake.arrange(fake.FakeTree(fake_classes, fake_images, fake_image_size_px))
    if source == "archive":
        return _archive(root)
    if source != "image_folder":
        raise DataError(f"prepare.source: {source} does not look for images; use image_folder")
    return _table(root) if table.is_table(root) else image_folder.arrange(open_tree(root))


def _table(root: str) -> Found:
    content = open_file_bytes(root, MAXIMUM_TABLE_BYTES)
    if "://" not in root:
        return table.arrange(open_tree(str(PurePath(root).parent)), root, content)
    folder, _, file = root.rpartition("/")
    tree = open_tree(folder)
    return table.arrange(tree, f"{tree.root}/{file}", content)  # without a password


def _archive(root: str) -> Found:
    tree = None if table.is_table(root) else open_tree(root)
    if isinstance(tree, ArchiveTree):
        return image_folder.arrange(tree)
    found = "a folder" if tree else "a table"
    raise DataError(
        f"prepare.source: archive, but prepare.root is {found}; needed source image_folder for it"
    )
