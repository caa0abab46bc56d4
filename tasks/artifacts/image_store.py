"""The image store: what `prepare` leaves and every later stage reads.

A folder with, for each part (`base`, `validation`, `novel` and further evaluation domains),
`PART.images.npy` and `PART.labels.npy`, and one `manifest.json` that says what they hold.
"""

import math
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from tasks.artifacts.files import read_json, sha256, write_csv, write_json
from tasks.errors import DataError

FORMAT = 1
MANIFEST = "manifest.json"
REJECTED = "rejected.csv"
SPLITS = ("base", "validation", "novel")


@dataclass(frozen=True)
class ImageClass:
    """One class of a part; its label is its position.

    Attributes:
        name: unique within the store.
        group: what it belongs to, for example a script.
        images: how many images it has.
    """

    name: str
    group: str
    images: int


@dataclass(frozen=True)
class Part:
    """The images of one split or domain.

    Attributes:
        images: `(image, side, side, channels)` uint8, 0..255, memory-mapped when read.
        labels: class of each image `(image,)`, an index into `classes`.
        classes: all classes of the part.
    """

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]
    classes: tuple[ImageClass, ...]

    @property
    def groups(self) -> NDArray[np.int64]:
        """The group of each class `(class,)` as a number, 0 .. groups - 1 by name."""
        names = sorted({one.group for one in self.classes})
        return np.array([names.index(one.group) for one in self.classes], np.int64)


@dataclass(frozen=True)
class Rejected:
    """One image or class that was left out, and why."""

    class_name: str
    path: str
    reason: str


