"""How a long step tells how far it is, without knowing who watches."""

from collections.abc import Iterable
from typing import Protocol, TypeVar, runtime_checkable

T = TypeVar("T")


@runtime_checkable
class Track(Protocol):
    """Passes items through and shows how many have passed."""

    def __call__(self, items: Iterable[T], label: str, total: int | None = None) -> Iterable[T]:
        """Yield `items` unchanged.

        Args:
            items: what the step works through.
            label: what the step does, for example `rendering`.
            total: how many items there are; None asks `len(items)`.
        """
        ...


def untracked(items: Iterable[T], label: str, total: int | None = None) -> Iterable[T]:
    """The `Track` that shows nothing; what functions use when nobody watches."""
    del label, total
    return items
