"""A classification dataset of torchvision's, by its name, as a tree of image files."""

import hashlib
import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tasks.artifacts.image_store import Rejected
from tasks.errors import DataError
from tasks.sources.found import Found, FoundImage
from tasks.sources.image_folder import sort_images
from tasks.sources.names import alike_notes, name_classes, shown, unique_names
from tasks.sources.ppm import as_ppm
from tasks.sources.torchvision_parts import Part, facts, open_parts
from tasks.trees.tree import Leaf, Refusal, printable

_OPENING = threading.Lock()


class NamedTree:
    """The images of all parts of a dataset as PPM files named `CLASS/PART-NUMBER.ppm`.

    It is opened when first needed, once in each process.

    Args:
        dataset: a class of torchvision.datasets.
        root: the folder that torchvision keeps it in.
        download: whether to fetch what is not there; a copy in another process never does.
    """

    def __init__(self, dataset: str, root: str, *, download: bool) -> None:
        self.dataset = dataset
        self._root = root
        self._download = download
        self._parts: dict[str, Part] | None = None
        self._index: _Index | None = None

    @property
    def root(self) -> str:
        """As people named it."""
        return self._root

    @property
    def sequential(self) -> bool:
        """No."""
        return False

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_download": False, "_parts": None, "_index": None}

    def classes(self) -> Mapping[str, tuple[str, str]]:
        """Class name and group by the folder of the class.

        Raises:
            DataError: the dataset cannot be opened.
        """
        groups = {
            name: group
            for group, names in facts()["groups"].get(self.dataset, {}).items()
            for name in names
        }
        folders = self._indexed().folders
        named = name_classes((groups.get(name, ""), name) for name in folders)
        return {folders[name]: named[group, name] for group, name in named}

    def walk(self) -> Iterator[Leaf | Refusal]:
        """Every image, part by part; sizes are not known before an image is read.

        Raises:
            DataError: the dataset cannot be opened.
        """
        index = self._indexed()
        for part, labels, names in index.labelled:
            for number, label in enumerate(labels):
                file = f"{part.name}-{number:06}.ppm"
                if label is None:
                    yield Refusal(file, "no label", counts=False)
                else:
                    mark = f"{self.dataset} {index.state} {part.name} {number}"
                    yield Leaf(f"{index.folders[names[label]]}/{file}", 0, mark)

    def stat(self, paths: Sequence[str]) -> Iterator[Leaf | Refusal]:
        """The named images.

        Raises:
            DataError: the dataset cannot be opened.
        """
        there = {one.path: one for one in self.walk()}
        for path in paths:
            yield there.get(path) or Refusal(path, f"not in {self.dataset}")

    def read(self, paths: Sequence[str]) -> Iterator[bytes | Refusal]:
        """The named images as PPM files.

        Raises:
            DataError: the dataset cannot be opened.
        """
        parts = self._opened()
        for path in paths:
            name, _, number = path.rpartition("/")[2].removesuffix(".ppm").rpartition("-")
            try:
                image, _ = parts[name].data[int(number)]
                yield as_ppm(image)
            except Exception as error:  # each dataset fails in its own ways
                reason = " ".join(str(error).split()) or type(error).__name__
                yield Refusal(path, f"cannot be read from {self.dataset}: {reason}")

    def _opened(self) -> Mapping[str, Part]:
        with _OPENING:
            if self._parts is None:
                parts = open_parts(self.dataset, self._root, download=self._download)
                self._parts = {part.name: part for part in parts}
            return self._parts

    def _indexed(self) -> "_Index":
        parts = self._opened().values()
        if self._index is None:
            labelled = [
                (part, labels, part.names(labels)) for part in parts if (labels := part.labels())
            ]
            names = sorted({name for *_, named in labelled for name in named.values()})
            folders = unique_names({name: name.replace("/", "_") for name in names})
            self._index = _Index(labelled, folders, _state(self._root))
        return self._index


@dataclass(frozen=True)
class _Index:
    """What is to know before an image is read.

    Attributes:
        labelled: each part, the label of each of its images, and the name of each label.
        folders: by class name.
        state: another text whenever a file below the root is another.
    """

    labelled: Sequence[tuple[Part, Sequence[int | None], Mapping[int, str]]]
    folders: Mapping[str, str]
    state: str


def _state(root: str) -> str:
    digest = hashlib.blake2b(digest_size=8)
    for file in _files(root, set()):
        try:
            status = os.stat(file)  # noqa: PTH116  of what a link leads to
        except OSError:
            continue  # gone by now
        digest.update(repr((file, status.st_size, status.st_mtime_ns)).encode())
    return digest.hexdigest()


def _files(folder: str, seen: set[str]) -> Iterator[str]:
    """All files below a folder, also through links; a folder that was seen is not entered again."""
    real = os.path.realpath(folder)
    if real in seen:
        return
    seen.add(real)
    try:
        with os.scandir(folder) as entries:
            found = sorted(entries, key=lambda entry: entry.name)
    except OSError:
        return  # gone by now, or not for us
    for entry in found:
        if entry.is_dir():
            yield from _files(entry.path, seen)
        else:
            yield entry.path


def arrange(tree: NamedTree) -> Found:
    """Give every image its class and group.

    Raises:
        DataError: the dataset cannot be opened, or holds no image with a label.
    """
    classes = tree.classes()
    images = []
    rejected = []
    for one in tree.walk():
        if isinstance(one, Leaf):
            images.append(FoundImage(one.path, one.mark, *classes[one.path.rpartition("/")[0]]))
        else:
            rejected.append(Rejected("", printable(one.path), one.reason))
    if not images:
        raise DataError(
            f"{shown(tree.root)}: {tree.dataset} holds no image with a label; needed some"
        )
    sort_images(images)
    return Found(tree, images, rejected, 0, alike_notes(name for name, _ in classes.values()))
