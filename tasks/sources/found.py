"""What a source found: images with their classes, before any of them is decoded."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from tasks.artifacts.image_store import Rejected
from tasks.sources.quarter_turns import Turned
from tasks.trees.tree import Tree

Split = Literal["base", "validation", "novel"]


@dataclass(frozen=True, slots=True)
class FoundImage:
    """One image of one class.

    Attributes:
        path: in the tree.
        mark: of the tree's leaf.
        class_name: printable, unique in the source; `GROUP/CLASS` where there are groups.
        group: printable; empty where there are no groups.
        split: where the source itself says it, else None.
        turned_deg: the image is used turned by so much, counter-clockwise.
        identity: of the class, where its name depends on what else there is: what is hashed to
            find its split. Empty where the name serves.
        size_bytes: of the file, as listed; 0 where that is not known.
    """

    path: str
    mark: str
    class_name: str
    group: str
    split: Split | None = None
    turned_deg: Turned = 0
    identity: str = ""
    size_bytes: int = 0


@dataclass(frozen=True)
class Found:
    """All of a source.

    Attributes:
        tree: where the images are read from.
        images: sorted by class name, then path, unless the tree is sequential.
        rejected: what is not used, with the reason.
        lost: how many of `rejected` were images, for `prepare.max_rejected_share`.
        notes: what a person should be told: folders merged, a wrapper folder passed through.
    """

    tree: Tree
    images: Sequence[FoundImage]
    rejected: Sequence[Rejected]
    lost: int
    notes: Sequence[str]
