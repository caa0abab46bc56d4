"""The image store: what `prepare` leaves and every later stage reads.

A folder with, for each part (`base`, `validation`, `novel` and further evaluation domains),
`PART.images.npy` and `PART.labels.npy`, and one `manifest.json` that says what they hold.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
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

    def image_counts(self) -> dict[str, list[int]]:
        """Images of each class, for every part."""
        return {part: [one.images for one in self.classes(part)] for part in self.manifest["parts"]}

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
    _check_disjoint({name: parts[name] for name in SPLITS})
    entries = {}
    for name, part in parts.items():
        counts = np.bincount(part.labels, minlength=len(part.classes))
        if counts.tolist() != [entry.images for entry in part.classes]:
            raise DataError(f"{name}: labels and class counts disagree")
        hashes = {}
        for kind, array in (("images", part.images), ("labels", part.labels)):
            path = folder / f"{name}.{kind}.npy"
            np.save(path, array, allow_pickle=False)
            hashes[kind] = sha256(path)
        entries[name] = {
            "images": len(part.images),
            "groups": dict(Counter(entry.group for entry in part.classes)),
            "sha256": hashes,
            "classes": [asdict(entry) for entry in part.classes],
        }
    write_csv(
        folder / REJECTED, [asdict(one) for one in rejected], ["class_name", "path", "reason"]
    )
    write_json(
        folder / MANIFEST,
        {"format": FORMAT, **description, "rejected": len(rejected), "parts": entries},
    )


def _check_disjoint(splits: Mapping[str, Part]) -> None:
    home: dict[str, str] = {}
    for split, part in splits.items():
        for entry in part.classes:
            if entry.name in home:
                raise DataError(f"class {entry.name} stands in {home[entry.name]} and in {split}")
            home[entry.name] = split
