"""A tree of images that stands in no file system, so that its names may be anything."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from tasks.trees.tree import Leaf, Refusal, leaf_or_refusal


@dataclass(frozen=True)
class MemoryTree:
    """Files by path; what else the walk is to refuse stands in `refused`."""

    files: Mapping[str, bytes] = field(default_factory=dict)
    refused: Sequence[Refusal] = ()
    sequential: bool = False
    root: str = "memory"

    def walk(self) -> Iterator[Leaf | Refusal]:
        yield from self.stat(list(self.files))
        yield from self.refused

    def stat(self, paths: Sequence[str]) -> Iterator[Leaf | Refusal]:
        for path in paths:
            if path in self.files:
                content = self.files[path]
                yield leaf_or_refusal(path, len(content), f"mark of {path}")
            else:
                yield Refusal(path, "gone")

    def read(self, paths: Sequence[str]) -> Iterator[bytes | Refusal]:
        for path in paths:
            yield self.files.get(path) or Refusal(path, "gone")


def tree_of(*paths: str, refused: Sequence[Refusal] = (), sequential: bool = False) -> MemoryTree:
    """A tree in which every path holds one byte."""
    return MemoryTree(dict.fromkeys(paths, b"x"), refused, sequential)
