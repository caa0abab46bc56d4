"""Several trees below one root, each under a name of its own."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import TypeVar

from tasks.trees.tree import Leaf, Refusal, Tree

Entry = TypeVar("Entry", bound=Leaf | Refusal)


@dataclass(frozen=True)
class JoinedTree:
    """Trees side by side; a path is that of the tree, then that in the tree.

    Attributes:
        root: as people named it.
        trees: by path below the root.
    """

    root: str
    trees: Mapping[str, Tree]

    @property
    def sequential(self) -> bool:
        """Whether any of the trees is."""
        return any(tree.sequential for tree in self.trees.values())

    def walk(self) -> Iterator[Leaf | Refusal]:
        """Everything in each tree, tree by tree.

        Raises:
            DataError: a tree cannot be read at all.
        """
        for place, tree in self.trees.items():
            yield from (_below(place, one) for one in tree.walk())

    def stat(self, paths: Sequence[str]) -> Iterator[Leaf | Refusal]:
        """The named paths, in their order.

        Raises:
            DataError: a tree cannot be read at all.
        """
        for place, inside in self._runs(paths):
            yield from (_below(place, one) for one in self.trees[place].stat(inside))

    def read(self, paths: Sequence[str]) -> Iterator[bytes | Refusal]:
        """The content of the named paths, in their order."""
        for place, inside in self._runs(paths):
            for one in self.trees[place].read(inside):
                yield one if isinstance(one, bytes) else _below(place, one)

    def _runs(self, paths: Sequence[str]) -> Iterator[tuple[str, list[str]]]:
        for place, run in groupby(paths, self._place):
            yield place, [path[len(place) + 1 :] for path in run]

    def _place(self, path: str) -> str:
        return next(place for place in self.trees if path.startswith(f"{place}/"))


def _below(place: str, one: Entry) -> Entry:
    return replace(one, path=f"{place}/{one.path}")
