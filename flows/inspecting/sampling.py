"""Which images are looked into: spread evenly over classes, and the same ones every time."""

import hashlib
from collections import defaultdict
from collections.abc import Mapping, Sequence

from tasks.sources.found import FoundImage

AT_LEAST = 6  # of a class: with fewer, five neighbours of one other class cannot be told


def choose(images: Sequence[FoundImage], limit: int) -> list[int]:
    """Choose which images to look into.

    Each class gives about as many, and at least six where it has so many; where that is too much,
    some classes give none. Which classes and which images is decided by a hash of their names, so
    most of the choice stays when others come and go.

    Args:
        images: all of a source.
        limit: how many at most.

    Returns:
        Positions in `images`, ascending.
    """
    if len(images) <= limit:
        return list(range(len(images)))
    members: defaultdict[str, list[int]] = defaultdict(list)
    for position, image in enumerate(images):
        members[image.class_name].append(position)
    order = sorted(members, key=_hash)
    shares = _shares({name: len(members[name]) for name in order}, limit)
    chosen: list[int] = []
    for name, share in shares.items():
        some = members[name]
        if share < len(some):
            some = sorted(some, key=lambda position: _hash(images[position].path))[:share]
        chosen += some
    return sorted(chosen)


def _shares(counts: Mapping[str, int], limit: int) -> dict[str, int]:
    """How many images each class gives; those that come first count where not all can."""
    taken: dict[str, int] = {}
    left = limit
    for name, count in counts.items():
        if not left:
            break
        taken[name] = min(count, AT_LEAST, left)  # the last one gives what is left to give
        left -= taken[name]
    while left:
        growing = [name for name, share in taken.items() if share < counts[name]]
        more = max(1, left // len(growing))
        for name in growing[:left]:
            grown = min(counts[name], taken[name] + more)
            left -= grown - taken[name]
            taken[name] = grown
    return taken


def _hash(text: str) -> bytes:
    return hashlib.blake2b(text.encode("utf-8", "surrogateescape"), digest_size=8).digest()
