"""Two or more ways to do the same work, which take turns, so that both meet the same machine."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from statistics import median, quantiles


def taking_turns(*works: Callable[[], object], rounds: int, warm_up: int = 1) -> list[list[float]]:
    """Seconds of each round of each way, after some that do not count."""
    seconds: list[list[float]] = [[] for _ in works]
    for number in range(warm_up + rounds):
        for work, own in zip(works, seconds, strict=True):
            passed = timed(work)
            if number >= warm_up:
                own.append(passed)
    return seconds


def timed(work: Callable[[], object]) -> float:
    """Seconds that a piece of work takes."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


@dataclass(frozen=True)
class Figure:
    """One line of the table: what was compared, and how it came out.

    Attributes:
        what: in words.
        asked_for: the ratio that was wished for, as text.
        ratio: of the medians.
        unit: of the values.
        values: of each side by name, one a round.
    """

    what: str
    asked_for: str
    ratio: float
    unit: str
    values: dict[str, list[float]] = field(default_factory=dict)


def spread(values: Sequence[float]) -> str:
    """Median, quartiles and number of values; of three or fewer the least and the most."""
    if len(values) < 2:
        return f"{values[0]:.4g} (n 1)"
    low, high = quantiles(values, n=4)[::2] if len(values) > 3 else (min(values), max(values))
    return f"{median(values):.4g} ({low:.4g} to {high:.4g}, n {len(values)})"


def compared(
    what: str,
    asked_for: str,
    over: tuple[str, list[float]],
    under: tuple[str, list[float]],
    unit: str = "s",
) -> Figure:
    """The median of one side over that of the other."""
    values = dict((over, under))
    return Figure(what, asked_for, median(over[1]) / median(under[1]), unit, values)