class ImageStore:
    """A prepared image store on disk.

    Args:
        folder: where `prepare` wrote it.

    Raises:
        DataError: there is none, or it is of another format.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.manifest = read_json(folder / MANIFEST, "prepare")
        if self.manifest.get("format") != FORMAT:
            raise DataError(
                f"{folder / MANIFEST}: found format {self.manifest.get('format')}, needed "
                f"{FORMAT}; run stage prepare again"
            )

    @property
    def side_px(self) -> int:
        """Height and width of every image."""
        return cast(int, self.manifest["image_size_px"])

    @property
    def channels(self) -> int:
        """1 for grey, 3 for RGB."""
        return cast(int, self.manifest["channels"])

    @property
    def domains(self) -> tuple[str, ...]:
        """The parts that evaluation may draw from."""
        return tuple(name for name in self.manifest["parts"] if name not in ("base", "validation"))

    def classes(self, part: str) -> tuple[ImageClass, ...]:
        """The classes of one part, without touching its images."""
        return tuple(ImageClass(**entry) for entry in self._entry(part)["classes"])

    def class_sizes(self) -> dict[str, list[tuple[str, int]]]:
        """Group and number of images of each class, for every part."""
        return {
            part: [(one.group, one.images) for one in self.classes(part)]
            for part in self.manifest["parts"]
        }

    def read(self, part: str) -> Part:
        """Open one part; images stay on disk until they are used.

        Raises:
            DataError: the part is unknown, missing or damaged.
        """
        entry = self._entry(part)
        paths = {kind: self.folder / f"{part}.{kind}.npy" for kind in ("images", "labels")}
        for kind, path in paths.items():
            if not path.is_file():
                raise DataError(f"{path}: not found; run stage prepare again")
            if sha256(path) != entry["sha256"][kind]:
                raise DataError(
                    f"{path}: content differs from {MANIFEST}; it is damaged or was edited: "
                    "run stage prepare again"
                )
        images = np.load(paths["images"], mmap_mode="r", allow_pickle=False)
        labels = np.load(paths["labels"], allow_pickle=False)
        return Part(images, labels, self.classes(part))

    def _entry(self, part: str) -> dict[str, Any]:
        parts = self.manifest["parts"]
        if part not in parts:
            raise DataError(f"{self.folder}: found parts {', '.join(parts)}, needed {part}")
        return cast(dict[str, Any], parts[part])


class PartWriter:
    """Writes one part image by image, so that no part has to fit into memory.

    Args:
        folder: of the store.
        name: of the part.
        shape: of one image, `(side, side, channels)`.
    """

    def __init__(self, folder: Path, name: str, shape: tuple[int, ...]) -> None:
        self.name = name
        self._folder = folder
        self._shape = shape
        self._images = (folder / f"{name}.images.npy").open("wb+")
        self._write_header(0)
        self._start = self._images.tell()
        self._keys: list[int] = []

    def append(self, pixels: bytes, class_key: int) -> int:
        """Add one image, and return its row.

        Args:
            pixels: uint8, flattened.
            class_key: any number that stands for its class until `close`.

        Raises:
            DataError: the pixels are not of the part's shape.
        """
        if len(pixels) != math.prod(self._shape):
            raise DataError(
                f"{self.name}: found an image of {len(pixels)} bytes, needed {self._shape}"
            )
        self._images.write(pixels)
        self._keys.append(class_key)
        return len(self._keys) - 1

    def close(
        self, classes: Mapping[int, tuple[str, str]], dropped: Collection[int] = ()
    ) -> dict[str, Any]:
        """Finish the part.

        Args:
            classes: name and group of each class key, in label order; a class without images is
                left out.
            dropped: rows that are not to stay after all.

        Returns:
            The part's entry for the manifest.
        """
        if dropped:
            self._drop(set(dropped))
        counts = Counter(self._keys)
        kept = [key for key in classes if counts[key]]
        label_of = {key: label for label, key in enumerate(kept)}
        labels = np.array([label_of[key] for key in self._keys], np.int64)
        self._write_header(len(labels))
        self._images.close()
        np.save(self._folder / f"{self.name}.labels.npy", labels, allow_pickle=False)
        entries = [ImageClass(*classes[key], counts[key]) for key in kept]
        return {
            "images": len(labels),
            "groups": dict(Counter(entry.group for entry in entries)),
            "sha256": {
                kind: sha256(self._folder / f"{self.name}.{kind}.npy")
                for kind in ("images", "labels")
            },
            "classes": [asdict(entry) for entry in entries],
        }

    def _drop(self, rows: set[int]) -> None:
        size = math.prod(self._shape)
        kept = [row for row in range(len(self._keys)) if row not in rows]
        for place, row in enumerate(kept):
            if place != row:
                self._images.seek(self._start + row * size)
                pixels = self._images.read(size)
                self._images.seek(self._start + place * size)
                self._images.write(pixels)
        self._images.truncate(self._start + len(kept) * size)
        self._keys = [self._keys[row] for row in kept]

    def _write_header(self, images: int) -> None:
        # numpy pads the header so that the first axis may grow in place.
        self._images.seek(0)
        header = {"descr": "|u1", "fortran_order": False, "shape": (images, *self._shape)}
        np.lib.format.write_array_header_1_0(self._images, header)


def write_image_store(
    folder: Path,
    parts: Mapping[str, Part],
    description: Mapping[str, Any],
    rejected: Sequence[Rejected],
) -> None:
    """Write all parts and the manifest.

    Args:
        folder: an existing, empty folder.
        parts: by name; must hold `SPLITS`.
        description: source, framing and sizes; copied into the manifest.
        rejected: what was left out.

    Raises:
        DataError: a class name stands in two of `SPLITS`, or labels and classes disagree.
    """
    entries = {}
    for name, part in parts.items():
        counts = np.bincount(part.labels, minlength=len(part.classes))
        if counts.tolist() != [entry.images for entry in part.classes]:
            raise DataError(f"{name}: labels and class counts disagree")
        entries[name] = write_part(folder, name, part)
    write_manifest(folder, entries, description, rejected)


def write_part(folder: Path, name: str, part: Part) -> dict[str, Any]:
    """Write a part that is in memory, and return its entry for the manifest."""
    writer = PartWriter(folder, name, part.images.shape[1:])
    for image, label in zip(part.images, part.labels.tolist(), strict=True):
        writer.append(image.tobytes(), label)
    return writer.close({label: (one.name, one.group) for label, one in enumerate(part.classes)})


def write_manifest(
    folder: Path,
    entries: Mapping[str, Mapping[str, Any]],
    description: Mapping[str, Any],
    rejected: Sequence[Rejected],
) -> None:
    """Write what makes a folder of parts a store.

    Args:
        folder: holds the parts.
        entries: what `PartWriter.close` returned for each; must hold `SPLITS`.
        description: source, framing and sizes; copied into the manifest.
        rejected: what was left out.

    Raises:
        DataError: a class name stands in two of `SPLITS`.
    """
    _check_disjoint({name: entries[name]["classes"] for name in SPLITS})
    write_rejected(folder / REJECTED, rejected)
    write_json(
        folder / MANIFEST,
        {"format": FORMAT, **description, "rejected": len(rejected), "parts": dict(entries)},
    )


def write_rejected(path: Path, rejected: Sequence[Rejected]) -> None:
    """Write what was left out as a table: class, path, reason."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_csv(path, [asdict(one) for one in rejected], ["class_name", "path", "reason"])


def _check_disjoint(splits: Mapping[str, Sequence[Mapping[str, Any]]]) -> None:
    home: dict[str, str] = {}
    for split, classes in splits.items():
        for entry in classes:
            name = entry["name"]
            if name in home:
                raise DataError(f"class {name} stands in {home[name]} and in {split}")
            home[name] = split
