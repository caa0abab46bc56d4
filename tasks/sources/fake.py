"""Noise with random labels, from torchvision's `FakeData`: nothing to learn, nothing to fetch."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from threading import Lock
from typing import Any

from tasks.sources.found import Found, FoundImage
from tasks.sources.image_folder import sort_images
from tasks.sources.ppm import as_ppm, ppm_header
from tasks.trees.tree import Leaf, Refusal

_DRAWING = Lock()  # FakeData seeds the one generator of the process, and puts it back


@dataclass(frozen=True)
class FakeTree:
    """Noise as PPM files named `CLASS/NUMBER.ppm`; the same for the same sizes.

    Attributes:
        classes: how many.
        images: how many, of all classes together.
        image_size_px: of a side.
    """

    classes: int
    images: int
    image_size_px: int

    @property
    def root(self) -> str:
        """For messages."""
        return "fake"

    @property
    def sequential(self) -> bool:
        """No."""
        return False

    def walk(self) -> Iterator[Leaf | Refusal]:
        """Every image."""
        noise = self._noise()
        digits = len(str(self.classes - 1))
        for index in range(self.images):
            with _DRAWING:
                _, label = noise[index]
            yield self._leaf(f"class {label:0{digits}}/{index:06}.ppm", index)

    def stat(self, paths: Sequence[str]) -> Iterator[Leaf | Refusal]:
        """The named images."""
        for path in paths:
            yield self._leaf(path, _index(path))

    def read(self, paths: Sequence[str]) -> Iterator[bytes | Refusal]:
        """The named images as PPM files."""
        noise = self._noise()
        for path in paths:
            with _DRAWING:
                image, _ = noise[_index(path)]
            yield as_ppm(image)

    def _noise(self) -> Any:
        from torchvision.datasets import FakeData

        side = self.image_size_px
        return FakeData(self.images, (3, side, side), self.classes)

    def _leaf(self, path: str, index: int) -> Leaf:
        side = self.image_size_px
        size_bytes = len(ppm_header(side, side)) + 3 * side * side
        return Leaf(path, size_bytes, f"fake {side} {self.classes} {index}")


def arrange(tree: FakeTree) -> Found:
    """Give every image its class."""
    images = [
        FoundImage(leaf.path, leaf.mark, leaf.path.partition("/")[0], "")
        for leaf in tree.walk()
        if isinstance(leaf, Leaf)
    ]
    sort_images(images)
    return Found(tree, images, [], 0, [])


def _index(path: str) -> int:
    return int(path.rpartition("/")[2].removesuffix(".ppm"))
